"""Which sets are allowed: masks, counts, quotas, weights and linear rows."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint

from sklearn_prune.selection import InfeasibleProblemError, SelectionProblem
from tests.selection.brute_force import all_subsets

Z = np.random.default_rng(0).standard_normal((10, 3))
TEN = np.arange(10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"n_drop": 3, "must_keep": TEN < 3, "must_drop": TEN < 2},
            "must_keep and must_drop share 2 rows; take each row out of one of them.",
        ),
        (
            {"n_drop": 3, "must_keep": TEN < 8},
            "n_drop=3, but must_drop and must_keep leave 0 to 2 rows to drop; "
            "use n_drop in [0, 2] or change the masks.",
        ),
        (
            {"n_drop": 3, "must_drop": TEN < 4},
            "n_drop=3, but must_drop and must_keep leave 4 to 10 rows to drop; "
            "use n_drop in [4, 10] or change the masks.",
        ),
        (
            {"tolerance": 1.0, "must_drop": TEN < 10},
            "some sample weight must stay; must_drop takes all of it (10 of 10 rows).",
        ),
    ],
)
def test_masks_that_contradict_say_what_would_do(options, message):
    with pytest.raises(InfeasibleProblemError, match=re.escape(message)):
        SelectionProblem(Z, **options)


def test_an_infeasible_problem_is_a_value_error():
    assert issubclass(InfeasibleProblemError, ValueError)


def test_the_size_factor_is_all_weight_over_the_weight_kept():
    weight = np.arange(1.0, 11.0)
    problem = SelectionProblem(Z, n_drop=2, sample_weight=weight)
    assert problem.size_factor(TEN >= 8) == pytest.approx(55 / 36)
    assert SelectionProblem(Z, n_drop=2).size_factor(TEN < 2) == pytest.approx(10 / 8)
    assert problem.size_factor(TEN >= 0) == np.inf


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_the_least_size_factor_is_that_of_the_best_set(seed, n):
    rng = np.random.default_rng(seed)
    weight, drop = rng.integers(0, 4, n) + (np.arange(n) == 0), rng.random(n) < 0.2
    drop[0] = False
    n_drop = int(rng.integers(drop.sum(), n))
    problem = SelectionProblem(
        rng.standard_normal((n, 2)), n_drop=n_drop, must_drop=drop, sample_weight=weight
    )
    sets = all_subsets(n)
    sets = sets[(sets.sum(axis=1) == n_drop) & (sets | ~drop).all(axis=1)]
    assert problem.least_size_factor(n_drop) == pytest.approx(min(map(problem.size_factor, sets)))


def test_a_feasible_set_meets_masks_counts_quotas_and_rows():
    problem = SelectionProblem(
        Z,
        n_drop=4,
        groups=TEN % 2,
        quota={0: (2, 3)},
        must_keep=TEN == 9,
        must_drop=TEN == 0,
        constraints=LinearConstraint(TEN, 0, 15),
    )
    assert problem.is_feasible(np.isin(TEN, [0, 2, 1, 3]))
    wrong = {
        "too few": [0, 2, 1],
        "without the row that must go": [2, 4, 1, 3],
        "with the row that must stay": [0, 2, 1, 9],
        "one group short": [0, 1, 3, 5],
        "the linear row": [0, 6, 5, 7],
    }
    for reason, rows in wrong.items():
        assert not problem.is_feasible(np.isin(TEN, rows)), reason


def test_a_set_that_keeps_no_weight_is_not_feasible():
    problem = SelectionProblem(Z, n_drop=9, sample_weight=(TEN == 0).astype(float))
    assert problem.is_feasible(TEN != 0)
    assert not problem.is_feasible(TEN != 1)


def test_rounding_does_not_make_a_linear_row_fail():
    ages = np.full(10, 0.1)
    problem = SelectionProblem(Z, n_drop=3, constraints=LinearConstraint(ages, 0.3, 0.3))
    assert problem.is_feasible(TEN < 3)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, lambda A: A[0]])
def test_linear_rows_are_dense_sparse_or_single(wrap):
    problem = SelectionProblem(
        Z, n_drop=2, constraints=LinearConstraint(wrap(TEN[None].astype(float)), 3, 5)
    )
    assert problem.is_feasible(np.isin(TEN, [0, 4]))
    assert not problem.is_feasible(np.isin(TEN, [0, 2]))


def test_several_blocks_of_linear_rows_hold_together():
    blocks = [LinearConstraint(TEN, -np.inf, 5), LinearConstraint(np.eye(10)[:2], 0, [0, 1])]
    problem = SelectionProblem(Z, n_drop=2, constraints=blocks)
    assert problem.is_feasible(np.isin(TEN, [1, 4]))
    assert not problem.is_feasible(np.isin(TEN, [0, 4]))


def test_proportional_counts_follow_the_rows_kept():
    problem = SelectionProblem(Z, n_drop=5, groups=np.repeat([5, 7], [8, 2]), quota="proportional")
    np.testing.assert_array_equal(problem.dropped_counts(5), [4, 1])
    low, high = problem.dropped_bounds(5)
    np.testing.assert_array_equal(low, high)


def test_groups_without_a_quota_limit_nothing():
    problem = SelectionProblem(Z, n_drop=5, groups=TEN % 2)
    assert problem.is_feasible(TEN % 2 == 0)


def test_groups_may_be_words():
    words = np.array(["yes", "no"] * 5, dtype=object)
    problem = SelectionProblem(Z, n_drop=4, groups=words, quota={"yes": 5})
    assert problem.is_feasible(np.isin(TEN, [1, 3, 5, 7]))
    assert not problem.is_feasible(TEN < 4)


def test_a_linear_row_is_no_looser_than_rounding():
    row = LinearConstraint(np.array([[1.0, 1e-10, 1.0]]), -np.inf, 1.0)
    problem = SelectionProblem(np.zeros((3, 1)), n_drop=2, constraints=row)
    assert not problem.is_feasible(np.array([True, True, False]))
    halves = LinearConstraint(np.full((1, 3), 0.1), -np.inf, 0.3)
    problem = SelectionProblem(np.zeros((4, 1)), n_drop=3, constraints=_wider(halves))
    assert problem.is_feasible(np.array([True, True, True, False]))


def _wider(row):
    return LinearConstraint(np.c_[row.A, 0.1], row.lb, row.ub)
