"""The largest saving within a cone against enumeration."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection.exact.free_rows import FreeRows
from sklearn_prune.selection.exact.largest_saving import largest_saving
from sklearn_prune.selection.linear_rows import LinearRows
from tests.selection.exact.test_smallest_change import by_count, feasible, some_accepted, systems


def within(rows, offset, system, saving, cone, seconds=30.0, **options):
    free = FreeRows(rows, offset, system, **options)
    return largest_saving(free, saving, cone, time.perf_counter() + seconds)


@settings(max_examples=30, deadline=None)
@given(systems(), st.integers(0, 2**32 - 1), st.floats(0.1, 5.0))
def test_the_largest_saving_is_that_of_the_best_subset_in_the_cone(drawn, seed, b):
    rows, offset, system = drawn
    rng = np.random.default_rng(seed)
    a, saving = 0.2 * rng.random(len(rows)), rng.standard_normal(len(rows))
    sets = feasible(system)
    sets = sets[np.linalg.norm(offset + sets @ rows, axis=1) + sets @ a <= b]
    result = within(rows, offset, system, saving, (a, b))
    assert result.proven
    if not len(sets):
        assert result.drop is None
        return
    assert result.drop is not None
    assert saving @ result.drop == pytest.approx((sets @ saving).max(), abs=1e-6)
    assert result.bound >= (sets @ saving).max() - 1e-6


def test_a_cone_that_only_the_empty_set_meets_saves_nothing():
    rows = np.ones((5, 1))
    none = LinearRows(np.ones((1, 5)), np.zeros(1), np.full(1, 5.0))
    result = within(rows, np.zeros(1), none, np.ones(5), (np.zeros(5), 0.5))
    assert result.proven
    assert not result.drop.any()


def test_a_deadline_that_has_passed_gives_no_set_and_no_proof():
    rows, cone = np.random.default_rng(0).standard_normal((20, 4)), (np.zeros(20), 1.0)
    result = within(rows, np.zeros(4), by_count(20, 10), np.ones(20), cone, seconds=-1.0)
    assert result.drop is None
    assert not result.proven
    assert result.bound >= 10


@settings(max_examples=15, deadline=None)
@given(systems(), st.integers(0, 2**32 - 1))
def test_only_accepted_sets_are_returned(drawn, seed):
    rows, offset, system = drawn
    accepted, norms, codes = some_accepted(drawn, seed)
    if not len(accepted):
        return
    saving, b = np.random.default_rng(seed).random(len(rows)), float(np.median(norms))
    inside = accepted[norms <= b * (1 - 1e-8)]
    cone = (np.zeros(len(rows)), b)
    result = within(rows, offset, system, saving, cone, accept=lambda w: bytes(w) in codes)
    assert result.proven
    if len(inside):
        assert bytes(result.drop) in codes
        assert saving @ result.drop >= (inside @ saving).max() - 1e-5
