"""Progress of a training network, told from inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback


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
