import numpy as np
import pytest
from skorch import NeuralNetRegressor
from torch import nn

from sklearn_prune.networks import Checkpoints, fit_network

X = np.random.default_rng(0).standard_normal((12, 2)).astype(np.float32)


def weights(net):
    return net.module_.weight.detach().numpy().ravel().copy()


@pytest.mark.parametrize(
    ("n_checkpoints", "epochs"), [(1, []), (2, [3]), (3, [2, 4]), (6, range(1, 6))]
)
def test_copies_are_of_evenly_spaced_epochs_before_the_last(n_checkpoints, epochs):
    seen, checkpoints = [], Checkpoints(6, n_checkpoints)

    def on_epoch_end(net):
        seen.append(weights(net))
        checkpoints(net)

    net = NeuralNetRegressor(nn.Linear(2, 1), max_epochs=6, lr=0.1, verbose=0)
    fitted = fit_network(net, X, X[:, 0], random_state=0, on_epoch_end=on_epoch_end)
    assert len(seen) == 6
    assert len(checkpoints.networks) == len(epochs)
    for copied, epoch in zip(checkpoints.networks, epochs, strict=True):
        np.testing.assert_array_equal(weights(copied), seen[epoch - 1])
    # Nobody is called back any more.
    assert len(fitted.callbacks_) == len(
        NeuralNetRegressor(nn.Linear(2, 1)).initialize().callbacks_
    )
