import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from sklearn_prune.influence import (
    HeadInfluence,
    HeadObjective,
    forecast_retraining,
    refit_head,
    retraining_steps,
)
from sklearn_prune.influence.head import head_influence as influence_module
from sklearn_prune.losses import SoftmaxCrossEntropy
from tests.influence.heads import DATASETS, LOSSES, dataset_objective, random_objective

each_norm = pytest.mark.parametrize("norm", ["loss", "parameter"])


def dense_coordinates(objective, theta, norm):
    """Return Z, by loops over the formula."""
    residual = objective.sample_weight[:, None] * objective.residual(theta)
    gradients = np.array(
        [np.outer(r, a).ravel() for r, a in zip(residual, objective.design, strict=True)]
    )
    mean = gradients.sum(axis=0) / objective.weight_sum
    gradients -= objective.sample_weight[:, None] * mean
    H = objective.hessian(theta)
    factor = np.linalg.cholesky(H) if norm == "loss" else H
    return np.linalg.solve(factor, gradients.T).T / objective.weight_sum


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(LOSSES)),
    norm=st.sampled_from(["loss", "parameter"]),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_operator_is_the_dense_matrix(name, norm, weighted, seed):
    objective, theta = random_objective(name, weighted=weighted, seed=seed)
    influence, Z = HeadInfluence(objective, theta, norm), dense_coordinates(objective, theta, norm)
    rng = np.random.default_rng(seed)
    v, V = rng.standard_normal(Z.shape[1]), rng.standard_normal((Z.shape[1], 3))
    w, W = rng.random(Z.shape[0]) < 0.4, rng.standard_normal((Z.shape[0], 3))
    some = rng.permutation(Z.shape[0])[:7]
    assert influence.shape == Z.shape
    assert influence.dtype == np.float64
    np.testing.assert_allclose(influence @ v, Z @ v, atol=1e-11)
    np.testing.assert_allclose(influence @ V, Z @ V, atol=1e-11)
    np.testing.assert_allclose(influence.rmatvec(w), Z.T @ w, atol=1e-11)
    np.testing.assert_allclose(influence.T @ W, Z.T @ W, atol=1e-11)
    np.testing.assert_allclose(influence.rows(some), Z[some], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(influence.row_norms(), np.linalg.norm(Z, axis=1), rtol=1e-3)


@each_norm
def test_rows_are_single_precision_and_norms_are_computed_once(norm, monkeypatch):
    monkeypatch.setattr(influence_module, "_BLOCK_SIZE", 100)
    influence = HeadInfluence(*random_objective("softmax"), norm)
    assert influence.rows(np.arange(3)).dtype == np.float32
    assert influence.row_norms() is influence.row_norms()
    assert influence.row_norms().dtype == np.float64


@each_norm
def test_rows_taken_keep_the_weight_sum_and_hessian_of_all(norm):
    objective, theta = random_objective("softmax", weighted=True)
    influence = HeadInfluence(objective, theta, norm)
    some = np.array([3, 17, 5])
    part = influence.take(some)
    Z = dense_coordinates(objective, theta, norm)[some]
    v = np.random.default_rng(1).standard_normal(Z.shape[1])
    assert part.shape == Z.shape
    np.testing.assert_allclose(part @ v, Z @ v, atol=1e-11)
    np.testing.assert_allclose(part.rmatvec(np.ones(3)), Z.sum(axis=0), atol=1e-11)
    np.testing.assert_allclose(part.row_norms(), influence.row_norms()[some])
    np.testing.assert_allclose(part.rows(np.array([1])), influence.rows(some[[1]]))


@pytest.mark.parametrize("refit", [True, False])
def test_centred_gradients_sum_to_zero(refit):
    objective, theta = random_objective("softmax", weighted=True)
    if refit:
        theta = refit_head(objective).theta
    influence = HeadInfluence(objective, theta)
    assert np.abs(influence.gradient_sum(np.ones(objective.n_samples))).max() < 1e-13


def test_at_the_optimum_the_centre_is_the_damping():
    objective, _ = random_objective("softmax", weighted=True)
    theta = refit_head(objective).theta
    one = np.eye(objective.n_samples)[3]
    residual, features = objective.residual(theta)[3], objective.design[3]
    gradient = np.outer(residual, features) + objective.damping * theta
    expected = objective.sample_weight[3] * gradient.ravel()
    np.testing.assert_allclose(HeadInfluence(objective, theta).gradient_sum(one), expected)


def test_first_order_is_a_newton_step_on_the_kept_rows_with_the_hessian_of_all():
    objective, _ = random_objective("one logit", weighted=True)
    theta = refit_head(objective).theta
    drop = np.arange(objective.n_samples) < 10
    step = HeadInfluence(objective, theta).first_order_step(drop)
    kept_gradient = objective.subset(~drop).gradient(theta).ravel()
    np.testing.assert_allclose(step, -np.linalg.solve(objective.hessian(theta), kept_gradient))


@each_norm
def test_measure_of_the_first_order_step_is_that_of_the_coordinates(norm):
    objective, _ = random_objective("softmax", weighted=True)
    influence = HeadInfluence(objective, refit_head(objective).theta, norm)
    drop = np.arange(objective.n_samples) % 2 == 0
    coordinates = influence.size_factor(drop) * np.linalg.norm(influence.rmatvec(drop))
    expected = coordinates**2 / 2 if norm == "loss" else coordinates
    assert influence.measure(influence.first_order_step(drop)) == pytest.approx(expected)


def test_loss_norm_ignores_the_scale_of_features_as_damping_vanishes():
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.standard_normal((400, 4)), np.ones(400)])
    targets = rng.integers(2, size=(400, 1)).astype(float)
    mix = rng.standard_normal((5, 5)) + 2 * np.eye(5)
    norms = []
    for features in (design, design @ mix):
        objective = HeadObjective(features, targets, LOSSES["one logit"], 1e-10)
        norms.append(HeadInfluence(objective, refit_head(objective).theta).row_norms())
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-3)


def leverages(objective, theta, rows):
    """Return the trace of ``H^-1 H_i``, with ``H_i`` the row's share of the Hessian."""
    factor = np.linalg.inv(np.linalg.cholesky(objective.hessian(theta)))
    hessians = objective.output_hessians(theta)
    K, d = objective.shape
    result = []
    for i in rows:
        C = [[hessians[[i]].entry(j, k)[0] for k in range(K)] for j in range(K)]
        blocks = factor.reshape(-1, K, d) @ objective.design[i]
        result.append(np.trace(blocks @ np.array(C) @ blocks.T) / objective.weight_sum)
    return np.array(result)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_predicted_change_of_dropping_one_row_is_that_of_retraining(name):
    objective = dataset_objective(name, damping=1e-3)
    theta = refit_head(objective).theta
    influence = HeadInfluence(objective, theta)
    rows = np.random.default_rng(0).permutation(objective.n_samples)[:100]
    rows = rows[leverages(objective, theta, rows) < 0.1]
    assert len(rows) >= 50
    predicted, observed = [], []
    for row in rows:
        drop = np.arange(objective.n_samples) == row
        predicted.append(influence.measure(influence.first_order_step(drop)))
        fit = refit_head(objective.subset(~drop), theta)
        assert fit.gradient_norm < 1e-8
        observed.append(influence.measure((fit.theta - theta).ravel()))
    assert np.corrcoef(predicted, observed)[0, 1] >= 0.999


def test_a_forecast_by_conjugate_gradients_is_that_by_cholesky(monkeypatch):
    objective = dataset_objective("digits", damping=1e-2)
    influence = HeadInfluence(objective, refit_head(objective).theta)
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.9
    exact = forecast_retraining(influence, drop)
    monkeypatch.setattr("sklearn_prune.influence.head.refit._CHEAP_FLOPS", 0)
    iterative = forecast_retraining(influence, drop)
    assert iterative.kept_hessian == pytest.approx(exact.kept_hessian, rel=1e-3)
    assert iterative.refitted == pytest.approx(exact.refitted, rel=1e-5)


@each_norm
def test_each_forecast_is_nearer_to_the_refit_than_the_one_before(norm):
    objective = dataset_objective("breast cancer", damping=1e-2)
    influence = HeadInfluence(objective, refit_head(objective).theta, norm)
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.1
    forecast = forecast_retraining(influence, drop)
    guesses = (forecast.first_order, forecast.kept_hessian)
    errors = [abs(guess / forecast.refitted - 1) for guess in guesses]
    assert errors[1] < errors[0] < 0.5
    assert forecast.refit_gradient_norm < 1e-8
    fresh = refit_head(objective.subset(~drop)).theta
    assert forecast.refitted == pytest.approx(
        influence.measure((fresh - influence.theta).ravel()), rel=1e-5
    )


def test_a_refit_from_zero_ends_where_one_from_the_newton_step_does():
    objective, _ = random_objective("softmax", n=60)
    influence = HeadInfluence(objective, refit_head(objective).theta)
    drop = np.arange(60) < 20
    near, zero = (retraining_steps(influence, drop, from_zero=far) for far in (False, True))
    np.testing.assert_allclose(zero.refitted, near.refitted, atol=1e-10)
    np.testing.assert_array_equal(zero.kept_hessian, near.kept_hessian)


def test_squared_error_with_the_kept_hessian_is_exact():
    objective = dataset_objective("diabetes")
    influence = HeadInfluence(objective, refit_head(objective).theta)
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.4
    forecast = forecast_retraining(influence, drop)
    assert forecast.kept_hessian == pytest.approx(forecast.refitted, rel=1e-10)


def test_dropping_nothing_changes_nothing():
    objective = dataset_objective("diabetes")
    influence = HeadInfluence(objective, refit_head(objective).theta)
    forecast = forecast_retraining(influence, np.zeros(objective.n_samples, bool))
    assert max(forecast.first_order, forecast.kept_hessian, forecast.refitted) < 1e-20


def test_dropping_every_row_is_refused():
    objective, theta = random_objective("softmax")
    influence = HeadInfluence(objective, theta)
    with pytest.raises(ValueError, match="removes all 40 rows.*keep at least one"):
        influence.size_factor(np.ones(40, bool))


def test_a_head_kept_as_trained_is_compared_with_itself():
    objective, theta = random_objective("softmax")
    tilted = objective.stationary_at(theta)
    influence = HeadInfluence(tilted, theta)
    forecast = forecast_retraining(influence, np.zeros(40, bool))
    assert forecast.refitted < 1e-20
    drop = np.arange(40) == 5
    assert forecast_retraining(influence, drop).refitted > 0
    np.testing.assert_allclose(
        influence.first_order_step(drop), HeadInfluence(objective, theta).first_order_step(drop)
    )


def test_too_many_parameters_are_refused_before_the_hessian_is_made(monkeypatch):
    monkeypatch.setattr(HeadObjective, "hessian", None)
    objective = HeadObjective(
        np.ones((4, 6000)), np.array([0, 1, 0, 1]), SoftmaxCrossEntropy(), 1.0
    )
    with pytest.raises(ValueError, match="12000 parameters"):
        HeadInfluence(objective, np.zeros(objective.shape))


@each_norm
def test_a_damped_head_is_the_one_fitted_with_that_damping(norm):
    objective, expected = (dataset_objective("digits", damping=d) for d in (1e-3, 1e-1))
    damped = HeadInfluence(objective, refit_head(objective).theta, norm).damped(100.0)
    theta = refit_head(expected).theta
    np.testing.assert_allclose(damped.theta, theta, atol=1e-6)
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.5
    np.testing.assert_allclose(
        damped.first_order_step(drop),
        HeadInfluence(expected, theta, norm).first_order_step(drop),
        rtol=1e-4,
    )


@each_norm
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_what_retraining_costs_is_that_of_another_library(norm, share):
    damping = 1e-2
    objective = dataset_objective("digits", damping=damping)
    theta = refit_head(objective).theta
    drop = np.random.default_rng(0).random(objective.n_samples) < share
    kept = objective.subset(~drop)
    model = LogisticRegression(
        C=1 / (kept.n_samples * damping), fit_intercept=False, tol=1e-6, max_iter=1000
    )
    refitted = model.fit(kept.design, kept.targets).coef_
    expected = np.linalg.norm(refitted - theta)
    if norm == "loss":
        expected = objective.value(refitted) - objective.value(theta)
    found = HeadInfluence(objective, theta, norm).retrained_change(drop)
    assert found == pytest.approx(expected, rel=1e-3)
