"""The smallest change against enumeration, and what is claimed when it is cut short."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection.exact.free_rows import FreeRows
from sklearn_prune.selection.exact.smallest_change import smallest_change
from sklearn_prune.selection.linear_rows import LinearRows
from tests.selection.brute_force import all_subsets


@st.composite
def systems(draw):
    """Up to nine rows with an offset, a count range and a linear row; some are infeasible."""
    n, k = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = rng.standard_normal((n, k))
    if draw(st.booleans()):
        # Duplicates, and fewer independent directions than coordinates.
        rows[n // 2 :] = rows[: n - n // 2]
    offset = draw(st.sampled_from([0.0, 1.0])) * rng.standard_normal(k)
    low = draw(st.integers(0, n))
    A = np.vstack([np.ones(n), rng.integers(-2, 3, n)])
    system = LinearRows(A, np.array([low, -2.0]), np.array([draw(st.integers(low, n)), 3.0]))
    return rows, offset, system


def feasible(system):
    sets = all_subsets(system.A.shape[1])
    values = sets @ system.A.T
    return sets[((values >= system.low) & (values <= system.high)).all(axis=1)]


def all_allowed(drawn):
    """Return the allowed sets and the norms of their sums."""
    rows, offset, system = drawn
    sets = feasible(system)
    return sets, np.linalg.norm(offset + sets @ rows, axis=1)


def some_accepted(drawn, seed):
    """Return a third of the allowed sets, the norms of their sums, and what tells them apart."""
    sets, norms = all_allowed(drawn)
    is_accepted = np.random.default_rng(seed).random(len(sets)) < 0.3
    return sets[is_accepted], norms[is_accepted], set(map(bytes, sets[is_accepted]))


def by_count(n, m):
    return LinearRows(np.ones((1, n)), np.array([float(m)]), np.array([float(m)]))


def prove(rows, offset, system, incumbent, seconds=30.0, **options):
    free = FreeRows(rows, offset, system, **options)
    return smallest_change(free, incumbent, time.perf_counter() + seconds)


@settings(max_examples=30, deadline=None)
@given(systems())
def test_the_smallest_change_is_that_of_the_best_subset(drawn):
    rows, offset, system = drawn
    sets, norms = all_allowed(drawn)
    if not len(sets):
        return
    result = prove(rows, offset, system, sets[0])
    assert result.proven
    assert (sets == result.drop).all(axis=1).any()
    found = np.linalg.norm(offset + result.drop @ rows)
    assert found == pytest.approx(norms.min(), rel=2e-4, abs=1e-6)
    assert result.bound <= norms.min() * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_scale_of_the_rows_does_not_matter(scale):
    rows = np.random.default_rng(0).standard_normal((12, 3))
    start = np.arange(12) < 6
    result = prove(scale * rows, np.zeros(3), by_count(12, 6), start)
    sets = all_subsets(12)
    sets = sets[sets.sum(axis=1) == 6]
    best = np.linalg.norm(sets @ rows, axis=1).min()
    assert result.proven
    assert np.linalg.norm(result.drop @ rows) == pytest.approx(best, rel=2e-4)
    assert result.bound / scale == pytest.approx(best, rel=2e-4)


def test_twenty_four_rows_are_proven_in_seconds():
    rows = np.random.default_rng(0).standard_normal((24, 4))
    result = prove(rows, np.zeros(4), by_count(24, 12), np.arange(24) < 12)
    assert result.proven
    assert result.n_nodes > 0


def test_an_incumbent_of_zero_change_needs_no_search():
    rows = np.array([[1.0], [-1.0], [3.0]])
    result = prove(rows, np.zeros(1), by_count(3, 2), np.array([True, True, False]))
    assert (result.proven, result.bound, result.n_nodes) == (True, 0.0, 0)


def test_no_free_row_leaves_the_offset():
    empty = LinearRows(np.ones((1, 0)), np.zeros(1), np.zeros(1))
    result = prove(np.empty((0, 2)), np.array([3.0, 4.0]), empty, np.zeros(0, dtype=bool))
    assert (result.proven, result.bound) == (True, 5.0)


def test_rows_that_are_all_zero_leave_the_offset():
    result = prove(np.zeros((4, 2)), np.array([3.0, 4.0]), by_count(4, 2), np.arange(4) < 2)
    assert result.proven
    assert result.bound == pytest.approx(5.0, rel=2e-4)


def test_a_deadline_that_has_passed_gives_the_incumbent_and_no_proof():
    rows, start = np.random.default_rng(0).standard_normal((20, 4)), np.arange(20) < 10
    result = prove(rows, np.zeros(4), by_count(20, 10), start, seconds=-1.0)
    np.testing.assert_array_equal(result.drop, start)
    assert not result.proven
    assert result.bound == 0.0


def test_cut_short_the_bound_still_holds():
    rows, start = np.random.default_rng(1).standard_normal((36, 6)), np.arange(36) < 18
    result = prove(rows, np.zeros(6), by_count(36, 18), start, seconds=0.5)
    change = np.linalg.norm(result.drop @ rows)
    assert result.drop.sum() == 18
    assert 0.0 <= result.bound <= change <= np.linalg.norm(start @ rows)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 12))
def test_rows_of_very_different_size_are_told_apart(seed, n):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 1)) * 10.0 ** rng.uniform(-9, 9, (n, 1))
    sets = all_subsets(n)
    sets = sets[sets.sum(axis=1) == n // 2]
    norms = np.abs(sets @ rows)[:, 0]
    result = prove(rows, np.zeros(1), by_count(n, n // 2), sets[0])
    assert result.proven
    found = abs((result.drop @ rows)[0])
    assert found <= norms.min() * (1 + 2e-4) + 1e-15 * np.abs(rows).sum()


@pytest.mark.parametrize(("n", "is_proven"), [(20, True), (34, False)])
def test_sets_that_highs_cannot_tell_from_zero_are_compared_one_by_one(n, is_proven):
    rows = np.random.default_rng(0).standard_normal((n, 1))
    # The last two rows cancel but for 1e-8.
    rows[n - 2 :] = [[1.0], [-1.0 + 1e-8]]
    result = prove(rows, np.zeros(1), by_count(n, 2), np.arange(n) >= n - 2)
    assert result.proven == is_proven
    assert result.bound == pytest.approx(1e-8 if is_proven else 0.0)


@settings(max_examples=12, deadline=None)
@given(systems(), st.integers(0, 2**32 - 1))
def test_only_accepted_sets_are_returned(drawn, seed):
    rows, offset, system = drawn
    accepted, norms, codes = some_accepted(drawn, seed)
    if not len(accepted):
        return
    result = prove(rows, offset, system, accepted[0], accept=lambda w: bytes(w) in codes)
    assert result.proven
    assert bytes(result.drop) in codes
    assert np.linalg.norm(offset + result.drop @ rows) <= norms.min() * (1 + 2e-4) + 1e-12
