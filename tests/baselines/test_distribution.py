"""DistributionPruner keeps rows that are distributed as all are."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import scale

from sklearn_prune.baselines import DistributionPruner, RandomPruner


def discrepancy(X, keep):
    """The squared maximum mean discrepancy between the kept rows and all, by its definition."""
    K = rbf_kernel(X, gamma=0.2)
    return K[np.ix_(keep, keep)].mean() - 2 * K[keep].mean() + K.mean()


def test_rows_kept_are_nearer_to_all_than_random_ones():
    X, y = load_iris(return_X_y=True)
    Z = scale(X)
    ours = DistributionPruner(prune_ratio=0.8, random_state=0).fit(X, y).get_support()
    random = [
        discrepancy(Z, RandomPruner(0.8, random_state=seed).fit(X, y).get_support())
        for seed in range(20)
    ]
    assert discrepancy(Z, ours) < np.mean(random) / 2


def test_each_class_keeps_as_many_rows_as_from_the_random_pruner():
    X, y = load_iris(return_X_y=True)
    X, y = X[:130], y[:130]
    pruner = DistributionPruner(prune_ratio=0.7, random_state=0).fit(X, y)
    random = RandomPruner(0.7, random_state=0).fit(X, y)
    np.testing.assert_array_equal(
        np.bincount(y[pruner.get_support()]), np.bincount(y[random.get_support()])
    )


@pytest.mark.parametrize("stratify", [True, False])
def test_select_chooses_as_a_fit_with_that_ratio(stratify):
    X, y = load_iris(return_X_y=True)
    pruner = DistributionPruner(prune_ratio=0.8, stratify=stratify, random_state=0).fit(X, y)
    again = DistributionPruner(prune_ratio=0.5, stratify=stratify, random_state=0).fit(X, y)
    np.testing.assert_array_equal(pruner.select(prune_ratio=0.5), again.get_support())
    assert pruner.get_support().sum() == 30


def test_scores_say_which_rows_the_search_keeps():
    X, y = load_iris(return_X_y=True)
    pruner = DistributionPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    np.testing.assert_array_equal(pruner.scores_ == 1, pruner.get_support())


def test_numbers_are_held_too():
    X, y = load_diabetes(return_X_y=True)
    keep = DistributionPruner(prune_ratio=0.9, random_state=0).fit(X, y).get_support()
    off = abs(y[keep].mean() - y.mean()) / y.std()
    random = [
        abs(y[RandomPruner(0.9, random_state=s).fit(X, y).get_support()].mean() - y.mean())
        for s in range(20)
    ]
    assert off < np.mean(random) / y.std()


@pytest.mark.parametrize("n_samples", [150, 24])
def test_a_slow_machine_keeps_the_same_rows(n_samples, monkeypatch):
    X, y = load_iris(return_X_y=True)
    rows = np.linspace(0, 149, n_samples).astype(int)
    pruner = DistributionPruner(prune_ratio=0.5, random_state=0)
    at_once = pruner.fit(X[rows], y[rows]).get_support()
    hours = itertools.count(step=3600.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(hours))
    np.testing.assert_array_equal(pruner.fit(X[rows], y[rows]).get_support(), at_once)
