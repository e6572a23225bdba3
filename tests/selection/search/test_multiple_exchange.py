"""Multiple exchange: never worse, best of all pairs, further with more swaps at once."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection.coordinates import Coordinates
from sklearn_prune.selection.search.exchange import exchange_round
from sklearn_prune.selection.search.multiple_exchange import (
    _closest_pairs,
    _nearest,
    multiple_exchange,
)
from tests.selection.search.test_exchange import counts, sets, square


@settings(max_examples=80, deadline=None)
@given(sets(), st.integers(1, 3))
def test_it_is_never_worse_and_keeps_counts_and_fixed_rows(drawn, n_doublings):
    coordinates, labels, drop, rng = drawn
    before = drop.copy()
    improved = multiple_exchange(coordinates, labels, drop, rng, n_doublings=n_doublings)
    np.testing.assert_array_equal(drop, before)
    assert square(coordinates, improved) <= square(coordinates, drop)
    np.testing.assert_array_equal(counts(labels, improved), counts(labels, drop))
    np.testing.assert_array_equal(improved[labels < 0], drop[labels < 0])
    assert (improved != drop).sum() in (0, 2 * 2**n_doublings)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 5))
def test_the_closest_pairs_are_those_of_a_search_over_all(seed, n, k):
    rng = np.random.default_rng(seed)
    target, A, B = rng.standard_normal(k), *rng.standard_normal((2, n, k))
    distances = np.linalg.norm(target - A[:, None] - B[None], axis=2)
    a, b = _closest_pairs(target, A, B)[0]
    np.testing.assert_allclose(distances[a, b], distances.min(), atol=1e-3)


def exchanged(coordinates, labels, drop, rng):
    """Return a set that no round of single exchanges improves."""
    while (improved := exchange_round(coordinates, labels, drop, rng).drop) is not None:
        if np.array_equal(improved, drop):
            return drop
        drop = improved


def test_it_goes_where_single_exchange_cannot():
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((2000, 6)))
    labels, drop = np.zeros(2000, dtype=int), rng.permutation(2000) < 1000
    drop = exchanged(coordinates, labels, drop, rng)
    improved = multiple_exchange(coordinates, labels, drop, rng)
    assert square(coordinates, improved) < 0.3 * square(coordinates, drop)


def test_more_swaps_at_once_go_further_where_coordinates_are_few():
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((2000, 8)))
    labels, drop = np.zeros(2000, dtype=int), rng.permutation(2000) < 1000
    drop = exchanged(coordinates, labels, drop, rng)
    reached = [drop]
    for n_doublings in (1, 2, 3):
        reached.append(
            multiple_exchange(coordinates, labels, reached[-1], rng, n_doublings=n_doublings)
        )
    squares = [square(coordinates, each) for each in reached]
    assert squares[1] < squares[0] and squares[2] < 0.5 * squares[1] and squares[3] < squares[2]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 30))
def test_the_shortest_differences_are_among_the_nearest_pairs(seed, n, m):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((n, 3)), rng.standard_normal((m, 3))
    i, j = _nearest(A, B, n_pairs=max(1, n * m // 4))
    squared = np.sum((A[:, None] - B[None]) ** 2, axis=2)
    assert (squared.argmin() // m, squared.argmin() % m) in set(zip(i, j, strict=True))
    assert len(i) < n * m


def test_duplicated_rows_do_not_fill_the_memory():
    coordinates = Coordinates(np.repeat(np.eye(3), [1000, 1000, 1000], axis=0))
    labels, rng = np.zeros(3000, dtype=int), np.random.default_rng(0)
    drop = rng.permutation(3000) < 2000
    improved = multiple_exchange(coordinates, labels, drop, rng)
    assert square(coordinates, improved) <= square(coordinates, drop)


def test_strata_without_two_sides_have_no_swap():
    coordinates = Coordinates(np.random.default_rng(0).standard_normal((8, 2)))
    labels, drop = np.repeat([0, 1], 4), np.repeat([True, False], 4)
    improved = multiple_exchange(coordinates, labels, drop, np.random.default_rng(0))
    np.testing.assert_array_equal(improved, drop)


def test_swaps_of_two_strata_are_combined():
    # Neither swap alone helps; together they bring the sum from (2, 0) to zero.
    Z = np.array([[2.0, 1.0], [1.0, 5.0], [0.0, -1.0], [-1.0, -5.0]])
    labels, drop = np.array([0, 0, 1, 1]), np.array([True, False, True, False])
    coordinates = Coordinates(Z)
    moved = multiple_exchange(coordinates, labels, drop, np.random.default_rng(0))
    best = min(
        square(coordinates, np.isin(np.arange(4), pair))
        for pair in itertools.product([0, 1], [2, 3])
    )
    assert square(coordinates, moved) == best
