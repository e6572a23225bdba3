"""Geometric medians that are known, and rows that follow them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from sklearn_prune.baselines import GeometricMedianPruner, HerdingPruner
from sklearn_prune.baselines._geometric_median import geometric_median
from tests.baselines.scripted import kept

tables = arrays(
    float,
    st.tuples(st.integers(1, 9), st.integers(1, 3)),
    elements=st.one_of(st.sampled_from([0.0, 1.0, -2.0]), st.floats(-50, 50)),
)


def spread(features, centre):
    return np.linalg.norm(features - centre, axis=1).sum()


def test_picks_by_hand():
    # The median is 2. Nearest: 2. Then (2 + 1) / 2 is nearest, then (2 + 1 + 4) / 3.
    X = np.array([[4.0], [1.0], [14.0], [2.0], [0.0]])
    y = np.array([0.5, 1.5, 2.5, 3.5, 4.5])
    pruner = GeometricMedianPruner(prune_ratio=0.4)
    assert kept(pruner, X, y) == [0, 1, 3]
    np.testing.assert_array_equal(pruner.scores_, [2, 1, 3, 0, 3])


@pytest.mark.parametrize(
    ("corners", "median"),
    [
        # A square: where the diagonals meet.
        ([[0, 0], [2, 0], [2, 2], [0, 2]], [1, 1]),
        # An equilateral triangle: its centre.
        ([[0, 0], [2, 0], [1, np.sqrt(3)]], [1, 1 / np.sqrt(3)]),
        # A triangle with an angle above 120 degrees: that corner.
        ([[-10, 1], [0, 0], [10, 1]], [0, 0]),
        # More than half of the rows are the same: that row.
        ([[1, 1], [1, 1], [1, 1], [9, 0], [0, 9]], [1, 1]),
    ],
)
def test_medians_that_are_known(corners, median):
    features = np.array(corners, dtype=float)
    np.testing.assert_allclose(geometric_median(features), median, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_median_is_that_of_a_general_minimiser(seed):
    features = np.random.default_rng(seed).standard_t(2, size=(40, 3))
    found = minimize(lambda z: spread(features, z), np.zeros(3), method="BFGS", tol=1e-9)
    np.testing.assert_allclose(geometric_median(features), found.x, atol=1e-5)


def test_the_search_leaves_a_mean_that_is_a_row():
    features = np.array([[0.0, 0.0], [-3, 1], [-3, -1], [-1, 1], [-1, -1], [8, 0]])
    assert (features.mean(axis=0) == features[0]).all()
    found = minimize(lambda z: spread(features, z), [-1.0, 0.1], method="Nelder-Mead", tol=1e-9)
    assert found.fun < spread(features, features[0])
    np.testing.assert_allclose(geometric_median(features), found.x, atol=1e-5)


@settings(max_examples=100)
@given(features=tables, shift=st.floats(-9, 9))
def test_no_row_and_no_mean_has_a_smaller_sum_of_distances(features, shift):
    centre = geometric_median(features)
    least = spread(features, centre)
    for other in [*features, features.mean(axis=0), np.median(features, axis=0)]:
        assert least <= spread(features, other) * (1 + 1e-3) + 1e-9
    moved = geometric_median(features + shift)
    assert spread(features, moved - shift) <= least * (1 + 1e-3) + 1e-9


def test_rows_that_were_moved_far_away_are_not_followed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    is_moved = np.arange(100) < 40
    X[is_moved] += 1000
    y = np.arange(100) + 0.5
    followed, not_followed = (
        make(prune_ratio=0.9).fit(X, y).get_support()[is_moved].sum()
        for make in (HerdingPruner, GeometricMedianPruner)
    )
    assert (followed, not_followed) == (4, 0)


def test_each_class_has_a_median_of_its_own():
    X = np.array([[0.0], [1.0], [9.0], [100.0], [101.0], [109.0]])
    y = np.array(["a", "a", "a", "b", "b", "b"])
    assert kept(GeometricMedianPruner(prune_ratio=2 / 3), X, y) == [1, 4]
