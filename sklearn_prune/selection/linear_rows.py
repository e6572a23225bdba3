"""Linear rules ``low <= A w <= high`` over sets of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import LinearConstraint

from .._types import Floats, Mask

# Rounding error in ``A w`` as a share of its terms; a violation within it does not count.
_ROUNDING = 1e-12


class LinearRows:
    """Rules ``low <= A w <= high``, one per row of A.

    Attributes
    ----------
    A : ndarray of shape (n_rules, n_samples)
        Coefficients.
    low, high : ndarray of shape (n_rules,)
        Bounds, possibly infinite.
    units : ndarray of shape (n_given,)
        What each of the caller's rules, which come first, was divided by.
    slack : ndarray of shape (n_rules,)
        Rounding error in ``A w``.
    """

    def __init__(self, A: Floats, low: Floats, high: Floats, units: Floats | None = None) -> None:
        self.A, self.low, self.high = A, low, high
        self.units = np.empty(0) if units is None else units
        self.slack = _ROUNDING * np.abs(A).sum(axis=1)

    def __len__(self) -> int:
        return len(self.A)

    def admit(self, values: Floats) -> Mask:
        """Return whether ``values`` of ``A w``, whose last axis is the rules, meet all of them."""
        inside = (values >= self.low - self.slack) & (values <= self.high + self.slack)
        return np.asarray(inside.all(axis=-1))

    def with_rule(self, row: Floats, low: float, high: float) -> LinearRows:
        """Return the same rules and one more."""
        return LinearRows(
            np.vstack([self.A, row]), np.r_[self.low, low], np.r_[self.high, high], self.units
        )

    def without(self, excluded: Sequence[Mask]) -> LinearRows:
        """Return the rules and, for each of these sets, one that cuts off this set alone.

        In that rule, the value of every other set is smaller by at least 1, which HiGHS always
        resolves.
        """
        rules = self
        for w in excluded:
            rules = rules.with_rule(np.where(w, 1.0, -1.0), -np.inf, w.sum() - 1.0)
        return rules


def given_rows(constraints: LinearConstraint | Sequence[LinearConstraint], n: int) -> LinearRows:
    """Check the caller's constraints on n rows, and return them as one block.

    Each rule is divided by its largest entry, because HiGHS's tolerances are absolute: it would
    accept a violation of a rule with entries of 1e-9.
    """
    if isinstance(constraints, LinearConstraint):
        constraints = (constraints,)
    blocks, lows, highs = [np.empty((0, n))], [np.empty(0)], [np.empty(0)]
    for number, constraint in enumerate(constraints):
        A = constraint.A.toarray() if hasattr(constraint.A, "toarray") else constraint.A
        A = np.atleast_2d(np.asarray(A, dtype=np.float64))
        if A.shape[1] != n or not np.isfinite(A).all():
            raise ValueError(
                f"constraints[{number}].A must be finite with {n} columns, one a row of Z; it has "
                f"shape {A.shape}."
            )
        low, high = (
            np.broadcast_to(b, len(A)).astype(float) for b in (constraint.lb, constraint.ub)
        )
        if not (low <= high).all():
            row = int(np.flatnonzero(~(low <= high))[0])
            raise ValueError(
                f"constraints[{number}] must have lb <= ub; in row {row} lb is {low[row]:g} and ub "
                f"{high[row]:g}. Swap them, or give numbers."
            )
        blocks.append(A)
        lows.append(low)
        highs.append(high)
    A, low, high = np.vstack(blocks), np.concatenate(lows), np.concatenate(highs)
    units = np.abs(A).max(axis=1, initial=0.0)
    units[units == 0] = 1.0
    return LinearRows(A / units[:, None], low / units, high / units, units)
