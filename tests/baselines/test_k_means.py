"""The rows nearest k-means centres, by hand and against their definition."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_prune.baselines import KMeansPruner
from sklearn_prune.baselines._k_means import Clusters, cluster, represented_counts
from tests.baselines.scripted import kept


def test_picks_by_hand():
    # Clusters 0, 1, 5 and 20, 22, 27 have centres 2 and 23: 1 and 22 are nearest.
    x = np.array([0.0, 20.0, 1.0, 22.0, 5.0, 27.0])
    y = np.arange(6) + 0.5
    pruner = KMeansPruner(prune_ratio=2 / 3, random_state=0)
    assert kept(pruner, x[:, None], y) == [2, 3]
    np.testing.assert_array_equal(pruner.scores_, [0, 0, 3, 3, 0, 0])


def test_each_class_has_centres_of_its_own():
    X = np.array([[0.0], [1.0], [5.0], [100.0], [101.0], [105.0]])
    y = np.array(["a", "a", "a", "b", "b", "b"])
    # The means are 2 and 102, and 1 and 101 are nearest.
    assert kept(KMeansPruner(prune_ratio=2 / 3), X, y) == [1, 4]
    # Two centres: 0 and 1 are as near to theirs.
    assert kept(KMeansPruner(prune_ratio=1 / 3), X, y) == [0, 2, 3, 5]


def test_one_centre_is_the_mean():
    features = np.random.default_rng(0).normal(size=(30, 3))
    counts = represented_counts(features, cluster(features, 1, seed=0))
    nearest = np.linalg.norm(features - features.mean(axis=0), axis=1).argmin()
    assert np.flatnonzero(counts).tolist() == [nearest] and counts[nearest] == 30


def test_as_many_centres_as_rows_keep_all():
    X = np.zeros((10, 2))
    # k-means would warn of fewer distinct points than clusters.
    with warnings.catch_warnings(action="error"):
        assert KMeansPruner(prune_ratio=0.0).fit(X, np.arange(10) % 2).support_.all()


def test_each_row_is_the_nearest_of_its_cluster():
    features = np.random.default_rng(0).normal(size=(60, 2))
    clusters = cluster(features, 12, seed=0)
    counts = represented_counts(features, clusters)
    for k, centre in enumerate(clusters.centres):
        is_member = clusters.members == k
        distances = np.linalg.norm(features[is_member] - centre, axis=1)
        stays = counts[is_member] > 0
        assert counts[is_member].max() == is_member.sum() and stays.sum() == 1
        np.testing.assert_allclose(distances[stays], distances.min())


def test_a_centre_without_rows_takes_the_nearest_that_is_free():
    # Row 1 stands for the first cluster; row 0 is then the nearest to the second centre.
    clusters = Clusters(np.array([[2.0], [3.0], [9.0]]), np.array([0, 0, 0, 2]))
    counts = represented_counts(np.array([[4.0], [2.5], [0.0], [9.0]]), clusters)
    np.testing.assert_array_equal(counts, [1, 3, 0, 1])


def test_rounding_does_not_choose_between_two_rows_as_near():
    features = np.array([[0.1], [0.7], [5.1], [5.7]]) + np.array([0.0, 1e-12, 0.0, -1e-12])[:, None]
    clusters = Clusters(np.array([[0.4], [5.4]]), np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(represented_counts(features, clusters), [2, 0, 2, 0])


@settings(max_examples=20, deadline=None)
@given(
    # Few values, so that rows are the same.
    X=arrays(float, st.tuples(st.integers(4, 20), st.just(2)), elements=st.sampled_from([0, 1, 7])),
    ratio=st.floats(0, 0.7),
    seed=st.integers(0, 3),
)
def test_duplicates_change_neither_the_number_of_rows_nor_what_a_seed_keeps(X, ratio, seed):
    pruner = KMeansPruner(prune_ratio=ratio, random_state=seed)
    y = np.arange(len(X)) + 0.5
    rows = kept(pruner, X, y)
    assert len(rows) == len(X) - int(np.ceil(ratio * len(X) - 0.5))
    assert kept(pruner, X, y) == rows


@pytest.mark.parametrize("limit", [0, 10**9])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.95])
def test_mini_batches_keep_as_many_rows(limit, ratio, monkeypatch, iris):
    # The real limit is hundreds of thousands of rows away.
    monkeypatch.setattr("sklearn_prune.baselines._k_means.FULL_DISTANCES", limit)
    X, y = iris
    pruner = KMeansPruner(prune_ratio=ratio, random_state=0).fit(X, y)
    assert pruner.support_.sum() == 150 - int(np.ceil(ratio * 150 - 0.5))
    again = KMeansPruner(prune_ratio=ratio, random_state=0).fit(sp.csr_array(X), y)
    np.testing.assert_array_equal(again.support_, pruner.support_)
    np.testing.assert_array_equal(again.select(prune_ratio=ratio), pruner.support_)


def test_clusters_are_covered_where_random_rows_would_crowd():
    rng = np.random.default_rng(0)
    sizes = np.array([900, 60, 40])
    centres = np.repeat(np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]]), sizes, axis=0)
    X = centres + rng.normal(scale=0.1, size=centres.shape)
    pruner = KMeansPruner(prune_ratio=0.997, random_state=0).fit(X, np.arange(1000) + 0.5)
    assert sorted(pruner.scores_[pruner.support_].tolist()) == [40, 60, 900]
