"""Herding by hand and against its definition."""

from __future__ import annotations

import numpy as np

from sklearn_prune.baselines import HerdingPruner
from sklearn_prune.baselines._herding import herd
from tests.baselines.scripted import kept


def test_picks_by_hand():
    # The mean is 2. Nearest: 2. Then (2 + x) / 2 is nearest with 1, then (3 + x) / 3 with 4.
    X = np.array([[4.0], [1.0], [-4.0], [2.0], [7.0]])
    y = np.array([0.5, 1.5, 2.5, 3.5, 4.5])
    pruner = HerdingPruner(prune_ratio=0.4)
    assert kept(pruner, X, y) == [0, 1, 3]
    np.testing.assert_array_equal(pruner.scores_, [2, 1, 3, 0, 3])


def test_each_class_follows_its_own_mean():
    X = np.array([[0.0], [1.0], [5.0], [100.0], [101.0], [105.0]])
    y = np.array(["a", "a", "a", "b", "b", "b"])
    # The means are 2 and 102, and 1 and 101 are nearest.
    assert kept(HerdingPruner(prune_ratio=2 / 3), X, y) == [1, 4]


def test_each_pick_is_the_best_of_all():
    features = np.random.default_rng(0).normal(size=(40, 3)) + 5
    mean = features.mean(axis=0)
    picks = herd(features - mean, 20)
    for k in range(20):
        left = np.setdiff1d(np.arange(40), picks[:k])
        means = (features[picks[:k]].sum(axis=0) + features[left]) / (k + 1)
        assert left[np.linalg.norm(means - mean, axis=1).argmin()] == picks[k]
