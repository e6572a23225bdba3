"""An interrupt interrupts, and a callback that stops training early stops it."""

import pickle
import signal

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import ForgettingPruner, HerdingPruner
from sklearn_prune.networks import fit_network

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)).astype(np.float32)
Y = np.arange(60) % 3
N_EPOCHS = 30


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 3))


def net(*callbacks, **options):
    options = {"max_epochs": N_EPOCHS, "verbose": 0, "batch_size": 20, **options}
    return NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, callbacks=list(callbacks), **options
    )


class Once(Callback):
    """Does something once, in the middle of the fourth epoch of the first network."""

    done = False

    def on_batch_end(self, net, training=False, **kwargs):
        if len(net.history) == 4 and training and not type(self).done:
            type(self).done = True
            self.act()


class PressCtrlC(Once):
    def act(self):
        signal.raise_signal(signal.SIGINT)


class TimerRings(Once):
    def act(self):
        def interrupt(number, frame):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.raise_signal(signal.SIGALRM)
        finally:
            signal.signal(signal.SIGALRM, before)


class StopMyself(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 5:
            raise KeyboardInterrupt


@pytest.fixture(params=[PressCtrlC, TimerRings])
def interrupt(request):
    request.param.done = False
    # A process that a shell starts in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield request.param()
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_passes_and_a_fit_after_it_trains_to_the_end(interrupt):
    with pytest.raises(KeyboardInterrupt):
        fit_network(net(interrupt), X, Y, random_state=0)
    assert interrupt.done
    assert len(fit_network(net(interrupt), X, Y, random_state=0).history) == N_EPOCHS


@pytest.mark.parametrize("make", [InfluencePruner, HerdingPruner, ForgettingPruner])
def test_an_interrupt_leaves_every_pruner_as_it_was(make, interrupt):
    pruner = make(net(interrupt))
    before = dict(vars(pruner))
    with pytest.raises(KeyboardInterrupt):
        pruner.fit(X, Y)
    assert vars(pruner) == before


def test_a_memory_keeps_nothing_half_trained(interrupt, tmp_path):
    pruner = InfluencePruner(net(interrupt), memory=str(tmp_path), random_state=0, damping=1e-2)
    with pytest.raises(KeyboardInterrupt):
        pruner.fit(X, Y)
    assert not list(tmp_path.rglob("*.pkl"))
    assert len(pruner.fit(X, Y).estimator_.history) == N_EPOCHS


@pytest.mark.parametrize(
    ("callback", "n_epochs"),
    [(EarlyStopping(monitor="train_loss", patience=3, threshold=10), 4), (StopMyself(), 5)],
)
def test_a_callback_that_stops_training_early_stops_it(callback, n_epochs):
    assert len(fit_network(net(callback), X, Y, random_state=0).history) == n_epochs


class PickleEachEpoch(Callback):
    def on_epoch_end(self, net, **kwargs):
        self.pickled = pickle.dumps(net)


def test_a_network_that_is_pickled_in_training_trains_on_and_leaves_no_trace():
    fitted = fit_network(net(PickleEachEpoch(), max_epochs=2), X, Y, random_state=0)
    assert "fit_loop" not in vars(fitted)
    loaded = pickle.loads(dict(fitted.callbacks_)["PickleEachEpoch"].pickled)
    loaded.partial_fit(X, Y)
    assert len(loaded.history) == 4
    assert torch.isfinite(loaded.module_[0].weight).all()
