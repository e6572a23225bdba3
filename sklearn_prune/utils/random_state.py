"""A seed drawn from ``random_state``, and one lock for work with torch that restores its state.

All threads draw from torch's one generator, and while one thread reads a network, others would see
its hooks and flags. So threads take turns to train and read networks, under one lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state

from .._types import RandomState
from .warning import warn_user

_turn = threading.RLock()
# Whether torch has run in this process, and whether it had run in the parent before a fork.
_has_worked = False
_is_forked = False


def drawn_seed(random_state: RandomState) -> int:
    """Return a seed; the same whenever ``random_state`` is the same number."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@contextmanager
def own_random_state(seed: int = 0) -> Iterator[None]:
    """Take a turn with torch: seed it inside the block, and restore its generators afterwards.

    One thread at a time is inside; it may enter again. Training there gives the same result as
    without other threads, unless code outside draws from torch's generators meanwhile.

    Warns
    -----
    RuntimeWarning
        If the process was forked after torch had run on several threads. They do not survive a
        fork, and torch would wait for them forever, so it is set to one thread.
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
        warn_user(
            f"this process was forked after torch had run on {torch.get_num_threads()} threads, "
            "which do not survive a fork; torch now runs on one thread here. Start processes with "
            "'spawn' or 'forkserver' (or joblib's loky) instead.",
            RuntimeWarning,
        )
        torch.set_num_threads(1)


def _note_fork() -> None:
    global _turn, _is_forked
    # A turn that another thread took before the fork would never end here.
    _turn, _is_forked = threading.RLock(), _has_worked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
