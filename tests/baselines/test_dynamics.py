"""What is read at the end of an epoch, against autograd."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import Callback

from sklearn_prune import UnsupportedNetworkError
from sklearn_prune.baselines import EL2NPruner, ForgettingPruner, MoSoPruner
from sklearn_prune.baselines._dynamics import Epoch, record_epochs
from sklearn_prune.baselines._scored import ScoringJob
from sklearn_prune.networks import fit_network
from tests.baselines.scripted import scripted


def autograd_gradients(net, X, y):
    """Return the last layer's gradient of each row's loss, of shape (n_samples, n_params)."""
    module = net.module_.eval()
    head = [m for m in module.modules() if isinstance(m, torch.nn.Linear)][-1]
    rows = []
    for x, label in zip(X, y, strict=True):
        output = module(torch.as_tensor(x[None]))
        target = torch.as_tensor([label])
        loss = net.criterion_(output, target if output.shape[1] > 1 else target[:, None].float())
        gradient = torch.autograd.grad(loss, list(head.parameters()))
        rows.append(torch.cat([g.ravel() for g in gradient]).numpy())
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_gradients_are_those_of_autograd(iris, make_net, n_outputs):
    X, y = iris[0].astype(np.float32), iris[1]
    if n_outputs == 1:
        X, y = X[:100], y[:100]
        module = torch.nn.Linear(4, 1)
        net = NeuralNetBinaryClassifier(module, max_epochs=2, verbose=0).fit(
            X, y.astype(np.float32)
        )
    else:
        net = make_net().fit(X, y)
    gradients = autograd_gradients(net, X, y)
    epoch = Epoch(net, X, y)
    np.testing.assert_allclose(epoch.gradient_norm, np.linalg.norm(gradients, axis=1), rtol=1e-4)
    expected = gradients @ gradients.mean(axis=0)
    np.testing.assert_allclose(epoch.mean_gradient_product, expected, rtol=1e-3, atol=1e-4)


def test_features_are_what_enters_the_last_layer(iris, make_net):
    X, y = iris[0].astype(np.float32), iris[1]
    net = make_net().fit(X, y)
    features = Epoch(net, X, y).features
    assert features.shape == (150, 5)
    head = net.module_.head
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(logits, net.forward(X).numpy(), atol=1e-5)


def test_probabilities_are_the_networks(iris, make_net):
    X, y = iris[0].astype(np.float32), iris[1]
    net = make_net().fit(X, y)
    epoch = Epoch(net, X, y)
    p = net.predict_proba(X)
    np.testing.assert_allclose(epoch.probabilities, p, atol=1e-6)
    np.testing.assert_allclose(epoch.target_probability, p[np.arange(150), y], atol=1e-6)
    np.testing.assert_array_equal(epoch.is_correct, p.argmax(axis=1) == y)
    top_two = np.sort(p, axis=1)[:, -2:]
    by_hand = np.where(epoch.is_correct, top_two[:, 1], p[np.arange(150), y])
    by_hand -= np.where(epoch.is_correct, top_two[:, 0], top_two[:, 1])
    np.testing.assert_allclose(epoch.margin, by_hand, atol=1e-6)
    np.testing.assert_allclose(
        epoch.error_norm, np.linalg.norm(p - np.eye(3)[y], axis=1), atol=1e-6
    )


def test_a_single_output_stands_for_two_classes(iris):
    X, y = iris[0][:100].astype(np.float32), iris[1][:100]
    net = NeuralNetBinaryClassifier(torch.nn.Linear(4, 1), max_epochs=2, verbose=0)
    epoch = Epoch(net.fit(X, y.astype(np.float32)), X, y)
    np.testing.assert_allclose(epoch.probabilities, net.predict_proba(X), atol=1e-6)


def test_rows_are_read_in_their_order_however_the_training_shuffles():
    p_own = [[0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]]
    net, X, y = scripted(p_own, [0, 1] * 4, iterator_train__shuffle=True)
    scores = EL2NPruner(net, n_epochs=1, n_networks=1).fit(X, y).scores_
    np.testing.assert_allclose(scores, np.sqrt(2) * (1 - np.array(p_own[0])))


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_without_a_network_a_linear_one_learns(load):
    X, y = load(return_X_y=True)
    classes = np.unique(y)
    job = ScoringJob(None, X, y, classes, [], seed=0)
    correct = record_epochs(job, lambda epoch: epoch.is_correct)
    assert correct.shape == (30, len(y))
    # Better than the largest class, and better than at first.
    assert correct[-1].mean() > max(0.8, correct[0].mean())


def test_a_linear_regression_learns_whatever_the_unit_of_the_target():
    X, y = load_diabetes(return_X_y=True)
    best = 1 - LinearRegression().fit(X, y).score(X, y)
    for unit in (1, 1e3):
        job = ScoringJob(None, X, unit * y, None, [], seed=0)
        residual = record_epochs(job, lambda epoch: epoch.residual[:, 0])[-1]
        # The residual is twice the error, that of a standardised target.
        assert best < np.var(residual / 2) < 1.02 * best


class Watch(Callback):
    """Notes torch's random state at the start of each epoch."""

    seen: ClassVar[list[bytes]] = []

    def on_epoch_begin(self, net, **kwargs):
        self.seen.append(torch.random.get_rng_state().numpy().tobytes())


def test_reading_leaves_the_training_alone(iris, make_net):
    X, y = iris
    Watch.seen.clear()
    net = make_net(callbacks=[Watch()])
    ForgettingPruner(net, random_state=0).fit(X, y)
    first = list(Watch.seen)
    Watch.seen.clear()
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    fit_network(net, X, y, random_state=int(seed))
    assert first == Watch.seen != []


def test_a_network_that_is_trained_already_has_no_dynamics(iris, make_net):
    X, y = iris
    net = make_net().fit(X.astype(np.float32), y)
    with pytest.raises(ValueError, match="need a network to train, and a FrozenEstimator .* Give"):
        MoSoPruner(FrozenEstimator(net)).fit(X, y)


def test_disabled_callbacks_are_refused(iris, make_net):
    with pytest.raises(ValueError, match='callbacks="disable" forbids. Set callbacks=None'):
        ForgettingPruner(make_net(callbacks="disable")).fit(*iris)


def test_a_training_that_diverges_is_told(iris, make_net):
    X, y = iris
    with pytest.raises(ValueError, match="of 150 of 150 rows .* training .* Lower its lr"):
        EL2NPruner(make_net(lr=np.inf), n_epochs=2, n_networks=1).fit(X, y)


def test_a_criterion_without_probabilities_is_refused(iris):
    X, y = iris
    net = NeuralNetClassifier(
        torch.nn.Linear(4, 1), criterion=torch.nn.MSELoss, verbose=0, max_epochs=1
    )
    with pytest.raises(UnsupportedNetworkError, match="probability for each class.*Use CrossEntro"):
        ForgettingPruner(net).fit(X, y)
