"""Linear rules ``low <= A w <= high`` over sets of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    slack : ndarray of shape (n_rules,)
        Rounding error in ``A w``.
    """

    def __init__(self, A: Floats, low: Floats, high: Floats) -> None:
        self.A, self.low, self.high = A, low, high
        self.slack = _ROUNDING * np.abs(A).sum(axis=1)

    def __len__(self) -> int:
        return len(self.A)

    def admit(self, values: Floats) -> Mask:
        """Return whether ``values`` of ``A w``, whose last axis is the rules, meet all of them."""
        inside = (values >= self.low - self.slack) & (values <= self.high + self.slack)
        return np.asarray(inside.all(axis=-1))

    def with_rule(self, row: Floats, low: float, high: float) -> LinearRows:
        """Return the same rules and one more."""
        return LinearRows(np.vstack([self.A, row]), np.r_[self.low, low], np.r_[self.high, high])

    def without(self, excluded: Sequence[Mask]) -> LinearRows:
        """Return the rules and, for each of these sets, one that cuts off this set alone.

        In that rule, the value of every other set is smaller by at least 1, which HiGHS always
        resolves.
        """
        rules = self
        for w in excluded:
            rules = rules.with_rule(np.where(w, 1.0, -1.0), -np.inf, w.sum() - 1.0)
        return rules
