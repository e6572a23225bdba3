"""Blocks of Linear layers against products of Jacobians, and when Jacobians are needed."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional

from sklearn_prune.influence import NetworkGradients
from sklearn_prune.influence.layers.linear_gauss_newton import gauss_newton, linear_gauss_newton
from tests.influence.networks import fitted


class Twice(nn.Module):
    """A layer that is called twice, or whose weight is used a second time beside it."""

    def __init__(self, by_function=False):
        super().__init__()
        self.by_function = by_function
        self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, X):
        hidden = torch.tanh(self.inner(X))
        again = functional.linear(hidden, self.inner.weight)
        return self.outer(torch.tanh(again if self.by_function else self.inner(hidden)))


class Positions(nn.Module):
    """A layer that works on two positions of each row, or on two rows made of each."""

    def __init__(self, folded=False):
        super().__init__()
        self.shape = (-1, 2) if folded else (-1, 2, 2)
        self.inner, self.outer = nn.Linear(2, 3), nn.Linear(6, 3)

    def forward(self, X):
        return self.outer(torch.tanh(self.inner(X.reshape(self.shape))).reshape(len(X), -1))


class Idle(nn.Module):
    """A layer whose output counts for nothing."""

    def __init__(self):
        super().__init__()
        self.idle, self.outer = nn.Linear(4, 2), nn.Linear(4, 3, bias=False)

    def forward(self, X):
        self.idle(X)
        return self.outer(X)


def network(module, dtype=torch.float64, **options):
    rng = np.random.default_rng(0)
    X = torch.as_tensor(rng.standard_normal((30, 4))).to(dtype).numpy()
    y = np.arange(30) % 3
    net = NeuralNetClassifier(
        module.to(dtype), criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0
    ).fit(X, y)
    return NetworkGradients(net, X, y, **options)


def both(gradients):
    return linear_gauss_newton(gradients), gradients.gauss_newton()


def mlp():
    return nn.Sequential(
        nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 3)
    )


@pytest.mark.parametrize("layers", ["all", ["0.*", "4.*"], ["0.weight", "2.*"]])
@pytest.mark.parametrize("memory_budget", [2**12, 2**28])
def test_blocks_of_linear_layers_are_those_of_the_jacobians(layers, memory_budget):
    gradients = network(mlp(), layers=layers, memory_budget=memory_budget)
    blocks, expected = both(gradients)
    np.testing.assert_allclose(blocks, expected, atol=1e-13)
    np.testing.assert_array_equal(gauss_newton(gradients), blocks)


def test_blocks_of_a_network_in_single_precision_are_taken():
    gradients = network(mlp(), torch.float32)
    blocks, expected = both(gradients)
    assert blocks.dtype == torch.float64
    np.testing.assert_allclose(blocks, expected, atol=1e-7)
    np.testing.assert_array_equal(gauss_newton(gradients), blocks)


def test_a_layer_that_counts_for_nothing_has_no_curvature():
    gradients = network(Idle())
    blocks, _ = both(gradients)
    assert not blocks[:10].any()
    assert blocks[10:, 10:].any()


@pytest.mark.parametrize("module", [Twice(), Positions(), Positions(folded=True)])
def test_layers_called_twice_or_on_positions_need_jacobians(module):
    gradients = network(module)
    blocks, expected = both(gradients)
    assert blocks is None
    np.testing.assert_array_equal(gauss_newton(gradients), expected)


def test_parameters_outside_of_linear_layers_need_jacobians():
    net, X, y = fitted("convolution")
    gradients = NetworkGradients(net, X, y)
    assert both(gradients)[0] is None


def test_a_weight_with_a_use_beside_its_layer_is_noticed():
    gradients = network(Twice(by_function=True))
    blocks, expected = both(gradients)
    assert not np.allclose(blocks, expected)
    np.testing.assert_array_equal(gauss_newton(gradients), expected)
