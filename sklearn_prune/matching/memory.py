"""Results that a joblib memory keeps, by a key of all that they depend on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from joblib import Memory
from sklearn.utils.validation import check_memory

from ..utils import warn_user
from .clock import StageClock

T = TypeVar("T")


def usable_memory(memory: str | Memory | None) -> Memory | None:
    """Return the memory; None if it caches nothing.

    Warns
    -----
    UserWarning
        If its folder cannot be used.
    """
    try:
        memory = check_memory(memory)
    except OSError as error:
        _warn_of(f"its folder cannot be used: {error}")
        return None
    return None if getattr(memory, "location", "unknown") is None else memory


def recalled(
    memory: Memory,
    key: str,
    compute: Callable[[], T],
    kind: type[T],
    clock: StageClock,
    *,
    is_lasting: Callable[[T], bool] = lambda result: True,
) -> tuple[T, bool]:
    """Return the memory's result for a key; compute and keep it if there is none.

    Parameters
    ----------
    memory : object with the joblib.Memory interface
        Where results are kept.
    key : str
        A digest of all that the result depends on.
    compute : callable
        Returns the result.
    kind : type
        Its type; a result of any other type is computed anew.
    clock : StageClock
        Gets the seconds that the memory takes, as a stage of its own.
    is_lasting : callable
        Says of a result whether it is kept; by default every one is.

    Returns
    -------
    result : object
        The result.
    is_usable : bool
        Whether the memory works.

    Warns
    -----
    UserWarning
        If the memory cannot store or load the result.
    """
    start, in_stages, done = time.perf_counter(), clock.total, list[T]()
    try:
        cached = memory.cache(_keyed, ignore=["compute", "is_lasting", "done"])
        result = cached(key, compute, is_lasting, done)
    except _NotKeptError:
        return done[0], True
    except OSError as error:
        _warn_of(f"its folder cannot be used: {error}")
        # Use the result if only storing it failed.
        return (done[0] if done else compute()), False
    finally:
        if done:
            _remove_half_written(cached)
    if not isinstance(result, kind):
        _warn_of(f"one of its files holds a {type(result).__name__} instead of a result")
        return compute(), False
    clock.add("memory", time.perf_counter() - start - (clock.total - in_stages))
    return result, True


class _NotKeptError(Exception):
    """Passes through a memory, so that it keeps nothing."""


def _keyed(key: str, compute: Callable[[], T], is_lasting: Callable[[T], bool], done: list[T]) -> T:
    """Compute, and append the result to ``done``; the memory distinguishes calls by ``key``."""
    done.append(compute())
    if not is_lasting(done[0]):
        raise _NotKeptError
    return done[0]


def _remove_half_written(cached: Any) -> None:
    """Remove the files that this thread began to write to a joblib memory and did not finish."""
    store = getattr(cached, "store_backend", None)
    if store is None or not hasattr(cached, "func_id"):
        return
    # joblib writes under these names and renames complete files.
    half_written = f"*/*.*.*-{os.getpid()}-{id(threading.current_thread())}"
    for path in (Path(store.location) / cached.func_id).glob(half_written):
        path.unlink(missing_ok=True)


def _warn_of(fault: str) -> None:
    warn_user(
        f"memory does not cache this fit, since {fault}. Give another folder, or empty this one.",
    )
