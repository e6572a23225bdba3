"""Linear rules ``low <= A w <= high`` over sets of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._types import Floats, Mask

# Rounding in ``A w`` as a share of its terms; a smaller violation does not count.
_ROUNDING = 1e-12


class LinearRows:
    """Rules ``low <= A w <= high``, one a row of A.

    Attributes
    ----------
    A : ndarray of shape (n_rules, n_samples)
    low, high : ndarray of shape (n_rules,)
    slack : ndarray of shape (n_rules,)
        Rounding in ``A w``.
    """

    def __init__(self, A: Floats, low: Floats, high: Floats) -> None:
        self.A, self.low, self.high = A, low, high
        self.slack = _ROUNDING * np.abs(A).sum(axis=1)

    def __len__(self) -> int:
        return len(self.A)

    def admit(self, values: Floats) -> Mask:
        """Return whether values of ``A w`` meet all rules, which are the last axis."""
        inside = (values >= self.low - self.slack) & (values <= self.high + self.slack)
        return np.asarray(inside.all(axis=-1))

    def with_rule(self, row: Floats, low: float, high: float) -> LinearRows:
        """Return the same rules and one more."""
        return LinearRows(np.vstack([self.A, row]), np.r_[self.low, low], np.r_[self.high, high])

    def without(self, excluded: Sequence[Mask]) -> LinearRows:
        """Return the rules and, for each of these sets, one that cuts off this set alone.

        Every other set clears the rule by 1, which HiGHS always resolves.
        """
        rules = self
        for w in excluded:
            rules = rules.with_rule(np.where(w, 1.0, -1.0), -np.inf, w.sum() - 1.0)
        return rules
