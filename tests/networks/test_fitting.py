"""Networks are cloned and fitted on all rows, and what cannot be read is refused before that."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Checkpoint, EarlyStopping, LRScheduler
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch import nn

from sklearn_prune import InfluencePruner, UnsupportedNetworkError
from sklearn_prune.networks import fit_network, read_head
from tests.networks.modules import (
    BINARY,
    CODES,
    REAL,
    RNG,
    Convolution,
    Lookup,
    Sequence,
    Squeezed,
    Tail,
    Twice,
    X,
    network,
)


def net(**options):
    options = {"max_epochs": 3, "verbose": 0, **options}
    return NeuralNetClassifier(
        nn.Sequential(nn.Linear(4, 3)), criterion=nn.CrossEntropyLoss, **options
    )


WATCHING = {
    "early stopping": lambda: EarlyStopping(),
    "checkpoint": lambda: Checkpoint(dirname="unused"),
    "scheduler": lambda: LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
    "accuracy": lambda: EarlyStopping(monitor="valid_acc", lower_is_better=False),
}


@pytest.mark.parametrize("name", WATCHING)
@pytest.mark.parametrize("split", [ValidSplit(5), ValidSplit(0.1)])
def test_a_callback_that_watches_rows_held_out_is_told_that_there_are_none(name, split):
    with pytest.raises(UnsupportedNetworkError, match="trains on all rows.*train_loss.*predefined"):
        fit_network(net(train_split=split, callbacks=[WATCHING[name]()]), X, CODES, random_state=0)


@pytest.mark.parametrize("name", WATCHING)
def test_rows_of_their_own_are_validated_on(name, tmp_path):
    split = predefined_split(Dataset(X[:20] + 1, CODES[:20]))
    callback = WATCHING[name]()
    if name == "checkpoint":
        callback.set_params(dirname=tmp_path)
    fitted = fit_network(net(train_split=split, callbacks=[callback]), X, CODES, random_state=0)
    assert "valid_loss" in fitted.history[-1]
    assert fitted.get_split_datasets(X, CODES)[0][0][0].shape == (4,)


def test_an_error_of_ones_own_stays_what_it_is():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, X):
            if self.training:
                raise KeyError("mine")
            return self.head(X)

    network = NeuralNetClassifier(
        Failing, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    )
    with pytest.raises(KeyError, match="mine"):
        fit_network(network, X, CODES, random_state=0)


def test_a_memory_tells_apart_what_networks_validate_on(tmp_path):
    def train(validated):
        split = predefined_split(Dataset(validated, CODES[:20]))
        stop = EarlyStopping(patience=2, load_best=True)
        network = net(train_split=split, callbacks=[stop], max_epochs=40, lr=0.5)
        pruner = InfluencePruner(network, memory=str(tmp_path), random_state=0, damping=1e-2)
        return len(pruner.fit(X, CODES).estimator_.history)

    assert train(X[:20]) != train(-X[:20])


def parameters(net):
    return torch.cat([p.detach().ravel() for p in net.module_.parameters()])


def test_an_unfitted_network_is_cloned_and_fitted_on_all_rows():
    estimator = network(train_split=NeuralNetClassifier(Tail).train_split)
    net = fit_network(estimator, X, CODES, random_state=0)
    assert net is not estimator
    assert not estimator.initialized_
    assert net.train_split is None
    assert "valid_loss" not in net.history[-1]


def test_same_seed_same_network_and_the_users_generator_is_left_alone():
    estimator = network(Lookup)
    words = RNG.integers(10, size=(50, 2))
    torch.manual_seed(1)
    first = fit_network(estimator, words, CODES, random_state=5)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = fit_network(estimator, words, CODES, random_state=5)
    assert torch.equal(parameters(first), parameters(second))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(
        parameters(first), parameters(fit_network(estimator, words, CODES, random_state=6))
    )


def test_a_fitted_network_is_refitted_unless_frozen():
    net = network().fit(X, CODES.astype(np.int64))
    before = parameters(net).clone()
    assert fit_network(net, X, CODES, random_state=0) is not net
    assert fit_network(FrozenEstimator(net), X, CODES) is net
    assert torch.equal(parameters(net), before)


def test_a_frozen_network_that_was_never_fitted_is_refused():
    with pytest.raises(NotFittedError):
        fit_network(FrozenEstimator(network()), X, CODES)


@pytest.mark.parametrize(
    ("kind", "criterion", "module", "y"),
    [
        (NeuralNetRegressor, nn.MSELoss, Tail, REAL),
        (NeuralNetRegressor, nn.MSELoss, Squeezed, REAL),
        (NeuralNetRegressor, nn.MSELoss, Squeezed, REAL[:, None]),
        (NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss, Tail, BINARY),
        (NeuralNet, nn.BCEWithLogitsLoss, Tail, BINARY),
        (NeuralNet, nn.BCEWithLogitsLoss, Squeezed, BINARY),
    ],
)
def test_targets_get_the_shape_and_dtype_of_the_output(kind, criterion, module, y, recwarn):
    estimator = network(module, criterion, kind, module__n_outputs=1)
    net = fit_network(estimator, X.astype(np.float64), y, random_state=0)
    assert read_head(net, X, y).targets.shape == (50, 1)
    assert not [w for w in recwarn if "target size" in str(w.message)]


def test_csr_is_fitted_as_dense_is():
    dense = (X * (X > 0.5)).astype(np.float64)
    expected = parameters(fit_network(network(), dense, CODES, random_state=0))
    for container in (sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix):
        net = fit_network(network(), container(dense), CODES, random_state=0)
        torch.testing.assert_close(parameters(net), expected)


def test_several_targets():
    y = RNG.standard_normal((50, 2))
    estimator = network(criterion=nn.MSELoss, kind=NeuralNetRegressor, module__n_outputs=2)
    head = read_head(fit_network(estimator, X, y, random_state=0), X, y)
    np.testing.assert_array_equal(head.targets, y)


def test_a_module_that_a_callback_completes_is_fitted():
    from skorch.callbacks import Callback

    class SetWidth(Callback):
        def on_train_begin(self, net, X=None, y=None, **kwargs):
            net.set_params(module__hidden=nn.Linear(X.shape[1], 5))

    estimator = network(module__hidden=nn.Linear(99, 5), callbacks=[SetWidth()])
    assert read_head(fit_network(estimator, X, CODES, random_state=0), X, CODES).has_bias


# What cannot be read, found before any training


@pytest.mark.parametrize(
    ("estimator", "y", "message"),
    [
        (network(module__tail=nn.ReLU()), CODES, "other layers or operations follow"),
        (network(module__tail=nn.MaxPool1d(3)), CODES, "other layers or operations follow"),
        (network(module__tail=nn.Softmax(dim=1)), CODES, "receives the softmax.*needs its ident"),
        (network(criterion=nn.NLLLoss), CODES, "receives the identity.*needs its softmax"),
        (network(Convolution), CODES, "No torch.nn.Linear was executed.*of Conv1d, Convolution"),
        (network(Twice, module__n_outputs=5), CODES, "called 2 times"),
        (network(Sequence), CODES, r"input of shape \(8, 1, 5\)"),
        (network(), np.arange(50) // 10, "3 outputs for 5 classes"),
        (
            network(criterion=nn.MSELoss, kind=NeuralNetRegressor),
            REAL,
            "3 outputs and y has 1 columns",
        ),
        (network(criterion__ignore_index=2), CODES, "ignores the class 2 of 16 rows"),
        (
            network(Tail, nn.BCEWithLogitsLoss, NeuralNet, module__n_outputs=1),
            BINARY + 1,
            r"targets in \[0, 1\]; 25 values of y are outside, the first is 2",
        ),
        (network(iterator_valid__shuffle=True), CODES, "shuffles the rows"),
    ],
)
def test_what_cannot_be_read_is_refused_before_training(estimator, y, message, monkeypatch):
    monkeypatch.setattr(NeuralNet, "fit_loop", None)
    with pytest.raises(UnsupportedNetworkError, match=message):
        fit_network(estimator, X, y, random_state=0)
