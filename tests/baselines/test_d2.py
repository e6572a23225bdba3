"""Messages between neighbours by hand and against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_prune.baselines import D2Pruner
from sklearn_prune.baselines._d2 import neighbour_weights, pick_by_messages
from tests.baselines.scripted import kept, scripted

# Area under the margin -0.8, 0, 0.6 in the first class and 0.8, 0.2, -0.4 in the second.
P_OWN = [[0.1, 0.4, 0.8, 0.9, 0.5, 0.3], [0.1, 0.6, 0.8, 0.9, 0.7, 0.3]]
Y = [0, 0, 0, 1, 1, 1]

tables = arrays(
    float,
    st.tuples(st.integers(1, 12), st.just(2)),
    # Few values, so that rows are the same.
    elements=st.sampled_from([0.0, 1.0, 1.5, 7.0]),
)


def by_definition(features, difficulty, n_neighbors, gamma_f, gamma_r):
    """Return the picks, from a dense table of weights; no two rows may be the same."""
    n_rows = len(features)
    d = np.linalg.norm(features[:, None] - features, axis=2)
    nearest = np.argsort(d, axis=1)[:, 1 : n_neighbors + 1]
    w = np.exp(-d / np.take_along_axis(d, nearest, axis=1).mean())
    is_edge = np.zeros((n_rows, n_rows), dtype=bool)
    np.put_along_axis(is_edge, nearest, True, axis=1)
    is_edge |= is_edge.T
    x = difficulty + (is_edge * w**gamma_f) @ difficulty
    picks = []
    while len(picks) < n_rows:
        left = np.setdiff1d(np.arange(n_rows), picks)
        k = left[x[left].argmax()]
        x = x - is_edge[k] * w[k] ** gamma_r * x[k]
        picks.append(k)
    return picks


def test_messages_by_hand():
    # The nearest rows of 0, 1 and 3 are 1, 0 and 1, at distances 1, 1 and 2 with the mean 4/3.
    weights = neighbour_weights(np.array([[0.0], [1.0], [3.0]]), 1)
    a, b = np.exp(-3 / 4), np.exp(-3 / 2)
    np.testing.assert_allclose(weights.toarray(), [[0, a, 0], [a, 0, b], [0, b, 0]])
    # Values 1.24, 1.03 and 0.36. After row 0, that of row 1 is 1.03 - 0.93 * 1.24 = -0.12.
    difficulty = np.array([1.0, 0.5, 0.25])
    assert pick_by_messages(difficulty, weights, 1.0, 0.1).tolist() == [0, 2, 1]
    # With gamma_r = 1 it is 1.03 - 0.47 * 1.24 = 0.44.
    assert pick_by_messages(difficulty, weights, 1.0, 1.0).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_picks_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    features, difficulty = rng.normal(size=(30, 3)), rng.uniform(size=30)
    picks = pick_by_messages(difficulty, neighbour_weights(features, 4), 0.8, 0.3)
    assert picks.tolist() == by_definition(features, difficulty, 4, 0.8, 0.3)


def test_the_hardest_of_each_class_stay():
    net, X, y = scripted(P_OWN, Y)
    pruner = D2Pruner(net, prune_ratio=2 / 3, cutoff=0.0)
    assert kept(pruner, X, y) == [0, 5]
    # All rows of a class are as near to each other.
    np.testing.assert_array_equal(pruner.scores_, [0, 1, 2, 2, 1, 0])


def test_the_share_cut_off_comes_last_the_hardest_at_the_very_end():
    net, X, y = scripted(P_OWN, Y)
    pruner = D2Pruner(net, prune_ratio=1 / 3, cutoff=0.6)
    assert kept(pruner, X, y) == [1, 2, 3, 4]
    np.testing.assert_array_equal(pruner.scores_, [2, 1, 0, 0, 1, 2])


def test_a_pick_lowers_its_neighbours_so_that_each_cluster_gives_a_row_before_one_gives_two():
    features = np.repeat([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], 6, axis=0)
    features += np.random.default_rng(0).normal(size=features.shape)
    picks = pick_by_messages(np.ones(18), neighbour_weights(features, 5), 1.0, 0.1)
    assert set(picks[:3] // 6) == {0, 1, 2}


@given(features=tables, n_neighbors=st.integers(1, 5), seed=st.integers(0, 9))
def test_every_row_is_picked_once_also_if_rows_are_the_same(features, n_neighbors, seed):
    difficulty = np.random.default_rng(seed).uniform(size=len(features))
    weights = neighbour_weights(features, n_neighbors)
    picks = pick_by_messages(difficulty, weights, 1.0, 0.1)
    assert sorted(picks.tolist()) == list(range(len(features)))
    # Each row has at least as many neighbours as asked for, where there are so many rows.
    assert weights.nnz == 0 or np.diff(weights.indptr).min() >= min(n_neighbors, len(features) - 1)


@settings(max_examples=30)
@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 9))
def test_the_scale_of_the_features_does_not_matter(scale, seed):
    features = np.random.default_rng(seed).normal(size=(15, 2))
    weights = neighbour_weights(features, 3).toarray()
    np.testing.assert_allclose(neighbour_weights(scale * features, 3).toarray(), weights)
    np.testing.assert_array_equal(weights, weights.T)


def test_without_messages_the_order_is_that_of_difficulty():
    rng = np.random.default_rng(0)
    difficulty = rng.uniform(size=20)
    # Weights below 1 to the power of infinity.
    picks = pick_by_messages(
        difficulty, neighbour_weights(rng.normal(size=(20, 2)), 3), np.inf, np.inf
    )
    np.testing.assert_array_equal(picks, np.argsort(-difficulty))
