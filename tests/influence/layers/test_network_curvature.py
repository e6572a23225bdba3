"""Kronecker factors of single layers against their Gauss-Newton matrices."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor

from sklearn_prune.influence import LayerCurvature, NetworkGradients
from sklearn_prune.influence.layers.network_curvature import by_position
from tests.influence.networks import CLASS_WEIGHT, CRITERIA, fitted

DAMPING = 0.05


def test_one_rows_factors_are_its_gauss_newton_matrix():
    # Squared error of one output: C is a number, so that even the pseudo-label's square is exact
    # but for its random length, which the eigenvalues are divided by.
    net, X, y = fitted("binary")
    gradients = NetworkGradients(net, X[:1], y[:1], layers=["2.*"])
    layer = LayerCurvature(gradients, DAMPING)
    H = gradients.gauss_newton().numpy()
    factored = np.linalg.inv(layer.solve(torch.eye(6, dtype=torch.float64)).numpy())
    factored -= DAMPING * np.eye(6)
    np.testing.assert_allclose(factored / np.trace(factored), H / np.trace(H), atol=1e-10)


def test_many_pseudo_labels_give_the_factors_of_a_linear_layer():
    net, X, y = fitted("regression", n=4000)
    gradients = NetworkGradients(net, X, y, layers=["2.*"])
    layer = LayerCurvature(gradients, DAMPING)
    solved = layer.solve(torch.eye(gradients.n_params, dtype=torch.float64))
    # C is the same for all rows of a squared error, so the Kronecker product is H itself.
    H = gradients.gauss_newton().numpy() + DAMPING * np.eye(gradients.n_params)
    np.testing.assert_allclose(np.linalg.inv(solved), H, atol=0.08 * H.max())


@pytest.mark.parametrize(
    "criterion",
    [
        torch.nn.CrossEntropyLoss(),
        torch.nn.CrossEntropyLoss(CLASS_WEIGHT, label_smoothing=0.3),
        *CRITERIA.values(),
    ],
)
def test_noise_has_the_covariance_of_the_outputs_curvature(criterion):
    net, X, y = fitted("softmax", criterion=criterion)
    # Of one class, or the factors of the classes' curvature could cancel in the sum.
    rows = np.repeat(np.flatnonzero(y == 0), 400)
    gradients = NetworkGradients(net, X[rows], y[rows], layers=["2.bias", "0.weight"])
    # The diagonal of a bias: sum of squares of noise, whose mean is the diagonal of C.
    estimate = LayerCurvature(gradients, 0.0).parts[1].spectrum
    expected = np.diag(gradients.gauss_newton())[-3:]
    np.testing.assert_allclose(estimate, expected, rtol=0.1)


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(2, 3, (2, 3), stride=(1, 2), padding=(1, 0), dilation=(2, 1)),
        torch.nn.Conv1d(2, 3, 2, stride=2, padding=1),
        torch.nn.Linear(6, 3),
    ],
)
def test_a_layers_output_is_its_weight_times_what_lies_under_it(layer):
    torch.manual_seed(0)
    shape = {4: (5, 2, 6, 7), 3: (5, 2, 9), 2: (5, 4, 6)}[layer.weight.ndim]
    x = torch.randn(shape)
    output = layer(x)
    inputs, outputs = by_position(layer, x, output)
    expected = inputs @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(outputs, expected)


def test_independent_patches_give_the_factors_of_a_convolution():
    rng = np.random.default_rng(0)
    # Kernels that do not overlap on numbers without correlation, and a mean over positions.
    X, y = rng.standard_normal((4000, 1, 6)), rng.standard_normal((4000, 2))
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(1, 2, 2, stride=2, bias=False), torch.nn.AvgPool1d(3), torch.nn.Flatten()
    ).double()
    net = NeuralNetRegressor(module, train_split=None, verbose=0).initialize()
    gradients = NetworkGradients(net, X, y)
    solved = LayerCurvature(gradients, DAMPING).solve(torch.eye(4, dtype=torch.float64))
    H = gradients.gauss_newton().numpy() + DAMPING * np.eye(4)
    np.testing.assert_allclose(np.linalg.inv(solved), H, atol=0.08 * H.max())


def test_a_convolution_with_one_position_has_the_factors_of_a_linear_layer():
    X = np.random.default_rng(0).standard_normal((20, 1, 2, 3))
    y = np.arange(20) % 3
    torch.manual_seed(0)
    first, last = torch.nn.Conv2d(1, 4, (2, 3)), torch.nn.Linear(4, 3)
    same = torch.nn.Linear(6, 4)
    same.weight.data, same.bias.data = first.weight.data.flatten(1), first.bias.data
    solutions = []
    for layers in ([first, torch.nn.Flatten()], [torch.nn.Flatten(), same]):
        module = torch.nn.Sequential(*layers, torch.nn.Tanh(), last).double()
        net = NeuralNetClassifier(
            module, criterion=torch.nn.CrossEntropyLoss, train_split=None, verbose=0
        ).initialize()
        gradients = NetworkGradients(net, X, y)
        B = torch.eye(gradients.n_params, dtype=torch.float64)
        solutions.append(LayerCurvature(gradients, DAMPING).solve(B))
    torch.testing.assert_close(*solutions)
