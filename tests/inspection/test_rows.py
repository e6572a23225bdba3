"""Rows reach the check as they reach fit, and others are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch.utils.data import TensorDataset

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import retraining_check
from tests.inspection.conftest import DAMPING


def test_frames_and_labels_of_text_are_read_as_in_fit(cancer, cancer_pruner):
    X, X_test, y, y_test = cancer
    frames = [pd.DataFrame(rows).add_prefix("x") for rows in (X, X_test)]
    labels = [pd.Series(np.array(["ill", "well"])[codes]) for codes in (y, y_test)]
    pruner = InfluencePruner(prune_ratio=0.8, damping=DAMPING, random_state=0)
    pruner.fit(frames[0], labels[0])
    of_frames = retraining_check(pruner, frames[0], labels[0], X_test=frames[1], y_test=labels[1])
    of_arrays = retraining_check(cancer_pruner, X, y, X_test=X_test, y_test=y_test)
    np.testing.assert_array_equal(pruner.support_, cancer_pruner.support_)
    for gap in ("train_gap", "test_gap"):
        expected = getattr(of_arrays, gap).observed
        assert getattr(of_frames, gap).observed == pytest.approx(expected, rel=1e-6)


def test_a_network_of_ones_own_is_checked_and_left_as_it_is(iris, make_net):
    X, y = iris[0].astype(np.float32), np.array(["a", "b", "c"])[iris[1]]
    net = make_net().fit(X, iris[1])
    before = [parameter.detach().clone() for parameter in net.module_.parameters()]
    pruner = InfluencePruner(FrozenEstimator(net), damping=DAMPING, random_state=0)
    pruner.fit(X[::2], y[::2])
    check = retraining_check(pruner, X[::2], y[::2], X_test=X[1::2], y_test=y[1::2])
    assert check.loss_change.observed == pytest.approx(pruner.certificate_.actual_change, rel=1e-6)
    assert check.test_gap.is_within_proven_bound
    assert all((a == b).all() for a, b in zip(before, net.module_.parameters(), strict=True))


def test_a_dataset_and_a_dict_are_checked_as_their_arrays_are(iris, make_net):
    X, y = iris
    X = X.astype(np.float32)
    dataset = TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
    net = FrozenEstimator(make_net(4, 3).fit(X, y))
    expected = retraining_check(
        InfluencePruner(net, random_state=0).fit(X, y), X, y, X_test=X[::2], y_test=y[::2]
    )
    test = TensorDataset(torch.as_tensor(X[::2]), torch.as_tensor(y[::2]))
    pruner = InfluencePruner(net, random_state=0).fit(dataset)
    found = retraining_check(pruner, dataset, X_test=test)
    assert found.loss_change.observed == pytest.approx(expected.loss_change.observed)
    assert found.test_gap.observed == pytest.approx(expected.test_gap.observed)
    with pytest.raises(ValueError, match="a dataset must be the same object"):
        retraining_check(pruner, TensorDataset(*dataset.tensors))
    with pytest.raises(ValueError, match="y is None"):
        retraining_check(InfluencePruner(net, random_state=0).fit(X, y), X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: {"X": X[::-1]}, "X must hold the 426 rows"),
        (lambda X, y: {"X": X[:-1], "y": y[:-1]}, "it holds others, 425 of them"),
        (lambda X, y: {"y": 1 - y}, "it differs in 426 of 426 rows"),
        (lambda X, y: {"y": y + 1}, "2 is not. Leave such rows out"),
        (lambda X, y: {"X_test": X}, "y_test is None. Give both"),
        (lambda X, y: {"y_test": y}, "X_test is None. Give both"),
        (lambda X, y: {"support": np.arange(9)}, "support must be a boolean mask of shape .426"),
        (lambda X, y: {"support": np.ones(9, bool)}, "and shape .9,"),
        (lambda X, y: {"support": np.zeros(426, bool)}, "drop removes all 426 rows"),
    ],
)
def test_what_does_not_fit_the_pruner_is_refused(change, message, cancer, cancer_pruner):
    X, _, y, _ = cancer
    with pytest.raises(ValueError, match=message):
        retraining_check(cancer_pruner, **{"X": X, "y": y, **change(X, y)})


def test_another_pruner_is_refused(cancer):
    X, _, y, _ = cancer
    with pytest.raises(TypeError, match="no RandomPruner.*give them as support"):
        retraining_check(RandomPruner().fit(X, y), X, y)
