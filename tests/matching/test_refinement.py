"""The refinement against dense float64 matrices, and what it promises."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from sklearn_prune import InfluencePruner
from sklearn_prune.influence import (
    DenseHeadInfluence,
    HeadObjective,
    refit_head,
    stack_influences,
)
from sklearn_prune.losses import SoftmaxCrossEntropy
from sklearn_prune.matching.refinement import (
    match_rows,
    negligible_change,
    refine,
    try_more_damping,
)
from sklearn_prune.selection import SelectionProblem, solve


@cache
def influence_of(load, damping=1e-3, norm="loss", n_rows=400, n_columns=20):
    X, y = load(return_X_y=True)
    X = X[:n_rows, :n_columns] / X[:n_rows, :n_columns].std(axis=0).clip(min=1e-9)
    design = np.column_stack([X, np.ones(len(X))])
    objective = HeadObjective(design, y[:n_rows], SoftmaxCrossEntropy(), damping)
    return DenseHeadInfluence(objective, refit_head(objective).theta, norm), y[:n_rows]


def step_size(influence, drop):
    return influence.measure(influence.kept_step(drop))


def seconds_from_now(seconds):
    return time.perf_counter() + seconds


def problem_of(influence, y, ratio=0.9, **options):
    Z = influence.Z
    n_drop = round(ratio * len(y))
    return SelectionProblem(Z, n_drop=n_drop, groups=y, quota="proportional", **options)


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_influences_given_a_set_take_the_kept_rows_hessian(norm):
    influence, _ = influence_of(load_breast_cancer, norm=norm)
    objective, theta = influence.objective, influence.theta
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.8
    H = objective.hessian(theta)
    mixed = 0.9 * objective.subset(~drop).hessian(theta) + 0.1 * H
    expected = np.linalg.solve(mixed, influence.gradients.sum(drop)) / objective.n_samples
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
    np.testing.assert_allclose(influence.kept_step(drop), expected, rtol=1e-6)


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
def test_the_step_on_the_kept_rows_never_grows(load):
    influence, y = influence_of(load)
    problem = problem_of(influence, y)
    selection = solve(problem, random_state=0)
    refined = refine(influence, problem, selection, seconds_from_now(30), 0)
    before, after = (step_size(influence, s.drop) for s in (selection, refined))
    assert after <= before
    assert problem.is_feasible(refined.drop)


def test_where_few_rows_are_kept_for_each_parameter_the_step_shrinks():
    influence, y = influence_of(load_breast_cancer)
    problem = problem_of(influence, y)
    selection = solve(problem, random_state=0)
    refined = refine(influence, problem, selection, seconds_from_now(30), 0)
    assert step_size(influence, refined.drop) < step_size(influence, selection.drop)


def test_the_certificate_is_that_of_the_refined_set():
    influence, y = influence_of(load_breast_cancer)
    problem = problem_of(influence, y)
    selection = match_rows(influence, problem, time_limit=30, random_state=0)
    certificate = selection.certificate
    assert certificate.objective == pytest.approx(problem.change(selection.drop))
    assert certificate.size_factor == pytest.approx(problem.size_factor(selection.drop))
    assert certificate.random_objective == pytest.approx(
        problem.random_lengths(selection.drop).change
    )


def test_a_proven_set_and_one_of_a_tolerance_stay():
    influence, y = influence_of(load_breast_cancer, n_rows=24, n_columns=3)
    for problem in (problem_of(influence, y, 0.5), SelectionProblem(influence.Z, tolerance=0.1)):
        selection = solve(problem, random_state=0)
        assert refine(influence, problem, selection, seconds_from_now(9), 0) is selection


def test_without_time_nothing_is_refined():
    influence, y = influence_of(load_breast_cancer)
    problem = problem_of(influence, y)
    selection = solve(problem, random_state=0)
    assert refine(influence, problem, selection, seconds_from_now(0), 0) is selection


def chosen(influence, problem):
    """The choice that trials of more damping begin from."""
    selection = solve(problem, random_state=0, enough=0.1)
    return refine(influence, problem, selection, seconds_from_now(30), 0)


def with_more_damping(influence, problem, selection, deadline=None, random_state=0):
    """What the trials end with, where a tenth of what random rows cost is enough."""
    deadline = seconds_from_now(60) if deadline is None else deadline
    enough = negligible_change(influence, problem, selection, random_state)
    return try_more_damping(influence, problem, selection, deadline, random_state, enough=enough)


@cache
def few_kept(n_kept=20, norm="loss"):
    """A head of 650 parameters, and the refined choice of a few rows."""
    return few_kept_with(n_kept, norm)


def few_kept_with(n_kept=20, norm="loss", **options):
    influence, y = influence_of(load_digits, damping=1e-4, norm=norm, n_columns=64)
    problem = problem_of(influence, y, 1 - n_kept / len(y), **options)
    return influence, problem, chosen(influence, problem)


@pytest.mark.parametrize(("norm", "share"), [("loss", 0.6), ("parameter", 0.95)])
def test_with_fewer_rows_than_parameters_more_damping_makes_retraining_cheaper(norm, share):
    influence, problem, selection = few_kept(norm=norm)
    damped = with_more_damping(influence, problem, selection, random_state=0)
    before, after = (influence.retrained_change(s.drop) for s in (selection, damped))
    assert after < share * before
    assert problem.is_feasible(damped.drop)
    assert damped.certificate.objective == pytest.approx(problem.change(damped.drop))
    assert damped.certificate.status == "feasible"


@settings(max_examples=5, deadline=None)
@given(n_kept=st.integers(12, 200), seed=st.integers(0, 100))
def test_what_more_damping_chooses_is_feasible_and_never_retrains_worse(n_kept, seed):
    influence, problem, selection = few_kept(n_kept)
    damped = with_more_damping(influence, problem, selection, random_state=seed)
    costs = [retrained_loss(influence.objective, s.drop) for s in (selection, damped)]
    assert costs[1] <= costs[0] * (1 + 1e-3)
    assert problem.is_feasible(damped.drop)


def retrained_loss(objective, drop):
    """Return the objective on all rows where another library trains on the kept ones."""
    kept = objective.subset(~drop)
    model = LogisticRegression(
        C=1 / (kept.n_samples * objective.damping), fit_intercept=False, tol=1e-7, max_iter=5000
    )
    return objective.value(model.fit(kept.design, kept.targets).coef_)


@pytest.fixture
def no_trial(monkeypatch):
    def fail(*args):
        raise AssertionError("a trial was begun")

    monkeypatch.setattr(DenseHeadInfluence, "damped", fail)


@pytest.mark.usefixtures("no_trial")
def test_more_rows_than_parameters_are_not_tried_again():
    influence, y = influence_of(load_digits)
    assert influence.shape[1] < 250
    problem = problem_of(influence, y, 1 - 250 / len(y))
    selection = chosen(influence, problem)
    assert with_more_damping(influence, problem, selection) is selection


@pytest.mark.usefixtures("no_trial")
def test_rows_that_retrain_well_are_not_tried_again():
    influence, problem, selection = few_kept()
    enough = influence.retrained_change(selection.drop)
    deadline = seconds_from_now(60)
    again = try_more_damping(influence, problem, selection, deadline, 0, enough=enough)
    assert again is selection


@pytest.mark.usefixtures("no_trial")
def test_a_network_twice_has_no_more_parameters_to_hold():
    influence, y = influence_of(load_digits)
    twice = stack_influences([influence, influence])
    problem = problem_of(twice, y, 1 - 250 / len(y))
    selection = chosen(twice, problem)
    assert influence.shape[1] < 250 < twice.shape[1]
    assert with_more_damping(twice, problem, selection, random_state=0) is selection


@pytest.mark.usefixtures("no_trial")
def test_without_time_for_a_trial_the_status_says_so():
    influence, problem, selection = few_kept()
    ended = with_more_damping(influence, problem, selection, seconds_from_now(0))
    np.testing.assert_array_equal(ended.drop, selection.drop)
    assert ended.certificate.status == "time limit"


def test_a_trial_that_the_deadline_cuts_is_a_time_limit(monkeypatch):
    influence, problem, selection = few_kept()
    deadline, damped = seconds_from_now(30), DenseHeadInfluence.damped

    def late(self, factor):
        monkeypatch.setattr("time.perf_counter", lambda: deadline + 1)
        return damped(self, factor)

    monkeypatch.setattr(DenseHeadInfluence, "damped", late)
    ended = with_more_damping(influence, problem, selection, deadline)
    assert ended.certificate.status == "time limit"


def test_trials_that_end_because_they_gain_little_need_no_time_for_another(monkeypatch):
    influence, problem, selection = few_kept()
    deadline, changes = seconds_from_now(60), [np.inf, 1.0, 1.0]

    def just_in_time(*_):
        change = changes.pop(0)
        if not changes:
            monkeypatch.setattr("time.perf_counter", lambda: deadline - 1e-9)
        return change

    monkeypatch.setattr(DenseHeadInfluence, "retrained_change", just_in_time)
    ended = with_more_damping(influence, problem, selection, deadline)
    assert ended.certificate.status == "feasible"


def test_random_rows_that_do_not_converge_do_not_end_the_trials(monkeypatch):
    influence, problem, selection = few_kept()
    changes = iter([np.inf, 1.0, 0.5, 0.5])
    monkeypatch.setattr(DenseHeadInfluence, "retrained_change", lambda *_: next(changes))
    tried = with_more_damping(influence, problem, selection, random_state=0)
    assert (tried.drop != selection.drop).any()
    assert next(changes, None) is None


@pytest.mark.usefixtures("no_trial")
def test_rows_of_least_cost_stay_whatever_retraining_costs():
    influence, problem, selection = few_kept_with(cost=np.random.default_rng(0).random(400))
    assert with_more_damping(influence, problem, selection, random_state=0) is selection


def test_weights_and_stacks_can_be_damped(monkeypatch):
    influence, y = influence_of(load_digits, damping=1e-4, n_columns=64, n_rows=200)
    objective, theta = influence.objective, influence.theta
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    weighted = HeadObjective(
        objective.design, objective.targets, objective.loss, objective.damping, weights
    )
    head = DenseHeadInfluence(weighted, refit_head(weighted, theta).theta)
    stack = stack_influences([head, head.damped(10.0)])
    problem = problem_of(stack, y, 0.9, sample_weight=weights)
    selection = chosen(stack, problem)
    trials, damp = [], type(stack).damped
    monkeypatch.setattr(
        type(stack),
        "damped",
        lambda self, factor: trials.append(damp(self, factor)) or trials[-1],
    )
    damped = with_more_damping(stack, problem, selection, random_state=0)
    assert trials
    np.testing.assert_array_equal(trials[0].sample_weight, weights)
    assert problem.is_feasible(damped.drop)
    assert stack.retrained_change(damped.drop) <= stack.retrained_change(selection.drop)


@pytest.mark.parametrize("ratio", [0.5, 0.95])
def test_the_same_rows_are_chosen_on_any_number_of_threads(ratio):
    X, y = load_digits(return_X_y=True)
    pruner = InfluencePruner(prune_ratio=ratio, damping=1e-3, random_state=0)
    supports = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            supports.append(pruner.fit(X[:400], y[:400]).support_)
    np.testing.assert_array_equal(*supports)
