"""Cells, and the counts that are decided for them, at any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection import (
    InfeasibleProblemError,
    SelectionProblem,
    can_keep_weight,
    solve,
)
from sklearn_prune.selection import cells as cells_module
from sklearn_prune.selection.cells import cell_counts, cell_labels, leading_directions
from sklearn_prune.selection.draws import inclusion_probabilities
from tests.selection.brute_force import feasible_subsets


@st.composite
def problems(draw, least=2, most=8):
    """Problems with counts, quotas, ranges, masks, weights and costs in play."""
    n = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options = {"n_drop": draw(st.integers(0, n - 1))}
    if draw(st.booleans()):
        options["groups"] = rng.integers(0, 3, n)
        size = int((options["groups"] == options["groups"][0]).sum())
        a, b = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
        quotas = ["proportional", "equal", {int(options["groups"][0]): (a, b)}]
        options["quota"] = draw(st.sampled_from(quotas))
    if draw(st.booleans()):
        options["must_keep"] = rng.random(n) < 0.1
    if draw(st.booleans()):
        options["must_drop"] = (rng.random(n) < 0.1) & ~options.get("must_keep", np.zeros(n, bool))
    if draw(st.booleans()):
        options["sample_weight"] = (rng.random(n) < draw(st.sampled_from([0.1, 0.8]))) * 2.0
    if draw(st.booleans()):
        options["cost"] = rng.random(n)
    Z = rng.standard_normal((n, draw(st.integers(1, 12)))) * rng.exponential(size=(n, 1))
    return Z, options


def decide(Z, options):
    """Return the problem and the cells' counts, None where there are none."""
    try:
        problem = SelectionProblem(Z, **options)
    except InfeasibleProblemError:
        return None, None
    try:
        return problem, cell_counts(problem, problem.n_drop, np.random.default_rng(0))
    except InfeasibleProblemError:
        return problem, None


def meets_every_rule(problem, cells):
    """Whether any rows of the cells, in these counts, make a feasible set."""
    for first in (1, -1):
        drop = problem.must_drop.copy()
        for cell, m in enumerate(cells.n_dropped):
            rows = np.flatnonzero(cells.labels == cell)[::first]
            drop[rows[:m]] = True
        if not problem.is_feasible(drop):
            return False
    return True


@settings(max_examples=80, deadline=None)
@given(problems())
def test_counts_are_found_exactly_where_some_set_is_feasible(drawn):
    problem, cells = decide(*drawn)
    if problem is None:
        return
    assert (cells is not None) == (len(feasible_subsets(problem)) > 0)
    if cells is not None:
        assert meets_every_rule(problem, cells)


@settings(max_examples=40, deadline=None)
@given(problems(most=600))
def test_any_rows_in_these_counts_meet_every_rule(drawn):
    problem, cells = decide(*drawn)
    if cells is None:
        return
    np.testing.assert_array_equal(cells.labels < 0, ~problem.free)
    assert meets_every_rule(problem, cells)


def large(seed=0, n=3000, k=20, **options):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, k)) * rng.exponential(size=(n, 1))
    options = {"groups": rng.integers(0, 6, n), "quota": "proportional", **options}
    return SelectionProblem(Z - Z.mean(axis=0), n_drop=int(0.8 * n), **options)


def test_every_cell_drops_its_share_rounded_down_or_up():
    problem = large()
    cells = cell_counts(problem, problem.n_drop, np.random.default_rng(0))
    sizes, kept = np.bincount(cells.labels), np.bincount(problem.groups)
    group = np.array([problem.groups[cells.labels == c][0] for c in range(len(sizes))])
    share = sizes * (problem.dropped_counts(problem.n_drop) / kept)[group]
    assert (np.abs(cells.n_dropped - share) < 1).all()
    assert len(sizes) >= 24


def test_strata_are_cells_where_they_keep_enough_rows():
    problem = large()
    few, many = (len(np.unique(cell_labels(problem, int(r * 3000)))) for r in (0.998, 0.5))
    assert few == 6
    assert 40 < many <= 6 + cells_module._MAX_CELLS
    alone = large(quota=None, groups=None)
    labels = cell_labels(alone, alone.n_drop)
    norms = alone.coordinates.squared_norms
    for stratum in range(1, int(labels.max()) + 1):
        assert norms[labels == stratum].min() >= norms[labels == stratum - 1].max()


def test_the_residual_of_the_means_is_far_below_that_of_random_rounding():
    problem, rng = large(), np.random.default_rng(0)
    cells = cell_counts(problem, problem.n_drop, rng)
    Z, labels = problem.coordinates.rows(np.arange(3000)), cells.labels
    sizes = np.bincount(labels)
    means = np.array([Z[labels == c].mean(axis=0) for c in range(len(sizes))])
    drawn = []
    for _ in range(30):
        shuffled = rng.permutation(len(sizes))
        up = cells.n_dropped.copy()
        up[shuffled] = np.floor(0.8 * sizes[shuffled])
        up[shuffled[: problem.n_drop - up.sum()]] += 1
        drawn.append(np.linalg.norm(up @ means))
    assert np.linalg.norm(cells.n_dropped @ means) < 0.7 * np.mean(drawn)


@pytest.mark.parametrize("options", [{}, {"quota": {0: (10, 400)}}])
def test_the_same_seed_gives_the_same_counts(options):
    problem = large(**options)
    first, second = (
        cell_counts(problem, problem.n_drop, np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.n_dropped, second.n_dropped)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_a_range_moves_the_count_of_a_group_and_its_cells_with_it():
    rng = np.random.default_rng(0)
    Z, groups = rng.standard_normal((2000, 5)), rng.integers(0, 2, 2000)
    # Every row of group 0 that goes leaves its mean behind; few of them should go.
    Z[groups == 0] += 0.5
    size = int((groups == 0).sum())
    problem = SelectionProblem(Z, n_drop=1000, groups=groups, quota={0: (5, size)})
    cells = cell_counts(problem, 1000, rng)
    assert cells.n_dropped.sum() == 1000
    in_group = problem.count(problem.must_drop)
    assert (in_group == 0).all()
    of_zero = [c for c in range(len(cells.n_dropped)) if groups[cells.labels == c][0] == 0]
    assert len(of_zero) > 1
    assert cells.n_dropped[of_zero].sum() < 100
    assert np.ptp(cells.n_dropped[of_zero] / np.bincount(cells.labels)[of_zero]) < 0.05


def test_a_range_without_a_reason_to_move_stays_at_its_share():
    rng = np.random.default_rng(0)
    Z, groups = rng.standard_normal((2000, 5)), np.repeat(np.arange(4), 500)
    for group in range(4):
        Z[groups == group] -= Z[groups == group].mean(axis=0)
    problem = SelectionProblem(Z, n_drop=1600, groups=groups, quota={0: (1, 400)})
    cells = cell_counts(problem, 1600, rng)
    in_group = [cells.n_dropped[np.unique(cells.labels[groups == g])].sum() for g in range(4)]
    assert in_group == [400] * 4


def test_a_draw_that_prefers_some_rows_of_a_group_keeps_the_counts_of_its_groups():
    """The rows that it leaves are not the group's mean times their number."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 500)
    B = rng.standard_normal((2000, 3)) + np.outer(groups, [1.0, 0.5, 0.0])
    B -= B.mean(axis=0)
    prefers = np.exp(B[:, 0])
    share = np.concatenate(
        [inclusion_probabilities(prefers[groups == group], 100) for group in range(4)]
    )
    free = {group: (1, 499) for group in range(4)}
    Z = rng.standard_normal((2000, 3))
    problem = SelectionProblem(
        Z - Z.mean(axis=0), n_drop=1600, groups=groups, quota=free, balance=[B], balance_weight=3.0
    ).aimed_at(share)
    cells = cell_counts(problem, 1600, rng)
    in_group = [cells.n_dropped[np.unique(cells.labels[groups == g])].sum() for g in range(4)]
    assert np.abs(np.array(in_group) - 400).max() <= 5


def test_a_cell_may_lose_all_its_rows():
    groups = np.repeat([0, 1], [1, 99])
    problem = SelectionProblem(np.ones((100, 2)), n_drop=95, groups=groups, quota={0: (0, 1)})
    cells = cell_counts(problem, 95, np.random.default_rng(0))
    assert cells.n_dropped.sum() == 95


def test_dear_rows_go_where_the_residual_leaves_the_choice():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 400)
    problem = SelectionProblem(
        1e-9 * rng.standard_normal((400, 3)) + np.array([1.0, 0, 0]),
        n_drop=200,
        groups=groups,
        quota={0: (0, 90)},
        cost=(groups == 2).astype(float),
    )
    cells = cell_counts(problem, 200, rng)
    in_group = [cells.n_dropped[np.unique(cells.labels[groups == g])].sum() for g in range(4)]
    assert in_group[2] >= max(in_group)


def test_the_certificate_says_what_milp_decided():
    certificate = solve(large(), random_state=0, enough=1.0).certificate
    assert certificate.n_integers > 20
    assert certificate.cell_nodes == 1
    assert 0 < certificate.cell_seconds < certificate.seconds


def test_exchanges_leave_the_counts_of_the_cells():
    problem = large()
    cells = cell_counts(problem, problem.n_drop, np.random.default_rng(0))
    drop = solve(problem, random_state=0, enough=1.0).drop
    # The counts are the first thing that the seed decides.
    np.testing.assert_array_equal(np.bincount(cells.labels[drop]), cells.n_dropped)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(9, 60))
def test_the_leading_directions_hold_most_of_the_energy(seed, n_rows, k):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n_rows, k)) * np.geomspace(1, 0.01, k)
    directions = leading_directions(rows, 8, rng)
    np.testing.assert_allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-8)
    best = (np.linalg.svd(rows, compute_uv=False)[:8] ** 2).sum()
    assert ((rows @ directions) ** 2).sum() >= 0.99 * best


def test_the_time_does_not_grow_with_the_rows():
    # In HiGHS's own measure: as many integers and nodes for ten times the rows.
    few, many = (
        cell_counts(problem, problem.n_drop, np.random.default_rng(0))
        for problem in (large(n=3000), large(n=30_000))
    )
    assert many.n_nodes == few.n_nodes
    assert len(many.n_dropped) <= 6 + cells_module._MAX_CELLS


@settings(max_examples=10, deadline=None)
@given(problems(least=33, most=80))
def test_a_solution_meets_every_rule_under_any_of_them(drawn):
    problem, cells = decide(*drawn)
    if problem is None:
        return
    if cells is None:
        with pytest.raises(InfeasibleProblemError, match="all of the sample weight"):
            solve(problem, random_state=0)
        return
    assert problem.is_feasible(solve(problem, random_state=0, time_limit=5).drop)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_part_of_a_problem_keeps_to_the_rows_that_are_left(seed, share):
    # As in the tolerance form: most rows are fixed, and the ranges are those of all rows.
    rng = np.random.default_rng(seed)
    groups, Z = rng.integers(0, 3, 200), 1.0 + rng.standard_normal((200, 4))
    whole = SelectionProblem(Z, tolerance=1.0, groups=groups, quota={0: (1, 60)})
    n_drop = int(200 * share)
    counts = whole.dropped_counts(n_drop) if whole.kept_range.admits(200 - n_drop) else None
    if counts is None:
        return
    keep, drop = np.zeros((2, 200), dtype=bool)
    for group, m in enumerate(counts):
        rows = np.flatnonzero(groups == group)
        drop[rows[: max(0, m - 5)]] = True
        keep[rows[m + 5 :]] = True
    part = whole.fixing(n_drop, keep, drop)
    cells = cell_counts(part, n_drop, rng)
    assert (cells.n_dropped <= np.bincount(cells.labels[part.free])).all()
    assert meets_every_rule(part, cells)


@settings(max_examples=50, deadline=None)
@given(problems())
def test_weight_can_stay_where_some_set_leaves_it(drawn):
    problem, _ = decide(*drawn)
    if problem is not None:
        assert can_keep_weight(problem) == (len(feasible_subsets(problem)) > 0)


def test_very_many_coordinates_are_left_to_the_exchanges(monkeypatch):
    rng = np.random.default_rng(0)
    Z, options = rng.standard_normal((300, 4)), {"n_drop": 150, "groups": np.arange(300) % 7}
    monkeypatch.setattr(cells_module, "_MAX_MEANS", 20)
    # The means of the cells, each as long as all coordinates, would fill the memory.
    monkeypatch.setattr(cells_module, "_cell_means", None)
    problem, cells = decide(Z, options)
    assert cells.n_dropped.sum() == 150
    assert meets_every_rule(problem, cells)
