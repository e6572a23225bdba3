"""Farthest-first picks by hand and against their definition."""

from __future__ import annotations

import numpy as np

from sklearn_prune.baselines import KCenterPruner
from sklearn_prune.baselines._k_center import insertion_distances
from tests.baselines.scripted import kept


def test_picks_by_hand():
    # The mean is 3: first 3, then 9 at a distance of 6, then 0 at 3; 1 is left at 1, 2 at 1.
    x = np.array([0.0, 1.0, 9.0, 3.0, 2.0])
    np.testing.assert_allclose(insertion_distances(x[:, None], 3), [3, 1, 6, np.inf, 1])
    y = np.array([0.5, 1.5, 2.5, 3.5, 4.5])
    pruner = KCenterPruner(prune_ratio=0.4)
    assert kept(pruner, x[:, None], y) == [0, 2, 3]
    # Columns are standardised.
    np.testing.assert_allclose(pruner.scores_ * x.std(), [3, 1, 6, np.inf, 1])


def test_each_class_is_covered():
    X = np.array([[0.0], [1.0], [5.0], [100.0], [101.0], [105.0]])
    y = np.array(["a", "a", "a", "b", "b", "b"])
    assert kept(KCenterPruner(prune_ratio=1 / 3), X, y) == [1, 2, 4, 5]


def test_each_pick_is_the_farthest():
    features = np.random.default_rng(0).normal(size=(30, 2))
    distances = insertion_distances(features, 10)
    picks = np.argsort(-distances)[:10]
    between = np.linalg.norm(features[:, None] - features, axis=2)
    for k in range(1, 10):
        nearest = between[:, picks[:k]].min(axis=1)
        np.testing.assert_allclose(distances[picks[k]], nearest.max())
    np.testing.assert_allclose(np.sort(distances)[:20], np.sort(between[:, picks].min(axis=1))[10:])


def test_duplicates_are_picked_last_and_once():
    distances = insertion_distances(np.array([[0.0], [0.0], [0.0], [4.0]]), 3)
    assert np.isinf(distances).sum() == 1
    assert sorted(distances[np.isfinite(distances)].tolist()) == [0, 0, 4]
