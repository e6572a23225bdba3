"""Ctrl-C during training, which skorch takes for a request to stop early."""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skorch import NeuralNet
from skorch.callbacks import Callback


@contextmanager
def interrupts_pass(net: NeuralNet) -> Iterator[None]:
    """Raise the KeyboardInterrupt that ended a ``fit`` inside the block.

    After an interrupt, skorch's ``fit`` returns as if it had trained to the end. A callback that
    raises KeyboardInterrupt itself, as `skorch.callbacks.EarlyStopping` does, means to stop early:
    then nothing is raised.
    """
    loop = _WatchedLoop(net)
    vars(net)["fit_loop"] = loop
    try:
        yield
    finally:
        del vars(net)["fit_loop"]
    if loop.interrupt is not None:
        raise loop.interrupt


class _WatchedLoop:
    """A network's ``fit_loop`` that records the KeyboardInterrupt that ended it."""

    def __init__(self, net: NeuralNet) -> None:
        self._net = net
        self.interrupt: KeyboardInterrupt | None = None

    def __call__(self, *args: object, **kwargs: object) -> NeuralNet:
        try:
            return type(self._net).fit_loop(self._net, *args, **kwargs)
        except KeyboardInterrupt as error:
            if not _is_raised_by_callback(error):
                self.interrupt = error
            raise

    def __reduce__(self) -> tuple[Callable[..., object], tuple[NeuralNet, str]]:
        # A skorch checkpoint pickles the network; unpickled, it has its own method again.
        return getattr, (self._net, "fit_loop")


def _is_raised_by_callback(error: KeyboardInterrupt) -> bool:
    """Return whether it was raised by a ``raise`` statement in a callback or the network."""
    traceback = error.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code.co_code
    is_raise = code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return is_raise and isinstance(traceback.tb_frame.f_locals.get("self"), Callback | NeuralNet)
