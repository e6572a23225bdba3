"""Random rows: right in number, and in nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.data import n_rows, take_rows
from tests.expected_failures import expected_failures


@parametrize_with_checks([RandomPruner()], expected_failed_checks=expected_failures)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


@pytest.mark.parametrize("stratify", [True, False])
@given(
    ratio=st.floats(0, 0.9),
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    seed=st.integers(0, 99),
)
def test_exactly_the_asked_rows_go_and_no_class_vanishes(stratify, ratio, sizes, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = np.zeros((len(y), 1))
    n_drop = int(np.ceil(ratio * len(y) - 0.5))
    pruner = RandomPruner(ratio, stratify=stratify, random_state=seed)
    if len(y) - n_drop < len(sizes):
        with pytest.raises(ValueError, match=f"rows? for {len(sizes)} classes; "):
            pruner.fit(X, y)
        return
    pruner.fit(X, y)
    assert len(y) - pruner.support_.sum() == n_drop
    assert set(y[pruner.support_]) == set(y)


def test_each_class_keeps_as_many_rows_as_with_influences_to_within_one(iris):
    X, y = iris
    X, y = X[:120], y[:120]
    options = {"prune_ratio": 0.47, "random_state": 0}
    chosen = InfluencePruner(damping=1e-2, **options).fit(X, y)
    drawn = RandomPruner(**options).fit(X, y)
    counts = [np.bincount(y[pruner.support_]) for pruner in (drawn, chosen)]
    assert counts[0].sum() == counts[1].sum()
    # Influences round a share down or up.
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_without_strata_the_class_shares_vary():
    y = np.repeat([0, 1], 50)
    X = np.zeros((100, 1))
    kept = {
        int(y[RandomPruner(0.5, stratify=False, random_state=seed).fit(X, y).support_].sum())
        for seed in range(10)
    }
    assert len(kept) > 2


@pytest.mark.parametrize("stratify", [True, False])
def test_every_row_stays_about_equally_often(stratify):
    X, y = np.zeros((40, 1)), np.repeat([0, 1], 20)
    times = sum(
        RandomPruner(0.5, stratify=stratify, random_state=seed).fit(X, y).support_.astype(int)
        for seed in range(200)
    )
    # Four standard deviations of a binomial count on either side.
    assert times.min() > 71 and times.max() < 129


@pytest.mark.parametrize("y", [None, np.linspace(0, 1, 10), np.ones((10, 2)) / 3])
def test_targets_without_classes_are_drawn_from_at_large(y):
    pruner = RandomPruner(0.3, random_state=0).fit(np.zeros((10, 1)), y)
    assert pruner.support_.sum() == 7
    assert not hasattr(pruner, "classes_")


def test_the_seed_decides(iris):
    X, y = iris
    first, again, other = (RandomPruner(random_state=s).fit(X, y).support_ for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_missing_values_do_not_matter():
    X = np.array([[np.nan], [1.0], [np.inf], [2.0]])
    assert RandomPruner(0.5, random_state=0).fit(X).transform(X).shape == (2, 1)


class Opaque:
    """Can be kept or dropped, and nothing else."""


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "X",
    [
        [f"text {i}" for i in range(6)],
        pd.Series([f"text {i}" for i in range(6)]),
        np.array([["a", 1.0], ["b", None]] * 3, dtype=object),
        pd.DataFrame({"when": pd.date_range("2026-01-01", periods=6), "what": list("abcdef")}),
        pd.DataFrame({"what": pd.Categorical(list("abcabc")), "when": [None, *range(5)]}),
        pl.DataFrame({"what": list("abcdef"), "many": [[1], [2], [3], [4], [5], [6]]}),
        [RNG.normal(size=(i, 2)) for i in range(6)],
        [{"words": i} for i in range(6)],
        RNG.normal(size=(6, 3, 4, 4)),
        RNG.normal(size=6),
        RNG.normal(size=(6, 2)) * 1j,
        {"image": RNG.normal(size=(6, 2, 2)), "text": np.array(list("abcdef"))},
        csr_array(np.where(np.eye(6), np.nan, 0)),
    ],
    ids=[
        *("texts", "series", "objects", "dates", "categories", "polars", "ragged", "dicts"),
        *("images", "one dimension", "complex", "dict", "sparse gaps"),
    ],
)
def test_rows_of_anything_are_drawn_and_recognised(X):
    y = np.arange(6) % 2
    pruner = RandomPruner(0.5, random_state=0).fit(X, y)
    kept = RandomPruner(0.5, random_state=0).fit(np.zeros((6, 1)), y).support_
    np.testing.assert_array_equal(pruner.support_, kept)
    assert n_rows(pruner.transform(X)) == 3
    assert n_rows(pruner.transform(copy.deepcopy(X))) == 3
    reverse = take_rows(X, np.arange(6)[::-1])
    assert n_rows(pruner.transform(reverse)) == 6


def test_the_draw_reads_no_row(monkeypatch):
    monkeypatch.setattr(RandomPruner, "_checked_rows", lambda self, X, reset: X)
    monkeypatch.setattr("sklearn_prune.base.fingerprint", lambda rows: "")
    assert RandomPruner(0.5, random_state=0).fit([Opaque()] * 8).support_.sum() == 4


def test_columns_of_a_table_are_recorded_and_checked():
    table = pd.DataFrame({"a": list("xyz"), "b": list("uvw")})
    pruner = RandomPruner(0.4, random_state=0).fit(table)
    assert pruner.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="Feature names unseen at fit time:\n- c"):
        pruner.transform(table.rename(columns={"a": "c"}))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (pl.LazyFrame({"a": ["x", "y"]}), ValueError, "give X.collect"),
        (["text"], ValueError, "X has 1 sample.*give more rows"),
        (iter("ab"), ValueError, "Expected 2D array, got scalar"),
    ],
    ids=["lazy", "one", "iterator"],
)
def test_what_has_no_two_rows_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        RandomPruner().fit(X)


@pytest.mark.parametrize("name", ["must_keep", "nonsense"])
def test_an_argument_that_it_does_not_take_is_refused(name, iris):
    X, y = iris
    with pytest.raises(TypeError, match=f"takes only X, y and target_kind, not {name}. Leave it"):
        RandomPruner(0.5).fit(X, y, **{name: np.ones(len(y), dtype=bool)})
