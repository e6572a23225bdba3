import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_prune.influence import HeadObjective, refit_head
from sklearn_prune.influence.curvature.conjugate_gradients import conjugate_gradients
from sklearn_prune.influence.head import refit as refit_module
from sklearn_prune.influence.head.refit import newton_step
from sklearn_prune.losses import SoftmaxCrossEntropy, SquaredError
from tests.influence.heads import DATASETS, LOSSES, dataset_objective, random_objective


@pytest.fixture(params=["exact", "iterative"])
def solver(request, monkeypatch):
    """Run with dense Newton steps, and with conjugate gradients."""
    if request.param == "iterative":
        monkeypatch.setattr(refit_module, "CHEAP_FLOPS", 0)
    return request.param


@pytest.mark.parametrize("name", sorted(DATASETS))
@pytest.mark.parametrize("damping", [1e-3, 1e-6])
def test_real_data_is_solved_to_1e_8(name, damping, solver):
    objective = dataset_objective(name, damping)
    fit = refit_head(objective)
    assert fit.converged
    assert fit.gradient_norm == pytest.approx(np.linalg.norm(objective.gradient(fit.theta)))
    assert fit.gradient_norm <= 1e-8


@pytest.mark.parametrize("damping", [1e-4, 1e-8])
def test_separable_classes_are_solved(damping, solver):
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 20)
    centres = 10 * np.array([[1, 0], [0, 1], [-1, -1]])
    design = np.column_stack([centres[targets] + rng.standard_normal((60, 2)), np.ones(60)])
    fit = refit_head(HeadObjective(design, targets, SoftmaxCrossEntropy(), damping))
    assert fit.converged
    assert fit.gradient_norm <= 1e-8


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_both_kinds_of_step_end_in_the_same_place(name, monkeypatch):
    objective, start = random_objective(name, weighted=True)
    exact = refit_head(objective, start)
    monkeypatch.setattr(refit_module, "CHEAP_FLOPS", 0)
    iterative = refit_head(objective)
    np.testing.assert_allclose(iterative.theta, exact.theta, atol=1e-6)


def test_least_squares_takes_one_step_and_matches_the_normal_equations():
    objective, _ = random_objective("three targets", weighted=True, damping=0.1)
    A, weights = objective.design, objective.sample_weight
    scale = 2 / 3 / weights.sum()
    lhs = scale * (A.T * weights) @ A + 0.1 * np.eye(A.shape[1])
    expected = np.linalg.solve(lhs, scale * (A.T * weights) @ objective.targets).T
    fit = refit_head(objective)
    assert fit.n_iter <= 2
    np.testing.assert_allclose(fit.theta, expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_factor_serves_several_steps_and_the_gradient_falls_to_rounding(name, monkeypatch):
    objective, n_hessians = dataset_objective(name, 1e-4), []
    hessian = HeadObjective.hessian
    monkeypatch.setattr(
        HeadObjective, "hessian", lambda self, theta: n_hessians.append(1) or hessian(self, theta)
    )
    fit = refit_head(objective)
    assert len(n_hessians) < 0.7 * fit.n_iter
    assert fit.gradient_norm < 1e-14 * objective.gradient_scale(fit.theta) + 1e-15


def test_the_preconditioner_is_exact_for_squared_error(monkeypatch):
    objective, theta = random_objective("three targets", weighted=True)
    expected = newton_step(objective, theta, objective.gradient(theta), 0.0, exact=True)
    one_iteration = partial(conjugate_gradients, max_iter=1)
    monkeypatch.setattr(refit_module, "conjugate_gradients", one_iteration)
    one_product = newton_step(objective, theta, objective.gradient(theta), 0.0, exact=False)
    np.testing.assert_allclose(one_product, expected, rtol=1e-4)


def test_a_start_far_away_is_no_obstacle(solver):
    objective, theta = random_objective("softmax", damping=1e-3)
    fit = refit_head(objective, 100 * theta)
    np.testing.assert_allclose(fit.theta, refit_head(objective).theta, atol=1e-5)


def test_unscaled_features_do_not_warn_for_rounding():
    rng = np.random.default_rng(0)
    design = rng.standard_normal((200, 3)) * [1e5, 1.0, 1e-3]
    objective = HeadObjective(design, rng.standard_normal((200, 1)), SquaredError(), 1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refit_head(objective).converged


def test_where_single_precision_gets_stuck_the_dense_hessian_goes_on(monkeypatch):
    monkeypatch.setattr(refit_module, "CHEAP_FLOPS", 0)
    monkeypatch.setattr(
        refit_module, "conjugate_gradients", lambda product, B, *_: (np.zeros_like(B), 0)
    )
    objective, _ = random_objective("softmax")
    assert refit_head(objective).gradient_norm <= 1e-8


def test_too_few_steps_warn_with_the_norm_that_was_reached(solver):
    objective = dataset_objective("breast cancer", 1e-6)
    with pytest.warns(ConvergenceWarning, match=r"gradient norm of .* in 1 steps"):
        fit = refit_head(objective, max_iter=1)
    assert not fit.converged


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_few_rows_of_many_columns_are_fitted_in_their_own_space(name, monkeypatch):
    objective, theta = random_objective(name, n=9, d=40, weighted=True)
    theta *= 0.2
    assert objective.is_wide
    inside = refit_head(objective, 0.5 * theta)
    monkeypatch.setattr(HeadObjective, "is_wide", False)
    np.testing.assert_allclose(inside.theta, refit_head(objective, 0.5 * theta).theta, atol=1e-6)
    assert np.linalg.norm(objective.gradient(inside.theta)) <= 1e-7


def test_the_number_of_columns_hardly_matters_where_rows_are_few(monkeypatch):
    objective, _ = random_objective("softmax", n=20, d=30_000)
    largest = []
    hessian = HeadObjective.hessian
    monkeypatch.setattr(
        HeadObjective, "hessian", lambda self, theta: largest.append(self) or hessian(self, theta)
    )
    assert refit_head(objective).converged
    assert max(one.n_features for one in largest) <= 20
    assert objective.feature_eigenbasis[1].shape == (30_000, 20)
