"""A first set that meets every constraint, or the name of the one that cannot be met."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint

from sklearn_prune.selection import InfeasibleProblemError, SelectionProblem
from sklearn_prune.selection.feasible import feasible_set
from tests.selection.brute_force import all_subsets, feasible_subsets


@st.composite
def constrained(draw):
    """Up to nine rows with masks, quotas, weights and one or two linear rows."""
    n = draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options = {
        "n_drop": draw(st.integers(0, n - 1)),
        "constraints": LinearConstraint(
            rng.integers(-3, 4, (draw(st.integers(1, 2)), n)), draw(st.integers(-3, 1)), 2
        ),
    }
    if draw(st.booleans()):
        options["groups"] = rng.integers(0, 3, n)
        label = int(options["groups"][0])
        options["quota"] = draw(st.sampled_from(["proportional", "equal", {label: (0, 2)}]))
    if draw(st.booleans()):
        options["must_drop"] = np.arange(n) == 0
    if draw(st.booleans()):
        options["must_keep"] = np.arange(n) == n - 1
    if draw(st.booleans()):
        options["sample_weight"] = rng.integers(0, 2, n) + (np.arange(n) == n // 2)
    return rng.standard_normal((n, 2)), options


def first_set(problem, seed=0):
    rng = np.random.default_rng(seed)
    return feasible_set(problem, problem.n_drop, rng, time.perf_counter() + 30)


@settings(max_examples=60, deadline=None)
@given(constrained())
def test_a_set_is_found_exactly_where_there_is_one(drawn):
    Z, options = drawn
    try:
        problem = SelectionProblem(Z, **options)
    except InfeasibleProblemError:
        return
    if len(feasible_subsets(problem)):
        assert problem.is_feasible(first_set(problem))
    else:
        with pytest.raises(InfeasibleProblemError):
            first_set(problem)


@settings(max_examples=50, deadline=None)
@given(constrained())
def test_the_linear_rows_admit_exactly_the_feasible_sets(drawn):
    Z, options = drawn
    try:
        problem = SelectionProblem(Z, **options)
    except InfeasibleProblemError:
        return
    rows = problem.linear_rows(problem.n_drop)
    sets = all_subsets(int(problem.free.sum()))
    for chosen, inside in zip(sets, rows.admit(sets @ rows.A.T), strict=True):
        assert problem.is_feasible(problem.with_free(chosen)) == inside


def test_a_thousand_rows_meet_two_dense_rows():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 80, 1000)
    rows = LinearConstraint(np.vstack([age - 49, age - 51]), [0, -np.inf], [np.inf, 0])
    problem = SelectionProblem(rng.standard_normal((1000, 4)), n_drop=700, constraints=rows)
    first, second = first_set(problem, 0), first_set(problem, 1)
    assert problem.is_feasible(first)
    assert problem.is_feasible(second)
    assert (first != second).any()


def test_the_row_that_cannot_be_met_is_named_with_the_nearest_value():
    Z = np.ones((8, 1))
    rows = LinearConstraint(np.vstack([np.ones(8), np.arange(8)]), [0, 20], [8, np.inf])
    problem = SelectionProblem(Z, n_drop=3, constraints=rows)
    # The three largest numbers are 5, 6 and 7.
    message = r"row 1 of the linear constraints .* asks for \[20, inf\], the nearest value .* is 18"
    with pytest.raises(InfeasibleProblemError, match=message):
        first_set(problem)


def test_the_nearest_value_counts_rows_that_must_go():
    Z = np.ones((6, 1))
    problem = SelectionProblem(
        Z,
        n_drop=2,
        must_drop=np.arange(6) == 5,
        constraints=LinearConstraint(np.arange(6), 0, 4),
    )
    with pytest.raises(InfeasibleProblemError, match="nearest value with 2 rows dropped .* is 5"):
        first_set(problem)


def test_rows_that_are_all_decided_need_no_search():
    drop = np.arange(5) < 2
    problem = SelectionProblem(
        np.ones((5, 1)),
        n_drop=2,
        must_drop=drop,
        must_keep=~drop,
        constraints=LinearConstraint(np.ones(5), 2, 2),
    )
    np.testing.assert_array_equal(first_set(problem), drop)
