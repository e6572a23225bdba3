"""Thin matrix products on several threads, with the same rounding on any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

# Both come with scikit-learn, which needs them itself.
import joblib
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")


def map_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return ``[function(item) for item in items]``, computed by threads that each work alone.

    As many threads run as BLAS is allowed, and BLAS runs on one inside each. Products with a
    handful of columns are too small for BLAS to share out: waiting for each other, its threads
    have been seen to take a hundred times as long as one. And since the items do not depend on
    the number of threads, neither do the results.
    """
    with serial_blas():
        n_threads = min(len(items), _n_threads())
        if n_threads <= 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(function, items))


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
    token = _allowed_threads.set(_n_threads())
    try:
        with _blas_libraries().limit(limits=1):
            yield
    finally:
        _allowed_threads.reset(token)


def _n_threads() -> int:
    allowed = _allowed_threads.get()
    if allowed is None:
        blas = (library["num_threads"] for library in _blas_libraries().info())
        allowed = min([joblib.cpu_count(), *blas])
    return allowed


_allowed_threads: ContextVar[int | None] = ContextVar("allowed_threads", default=None)


@cache
def _blas_libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
