"""Few free rows: the numbers of a small problem, and what is proven about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..._types import Floats, Mask
from ..coordinates import Coordinates
from ..linear_rows import LinearRows
from ..rules import Rules

# Up to this many free rows the answer is proven within seconds: by branch and bound or, where that
# stalls, by comparing all sets, those of each half of the rows being held in memory.
MAX_ROWS = 32


@dataclass(frozen=True)
class FreeRows:
    """A problem in its free rows alone; a set w is an array of bool of shape (n_free,).

    Attributes
    ----------
    rows : ndarray of shape (n_free, n_coordinates)
        In units of the coordinates, float64.
    offset : ndarray of shape (n_coordinates,)
        What the sum of the rows is added to, such as the sum of must_drop.
    rules : LinearRows
        Linear rules over w.
    accept : callable, default=any
        Says of a set whether it meets every rule in float64. HiGHS's answers are proposals.
    """

    rows: Floats
    offset: Floats
    rules: LinearRows
    accept: Callable[[Mask], bool] = lambda chosen: True

    @classmethod
    def of(
        cls,
        rules: Rules,
        coordinates: Coordinates,
        n_drop: int | None,
        accept: Callable[[Mask], bool],
    ) -> FreeRows:
        """Return the free rows; ``accept`` takes a set of all rows."""
        return cls(
            coordinates.rows(np.flatnonzero(rules.free)).astype(np.float64),
            coordinates.residual(rules.must_drop),
            rules.linear_rows(n_drop),
            lambda chosen: accept(rules.with_free(chosen)),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def largest(self) -> float:
        """Norm of the longest row."""
        return float(np.linalg.norm(self.rows, axis=1).max(initial=0.0))

    @property
    def rounding(self) -> float:
        """What float64 cannot tell from zero in a sum of the rows."""
        length = np.linalg.norm(self.rows, axis=1).sum() + np.linalg.norm(self.offset)
        return float(np.finfo(np.float64).eps * length)

    def norm(self, w: Mask) -> float:
        """Return ``‖offset + Zᵀw‖₂``, added up row by row."""
        return float(np.linalg.norm(self.offset + self.rows[w].sum(axis=0)))

    def all_sets(self) -> Mask:
        """Return every set that breaks no linear rule, one a row."""
        sets = subsets(len(self))
        return np.asarray(sets[self.rules.admit(sets @ self.rules.A.T)])

    def first_accepted(self, sets: Mask, deadline: float) -> tuple[Mask | None, bool]:
        """Return the first set that is accepted, None without, and whether time allowed a look."""
        for w in sets:
            if time.perf_counter() > deadline:
                return None, False
            if self.accept(w):
                return w, True
        return None, True


@dataclass(frozen=True)
class ExactResult:
    """What was found and proved.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_free,) or None
        Best set found; None when there is none.
    bound : float
        Cardinality form: no set has a smaller norm. Generalization form: no set saves more.
    proven : bool
        Whether the set meets the bound within the gap.
    n_nodes : int
        Branch-and-bound nodes visited.
    """

    drop: Mask | None
    bound: float
    proven: bool
    n_nodes: int = 0


def subsets(n: int) -> Mask:
    """Return every set of n rows, one a row."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)
