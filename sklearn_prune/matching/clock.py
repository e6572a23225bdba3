"""The stages of a fit: their times, and reports of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .._compat import Task
from ..utils import telling


class StageClock:
    """Times each stage, prints it if ``verbose``, and reports it to scikit-learn's callbacks."""

    def __init__(self, verbose: int = 0, task: Task | None = None) -> None:
        self.verbose, self._task = verbose, task or Task()
        self.seconds: tuple[tuple[str, float], ...] = ()

    @contextmanager
    def stage(self, name: str, n_parts: int | None = 0) -> Iterator[None]:
        """Add the seconds spent inside to ``seconds``, and report the stage to the callbacks.

        ``n_parts`` is the number of parts that `part_done` will report; None if that is unknown.
        """
        start = time.perf_counter()
        with self._task.part(name, n_parts) as task, telling(task.tick):
            yield
        self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add a stage that was timed elsewhere."""
        self.seconds += ((name, seconds),)
        self.say(f"{name:<12} {seconds:8.2f} s")

    def spent_in(self, *names: str) -> float:
        """Return the seconds spent in the stages of these names."""
        return sum(seconds for name, seconds in self.seconds if name in names)

    def say(self, line: str) -> None:
        """Print a line if ``verbose``."""
        if self.verbose:
            print(f"[InfluencePruner] {line}")
