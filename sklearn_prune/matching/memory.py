"""Results that a joblib memory keeps, by a key of all that they depend on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

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
    start, in_stages = time.perf_counter(), clock.total
    call = _Call(compute, is_lasting)
    try:
        cached = memory.cache(_keyed, ignore=["call"])
        result = cached(key, call)
    except _NotKeptError:
        return call.results[0], True
    except OSError as error:
        # One that the user's network or features raise is no fault of the memory.
        if call.has_failed:
            raise
        _warn_of(f"its folder cannot be used: {error}")
        # Use the result if only storing it failed.
        return (call.results[0] if call.results else compute()), False
    finally:
        if call.results:
            _remove_half_written(cached)
    if not isinstance(result, kind):
        _warn_of(f"one of its files holds a {type(result).__name__} instead of a result")
        return compute(), False
    clock.add("memory", time.perf_counter() - start - (clock.total - in_stages))
    return result, True


class _NotKeptError(Exception):
    """Passes through a memory, so that it keeps nothing."""


@dataclass
class _Call(Generic[T]):
    """What a memory computes if it holds no result, and what came of it."""

    compute: Callable[[], T]
    is_lasting: Callable[[T], bool]
    results: list[T] = field(default_factory=list)
    has_failed: bool = False

    def run(self) -> T:
        try:
            result = self.compute()
        except OSError:
            self.has_failed = True
            raise
        self.results.append(result)
        if not self.is_lasting(result):
            raise _NotKeptError
        return result


def _keyed(key: str, call: _Call[T]) -> T:
    """Compute a result; the memory distinguishes calls by ``key``."""
    return call.run()


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
