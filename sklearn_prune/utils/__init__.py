"""Helpers that every room may use and that know nothing of pruning.

`parallel` maps over threads or joblib's workers with BLAS on one thread, so that rounding does not
depend on the machine. `progress` and `time_limit` reach iterations many calls down. `random_state`
draws seeds, lets one thread at a time use torch, and restores its generators. `interrupts`
completes a clean-up that a second Ctrl-C cuts short. `warning` names the user's line.
"""

from .interrupts import put_back
from .parallel import joblib_threads, map_chunks, map_threads, position_blocks, serial_blas
from .progress import part_done, telling
from .random_state import drawn_seed, own_random_state
from .time_limit import OutOfTimeError, check_time, time_limited
from .warning import warn_user

__all__ = [
    "OutOfTimeError",
    "check_time",
    "drawn_seed",
    "joblib_threads",
    "map_chunks",
    "map_threads",
    "own_random_state",
    "part_done",
    "position_blocks",
    "put_back",
    "serial_blas",
    "telling",
    "time_limited",
    "warn_user",
]
