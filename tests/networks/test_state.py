"""A network that is read is left as it was, and is read by one thread at a time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from sklearn_prune.influence import DenseNetworkCurvature, NetworkGradients, NetworkInfluence
from sklearn_prune.networks import read_head
from sklearn_prune.networks.state import left_as_found

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)).astype(np.float32)
Y = np.arange(60) % 3


class Remembering(nn.Module):
    """A module that fills a buffer which was None, and adds another."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.register_buffer("last", None)

    def forward(self, X):
        self.last = X.mean(dim=0)
        self.register_buffer("added", X.mean(dim=1))
        return self.head(X)


def frozen(module):
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, verbose=0, batch_size=16)
    net.initialize()
    net.module_.train()
    return net


def state(net):
    return {name: value.clone() for name, value in net.module_.state_dict().items()}


def read_all_layers(net):
    gradients = NetworkGradients(net, X, Y, layers="all")
    return NetworkInfluence(gradients, 1e-2).coordinates.Z


def read_last_layer(net):
    return read_head(net, X, Y).design


@pytest.mark.parametrize("read", [read_last_layer, read_all_layers])
@pytest.mark.parametrize("parametrize", [spectral_norm, weight_norm, orthogonal])
def test_a_parametrized_head_in_training_mode_is_read_without_moving_it(parametrize, read):
    torch.manual_seed(0)
    net = frozen(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), parametrize(nn.Linear(5, 3))))
    with torch.no_grad():
        # Moved, so that a power iteration would move the buffers.
        for parameter in net.module_[-1].parameters():
            parameter.add_(torch.randn_like(parameter))
    before, probabilities = state(net), net.predict_proba(X)
    net.module_.train()
    read(net)
    assert net.module_.training
    for name, value in state(net).items():
        assert torch.equal(value, before[name]), name
    np.testing.assert_array_equal(net.predict_proba(X), probabilities)


def test_buffers_that_were_none_or_not_there_are_so_again():
    net = frozen(Remembering())
    read_head(net, X, Y)
    assert net.module_.last is None
    assert not hasattr(net.module_, "added")


def test_a_network_is_in_evaluation_mode_while_it_is_held():
    net = frozen(nn.Sequential(nn.Linear(4, 3)))
    with left_as_found(net):
        assert not net.module_.training
    assert net.module_.training


@pytest.mark.parametrize("read", [read_last_layer, read_all_layers])
def test_a_network_that_several_threads_read_is_read_as_by_one(read):
    torch.manual_seed(0)
    net = frozen(nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, 3)))
    expected = read(net)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: read(net), range(12)):
            np.testing.assert_array_equal(found, expected)
    assert net.module_.training
    assert not any(module._forward_hooks for module in net.module_.modules())


def test_a_pass_that_is_broken_off_gives_the_network_free(monkeypatch):
    def fail(*args):
        raise MemoryError

    net = frozen(nn.Sequential(nn.Linear(4, 3)))
    monkeypatch.setattr(DenseNetworkCurvature, "coordinates", fail)
    # Kept, with all frames that the error went through.
    with pytest.raises(MemoryError) as kept:
        read_all_layers(net)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(read_last_layer, net).result(timeout=30).shape == (60, 5)
    assert kept.traceback
    assert net.module_.training
