"""A callback after each epoch of training, and copies of the network at some epochs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skorch import NeuralNet
from skorch.callbacks import Callback

from .state import copy_with


class _EpochCallback(Callback):
    """Call a function with the network after each epoch."""

    def __init__(self, function: Callable[[NeuralNet], None]) -> None:
        self.function = function

    def on_epoch_end(self, net: NeuralNet, **kwargs: object) -> None:
        self.function(net)

    def __getstate__(self) -> dict[str, Callable[[NeuralNet], None]]:
        # A skorch checkpoint pickles all callbacks, and the function may not be picklable.
        return {"function": _ignore_epoch}


def _ignore_epoch(net: NeuralNet) -> None:
    """Ignore an epoch."""


@contextmanager
def tells_of_epochs(net: NeuralNet, tell: Callable[[NeuralNet], None] | None) -> Iterator[None]:
    """Call ``tell`` after each epoch of a fit inside the block; remove the callback afterwards."""
    own_callbacks = net.callbacks
    if tell is None or own_callbacks == "disable":
        yield
        return
    net.set_params(callbacks=[*(own_callbacks or ()), _EpochCallback(tell)])
    try:
        yield
    finally:
        net.callbacks = own_callbacks
    net.callbacks_ = [pair for pair in net.callbacks_ if not isinstance(pair[1], _EpochCallback)]


class Checkpoints:
    """Copies of a network at evenly spaced epochs; to be called after each epoch.

    Parameters
    ----------
    n_epochs : int
        Number of epochs if nothing ends the training early.
    n_checkpoints : int
        Number of networks. The last one is the network at the end of training, which is not copied.

    Attributes
    ----------
    networks : list of skorch.NeuralNet
        Copies for reading. They share everything but the module with the network in training.
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
            # Set while a fit is watched for interrupts, and bound to the network in training.
            vars(kept).pop("fit_loop", None)
            self.networks.append(kept)
