"""Quotas: how many rows each group keeps, and what is said when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_prune.selection import InfeasibleProblemError, SelectionProblem
from sklearn_prune.selection.quota import KeptRange, kept_range


@st.composite
def ranges(draw):
    """Bounds on the rows kept of up to eight groups, and a number of rows inside them."""
    sizes = np.array(draw(st.lists(st.integers(0, 200), min_size=1, max_size=8)))
    low = np.array([draw(st.integers(0, int(size))) for size in sizes])
    high = np.array([draw(st.integers(int(a), int(b))) for a, b in zip(low, sizes, strict=True)])
    weights = sizes.astype(float) if draw(st.booleans()) else np.ones(len(sizes))
    return KeptRange(low, high, weights), draw(st.integers(int(low.sum()), int(high.sum())))


def bounds_of(quota, sizes, keep=None, drop=None, n_keep=None):
    sizes = np.array(sizes)
    nothing = np.zeros(len(sizes), dtype=np.int64)
    return kept_range(
        quota,
        "abcdefgh"[: len(sizes)],
        sizes,
        nothing if keep is None else np.array(keep),
        nothing if drop is None else np.array(drop),
        n_keep,
    )


@given(ranges())
def test_counts_sum_exactly_and_stay_inside_the_bounds(drawn):
    bounds, n_keep = drawn
    counts = bounds.counts(n_keep)
    assert counts.sum() == n_keep
    assert (counts >= bounds.low).all()
    assert (counts <= bounds.high).all()


@given(ranges())
def test_no_row_can_move_from_a_group_above_its_share_to_one_below(drawn):
    # The optimality condition of clip(t w, low, high), to one row.
    bounds, n_keep = drawn
    counts, weights = bounds.counts(n_keep), bounds.weights
    could_give = (counts > bounds.low) & (weights > 0)
    could_take = (counts < bounds.high) & (weights > 0)
    for giver in np.flatnonzero(could_give):
        for taker in np.flatnonzero(could_take):
            least = (counts[giver] - 1) / weights[giver]
            most = (counts[taker] + 1) / weights[taker]
            assert least <= most * (1 + 1e-9)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.floats(0, 1))
def test_free_groups_keep_their_proportion_within_one_row(sizes, share):
    bounds = bounds_of(None, sizes)
    n_keep = int(share * sum(sizes))
    exact = n_keep * np.array(sizes) / sum(sizes)
    assert np.abs(bounds.counts(n_keep) - exact).max() < 1 + 1e-6


def test_largest_remainders_get_the_rows_left_over():
    # Shares of 7 rows: 3.5, 2.1, 1.4.
    np.testing.assert_array_equal(bounds_of("proportional", [50, 30, 20]).counts(7), [4, 2, 1])


def test_ties_go_to_the_first_group():
    np.testing.assert_array_equal(bounds_of("equal", [9, 9, 9]).counts(4), [2, 1, 1])


def test_proportional_keeps_one_row_of_the_smallest_group():
    np.testing.assert_array_equal(bounds_of("proportional", [997, 2, 1]).counts(10), [8, 1, 1])


def test_fewer_rows_than_groups_leave_some_group_empty():
    counts = bounds_of("proportional", [50, 30, 20], n_keep=2).counts(2)
    assert counts.sum() == 2


def test_equal_gives_what_a_small_group_lacks_to_the_others():
    np.testing.assert_array_equal(bounds_of("equal", [100, 100, 4]).counts(40), [18, 18, 4])


def test_rows_that_must_stay_or_go_bound_the_counts():
    bounds = bounds_of("proportional", [100, 100], keep=[60, 0], drop=[0, 95])
    np.testing.assert_array_equal(bounds.low, [60, 1])
    np.testing.assert_array_equal(bounds.high, [100, 5])
    np.testing.assert_array_equal(bounds.counts(70), [65, 5])


def test_a_dict_takes_counts_shares_and_ranges():
    bounds = bounds_of({"a": 7, "b": 0.25, "c": (2, 0.5)}, [20, 40, 30, 10])
    np.testing.assert_array_equal(bounds.low, [7, 10, 2, 0])
    np.testing.assert_array_equal(bounds.high, [7, 10, 15, 10])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, (3, 3)), (0.1, (2, 2)), (1.0, (20, 20)), (1, (1, 1)), ((1, 0.5), (1, 10)), (0, (0, 0))],
)
def test_a_whole_number_is_a_count_and_a_float_a_share(value, expected):
    bounds = bounds_of({"a": value}, [20, 5])
    assert (bounds.low[0], bounds.high[0]) == expected


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None, (1, 2, 3), float("nan")])
def test_an_entry_that_is_neither_is_refused_with_the_rule(value):
    with pytest.raises(ValueError, match=r"'a' must be a count \(int >= 0\), a share .* it is"):
        bounds_of({"a": value}, [20, 5])


def test_an_unknown_group_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"group 'z', which has no rows; .*\['a', 'b'\]"):
        bounds_of({"z": 1}, [5, 5])


def test_an_unknown_quota_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="None, 'proportional', 'equal' or a dict; it is 'same'"):
        bounds_of("same", [5, 5])


@pytest.mark.parametrize(
    ("quota", "keep", "drop"),
    [({"a": 6}, 0, 0), ({"a": 4}, 0, 2), ({"a": (0, 1)}, 2, 0), ({"a": (3, 2)}, 0, 0)],
)
def test_a_quota_that_no_set_meets_names_the_group_and_what_is_possible(quota, keep, drop):
    message = rf"group 'a' .* of its 5 rows, but only {keep} to {5 - drop} can be kept"
    with pytest.raises(InfeasibleProblemError, match=message):
        bounds_of(quota, [5, 5], keep=[keep, 0], drop=[drop, 0])


def test_a_total_outside_the_quota_names_what_it_keeps():
    groups = np.repeat(["a", "b"], 10)
    with pytest.raises(InfeasibleProblemError, match="keeps between 4 and 9 rows, not 12"):
        SelectionProblem(np.ones((20, 1)), n_drop=8, groups=groups, quota={"a": 3, "b": (1, 6)})
