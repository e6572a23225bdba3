"""The refinement against dense float64 matrices, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from threadpoolctl import threadpool_limits

from sklearn_prune import InfluencePruner
from sklearn_prune._refinement import refine, solve_and_refine
from sklearn_prune.influence import (
    Coordinates,
    HeadInfluence,
    HeadObjective,
    SoftmaxCrossEntropy,
    refit_head,
)
from sklearn_prune.selection import SelectionProblem, solve


def influence_of(load, damping=1e-3, norm="loss", n_rows=400, n_columns=20):
    X, y = load(return_X_y=True)
    X = X[:n_rows, :n_columns] / X[:n_rows, :n_columns].std(axis=0).clip(min=1e-9)
    design = np.column_stack([X, np.ones(len(X))])
    objective = HeadObjective(design, y[:n_rows], SoftmaxCrossEntropy(), damping)
    return HeadInfluence(objective, refit_head(objective).theta, norm), y[:n_rows]


def problem_of(influence, y, ratio=0.9, **options):
    n_drop = round(ratio * len(y))
    return SelectionProblem(influence, n_drop=n_drop, groups=y, quota="proportional", **options)


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_influences_given_a_set_take_the_kept_rows_hessian(norm):
    influence, _ = influence_of(load_breast_cancer, norm=norm)
    objective, theta = influence.objective, influence.theta
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.8
    H = objective.hessian(theta)
    mixed = 0.9 * objective.subset(~drop).hessian(theta) + 0.1 * H
    expected = np.linalg.solve(mixed, influence.gradient_sum(drop)) / objective.n_samples
    if norm == "loss":
        expected = np.linalg.cholesky(H).T @ expected
    given = influence.given(drop)
    np.testing.assert_allclose(given.T @ drop.astype(float), expected, rtol=1e-8, atol=1e-12)
    rows = given.rows(np.arange(7))
    np.testing.assert_allclose(rows, (given @ np.eye(given.shape[1]))[:7], rtol=1e-3, atol=1e-6)


def test_kept_step_is_newtons_step_on_the_kept_rows():
    influence, _ = influence_of(load_breast_cancer)
    objective, theta = influence.objective, influence.theta
    drop = np.random.default_rng(1).random(objective.n_samples) < 0.5
    kept = objective.subset(~drop)
    expected = -np.linalg.solve(kept.hessian(theta), kept.gradient(theta).ravel())
    np.testing.assert_allclose(influence.kept_step(drop).ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
def test_the_step_on_the_kept_rows_never_grows(load):
    influence, y = influence_of(load)
    problem = problem_of(influence, y)
    selection = solve(problem, random_state=0)
    refined = refine(influence, problem, selection, time_limit=30, random_state=0)
    before, after = (influence.kept_step_size(s.drop) for s in (selection, refined))
    assert after <= before
    assert problem.is_feasible(refined.drop)


def test_where_few_rows_are_kept_for_each_parameter_the_step_shrinks():
    influence, y = influence_of(load_breast_cancer)
    problem = problem_of(influence, y)
    selection = solve(problem, random_state=0)
    refined = refine(influence, problem, selection, time_limit=30, random_state=0)
    assert influence.kept_step_size(refined.drop) < influence.kept_step_size(selection.drop)


def test_the_certificate_is_that_of_the_refined_set():
    influence, y = influence_of(load_breast_cancer)
    problem = problem_of(influence, y)
    selection = solve_and_refine(
        influence, Coordinates(influence), problem, time_limit=30, random_state=0
    )
    certificate = selection.certificate
    assert certificate.objective == pytest.approx(problem.change(selection.drop))
    assert certificate.size_factor == pytest.approx(problem.size_factor(selection.drop))
    assert certificate.random_objective == pytest.approx(problem.random_change(selection.drop))


def test_a_proven_set_and_one_of_a_tolerance_stay():
    influence, y = influence_of(load_breast_cancer, n_rows=24, n_columns=3)
    for problem in (problem_of(influence, y, 0.5), SelectionProblem(influence, tolerance=0.1)):
        selection = solve(problem, random_state=0)
        assert refine(influence, problem, selection, time_limit=9, random_state=0) is selection


def test_without_time_nothing_is_refined():
    influence, y = influence_of(load_breast_cancer)
    problem = problem_of(influence, y)
    selection = solve(problem, random_state=0)
    assert refine(influence, problem, selection, time_limit=0, random_state=0) is selection


def test_the_same_rows_are_chosen_on_any_number_of_threads():
    X, y = load_digits(return_X_y=True)
    pruner = InfluencePruner(prune_ratio=0.8, damping=1e-2, random_state=0)
    supports = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            supports.append(pruner.fit(X[:700], y[:700]).support_)
    np.testing.assert_array_equal(*supports)
