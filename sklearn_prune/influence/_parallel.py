"""Thin matrix products on several threads, with the same rounding on any number of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

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
    if len(items) <= 1:
        return [function(item) for item in items]
    blas = _blas_libraries()
    n_threads = min([joblib.cpu_count(), *(library["num_threads"] for library in blas.info())])
    if n_threads == 1:
        return [function(item) for item in items]
    with blas.limit(limits=1), ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(function, items))


@cache
def _blas_libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
