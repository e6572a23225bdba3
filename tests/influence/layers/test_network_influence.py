import pickle

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier

from sklearn_prune.influence import (
    DenseHeadInfluence,
    HeadObjective,
    NetworkGradients,
    NetworkInfluence,
    limits,
    refit_head,
)
from sklearn_prune.influence.layers.network_curvature import LayerCurvature
from sklearn_prune.networks import read_head
from tests.influence.networks import CRITERIA, KINDS, fitted

DAMPING = 0.05
each_norm = pytest.mark.parametrize("norm", ["loss", "parameter"])


@pytest.fixture
def kronecker(monkeypatch):
    """Take small networks for ones that are too large for a dense matrix."""
    monkeypatch.setattr(limits, "DENSE_PARAMS", 0)


@pytest.fixture(params=["dense", "kronecker"])
def curvature(request):
    if request.param == "kronecker":
        request.getfixturevalue("kronecker")
    return request.param


def gradients_of(kind, weighted=False, **options):
    net, X, y = fitted(kind)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X)) if weighted else None
    return NetworkGradients(net, X, y, sample_weight=weights, **options)


def dense(gradients):
    """Return the damped Gauss-Newton matrix and the centred gradients, weighted, not over N."""
    H = gradients.gauss_newton().numpy() + DAMPING * np.eye(gradients.n_params)
    G = torch.cat([g for _, g in gradients.per_sample()]).numpy()
    weights = gradients.sample_weight
    return H, weights[:, None] * (G - weights @ G / weights.sum())


@each_norm
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_coordinates_have_the_lengths_of_the_dense_formula(kind, norm):
    gradients = gradients_of(kind, weighted=True)
    influence = NetworkInfluence(gradients, DAMPING, norm)
    H, G = dense(gradients)
    S = np.linalg.solve(H, G.T).T
    gram = (G @ S.T if norm == "loss" else S @ S.T) / gradients.weight_sum**2
    Z = influence.coordinates.Z
    assert (influence.curvature_name, influence.is_exact) == ("dense", True)
    assert Z.dtype == np.float32
    assert Z.shape == influence.shape
    np.testing.assert_allclose(Z @ Z.T, gram, atol=1e-5 * gram.max())
    np.testing.assert_allclose(influence.row_norms(), np.sqrt(np.diag(gram)), rtol=1e-9)


@pytest.mark.parametrize("criterion", [torch.nn.CrossEntropyLoss(), *CRITERIA.values()])
def test_the_last_layers_block_of_all_is_the_head(criterion):
    net, X, y = fitted("softmax", criterion=criterion)
    head, gradients = read_head(net, X, y), NetworkGradients(net, X, y, layers="all")
    objective = HeadObjective(head.design, head.targets, head.loss, 0.0, head.sample_weight)
    np.testing.assert_allclose(gradients.sample_weight, objective.sample_weight)
    block = slice(-head.theta.size, None)
    H = gradients.gauss_newton()[block, block]
    np.testing.assert_allclose(H, objective.hessian(head.theta), atol=1e-12)
    weights = torch.as_tensor(gradients.sample_weight)[:, None]
    mean = gradients.weighted_sum(weights)[block, 0] / gradients.weight_sum
    np.testing.assert_allclose(mean, objective.gradient(head.theta).ravel(), atol=1e-12)


@each_norm
@pytest.mark.parametrize("kind", ["softmax", "binary", "convolution"])
def test_what_is_promised_uses_the_gauss_newton_matrix_itself(kind, curvature, norm):
    gradients = gradients_of(kind, weighted=True)
    influence = NetworkInfluence(gradients, DAMPING, norm)
    assert influence.curvature_name == curvature
    H, G = dense(gradients)
    drop = np.arange(30) < 12
    kept_weight = gradients.sample_weight[~drop].sum()
    expected = np.linalg.solve(H, G[drop].sum(axis=0)) / kept_weight
    np.testing.assert_allclose(influence.first_order_step(drop), expected, rtol=1e-6, atol=1e-8)
    size = 0.5 * expected @ H @ expected if norm == "loss" else np.linalg.norm(expected)
    assert influence.measure(expected) == pytest.approx(size)
    weights = torch.as_tensor(gradients.sample_weight * ~drop / kept_weight)
    identity = torch.eye(len(H), dtype=torch.float64)
    H_kept = gradients.gauss_newton_product(identity, weights).numpy() + DAMPING * np.eye(len(H))
    step = np.linalg.solve(H_kept, G[drop].sum(axis=0)) / kept_weight
    np.testing.assert_allclose(influence.kept_step(drop), step, rtol=1e-5, atol=1e-8)


@each_norm
@pytest.mark.parametrize("criterion", [torch.nn.CrossEntropyLoss(), *CRITERIA.values()])
def test_on_the_last_layer_it_is_the_influence_of_the_head(criterion, norm):
    net, X, y = fitted("softmax", criterion=criterion)
    head = read_head(net, X, y)
    objective = HeadObjective(
        head.design, head.targets, head.loss, DAMPING, head.sample_weight, n_outputs=3
    )
    theta = refit_head(objective).theta
    expected = DenseHeadInfluence(objective, theta, norm)
    # A head is refitted, so the network is given that layer.
    with torch.no_grad():
        net.module_[2].weight.copy_(torch.as_tensor(theta[:, :-1]))
        net.module_[2].bias.copy_(torch.as_tensor(theta[:, -1]))
    influence = NetworkInfluence(NetworkGradients(net, X, y, layers=["2.*"]), DAMPING, norm)
    drop = np.arange(30) % 3 == 0
    np.testing.assert_allclose(influence.row_norms(), expected.row_norms(), rtol=1e-5)
    np.testing.assert_allclose(
        influence.first_order_step(drop), expected.first_order_step(drop), rtol=1e-9
    )
    np.testing.assert_allclose(influence.kept_step(drop), expected.kept_step(drop), 1e-5)
    assert influence.size_factor(drop) == expected.size_factor(drop)
    np.testing.assert_allclose(influence.row_losses(), expected.row_losses())


@each_norm
def test_fewer_coordinates_are_the_leading_ones_and_their_error_is_measured(
    curvature, norm, monkeypatch
):
    gradients = gradients_of("softmax")

    def leading(n_components):
        monkeypatch.setattr(limits, "LEADING_COORDINATES", n_components)
        return NetworkInfluence(gradients, DAMPING, norm)

    few, more, full = leading(3), leading(20), leading(43)
    assert few.coordinates.Z.shape == (30, 3)
    kept = (few.coordinates.Z.astype(float) ** 2).sum()
    energy = full.coordinates.Z.astype(float) ** 2
    assert few.coordinates.energy_share == pytest.approx(kept / energy.sum(), rel=1e-5)
    np.testing.assert_allclose(few.row_norms(), full.row_norms(), rtol=1e-6)
    if curvature == "dense":
        best = np.linalg.svd(full.coordinates.Z, compute_uv=False)[:3] ** 2
        assert kept >= 0.95 * best.sum()
        assert full.coordinates.relative_error == 0
        assert few.coordinates.relative_error > more.coordinates.relative_error > 0
    else:
        columns = np.sort(energy.sum(axis=0))[-3:]
        assert kept == pytest.approx(columns.sum(), rel=1e-4)
        assert few.coordinates.relative_error > 0


def test_centred_gradients_of_a_network_that_is_not_stationary_sum_to_zero():
    gradients = gradients_of("softmax", weighted=True)
    influence = NetworkInfluence(gradients, DAMPING)
    assert influence.gradient_sum(np.ones(30, bool)).abs().max() < 1e-13
    plain = gradients.weighted_sum(torch.as_tensor(gradients.sample_weight)[:, None])
    assert plain.abs().max() > 0.1


@pytest.mark.usefixtures("kronecker")
def test_single_precision_networks_agree_with_double():
    results = []
    for dtype in (torch.float32, torch.float64):
        net, X, y = fitted("softmax", dtype=torch.float32)
        net.module_.to(dtype)
        gradients = NetworkGradients(net, X.astype(str(dtype).split(".")[1]), y)
        results.append(NetworkInfluence(gradients, DAMPING))
    drop = np.arange(30) < 9
    single, double = (r.first_order_step(drop) for r in results)
    np.testing.assert_allclose(single, double, atol=1e-3 * np.abs(double).max())


@pytest.mark.usefixtures("kronecker")
def test_it_survives_pickling():
    influence = NetworkInfluence(gradients_of("softmax"), DAMPING)
    again = pickle.loads(pickle.dumps(influence))
    drop = np.arange(30) < 9
    np.testing.assert_allclose(again.first_order_step(drop), influence.first_order_step(drop))


@pytest.mark.parametrize(("limit", "curvature_name"), [(43, "dense"), (42, "kronecker")])
def test_the_matrix_is_dense_up_to_the_limit(limit, curvature_name, monkeypatch):
    monkeypatch.setattr(limits, "DENSE_PARAMS", limit)
    influence = NetworkInfluence(gradients_of("softmax"), DAMPING)
    assert influence.shape[1] == 43
    assert influence.curvature_name == curvature_name


def test_what_retraining_would_do_is_not_known():
    influence = NetworkInfluence(gradients_of("softmax"), DAMPING)
    drop = np.arange(30) < 9
    forecast = influence.forecast(drop)
    assert forecast.first_order == influence.measure(influence.first_order_step(drop))
    assert forecast.kept_hessian == influence.measure(influence.kept_step(drop))
    assert np.isnan(forecast.refitted) and np.isnan(influence.refitted_change(drop))


def test_a_network_whose_gradients_overflow_is_said_to_diverge():
    gradients = gradients_of("softmax")
    weighted_sum = gradients.weighted_sum
    gradients.weighted_sum = lambda W: weighted_sum(W) * np.inf
    with pytest.raises(ValueError, match="gradient must be finite"):
        NetworkInfluence(gradients, DAMPING)


def test_dropping_every_row_is_refused():
    influence = NetworkInfluence(gradients_of("softmax"), DAMPING)
    with pytest.raises(ValueError, match="removes all 30 rows"):
        influence.first_order_step(np.ones(30, bool))


class Odd(torch.nn.Module):
    """Layers that are executed on other rows, not as modules, or not at all."""

    def __init__(self):
        super().__init__()
        self.frames, self.bare = torch.nn.Conv1d(1, 2, 2), torch.nn.Linear(4, 3)
        self.unused, self.last = torch.nn.Linear(4, 3), torch.nn.Linear(7, 3)

    def forward(self, x):
        frames = self.frames(x.reshape(len(x) * 2, 1, 2)).reshape(len(x), -1)
        bare = torch.nn.functional.linear(x, self.bare.weight, self.bare.bias)
        return self.last(torch.cat([frames, torch.tanh(bare)], dim=1))


@pytest.mark.usefixtures("kronecker")
def test_layers_that_are_not_run_row_by_row_have_a_diagonal():
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        Odd().double(), criterion=torch.nn.CrossEntropyLoss, train_split=None, verbose=0
    ).initialize()
    gradients = NetworkGradients(net, X, y)
    parts = LayerCurvature(gradients, DAMPING).parts
    assert [type(part).__name__ for part in parts] == ["DiagonalCurvature"] * 3 + [
        "KroneckerCurvature"
    ]
    influence = NetworkInfluence(gradients, DAMPING)
    H, G = dense(gradients)
    drop = np.arange(30) < 12
    expected = np.linalg.solve(H, G[drop].sum(axis=0)) / 18
    np.testing.assert_allclose(influence.first_order_step(drop), expected, rtol=1e-6, atol=1e-8)
