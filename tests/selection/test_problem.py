"""The problem in numbers: what it takes, what it refuses, what it calls feasible."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.optimize import LinearConstraint

from sklearn_prune.selection import SelectionProblem

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


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_change_is_in_the_units_of_the_rows(scale):
    drop = TEN < 4
    change = SelectionProblem(scale * Z, n_drop=4).change(drop)
    assert change == pytest.approx(scale * np.linalg.norm(Z[:4].sum(axis=0)), rel=1e-12)


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
        (
            {"n_drop": 3, "sample_weight": [1.0, -1.0, *[1.0] * 8]},
            "row 1 has -1. Give that row weight 0",
        ),
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
    some, expected = other.coordinates.gathered(rows), one.coordinates.gathered(rows)
    np.testing.assert_allclose(some.gram(), expected.gram(), rtol=1e-5)
    np.testing.assert_allclose(some.scores(np.ones(3)), expected.scores(np.ones(3)), rtol=1e-5)


def test_the_sum_of_few_rows_beside_huge_ones_is_theirs():
    Z = np.array([[1e17], [1e17], [1.0], [2.0], [4.0]])
    problem = SelectionProblem(Z, n_drop=3)
    assert problem.change(np.array([False, False, True, True, True])) == 7.0
