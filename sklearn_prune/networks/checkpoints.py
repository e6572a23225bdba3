"""A callback after each epoch of training, and copies of the network on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skorch import NeuralNet
from skorch.callbacks import Callback

from .state import copy_with


class _EpochTeller(Callback):
    """Call back after each epoch with the network."""

    def __init__(self, tell: Callable[[NeuralNet], None]) -> None:
        self.tell = tell

    def on_epoch_end(self, net: NeuralNet, **kwargs: object) -> None:
        self.tell(net)

    def __getstate__(self) -> dict[str, Callable[[NeuralNet], None]]:
        # A checkpoint pickles all callbacks, and `tell` may refer to anything.
        return {"tell": _nobody}


def _nobody(net: NeuralNet) -> None:
    """Ignore an epoch."""


@contextmanager
def tells_of_epochs(net: NeuralNet, tell: Callable[[NeuralNet], None] | None) -> Iterator[None]:
    """Call ``tell`` after each epoch of a fit inside the block, leaving no trace on the network."""
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
    """Copies of a network at evenly spaced epochs; to be called after each epoch.

    Parameters
    ----------
    n_epochs : int
        Epochs that training takes if nothing ends it early.
    n_checkpoints : int
        Networks to look at. The last is that at the end of training, which needs no copy.

    Attributes
    ----------
    networks : list of skorch.NeuralNet
        Copies for reading, which share all but the module with the network in training.
    """

    def __init__(self, n_epochs: int, n_checkpoints: int) -> None:
        self._epochs = {-(-n_epochs * j // n_checkpoints) for j in range(1, n_checkpoints)}
        self._n_seen = 0
        self.networks: list[NeuralNet] = []

    def __call__(self, net: NeuralNet) -> None:
        """Count an epoch, and copy the network if the epoch is one of those to keep."""
        self._n_seen += 1
        if self._n_seen in self._epochs:
            module = copy.deepcopy(net.module_)
            kept = copy_with(net, module_=module, callbacks=None, callbacks_=[])
            # It is bound to the network in training.
            vars(kept).pop("fit_loop", None)
            self.networks.append(kept)
