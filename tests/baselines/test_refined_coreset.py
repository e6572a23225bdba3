"""Rows whose refitted layer is best for all rows, by hand and against least squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import scale

from sklearn_prune.baselines import RandomPruner, RefinedCoresetPruner
from sklearn_prune.baselines._refined_coreset import direct_search
from tests.baselines.scripted import kept


def loss_on_all(X, y, keep):
    """Return the mean squared error on all rows of least squares on the kept ones."""
    design = np.c_[scale(X), np.ones(len(y))]
    theta, *_ = np.linalg.lstsq(design[keep], y[keep])
    return np.square(design @ theta - y).mean()


def test_one_row_by_hand():
    # A constant is fitted to the row kept. Their mean, 4, is best for all rows; 4.5 is nearest.
    y = np.array([9.5, 0.5, 4.5, 1.5])
    pruner = RefinedCoresetPruner(prune_ratio=0.75, random_state=0)
    assert kept(pruner, np.ones((4, 1)), y) == [2]
    assert pruner.scores_.argmax() == 2


def test_moves_by_hand():
    class Steps:
        """Draws 1, 2 and 4 for the only row."""

        left = iter([1.0, 2.0, 4.0])

        def normal(self, size):
            return np.full(size, next(self.left))

    tried = []

    def distance(mask):
        tried.append(round(float(mask[0]), 9))
        return abs(mask[0] + 0.04)

    # Whatever is tried is farther from -0.04 than 0 is.
    assert direct_search(distance, np.zeros(1), 3, Steps()) == 0
    assert tried == [0, 0.1, -0.1, 0.2, -0.2, 0.4, -0.4]
    Steps.left, tried = iter([1.0, 2.0, 4.0]), []
    # From 0.3 to 0.2, as 0.4 is worse; from there to 0, and nowhere else.
    np.testing.assert_allclose(direct_search(distance, np.full(1, 0.3), 3, Steps()), 0, atol=1e-9)
    assert tried == [0.3, 0.4, 0.2, 0.4, 0, 0.4, -0.4]


@pytest.mark.parametrize("seed", range(3))
def test_the_longer_the_search_the_lower_the_loss_on_all_rows(seed):
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:80, :4], y[:80] / 100 + 0.005
    losses = []
    for n_iterations in (1, 10, 100):
        pruner = RefinedCoresetPruner(
            prune_ratio=0.8, n_iterations=n_iterations, damping=1e-9, random_state=seed
        )
        losses.append(loss_on_all(X, y, pruner.fit(X, y).get_support()))
    assert losses[0] >= losses[1] >= losses[2]
    assert losses[2] < losses[0]


def test_classes_are_told_apart_better_than_by_random_rows(iris):
    X, y = scale(iris[0]), iris[1]

    def loss(pruner):
        keep = pruner.fit(X, y).get_support()
        model = LogisticRegression(C=1 / (1e-2 * keep.sum()), max_iter=1000)
        return log_loss(y, model.fit(X[keep], y[keep]).predict_proba(X))

    pruner = RefinedCoresetPruner(prune_ratio=0.9, n_iterations=50, damping=1e-2, random_state=0)
    assert loss(pruner) < min(loss(RandomPruner(0.9, random_state=seed)) for seed in range(10))


@settings(max_examples=20)
@given(seed=st.integers(0, 99), n_iterations=st.integers(1, 30))
def test_no_mask_that_was_tried_is_better_than_the_last_one(seed, n_iterations):
    tried = []

    def loss(mask):
        tried.append(float(np.abs(np.sin(9 * mask)).sum()))
        return tried[-1]

    start = np.random.default_rng(seed).uniform(-1, 1, size=5)
    mask = direct_search(loss, start, n_iterations, np.random.RandomState(seed))
    assert np.abs(np.sin(9 * mask)).sum() == min(tried)
    assert n_iterations < len(tried) <= 1 + 2 * n_iterations
