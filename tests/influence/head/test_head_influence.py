import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_prune.influence import (
    DenseHeadInfluence,
    HeadObjective,
    RefittableInfluence,
    WideHeadInfluence,
    head_influence,
    limits,
    refit_head,
    retraining_steps,
)
from sklearn_prune.influence.curvature.kronecker import KroneckerCurvature
from sklearn_prune.influence.head import refit as refit_module
from sklearn_prune.influence.head.hessian_product import HessianProduct
from sklearn_prune.losses import SoftmaxCrossEntropy
from tests.influence.heads import dataset_objective, random_objective

each_norm = pytest.mark.parametrize("norm", ["loss", "parameter"])


@pytest.fixture(scope="module")
def digits():
    objective = dataset_objective("digits", damping=1e-2)
    return objective, refit_head(objective).theta


def test_first_order_is_a_newton_step_on_the_kept_rows_with_the_hessian_of_all():
    objective, _ = random_objective("one logit", weighted=True)
    theta = refit_head(objective).theta
    drop = np.arange(objective.n_samples) < 10
    step = DenseHeadInfluence(objective, theta).first_order_step(drop)
    kept_gradient = objective.subset(~drop).gradient(theta).ravel()
    np.testing.assert_allclose(step, -np.linalg.solve(objective.hessian(theta), kept_gradient))


def test_kept_step_is_newtons_step_on_the_kept_rows():
    objective, _ = random_objective("one logit", weighted=True)
    theta = refit_head(objective).theta
    drop = np.arange(objective.n_samples) < 10
    kept = objective.subset(~drop)
    expected = -np.linalg.solve(kept.hessian(theta), kept.gradient(theta).ravel())
    for kind in (DenseHeadInfluence, WideHeadInfluence):
        np.testing.assert_allclose(kind(objective, theta).kept_step(drop), expected)


@each_norm
def test_measure_of_the_first_order_step_is_that_of_the_coordinates(norm):
    objective, _ = random_objective("softmax", weighted=True)
    influence = DenseHeadInfluence(objective, refit_head(objective).theta, norm)
    drop = np.arange(objective.n_samples) % 2 == 0
    coordinates = influence.size_factor(drop) * np.linalg.norm(influence.Z.rmatvec(drop))
    expected = coordinates**2 / 2 if norm == "loss" else coordinates
    assert influence.measure(influence.first_order_step(drop)) == pytest.approx(expected)


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


# Digits have few rows here, since each costs a refit of 650 parameters.
@pytest.mark.parametrize(
    ("name", "n_tried"), [("digits", 40), ("breast cancer", 100), ("diabetes", 100)]
)
def test_predicted_change_of_dropping_one_row_is_that_of_retraining(name, n_tried):
    objective = dataset_objective(name, damping=1e-3)
    theta = refit_head(objective).theta
    influence = DenseHeadInfluence(objective, theta)
    rows = np.random.default_rng(0).permutation(objective.n_samples)[:n_tried]
    rows = rows[leverages(objective, theta, rows) < 0.1]
    assert len(rows) >= n_tried / 2
    predicted, observed = [], []
    for row in rows:
        drop = np.arange(objective.n_samples) == row
        predicted.append(influence.measure(influence.first_order_step(drop)))
        fit = refit_head(objective.subset(~drop), theta)
        assert fit.gradient_norm < 1e-8
        observed.append(influence.measure((fit.theta - theta).ravel()))
    assert np.corrcoef(predicted, observed)[0, 1] >= 0.999


def test_dropping_every_row_is_refused():
    influence = DenseHeadInfluence(*random_objective("softmax"))
    with pytest.raises(ValueError, match="removes all 40 rows.*keep at least one"):
        influence.size_factor(np.ones(40, bool))
    assert np.isnan(influence.refitted_change(np.ones(40, bool)))


@each_norm
def test_a_damped_head_is_the_one_fitted_with_that_damping(norm, digits):
    objective, theta = digits
    damped = DenseHeadInfluence(objective, theta, norm).damped(10.0)
    expected = dataset_objective("digits", damping=1e-1)
    theta = refit_head(expected).theta
    np.testing.assert_allclose(damped.theta, theta, atol=1e-6)
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.5
    np.testing.assert_allclose(
        damped.first_order_step(drop),
        DenseHeadInfluence(expected, theta, norm).first_order_step(drop),
        rtol=1e-4,
    )


@each_norm
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_what_retraining_costs_is_that_of_another_library(norm, share, digits):
    objective, theta = digits
    drop = np.random.default_rng(0).random(objective.n_samples) < share
    kept = objective.subset(~drop)
    model = LogisticRegression(
        C=1 / (kept.n_samples * objective.damping), fit_intercept=False, tol=1e-6, max_iter=1000
    )
    refitted = model.fit(kept.design, kept.targets).coef_
    expected = np.linalg.norm(refitted - theta)
    if norm == "loss":
        expected = objective.value(refitted) - objective.value(theta)
    change = DenseHeadInfluence(objective, theta, norm).retrained_change(drop)
    assert change == pytest.approx(expected, rel=1e-3)


def influence_on(name, damping, norm="loss"):
    objective = dataset_objective(name, damping=damping)
    return DenseHeadInfluence(objective, refit_head(objective).theta, norm)


def random_drop(influence, share):
    return np.random.default_rng(0).random(influence.shape[0]) < share


def test_a_forecast_by_conjugate_gradients_is_that_by_cholesky(monkeypatch):
    influence = influence_on("digits", 1e-2)
    drop = random_drop(influence, 0.9)
    exact = influence.forecast(drop)
    monkeypatch.setattr(refit_module, "CHEAP_FLOPS", 0)
    iterative = influence.forecast(drop)
    assert iterative.kept_hessian == pytest.approx(exact.kept_hessian, rel=1e-3)
    assert iterative.refitted == pytest.approx(exact.refitted, rel=1e-5)


@each_norm
def test_each_forecast_is_nearer_to_the_refit_than_the_one_before(norm):
    influence = influence_on("breast cancer", 1e-2, norm)
    drop = random_drop(influence, 0.1)
    forecast = influence.forecast(drop)
    guesses = (forecast.first_order, forecast.kept_hessian)
    errors = [abs(guess / forecast.refitted - 1) for guess in guesses]
    assert errors[1] < errors[0] < 0.5
    assert retraining_steps(influence, drop).refit_gradient_norm < 1e-8
    fresh = refit_head(influence.objective.subset(~drop)).theta
    expected = influence.measure((fresh - influence.theta).ravel())
    assert forecast.refitted == pytest.approx(expected, rel=1e-5)
    assert influence.refitted_change(drop) == pytest.approx(expected, rel=1e-5)


def test_a_refit_from_zero_ends_where_one_from_the_newton_step_does():
    objective, _ = random_objective("softmax", n=60)
    influence = DenseHeadInfluence(objective, refit_head(objective).theta)
    drop = np.arange(60) < 20
    near, zero = (retraining_steps(influence, drop, from_zero=far) for far in (False, True))
    np.testing.assert_allclose(zero.refitted, near.refitted, atol=1e-10)
    np.testing.assert_array_equal(zero.kept_hessian, near.kept_hessian)


def test_squared_error_with_the_kept_hessian_is_exact():
    influence = influence_on("diabetes", 1e-3)
    forecast = influence.forecast(random_drop(influence, 0.4))
    assert forecast.kept_hessian == pytest.approx(forecast.refitted, rel=1e-10)


def test_dropping_nothing_changes_nothing():
    influence = influence_on("diabetes", 1e-3)
    forecast = influence.forecast(np.zeros(influence.shape[0], bool))
    assert max(forecast.first_order, forecast.kept_hessian, forecast.refitted) < 1e-20


def test_a_refit_that_does_not_converge_costs_infinitely_much(monkeypatch):
    influence = DenseHeadInfluence(*random_objective("softmax"))
    drop = np.arange(40) < 9
    # No real data here is that hard.
    monkeypatch.setattr(refit_module, "_minimise", lambda objective, theta, *_: (theta, 0))
    assert influence.retrained_change(drop) == np.inf
    assert np.isnan(influence.refitted_change(drop))


class TestWideHead:
    @each_norm
    def test_what_is_promised_uses_the_hessian_itself(self, norm, digits):
        wide, exact = (kind(*digits, norm) for kind in (WideHeadInfluence, DenseHeadInfluence))
        drop = np.random.default_rng(0).random(wide.shape[0]) < 0.1
        step, expected = wide.first_order_step(drop), exact.first_order_step(drop)
        assert np.linalg.norm(step - expected) <= 1e-3 * np.linalg.norm(expected)
        assert wide.measure(expected) == pytest.approx(exact.measure(expected), rel=1e-5)
        # The Kronecker product alone is far off.
        rough = wide.curvature.solve(wide.gradients.sum(drop)) / wide.weight_sum
        assert np.linalg.norm(rough - expected) > 0.1 * np.linalg.norm(expected)
        refitted = [influence.forecast(drop).refitted for influence in (wide, exact)]
        assert refitted[0] == pytest.approx(refitted[1], rel=1e-4)

    def test_only_small_heads_have_a_dense_hessian_and_can_be_refitted(self, monkeypatch):
        objective, theta = random_objective("softmax")
        dense = head_influence(objective, theta)
        monkeypatch.setattr(limits, "DENSE_PARAMS", 10)
        wide = head_influence(objective, theta)
        assert (dense.curvature_name, dense.is_exact) == ("dense", True)
        assert (wide.curvature_name, wide.is_exact) == ("kronecker", False)
        assert isinstance(wide.curvature, KroneckerCurvature)
        assert isinstance(dense, RefittableInfluence)
        assert not isinstance(wide, RefittableInfluence)

    def test_a_head_too_wide_for_a_dense_hessian_has_influences(self):
        rng = np.random.default_rng(0)
        design = rng.standard_normal((300, 150)).astype(np.float32)
        targets = rng.integers(80, size=300)
        objective = HeadObjective(design, targets, SoftmaxCrossEntropy(), 1e-2, n_outputs=80)
        influence = head_influence(objective, np.zeros(objective.shape))
        assert influence.shape == (300, 12_000)
        drop = np.arange(300) < 30
        step = influence.first_order_step(drop)
        gradient = influence.gradients.sum(drop) * influence.size_factor(drop) / 300
        residual = HessianProduct(objective, influence.theta)(step) - gradient
        assert np.linalg.norm(residual) <= 1.1e-4 * np.linalg.norm(gradient)


@pytest.mark.parametrize("kind", [DenseHeadInfluence, WideHeadInfluence])
@pytest.mark.parametrize("flops", [0, refit_module.CHEAP_FLOPS])
def test_a_refit_is_the_minimiser_on_the_kept_rows_and_is_remembered(kind, flops, monkeypatch):
    monkeypatch.setattr(refit_module, "CHEAP_FLOPS", flops)
    influence = kind(*random_objective("softmax", weighted=True))
    sets = [np.arange(40) % 10 == fate for fate in range(8)]
    fits = [influence.refit(drop) for drop in sets]
    for drop, fit in zip(sets, fits, strict=True):
        expected = refit_head(influence.objective.subset(~drop)).theta
        np.testing.assert_allclose(fit.theta, expected, atol=1e-5)
        assert influence.refit(drop.copy()) is fit
    influence.refit(np.arange(40) < 3)
    assert influence.refit(sets[1]) is fits[1]
    assert influence.refit(sets[0]) is not fits[0]


def test_the_preconditioner_of_a_dense_head_solves_nearly_by_its_hessian():
    objective, theta = random_objective("three targets", weighted=True)
    influence, b = DenseHeadInfluence(objective, theta), theta.ravel()
    # The curvature of the squared error is a Kronecker product.
    np.testing.assert_allclose(influence.precondition(b), influence.hessian.solve(b), rtol=1e-6)


@pytest.mark.parametrize("kind", [DenseHeadInfluence, WideHeadInfluence])
def test_it_survives_pickling(kind):
    influence = kind(*random_objective("softmax"))
    drop = np.arange(40) < 9
    again = pickle.loads(pickle.dumps(influence))
    np.testing.assert_allclose(again.first_order_step(drop), influence.first_order_step(drop))
    np.testing.assert_array_equal(again.Z.T @ drop, influence.Z.T @ drop)
    assert again.is_centred
