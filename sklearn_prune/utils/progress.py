"""Telling that a part of long work is done, from wherever it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["part_done", "telling"]

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def telling(listener: Callable[[str], None]) -> Iterator[None]:
    """Have ``listener`` told the name of each part that is done inside.

    A context variable rather than an argument: rounds and chunks are many calls down, and nothing
    in between has any use for it. Threads started inside tell nobody.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def part_done(name: str) -> None:
    """Tell whoever listens that a part is done."""
    listener = _listener.get()
    if listener is not None:
        listener(name)
