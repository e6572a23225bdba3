"""A time limit that long iterations check, however many calls down they run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


class OutOfTimeError(TimeoutError):
    """The time limit of `time_limited` ended the work inside it."""


@contextmanager
def time_limited(deadline: float) -> Iterator[None]:
    """Make `check_time` raise inside the block once ``time.perf_counter()`` is past ``deadline``.

    It is a context variable and not an argument, since iterations are many calls down and nothing
    in between needs the limit.
    """
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time() -> None:
    """Raise OutOfTimeError if a time limit is set and has passed; iterations call this."""
    if time.perf_counter() > _deadline.get():
        raise OutOfTimeError("the time limit has passed")
