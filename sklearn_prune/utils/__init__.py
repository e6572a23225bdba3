"""What every room may use: threads, progress, time limits, and torch's random state."""

from .parallel import map_chunks, map_threads, serial_blas
from .progress import part_done, telling
from .random_state import own_random_state
from .time_limit import OutOfTimeError, check_time, time_limited

__all__ = [
    "OutOfTimeError",
    "check_time",
    "map_chunks",
    "map_threads",
    "own_random_state",
    "part_done",
    "serial_blas",
    "telling",
    "time_limited",
]
