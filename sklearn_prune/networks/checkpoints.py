"""Progress of a training network, told from inside it, and how it was on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from .state import copy_with


class _EpochTeller(Callback):
    """Call back after each epoch, with the network as it then is."""

    def __init__(self, tell: Callable[[NeuralNet], None]) -> None:
        self.tell = tell

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        self.tell(net)

    def __getstate__(self) -> dict[str, Any]:
        # A checkpoint pickles all callbacks, and what is told may hold anything.
        return {"tell": _nobody}


def _nobody(net: NeuralNet) -> None:
    """Hear of an epoch and do nothing."""


@contextmanager
def tells_of_epochs(net: NeuralNet, tell: Callable[[NeuralNet], None] | None) -> Iterator[None]:
    """Have a network that is fitted inside tell of its epochs, and leave no trace of that on it."""
    asked = net.callbacks
    if tell is None or asked == "disable":
        yield
        return
    net.set_params(callbacks=[*(asked or ()), _EpochTeller(tell)])
    try:
        yield
    finally:
        net.callbacks = asked
    net.callbacks_ = [pair for pair in net.callbacks_ if not isinstance(pair[1], _EpochTeller)]


class Checkpoints:
    """Keep a network as it was at evenly spaced epochs, to be called after each of them.

    Parameters
    ----------
    n_epochs : int
        Epochs that training takes if nothing ends it early.
    n_checkpoints : int
        Moments to look at. The last of them is the end of training, which needs no copy.

    Attributes
    ----------
    networks : list of skorch.NeuralNet
        Copies for reading: they share all but the module with the network in training.
    """

    def __init__(self, n_epochs: int, n_checkpoints: int) -> None:
        self._epochs = {-(-n_epochs * j // n_checkpoints) for j in range(1, n_checkpoints)}
        self._n_seen = 0
        self.networks: list[NeuralNet] = []

    def __call__(self, net: NeuralNet) -> None:
        """Count an epoch, and copy the network where its turn has come."""
        self._n_seen += 1
        if self._n_seen in self._epochs:
            module = copy.deepcopy(net.module_)
            kept = copy_with(net, module_=module, callbacks=None, callbacks_=[])
            # Of the network in training.
            vars(kept).pop("fit_loop", None)
            self.networks.append(kept)
