import pickle

import numpy as np
import pytest

from sklearn_prune.influence import (
    HeadInfluence,
    HeadObjective,
    KroneckerCurvature,
    WideHeadInfluence,
    forecast_retraining,
    head_influence,
    refit_head,
)
from sklearn_prune.losses import SoftmaxCrossEntropy
from tests.influence.heads import LOSSES, dataset_objective, random_objective

each_norm = pytest.mark.parametrize("norm", ["loss", "parameter"])


def dense_kronecker(objective, theta):
    """Return ``mean C (x) mean a a^T + damping I``, by loops over the rows."""
    n_outputs = objective.n_outputs
    weights = objective.sample_weight / objective.weight_sum
    hessians = objective.output_hessians(theta)
    S = np.array(
        [[weights @ hessians.entry(j, k) for k in range(n_outputs)] for j in range(n_outputs)]
    )
    A = sum(w * np.outer(a, a) for w, a in zip(weights, objective.design, strict=True))
    return np.kron(S, A) + objective.damping * np.eye(objective.n_params)


@each_norm
@pytest.mark.parametrize("size", [{}, {"n": 9, "d": 20}])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_coordinates_and_lengths_are_those_of_the_dense_kronecker_product(name, size, norm):
    objective, theta = random_objective(name, weighted=True, **size)
    # Outputs of more columns are no larger.
    theta *= np.sqrt(5 / objective.n_features)
    influence = WideHeadInfluence(objective, theta, norm)
    K = dense_kronecker(objective, theta)
    G = np.array([influence.gradient_sum(e) for e in np.eye(objective.n_samples)])
    G /= objective.weight_sum
    S = np.linalg.solve(K, G.T).T
    gram = G @ S.T if norm == "loss" else S @ S.T
    Z = influence @ np.eye(objective.n_params)
    np.testing.assert_allclose(Z @ Z.T, gram, atol=1e-9)
    np.testing.assert_allclose(influence.T @ np.eye(objective.n_samples), Z.T, atol=1e-9)
    np.testing.assert_allclose(influence.rows(np.arange(7)), Z[:7], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(influence.row_norms() ** 2, np.diag(gram), rtol=1e-3)
    part = influence.take(np.array([3, 8]))
    np.testing.assert_allclose(part.row_norms(), influence.row_norms()[[3, 8]])


@each_norm
@pytest.mark.parametrize("size", [{}, {"n": 9, "d": 20}])
def test_all_leading_pairs_keep_every_length(size, norm, monkeypatch):
    monkeypatch.setattr("sklearn_prune.influence.head.head_influence._BLOCK_SIZE", 100)
    objective, theta = random_objective("softmax", weighted=True, **size)
    influence = WideHeadInfluence(objective, theta, norm)
    pairs = influence.leading_pairs(objective.n_params)
    n_directions = min(objective.shape[1], objective.n_samples)
    assert sorted(pairs) == list(range(objective.n_outputs * n_directions))
    Z = influence.coordinates_at(pairs)
    full = influence @ np.eye(objective.n_params)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z @ Z.T, full @ full.T, atol=1e-4)
    energy = (Z.astype(float) ** 2).sum(axis=0)
    assert (np.diff(energy) <= 1e-5 * energy[0]).all()


@each_norm
def test_what_is_promised_uses_the_hessian_itself(norm):
    objective = dataset_objective("digits", damping=1e-2)
    theta = refit_head(objective).theta
    wide, exact = (kind(objective, theta, norm) for kind in (WideHeadInfluence, HeadInfluence))
    drop = np.random.default_rng(0).random(objective.n_samples) < 0.1
    step, expected = wide.first_order_step(drop), exact.first_order_step(drop)
    assert np.linalg.norm(step - expected) <= 1e-3 * np.linalg.norm(expected)
    assert wide.measure(expected) == pytest.approx(exact.measure(expected), rel=1e-5)
    # The Kronecker product alone is far off.
    rough = wide.curvature.solve(wide.gradient_sum(drop)) / wide.weight_sum
    assert np.linalg.norm(rough - expected) > 0.1 * np.linalg.norm(expected)
    forecasts = [forecast_retraining(influence, drop) for influence in (wide, exact)]
    assert forecasts[0].refitted == pytest.approx(forecasts[1].refitted, rel=1e-4)


def test_auto_takes_the_dense_hessian_where_it_is_small(monkeypatch):
    objective, theta = random_objective("softmax")
    assert head_influence(objective, theta).curvature_name == "dense"
    assert head_influence(objective, theta, curvature="kronecker").curvature_name == "kronecker"
    monkeypatch.setattr("sklearn_prune.influence.head.wide_head._DENSE_PARAMS", 10)
    influence = head_influence(objective, theta)
    assert influence.curvature_name == "kronecker"
    assert isinstance(influence.curvature, KroneckerCurvature)
    assert not influence.is_exact


def test_a_head_too_wide_for_a_dense_hessian_has_influences():
    rng = np.random.default_rng(0)
    design = rng.standard_normal((300, 150)).astype(np.float32)
    targets = rng.integers(80, size=300)
    objective = HeadObjective(design, targets, SoftmaxCrossEntropy(), 1e-2, n_outputs=80)
    influence = head_influence(objective, np.zeros(objective.shape))
    assert influence.shape == (300, 12_000)
    drop = np.arange(300) < 30
    step = influence.first_order_step(drop)
    product = objective.hessian_product(influence.theta)
    gradient = influence.gradient_sum(drop) * influence.size_factor(drop) / 300
    residual = product(step.reshape(objective.shape)).ravel() - gradient
    assert np.linalg.norm(residual) <= 1.1e-4 * np.linalg.norm(gradient)


def test_it_survives_pickling():
    influence = WideHeadInfluence(*random_objective("softmax"))
    drop = np.arange(40) < 9
    step = influence.first_order_step(drop)
    again = pickle.loads(pickle.dumps(influence))
    np.testing.assert_allclose(again.first_order_step(drop), step)


def test_the_kept_rows_hessian_is_refused():
    influence = WideHeadInfluence(*random_objective("softmax"))
    with pytest.raises(ValueError, match="20 parameters.*curvature='dense'"):
        influence.given(np.zeros(40, bool))
