"""What every room may use: threads, progress, and torch's random state."""

from .interrupts import put_back
from .parallel import map_chunks, map_threads, serial_blas, workers
from .progress import part_done, telling
from .random_state import own_random_state

__all__ = [
    "map_chunks",
    "map_threads",
    "own_random_state",
    "part_done",
    "put_back",
    "serial_blas",
    "telling",
    "workers",
]
