"""Bounds hold for every set: never above the best change, never below the best saving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sklearn_prune.selection import InfeasibleProblemError, SelectionProblem, solve
from sklearn_prune.selection.bound import change_lower_bound, saving_upper_bound
from tests.selection.brute_force import changes, feasible_subsets


@st.composite
def problems(draw, form):
    """Problems of up to eight rows off the origin, so that the bound is often not zero."""
    n = draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Z = rng.standard_normal((n, draw(st.integers(1, 4)))) + draw(st.sampled_from([0.0, 1.0, 5.0]))
    Z *= 10.0 ** draw(st.integers(-6, 6))
    options = {}
    if form == "cardinality":
        options["n_drop"] = draw(st.integers(0, n - 1))
    else:
        options["tolerance"] = draw(st.floats(0.01, 3.0)) * np.linalg.norm(Z, axis=1).mean()
        if draw(st.booleans()):
            options["cost"] = rng.random(n) - 0.2
        if draw(st.booleans()):
            options["sample_weight"] = rng.integers(0, 3, n) + (np.arange(n) == n - 1)
    quota = draw(st.sampled_from([None, "proportional", "equal", {0: (0, 2)}]))
    if quota is not None:
        options["groups"] = np.where(np.arange(n) == 0, 0, rng.integers(0, 3, n))
        options["quota"] = quota
    if draw(st.booleans()):
        options["must_keep"] = np.arange(n) == n - 1
    if draw(st.booleans()):
        options["must_drop"] = np.arange(n) == 0
    try:
        return Z, SelectionProblem(Z, **options)
    except InfeasibleProblemError:
        assume(False)


@settings(max_examples=80, deadline=None)
@given(problems("cardinality"))
def test_no_set_goes_below_the_lower_bound(drawn):
    Z, problem = drawn
    subsets = feasible_subsets(problem)
    assume(len(subsets))
    best = changes(Z, subsets).min()
    bound = change_lower_bound(problem, problem.n_drop, best, deadline=np.inf)
    assert 0 <= bound <= best * (1 + 1e-9) + 1e-9 * problem.coordinates.scale


def test_the_lower_bound_is_tight_where_rows_point_one_way():
    # One coordinate, all positive: the cheapest rows are the answer.
    Z = np.arange(1.0, 9.0)[:, None]
    problem = SelectionProblem(Z, n_drop=3)
    assert change_lower_bound(problem, 3, 6.0, deadline=np.inf) == pytest.approx(6.0)


def test_the_lower_bound_knows_groups_and_rows_of_fixed_fate():
    Z = np.arange(1.0, 9.0)[:, None]
    problem = SelectionProblem(
        Z,
        n_drop=4,
        groups=np.repeat([0, 1], 4),
        quota="proportional",
        must_drop=np.arange(8) == 3,
        must_keep=np.arange(8) == 4,
    )
    # Two of each group: 4 and 1, 6 and 7.
    assert change_lower_bound(problem, 4, 18.0, deadline=np.inf) == pytest.approx(18.0)


def test_the_lower_bound_is_zero_where_rows_sum_to_zero():
    Z = np.random.default_rng(0).standard_normal((50, 3))
    Z -= Z.mean(axis=0)
    assert change_lower_bound(SelectionProblem(Z, n_drop=20), 20, 0.1, deadline=np.inf) == 0.0


def test_the_lower_bound_holds_at_any_deadline():
    Z = np.random.default_rng(0).standard_normal((50, 3)) + 2.0
    problem = SelectionProblem(Z, n_drop=20)
    bounds = [change_lower_bound(problem, 20, 100.0, deadline=at) for at in (0.0, np.inf)]
    assert 0.0 <= bounds[0] <= bounds[1]


@settings(max_examples=20, deadline=None)
@given(problems("generalization"))
def test_no_set_saves_more_than_the_upper_bound(drawn):
    Z, problem = drawn
    subsets = feasible_subsets(problem)
    factor = np.array([problem.size_factor(w) for w in subsets])
    subsets = subsets[factor * changes(Z, subsets) <= problem.tolerance]
    assume(len(subsets))
    bound = saving_upper_bound(problem, deadline=np.inf)
    best = max(problem.saving(w) for w in subsets)
    assert bound.value >= best - 1e-9 * max(1.0, abs(best))


def test_the_upper_bound_holds_at_any_deadline():
    Z = np.random.default_rng(0).standard_normal((30, 3))
    problem = SelectionProblem(Z, tolerance=3.0)
    best = solve(problem, random_state=0).drop.sum()
    for deadline in (0.0, np.inf):
        assert saving_upper_bound(problem, deadline=deadline).value >= best


def test_the_upper_bound_is_tight_on_many_rows():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((4000, 4))
    Z -= Z.mean(axis=0)
    problem = SelectionProblem(Z, tolerance=60.0)
    selection = solve(problem, random_state=0)
    assert selection.drop.sum() <= selection.certificate.saving_bound
    assert selection.certificate.gap < 0.002


def test_rows_are_ordered_by_what_they_save_less_what_they_cost():
    # One coordinate: rows on the side that is already too heavy cost, those on the other pay.
    Z = np.r_[np.full(50, 1.0), np.full(10, -1.0)][:, None]
    bound = saving_upper_bound(SelectionProblem(Z, tolerance=5.0), deadline=np.inf)
    assert bound.scores[50:].min() > bound.scores[:50].max()
