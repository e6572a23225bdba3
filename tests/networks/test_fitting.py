"""What becomes of the rows that a network would hold out, and of callbacks that watch them."""

import numpy as np
import pytest
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, EarlyStopping, LRScheduler
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch import nn

from sklearn_prune import InfluencePruner, UnsupportedNetworkError
from sklearn_prune.networks import fit_network

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)).astype(np.float32)
Y = np.arange(60) % 3


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
        fit_network(net(train_split=split, callbacks=[WATCHING[name]()]), X, Y, random_state=0)


@pytest.mark.parametrize("name", WATCHING)
def test_rows_of_their_own_are_validated_on(name, tmp_path):
    split = predefined_split(Dataset(X[:20] + 1, Y[:20]))
    callback = WATCHING[name]()
    if name == "checkpoint":
        callback.set_params(dirname=tmp_path)
    fitted = fit_network(net(train_split=split, callbacks=[callback]), X, Y, random_state=0)
    assert "valid_loss" in fitted.history[-1]
    assert fitted.get_split_datasets(X, Y)[0][0][0].shape == (4,)


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
        fit_network(network, X, Y, random_state=0)


def test_a_memory_tells_apart_what_networks_validate_on(tmp_path):
    def train(validated):
        split = predefined_split(Dataset(validated, Y[:20]))
        stop = EarlyStopping(patience=2, load_best=True)
        network = net(train_split=split, callbacks=[stop], max_epochs=40, lr=0.5)
        pruner = InfluencePruner(network, memory=str(tmp_path), random_state=0, damping=1e-2)
        return len(pruner.fit(X, Y).estimator_.history)

    assert train(X[:20]) != train(-X[:20])
