"""A problem of few free rows in numbers, and the result of solving it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..._types import Floats, Mask
from ..coordinates import Coordinates
from ..linear_rows import LinearRows
from ..rules import Rules

# Up to this many free rows, optimality is proven within seconds: by branch and bound or, if that
# stalls, by comparing all sets, with those of each half of the rows held in memory.
MAX_ROWS = 32


@dataclass(frozen=True)
class FreeRows:
    """A problem in its free rows alone; a set w is an array of bool of shape (n_free,).

    Attributes
    ----------
    rows : ndarray of shape (n_free, n_coordinates)
        In units of the coordinates, float64.
    offset : ndarray of shape (n_coordinates,)
        Added to the sum of the rows: the sum of must_drop, less the target.
    rules : LinearRows
        Linear rules over w.
    accept : callable, default=accept every set
        Returns whether a set w meets every rule in float64. HiGHS only proposes sets.
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
        """Rounding error of float64 in a sum of the rows: a shorter sum may be zero."""
        length = np.linalg.norm(self.rows, axis=1).sum() + np.linalg.norm(self.offset)
        return float(np.finfo(np.float64).eps * length)

    def norm(self, w: Mask) -> float:
        """Return ``‖offset + Zᵀw‖₂``, adding only the rows of the set."""
        return float(np.linalg.norm(self.offset + self.rows[w].sum(axis=0)))

    def all_sets(self) -> Mask:
        """Return every set that meets the linear rules, one per row."""
        sets = subsets(len(self))
        return np.asarray(sets[self.rules.admit(sets @ self.rules.A.T)])

    def first_accepted(self, sets: Mask, deadline: float) -> tuple[Mask | None, bool]:
        """Return the first accepted set (or None), and whether there was time to find out."""
        for w in sets:
            if time.perf_counter() > deadline:
                return None, False
            if self.accept(w):
                return w, True
        return None, True


@dataclass(frozen=True)
class ExactResult:
    """The best set found, and what is proven about it.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_free,) or None
        Best set found; None when there is none.
    bound : float
        Cardinality form: no set has a smaller norm. Generalization form: no set saves more.
    proven : bool
        Whether the set is proven optimal, within the solver's gap.
    n_nodes : int
        Branch-and-bound nodes visited.
    """

    drop: Mask | None
    bound: float
    proven: bool
    n_nodes: int = 0


def subsets(n: int) -> Mask:
    """Return every set of n rows as a mask, one per row."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)
