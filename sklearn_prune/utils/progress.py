"""Progress reports from deep inside long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def telling(listener: Callable[[str], None] | None) -> Iterator[None]:
    """Call ``listener`` with the name of each part that finishes inside the block; None is silent.

    It is a context variable and not an argument, since rounds and chunks are many calls down and
    nothing in between needs the listener. Threads that are started inside report nothing.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def part_done(name: str) -> None:
    """Report a finished part to the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(name)
