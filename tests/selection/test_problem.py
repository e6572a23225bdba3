"""The problem in numbers: what it takes, what it refuses, what it calls feasible."""

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


@pytest.mark.parametrize("form", [{}, {"n_drop": 3, "tolerance": 0.5}])
def test_exactly_one_form_is_asked_for(form):
    with pytest.raises(ValueError, match="exactly one of n_drop and tolerance"):
        SelectionProblem(Z, **form)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_drop": 10}, r"n_drop must be in [0, 9], one row stays; it is 10."),
        ({"n_drop": -1}, r"n_drop must be in [0, 9], one row stays; it is -1."),
        ({"tolerance": -0.1}, "tolerance must be finite and >= 0; it is -0.1."),
        ({"tolerance": np.inf}, "tolerance must be finite and >= 0; it is inf."),
        ({"n_drop": 3, "must_keep": TEN}, "must_keep must be a boolean mask of shape (10,)"),
        ({"n_drop": 3, "must_drop": [True]}, "must_drop must be a boolean mask of shape (10,)"),
        ({"n_drop": 3, "cost": [1.0, 2.0]}, "cost must be finite and of shape (10,)"),
        ({"n_drop": 3, "cost": np.full(10, np.nan)}, "10 numbers that are NaN or infinite"),
        ({"n_drop": 3, "groups": [0], "quota": "equal"}, "groups must have shape (10,)"),
        (
            {"n_drop": 3, "constraints": LinearConstraint(np.ones((1, 4)), 0, 1)},
            "constraints[0].A must be finite with 10 columns, one a row of Z; it has shape (1, 4).",
        ),
    ],
)
def test_bad_input_is_refused_with_rule_and_value(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SelectionProblem(Z, **options)


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


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_change_is_in_the_units_of_the_rows(scale):
    drop = TEN < 4
    change = SelectionProblem(scale * Z, n_drop=4).change(drop)
    assert change == pytest.approx(scale * np.linalg.norm(Z[:4].sum(axis=0)), rel=1e-12)


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


def test_fixing_more_rows_copies_nothing():
    problem = SelectionProblem(Z, tolerance=1.0)
    part = problem.fixing(4, TEN < 2, TEN > 7)
    assert part.coordinates is problem.coordinates
    assert (part.n_drop, part.tolerance) == (4, None)
    assert part.free.sum() == 6
    assert problem.free.all()


def test_other_coordinates_keep_every_constraint():
    problem = SelectionProblem(Z, n_drop=4, must_keep=TEN < 2)
    other = problem.on(2 * Z)
    drop = TEN > 5
    assert other.change(drop) == pytest.approx(2 * problem.change(drop))
    assert not other.is_feasible(TEN < 4)


def test_random_change_leaves_rows_of_fixed_fate_as_they_are():
    # With every fate decided, the only set is the one at hand.
    drop = TEN < 4
    problem = SelectionProblem(Z, n_drop=4, must_drop=drop, must_keep=~drop)
    assert problem.random_lengths(drop).change == pytest.approx(problem.change(drop))


def test_a_saving_is_rows_or_their_cost():
    drop = TEN < 3
    assert SelectionProblem(Z, n_drop=3).saving(drop) == 3
    assert SelectionProblem(Z, n_drop=3, cost=TEN).saving(drop) == 3
    assert SelectionProblem(Z, n_drop=3, cost=TEN + 1).saving(drop) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_drop": 2.5}, "n_drop must be a whole number; it is 2.5. Round it."),
        ({"n_drop": 3, "sample_weight": [1.0, -1.0, *[1.0] * 8]}, "row 1 has -1. Give it weight 0"),
        (
            {"n_drop": 3, "constraints": LinearConstraint(np.ones((2, 10)), [0, 5], [9, 4])},
            "constraints[0] must have lb <= ub; in row 1 lb is 5 and ub 4. Swap them",
        ),
        (
            {"n_drop": 3, "constraints": LinearConstraint(np.ones((1, 10)), np.nan, 4)},
            "constraints[0] must have lb <= ub; in row 0 lb is nan",
        ),
    ],
)
def test_numbers_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SelectionProblem(np.zeros((10, 1)), **options)


def test_a_linear_row_is_no_looser_than_rounding():
    row = LinearConstraint(np.array([[1.0, 1e-10, 1.0]]), -np.inf, 1.0)
    problem = SelectionProblem(np.zeros((3, 1)), n_drop=2, constraints=row)
    assert not problem.is_feasible(np.array([True, True, False]))
    halves = LinearConstraint(np.full((1, 3), 0.1), -np.inf, 0.3)
    problem = SelectionProblem(np.zeros((4, 1)), n_drop=3, constraints=_wider(halves))
    assert problem.is_feasible(np.array([True, True, True, False]))


def _wider(row):
    return LinearConstraint(np.c_[row.A, 0.1], row.lb, row.ub)


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e-30, 1.0, 1e30, 1e160, 1e300])
def test_rows_and_weights_of_any_scale_have_their_size(unit):
    rng = np.random.default_rng(0)
    Z, weight, drop = rng.standard_normal((40, 3)), rng.uniform(1, 2, 40), np.arange(40) < 20
    one = SelectionProblem(Z, n_drop=20, sample_weight=weight)
    other = SelectionProblem(unit * Z, n_drop=20, sample_weight=unit * weight)
    assert other.predicted_change(drop) == pytest.approx(unit * one.predicted_change(drop))
    assert other.random_lengths(drop).change == pytest.approx(
        unit * one.random_lengths(drop).change
    )
    np.testing.assert_allclose(other.coordinates.squared_norms, one.coordinates.squared_norms)
    rows = np.arange(5)
    for product, expected in zip(
        other.coordinates.products(rows, np.ones(3)),
        one.coordinates.products(rows, np.ones(3)),
        strict=True,
    ):
        np.testing.assert_allclose(product, expected, rtol=1e-5)


def test_the_sum_of_few_rows_beside_huge_ones_is_theirs():
    Z = np.array([[1e17], [1e17], [1.0], [2.0], [4.0]])
    problem = SelectionProblem(Z, n_drop=3)
    assert problem.change(np.array([False, False, True, True, True])) == 7.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 9))
def test_random_size_factors_are_those_of_all_sets(seed, n):
    rng = np.random.default_rng(seed)
    Z, B = rng.standard_normal((n, 2)), rng.standard_normal((n, 3))
    weight = rng.uniform(0.5, 2, n)
    problem = SelectionProblem(Z, n_drop=n // 2, balance=[B], sample_weight=weight)
    sets = all_subsets(n)
    sets = sets[sets.sum(axis=1) == n // 2]
    factors = np.array([problem.size_factor(w) for w in sets])
    for part, found in zip((Z, B), problem.random_size_factors(sets[0]), strict=True):
        squares = np.linalg.norm(sets @ part, axis=1) ** 2
        expected = np.sqrt((factors**2 * squares).mean() / squares.mean())
        assert found == pytest.approx(expected, rel=0.05)


def test_equal_weights_have_one_size_factor():
    problem = SelectionProblem(np.eye(6), n_drop=2, sample_weight=np.full(6, 3.0))
    drop = np.arange(6) < 2
    assert problem.random_size_factors(drop) == (problem.size_factor(drop),)
