"""Torch's random state, which the whole process shares: whose turn it is, and how it is put back.

Torch draws from one generator for all threads, and a network that one thread reads carries hooks
and flags that another would see. So all training and reading takes turns, under one lock.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["own_random_state"]

_turn = threading.RLock()
# Whether torch was at work in this process, and whether in the one that it was forked from.
_has_worked = False
_is_forked = False


@contextmanager
def own_random_state(seed: int = 0) -> Iterator[None]:
    """Wait for a turn with torch, seed it inside the block, and put its generators back afterwards.

    One thread at a time is inside; it may go in again. What it trains there is the same as if it
    were alone, as long as nothing outside draws from torch's generator meanwhile.

    Warns
    -----
    RuntimeWarning
        When the process was forked from one in which torch's threads had been at work. They are
        gone, and torch would wait for them for ever: it is set to one thread.
    """
    with _turn:
        _keep_to_one_thread_after_fork()
        devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
        before = torch.get_rng_state()
        try:
            with torch.random.fork_rng(devices=list(devices)):
                torch.manual_seed(seed)
                yield
        except BaseException:
            # An interrupt may have come while fork_rng put it back.
            torch.set_rng_state(before)
            raise


def _keep_to_one_thread_after_fork() -> None:
    global _has_worked
    _has_worked = True
    if _is_forked and torch.get_num_threads() > 1:
        warnings.warn(
            f"this process was forked from one in which torch had worked on "
            f"{torch.get_num_threads()} threads, which do not live on in it; torch now works on "
            "one thread here. Start processes by 'spawn' or 'forkserver' (or by joblib's loky) "
            "instead.",
            RuntimeWarning,
            stacklevel=3,
        )
        torch.set_num_threads(1)


def _note_fork() -> None:
    global _turn, _is_forked
    # Another thread's turn would never end here.
    _turn, _is_forked = threading.RLock(), _has_worked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
