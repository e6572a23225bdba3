"""Thin matrix products by several workers, with the same rounding on any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

# Both come with scikit-learn, which needs them itself.
import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

# Operations, some seconds of them, below which another process takes longer to be reached.
_WORTH_SENDING = 1e11

T = TypeVar("T")
R = TypeVar("R")


def map_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return ``[function(item) for item in items]``, computed by threads that each work alone.

    As many threads run as `workers` or joblib's configuration says, else as BLAS is allowed, and
    BLAS runs on one inside each. Products with a handful of columns are too small for BLAS to
    share out: waiting for each other, its threads have been seen to take a hundred times as long
    as one. And since the items do not depend on the number of threads, neither do the results.
    """
    with serial_blas():
        n_threads = min(len(items), _n_workers())
        if n_threads <= 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(function, items))


def map_chunks(function: Callable[[T], R], items: Sequence[T], flops: float) -> list[R]:
    """Return the same, by joblib's active backend where that is none of threads.

    For many operations: whatever `function` refers to is pickled and sent to the workers, large
    arrays as files that they share.
    """
    backend, _ = get_active_backend(prefer="threads")
    if getattr(backend, "supports_sharedmem", False) or flops < _WORTH_SENDING:
        return map_threads(function, items)
    parallel = joblib.Parallel(n_jobs=min(len(items), _n_workers()))
    found: list[R] = parallel(joblib.delayed(_alone)(function, item) for item in items)
    return found


def _alone(function: Callable[[T], R], item: T) -> R:
    with serial_blas():
        return function(item)


@contextmanager
def workers(n_jobs: int | None) -> Iterator[None]:
    """Let so many workers run inside; None leaves it to joblib's configuration and to BLAS.

    Parameters
    ----------
    n_jobs : int or None
        As joblib counts them: -1 is all cores, -2 all but one.
    """
    token = _asked_workers.set(None if n_jobs is None else joblib.effective_n_jobs(n_jobs))
    try:
        yield
    finally:
        _asked_workers.reset(token)


@contextmanager
def serial_blas() -> Iterator[None]:
    """Hold BLAS to one thread, so that its rounding is the same on any machine.

    BLAS adds up in an order that depends on its number of threads, and a set that is chosen by
    comparing such sums can come out different. `map_threads` still runs as many threads as BLAS
    was allowed before.
    """
    if _allowed_threads.get() is not None:
        yield
        return
    token = _allowed_threads.set(_blas_threads())
    try:
        with _blas_libraries().limit(limits=1):
            yield
    finally:
        _allowed_threads.reset(token)


def _n_workers() -> int:
    asked = _asked_workers.get()
    if asked is not None:
        return asked
    _, configured = get_active_backend(prefer="threads")
    # Without a configuration joblib says 1.
    if configured not in (None, 1):
        return int(joblib.effective_n_jobs(configured))
    return _blas_threads()


def _blas_threads() -> int:
    allowed = _allowed_threads.get()
    if allowed is None:
        blas = (library["num_threads"] for library in _blas_libraries().info())
        allowed = min([joblib.cpu_count(), *blas])
    return allowed


_allowed_threads: ContextVar[int | None] = ContextVar("allowed_threads", default=None)
_asked_workers: ContextVar[int | None] = ContextVar("asked_workers", default=None)


@cache
def _blas_libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
