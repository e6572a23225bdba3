"""Splits are fixed, and nothing that is made of rows sees the test rows."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import data


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes"])
def test_bundled_sets_need_no_file(name, tmp_path):
    split = data.load(name, tmp_path)
    np.testing.assert_allclose(split.X_train.mean(axis=0), 0, atol=1e-10)
    assert split.is_classification == (name != "diabetes")
    assert len(split.subset(60).y_train) == len(split.subset(60).X_train) == 60


def test_missing_values_are_a_category_of_their_own(data_dir):
    # Age, and three categories: two kinds of work and none.
    assert data.load("adult", data_dir).X_train.shape == (300, 4)


def test_an_unknown_set_is_named_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="'iris' is not one of .*'adult'"):
        data.load("iris", tmp_path)


def test_rows_to_validate_on_are_training_rows_that_are_not_fitted():
    X, y = np.random.default_rng(0).standard_normal((200, 3)), np.arange(200) % 2
    split = data.Split("digits", X, y, np.full((10, 3), 99.0), np.zeros(10, dtype=np.int64))
    inner = split.inner(140, 1_000, seed=0)
    rows = {tuple(row) for row in split.X_train}
    fitted, validated = ({tuple(row) for row in X} for X in (inner.X_train, inner.X_test))
    assert fitted | validated == rows
    assert not fitted & validated
    assert len(fitted) == 140
