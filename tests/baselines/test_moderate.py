"""Distances from class centres by hand."""

from __future__ import annotations

import numpy as np

from sklearn_prune.baselines import ModeratePruner
from sklearn_prune.baselines._moderate import centre_distances
from tests.baselines.scripted import kept

# Centres 0 and 20; distances 1, 2, 3, 2, 4 and 1, 1, 2, 8, 10. Both medians are 2.
X = np.array([[1.0], [2.0], [3.0], [-2.0], [-4.0], [19.0], [21.0], [18.0], [12.0], [30.0]])
Y = np.array(["a"] * 5 + ["b"] * 5)


def test_distances_from_the_class_centre():
    distances = centre_distances(X, np.repeat([0, 1], 5))
    np.testing.assert_allclose(distances, [1, 2, 3, 2, 4, 1, 1, 2, 8, 10])


def test_the_rows_nearest_the_median_distance_stay():
    pruner = ModeratePruner(prune_ratio=0.6, random_state=0)
    assert set(kept(pruner, X, Y)) >= {1, 3, 7}
    np.testing.assert_allclose(pruner.scores_ * X.std(), [1, 0, 1, 0, 2, 1, 1, 0, 6, 8], atol=1e-9)


def test_not_stratified_all_rows_share_a_median():
    X_far = X.copy()
    X_far[5:] = 20 + 10 * (X[5:] - 20)
    pruner = ModeratePruner(prune_ratio=0.7, stratify=False, random_state=0).fit(X_far, Y)
    # Distances 1, 2, 3, 2, 4 and 10, 10, 20, 80, 100: the median is 7.
    np.testing.assert_allclose(
        pruner.scores_ * X_far.std(), [6, 5, 4, 5, 3, 3, 3, 13, 73, 93], atol=1e-9
    )
    assert pruner.get_support(indices=True).tolist() == [4, 5, 6]
