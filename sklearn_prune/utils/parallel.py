"""Thin matrix products by several workers, with the same rounding on any number of them."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

# Both come with scikit-learn, which needs them itself.
import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

from .._types import Integers, Positions
from .interrupts import put_back

if TYPE_CHECKING:
    from threadpoolctl import LibController

# Below this many floating-point operations (a few seconds), sending the work to another process
# takes longer than doing it here.
WORTH_SENDING = 1e11

T = TypeVar("T")
R = TypeVar("R")


def map_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return ``[function(item) for item in items]``, computed by threads with serial BLAS in each.

    Runs as many threads as joblib's configuration says or, without one, as BLAS may use and there
    are processors for. Calls inside an item share these threads out. Products with a handful of
    columns are too small for BLAS to split: its threads have been seen to take a hundred times as
    long as one, waiting for each other. Since the items do not depend on the number of threads,
    neither do the results.

    Once an error or an interrupt is raised here, calls inside other items end before their next
    item.
    """
    run, outer = partial(_run_if_wanted, function), _share.get()
    with serial_blas():
        n_workers = _n_workers() if len(items) > 1 else 1
        n_threads = min(len(items), n_workers)
        if n_threads <= 1:
            return [run(item) for item in items]
        is_over = threading.Event() if outer is None else outer.is_over
        # Rounded up: of four processors, three items should leave none idle.
        share = _Share(-(-n_workers // n_threads), is_over)
        held = share, _holder_here.get()
        with ThreadPoolExecutor(n_threads, initializer=_join_in, initargs=held) as pool:
            try:
                return list(pool.map(run, items))
            except BaseException:
                # An item may catch an error of a call inside it and go on.
                if outer is None:
                    is_over.set()
                raise


def position_blocks(positions: Integers, size: int) -> list[Positions]:
    """Split distinct, ascending positions of rows into blocks; those without gaps are slices.

    NumPy copies the rows at an array of positions, but not those of a slice.
    """
    blocks = (positions[start : start + size] for start in range(0, len(positions), size))
    return [
        slice(int(block[0]), int(block[-1]) + 1) if block[-1] - block[0] < len(block) else block
        for block in blocks
    ]


def map_chunks(function: Callable[[T], R], items: Sequence[T], flops: float) -> list[R]:
    """Do what `map_threads` does, in the processes of joblib's active backend if it runs any.

    Processes are used from ``flops`` of 1e11 on, since all that `function` refers to is pickled and
    sent to them (large arrays as memory-mapped files).
    """
    backend, _ = get_active_backend(prefer="threads")
    if getattr(backend, "supports_sharedmem", False) or flops < WORTH_SENDING:
        return map_threads(function, items)
    parallel = joblib.Parallel(n_jobs=min(len(items), _n_workers()))
    results: list[R] = parallel(
        joblib.delayed(_run_with_serial_blas)(function, item) for item in items
    )
    return results


@contextmanager
def joblib_threads() -> Iterator[None]:
    """Let scikit-learn's forests grow on as many threads as `map_threads` runs, none in processes.

    Their ``n_jobs`` must be None. The trees are the same on any number of threads.
    """
    with joblib.parallel_config("threading", n_jobs=_n_workers()):
        yield


def _join_in(share: _Share, holder: Callable[[], _Holder | None]) -> None:
    """Make this a thread of `map_threads`, for whose caller BLAS is held to one thread.

    It holds nothing itself: a thread that an interrupt leaves behind would hold it on.
    """
    _share.set(share)
    _holder_here.set(holder)
    for library in _blas_libraries():
        # With OpenMP each thread has a limit of its own.
        if _is_openmp(library):
            _set_threads(library, 1)


def _run_if_wanted(function: Callable[[T], R], item: T) -> R:
    share = _share.get()
    if share is not None and share.is_over.is_set():
        raise _NotWantedError
    return function(item)


def _run_with_serial_blas(function: Callable[[T], R], item: T) -> R:
    with serial_blas():
        return function(item)


class _NotWantedError(Exception):
    """Ends a thread whose results nobody waits for."""


@contextmanager
def serial_blas() -> Iterator[None]:
    """Hold BLAS to one thread, so that its rounding is the same on any machine.

    BLAS adds up in an order that depends on its number of threads, and a set that is chosen by
    comparing such sums can come out different. `map_threads` still runs as many threads as BLAS
    could use before. The limit holds for the whole process: the first thread that enters sets it,
    and the last one that leaves lifts it.
    """
    if _holder_here.get()() is not None:
        yield
        return
    holder = _Holder()
    try:
        _limit_blas(holder)
        _holder_here.set(weakref.ref(holder))
        yield
    finally:
        put_back(partial(_release_blas, id(holder)))


class _Holder:
    """A caller that needs BLAS on one thread.

    It lives in the caller's frame. However that frame ends, even by an interrupt between two lines,
    the holder is collected and its finalizer lifts the limit.
    """


@dataclass(frozen=True)
class _Before:
    """Threads of each BLAS library, and how many of them there are processors for."""

    threads: list[int]
    n_workers: int

    @classmethod
    def now(cls) -> _Before:
        threads = [library.get_num_threads() for library in _blas_libraries()]
        return cls(threads, min([joblib.cpu_count(), *threads]))


_gate = threading.RLock()
# Ids, which are unique while their holders live.
_holders: set[int] = set()
# What held before the limit was set; None while no limit is set.
_before: _Before | None = None


def _limit_blas(holder: _Holder) -> None:
    global _before
    with _gate:
        weakref.finalize(holder, _release_blas, id(holder))
        _holders.add(id(holder))
        if _before is None:
            _before = _Before.now()
        for library in _blas_libraries():
            _set_threads(library, 1)


def _release_blas(holder: int) -> None:
    """Give BLAS its threads again, unless another caller needs it on one."""
    global _before
    with _gate:
        _holders.discard(holder)
        if _before is None:
            return
        for library, n_threads in zip(_blas_libraries(), _before.threads, strict=True):
            if not _holders or _is_openmp(library):
                _set_threads(library, n_threads)
        if not _holders:
            _before = None


def _is_openmp(library: LibController) -> bool:
    return getattr(library, "threading_layer", None) == "openmp"


def _set_threads(library: LibController, n_threads: int) -> None:
    """Set the threads of a library, from whichever thread this is."""
    # Newer threadpoolctl lets one thread alone set limits; here threads take turns.
    take_turn = getattr(library, "clear_controlling_thread", lambda force: None)
    take_turn(force=True)
    library.set_num_threads(n_threads)
    take_turn(force=True)


def _renew_gate() -> None:
    """Start afresh in a forked child, where no other thread survives."""
    global _gate
    _gate = threading.RLock()
    _holders.clear()
    _release_blas(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_gate)


def _n_workers() -> int:
    share = _share.get()
    if share is not None:
        return share.n_threads
    _, configured = get_active_backend(prefer="threads")
    # Without a configuration joblib says 1.
    if configured not in (None, 1):
        return int(joblib.effective_n_jobs(configured))
    with _gate:
        return (_before or _Before.now()).n_workers


# This context's holder, as a weak reference that is dead once the holder is gone.
_holder_here: ContextVar[Callable[[], _Holder | None]] = ContextVar(
    "held_here", default=lambda: None
)


@dataclass(frozen=True)
class _Share:
    """How many threads a thread of `map_threads` may run itself, and whether all should end."""

    n_threads: int
    is_over: threading.Event


# None in any other thread.
_share: ContextVar[_Share | None] = ContextVar("share_of_threads", default=None)


@cache
def _blas_libraries() -> list[LibController]:
    """Return threadpoolctl's controllers of the BLAS libraries."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
