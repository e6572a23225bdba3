"""Pruning with losses beyond plain cross-entropy and squared error."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.losses import NonConvexLossWarning

RNG = np.random.default_rng(0)
N = 120
X = RNG.standard_normal((N, 4)).astype(np.float32)
SCORES = X @ RNG.standard_normal((4, 3)) + RNG.logistic(size=(N, 3))
LABELS = (SCORES > 0.5).astype(int)
CODES = SCORES.argmax(axis=1)
COUNTS = RNG.poisson(np.exp(X[:, 0] / 2))
WEIGHT = [0.2, 1.0, 3.0]


class Bounded(nn.Module):
    """Generalized cross-entropy, the mean of ``(1 - p_y^0.7) / 0.7``, which is not convex."""

    def forward(self, outputs, target):
        p = outputs.softmax(dim=1).gather(1, target[:, None])[:, 0]
        return ((1 - p**0.7) / 0.7).mean()


def linear(criterion, n_outputs, kind=NeuralNet, **options):
    torch.manual_seed(0)
    options = {"max_epochs": 1, "verbose": 0, "train_split": None, "lr": 0.01, **options}
    module = nn.Linear(4, n_outputs)
    return kind(module, criterion=criterion, **options)


def frozen(criterion, y, n_outputs, **options):
    return FrozenEstimator(linear(criterion, n_outputs, **options).fit(X, y))


def fitted(estimator, y, **options):
    options = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0, "time_limit": 5, **options}
    return InfluencePruner(estimator, **options).fit(X, y)


@pytest.mark.parametrize(
    ("kind", "y"), [(NeuralNet, LABELS), (NeuralNetClassifier, LABELS), (NeuralNet, LABELS * 0.9)]
)
def test_several_labels_a_row(kind, y):
    pruner = fitted(linear(nn.BCEWithLogitsLoss, 3, kind), y)
    certificate = pruner.certificate_
    assert pruner.support_.sum() == N // 2
    assert not hasattr(pruner, "classes_")
    assert certificate.predicted_change < 0.02 * certificate.random_change
    assert certificate.actual_change < 0.1 * certificate.random_change
    assert pruner.prune(y).shape == (N // 2, 3)


def test_several_labels_a_row_are_several_logistic_regressions():
    pruner = fitted(frozen(nn.BCEWithLogitsLoss, LABELS.astype(np.float32), 3), LABELS)
    theta = pruner.influence_.theta
    for column, (*weight, bias) in zip(LABELS.T, theta, strict=True):
        # The bias is damped as well: it is the weight of a column of ones.
        ones = np.column_stack([X, np.ones(N)])
        # A third of the loss, so three times the penalty.
        oracle = LogisticRegression(C=1 / (3 * 1e-2 * N), fit_intercept=False, tol=1e-10)
        expected = oracle.fit(ones, column).coef_[0]
        np.testing.assert_allclose([*weight, bias], expected, atol=1e-5)


def test_class_weights_act_as_weights_of_rows():
    weighted = fitted(frozen(nn.CrossEntropyLoss(torch.tensor(WEIGHT)), CODES, 3), CODES)
    net = weighted.estimator_
    net = FrozenEstimator(net.set_params(criterion=nn.CrossEntropyLoss()))
    options = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0, "time_limit": 5}
    by_rows = InfluencePruner(net, **options)
    by_rows.fit(X, CODES, sample_weight=np.float32(WEIGHT)[CODES])
    # Row weights are normalised to mean 1, which float32 rounds.
    np.testing.assert_allclose(by_rows.influence_norms_, weighted.influence_norms_, rtol=1e-6)
    np.testing.assert_array_equal(by_rows.support_, weighted.support_)
    np.testing.assert_array_equal(by_rows.select(tolerance=0.01), weighted.select(tolerance=0.01))


def test_class_weights_multiply_sample_weights():
    net = frozen(nn.CrossEntropyLoss(torch.tensor(WEIGHT)), CODES, 3)
    weights = RNG.uniform(0.5, 2, N)
    pruner = InfluencePruner(net, random_state=0, damping=1e-2, time_limit=5)
    pruner.fit(X, CODES, sample_weight=weights)
    ones = np.column_stack([X, np.ones(N)])
    weights = weights * np.float32(WEIGHT)[CODES]
    oracle = LogisticRegression(C=1 / (1e-2 * weights.sum()), fit_intercept=False, tol=1e-10)
    expected = oracle.fit(ones, CODES, sample_weight=weights).coef_
    np.testing.assert_allclose(pruner.influence_.theta, expected, atol=1e-5)


def test_counts_are_scikit_learns_poisson_regression():
    y = COUNTS.astype(np.float32)[:, None]
    pruner = fitted(frozen(nn.PoissonNLLLoss, y, 1), COUNTS, damping=0.1)
    ones = np.column_stack([X, np.ones(N)])
    oracle = PoissonRegressor(alpha=0.1, fit_intercept=False, tol=1e-10, max_iter=1000)
    np.testing.assert_allclose(
        pruner.influence_.theta[0], oracle.fit(ones, COUNTS).coef_, atol=1e-6
    )
    certificate = pruner.certificate_
    assert certificate.actual_change < 0.1 * certificate.random_change


@pytest.mark.parametrize("criterion", [nn.HuberLoss, nn.SmoothL1Loss(reduction="sum")])
def test_errors_that_are_cut_off(criterion):
    pruner = fitted(linear(criterion, 3, NeuralNetRegressor), SCORES, norm="parameter")
    certificate = pruner.certificate_
    assert certificate.gradient_norm < 1e-8
    assert certificate.actual_change < certificate.random_change


def test_a_criterion_that_is_not_convex_warns_and_works():
    wrong = np.where(np.arange(N) % 10, CODES, (CODES + 1) % 3)
    with pytest.warns(NonConvexLossWarning, match=r"smallest curvature .* damping=0\.01"):
        pruner = fitted(linear(Bounded, 3), wrong)
    certificate = pruner.certificate_
    assert certificate.gradient_norm < 1e-8
    assert certificate.predicted_change < certificate.random_change
    again = pickle.loads(pickle.dumps(pruner))
    np.testing.assert_array_equal(again.select(prune_ratio=0.3), pruner.select(prune_ratio=0.3))


class Stateful(nn.Module):
    """Dropout, batch norm, and a buffer that counts calls."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(6, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, X):
        self.calls += 1
        return self.head(self.hidden(X))


def state_of(net):
    """Return all that a network is, and every generator of random numbers."""
    module, criterion = net.module_, net.criterion_
    tensors = {**module.state_dict(), **criterion.state_dict(prefix="criterion.")}
    return {
        **{name: value.clone() for name, value in tensors.items()},
        **{
            f"gradient of {name}": None if p.grad is None else p.grad.clone()
            for name, p in module.named_parameters()
        },
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "training": [m.training for m in [*module.modules(), *criterion.modules()]],
        "hooks": [len(m._forward_hooks) for m in module.modules()],
        "history": len(net.history),
        "torch": torch.get_rng_state(),
        "numpy": str(np.random.get_state()),
        "python": random.getstate(),
    }


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize(
    ("criterion", "y"),
    [
        (nn.CrossEntropyLoss(torch.tensor(WEIGHT), label_smoothing=0.1), CODES),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(WEIGHT)), LABELS.astype(np.float32)),
        (Bounded(), CODES),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn_prune.losses.NonConvexLossWarning")
def test_the_users_network_is_never_changed(criterion, y, freeze):
    torch.manual_seed(0)
    net = NeuralNet(Stateful, criterion=criterion, max_epochs=2, verbose=0, train_split=None)
    net.fit(X, y)
    net.module_.train()
    net.module_.hidden[3].eval()
    net.module_.hidden[0].weight.requires_grad_(False)
    before = state_of(net)
    fitted(FrozenEstimator(net) if freeze else net, y)
    after = state_of(net)
    assert after.keys() == before.keys()
    for name, value in before.items():
        if torch.is_tensor(value):
            assert torch.equal(after[name], value), name
        else:
            assert after[name] == value, name
