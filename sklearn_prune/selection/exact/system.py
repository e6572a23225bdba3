"""Linear rules over few free rows, every set that meets them, and what branch and bound proves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..coordinates import Booleans, Floats

Accept = Callable[[Booleans], bool]


@dataclass(frozen=True)
class LinearSystem:
    """Masks, counts, quotas and further rows over the free rows of a problem.

    Attributes
    ----------
    A : ndarray of shape (n_rows, n_free)
    low, high : ndarray of shape (n_rows,)
        ``low <= A w <= high``.
    """

    A: Floats
    low: Floats
    high: Floats

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.A)

    def may_hold(self, values: Floats) -> Booleans:
        """Whether values of the rows, one a column, break none by more than rounding."""
        slack = 1e-9 * np.abs(self.A).sum(axis=1)
        inside = (values >= self.low - slack) & (values <= self.high + slack)
        return np.asarray(inside.all(axis=1))

    def without(self, excluded: Sequence[Booleans]) -> LinearSystem:
        """Return the system with a row more for each of these sets, which cuts off it alone.

        Every other set keeps clear of the row by 1, which HiGHS always resolves.
        """
        if not excluded:
            return self
        return LinearSystem(
            np.vstack([self.A, *(np.where(w, 1.0, -1.0) for w in excluded)]),
            np.r_[self.low, np.full(len(excluded), -np.inf)],
            np.r_[self.high, [w.sum() - 1.0 for w in excluded]],
        )


@dataclass(frozen=True)
class ExactResult:
    """What branch and bound found and proved.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_free,) or None
        Best set found; None when there is none.
    bound : float
        Cardinality form: no set has a smaller norm. Generalization form: no set saves more.
    proven : bool
        Whether the set meets the bound within the gap asked for.
    n_cuts, n_nodes : int
        Tangents added, nodes visited.
    """

    drop: Booleans | None
    bound: float
    proven: bool
    n_cuts: int
    n_nodes: int


def all_sets(system: LinearSystem) -> Booleans:
    """Return every set but those that surely break a row, one a row."""
    sets = subsets(system.A.shape[1])
    return np.asarray(sets[system.may_hold(sets @ system.A.T)])


def subsets(n: int) -> Booleans:
    """Return every set of n rows, one a row."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)


def first_accepted(sets: Booleans, accept: Accept, deadline: float) -> ExactResult:
    """Return the first set that is accepted; without bound."""
    for w in sets:
        if time.perf_counter() > deadline:
            return ExactResult(None, 0.0, False, 0, 0)
        if accept(w):
            return ExactResult(w, 0.0, True, 0, 0)
    return ExactResult(None, 0.0, True, 0, 0)
