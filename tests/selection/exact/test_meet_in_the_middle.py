"""The set of smallest norm by halves, against enumeration in float64."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection import SelectionProblem, solve
from sklearn_prune.selection.exact import meet_in_the_middle as module
from sklearn_prune.selection.exact.free_rows import FreeRows
from sklearn_prune.selection.exact.meet_in_the_middle import meet_in_the_middle
from tests.selection.exact.test_smallest_change import all_allowed, by_count, feasible, systems


def by_halves(rows, offset, system, incumbent, seconds=30.0, **options):
    free = FreeRows(rows, offset, system, **options)
    return meet_in_the_middle(free, incumbent, time.perf_counter() + seconds)


@settings(max_examples=40, deadline=None)
@given(systems())
def test_it_is_the_best_of_all_sets(drawn):
    rows, offset, system = drawn
    sets, norms = all_allowed(drawn)
    if not len(sets):
        return
    result = by_halves(rows, offset, system, sets[-1])
    assert result.proven
    assert np.linalg.norm(offset + result.drop @ rows) == pytest.approx(norms.min(), abs=1e-14)
    assert result.bound == pytest.approx(norms.min(), abs=1e-14)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 14))
def test_rows_of_very_different_size_are_added_up_again(seed, n):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 1)) * 10.0 ** rng.uniform(-12, 12, (n, 1))
    system = by_count(n, n // 2)
    sets = feasible(system)
    least = np.abs([rows[w].sum() for w in sets]).min()
    result = by_halves(rows, np.zeros(1), system, sets[0])
    assert result.proven
    assert abs(rows[result.drop].sum()) == least


def test_without_the_set_that_was_best_nothing_is_proven():
    rows, system = np.random.default_rng(0).standard_normal((12, 2)), by_count(12, 6)
    best = by_halves(rows, np.zeros(2), system, np.arange(12) < 6).drop
    result = by_halves(
        rows, np.zeros(2), system, np.arange(12) < 6, accept=lambda w: not np.array_equal(w, best)
    )
    assert not result.proven
    assert result.bound == 0.0


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_PAIRS", 10), ("MAX_GROUPS", 1), ("MAX_CANDIDATES", -1)]
)
def test_where_there_are_too_many_sets_nothing_is_proven(monkeypatch, name, value):
    monkeypatch.setattr(module, name, value)
    rows, start = np.random.default_rng(0).standard_normal((12, 2)), np.arange(12) < 6
    result = by_halves(rows, np.zeros(2), by_count(12, 6), start)
    assert not result.proven
    np.testing.assert_array_equal(result.drop, start)


def test_a_deadline_that_has_passed_proves_nothing():
    rows, start = np.random.default_rng(0).standard_normal((12, 2)), np.arange(12) < 6
    assert not by_halves(rows, np.zeros(2), by_count(12, 6), start, seconds=-1.0).proven


@pytest.mark.parametrize(("n", "k"), [(28, 3), (28, 300), (32, 6)])
def test_up_to_32_rows_are_proven_within_seconds_whatever_the_coordinates(n, k):
    rng = np.random.default_rng(0)
    Z, groups = rng.standard_normal((n, k)), np.arange(n) % 2
    problem = SelectionProblem(Z, n_drop=n // 2, groups=groups, quota="proportional")
    certificate = solve(problem, random_state=0, time_limit=50).certificate
    assert certificate.status == "optimal"
    assert certificate.lower_bound == pytest.approx(certificate.objective, rel=1e-4)
