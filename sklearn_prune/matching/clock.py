"""The stages of a fit: their times, and reports of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .._compat import Task
from ..utils import telling


class StageClock:
    """Times each stage, prints its start and end if ``verbose``, and tells scikit-learn of it."""

    def __init__(self, verbose: int = 0, task: Task | None = None) -> None:
        self.verbose, self._task = verbose, task or Task()
        self.seconds: tuple[tuple[str, float], ...] = ()

    @contextmanager
    def stage(self, name: str, n_parts: int | None = 0) -> Iterator[None]:
        """Add the seconds spent inside to ``seconds``; print, and report the stage to callbacks.

        ``n_parts`` is the number of parts that `part_done` will report; None if that is unknown.
        """
        self.say(f"{name} ...")
        start = time.perf_counter()
        with self._task.part(name, n_parts) as task, telling(task.tick):
            yield
        self.add(name, time.perf_counter() - start)

    @property
    def total(self) -> float:
        """The seconds spent in all stages."""
        return sum(seconds for _, seconds in self.seconds)

    def add(self, name: str, seconds: float) -> None:
        """Add the seconds of a stage that was timed elsewhere to those it has already."""
        before = dict(self.seconds)
        self.seconds = tuple((before | {name: before.get(name, 0.0) + seconds}).items())
        self.say(f"{name:<12} {seconds:8.2f} s")

    def spent_in(self, *names: str) -> float:
        """Return the seconds spent in the stages of these names."""
        return sum(seconds for name, seconds in self.seconds if name in names)

    def say(self, line: str) -> None:
        """Print a line if ``verbose``."""
        if self.verbose:
            print(f"[InfluencePruner] {line}")
