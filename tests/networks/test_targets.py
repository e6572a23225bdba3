import numpy as np
import pytest
from skorch import NeuralNetRegressor
from torch import nn

from sklearn_prune.losses import SoftmaxCrossEntropy, SquaredError, TorchLoss
from sklearn_prune.networks import UnsupportedNetworkError, head_targets, linear_network
from sklearn_prune.networks.targets import cast_target

CODES, NUMBERS = np.array([0, 2, 1]), np.array([0.5, -1.0, 2.0])


@pytest.fixture(scope="module")
def net():
    return NeuralNetRegressor(nn.Linear(4, 1), verbose=0).initialize()


@pytest.mark.parametrize(
    ("loss", "y", "tail", "shape", "dtype"),
    [
        (SoftmaxCrossEntropy(), CODES, (3,), (3,), np.int64),
        (SquaredError(), NUMBERS, (1,), (3, 1), np.float32),
        (SquaredError(), NUMBERS, (), (3,), np.float32),
        (SquaredError(), NUMBERS[:, None], (), (3,), np.float32),
        (TorchLoss(nn.CrossEntropyLoss()), CODES, (3,), (3,), np.int64),
        (TorchLoss(nn.SoftMarginLoss()), CODES, (1,), (3, 1), np.float32),
    ],
)
def test_targets_have_the_shape_that_the_criterion_compares(net, loss, y, tail, shape, dtype):
    target = cast_target(net, loss, y, tail)
    assert (target.shape, target.dtype) == (shape, dtype)
    np.testing.assert_array_equal(target.ravel(), y.ravel())


def test_the_heads_numbers_have_a_column_for_each_output(net):
    np.testing.assert_array_equal(head_targets(net, SquaredError(), NUMBERS, 1), NUMBERS[:, None])
    with pytest.raises(UnsupportedNetworkError, match="2 outputs and y has 1 columns"):
        head_targets(net, SquaredError(), NUMBERS, 2)
    with pytest.raises(UnsupportedNetworkError, match="2 outputs for 3 classes"):
        head_targets(net, SoftmaxCrossEntropy(), CODES, 2)


def test_of_the_linear_network_they_are_standardised():
    X, y = np.random.default_rng(0).standard_normal((2, 30, 1))
    targets = head_targets(linear_network("regression", X, y), SquaredError(), y, 1)
    np.testing.assert_allclose(targets, (y - y.mean()) / y.std())
