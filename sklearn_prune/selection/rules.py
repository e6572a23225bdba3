"""Which sets of rows may be dropped: masks, counts, quotas, weights and linear rows."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import LinearConstraint

from .._types import Array, Floats, Integers, Mask
from .draws import draw_dropped
from .linear_rows import LinearRows, given_rows
from .quota import InfeasibleProblemError, KeptQuota, KeptRange, decided_rows, kept_range


class Rules:
    """Every rule that a set of dropped rows must meet; their change is no part of it.

    The parameters are those of :class:`SelectionProblem`.

    Attributes
    ----------
    n_samples : int
        Number of rows.
    n_drop : int or None
        Number of rows to drop; None leaves it open.
    must_keep, must_drop : ndarray of bool of shape (n_samples,)
        Rows that are always kept, always dropped.
    groups : ndarray of int of shape (n_samples,)
        Group of each row, as a position in ``group_names``; without a quota, one group for all.
    kept_range : KeptRange
        How many rows each group keeps.
    sample_weight : ndarray of shape (n_samples,)
        Weights, scaled so that the largest is 1. Some weight must stay.
    constraints : LinearRows
        The caller's linear rows, and "some weight stays" if no other rule says so.
    n_given_rows : int
        How many of them the caller gave.
    """

    def __init__(
        self,
        n_samples: int,
        *,
        n_drop: int | None = None,
        groups: ArrayLike | None = None,
        quota: KeptQuota = None,
        must_keep: ArrayLike | None = None,
        must_drop: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        constraints: LinearConstraint | Sequence[LinearConstraint] = (),
    ) -> None:
        self.n_samples, self.n_drop = n_samples, n_drop
        self.must_keep, self.must_drop = decided_rows(must_keep, must_drop, n_samples)
        self.sample_weight = _as_weights(sample_weight, n_samples)
        self._check_counts()
        self.group_names, self.groups = _as_codes(None if quota is None else groups, n_samples)
        rows = given_rows(constraints, n_samples)
        self.n_given_rows = len(rows)
        self.constraints = self._with_weight_row(rows)
        self._sizes = self.count(np.ones(n_samples, dtype=bool))
        self.kept_range = self._kept_range(quota)

    def _check_counts(self) -> None:
        n, n_drop = self.n_samples, self.n_drop
        if not self.sample_weight[~self.must_drop].any() and n:
            raise InfeasibleProblemError(
                f"some sample weight must stay; must_drop takes all of it ("
                f"{int(self.must_drop.sum())} of {n} rows). Free one row of positive weight."
            )
        if n_drop is None:
            return
        low, high = int(self.must_drop.sum()), n - int(self.must_keep.sum())
        if not isinstance(n_drop, Integral):
            raise ValueError(f"n_drop must be a whole number; it is {n_drop!r}. Round it.")
        if not 0 <= n_drop < max(n, 1):
            raise ValueError(f"n_drop must be in [0, {n - 1}], one row stays; it is {n_drop!r}.")
        if not low <= n_drop <= high:
            raise InfeasibleProblemError(
                f"n_drop={n_drop}, but must_drop and must_keep leave {low} to {high} rows to drop; "
                f"use n_drop in [{low}, {high}] or change the masks."
            )
        self.n_drop = int(n_drop)

    def _with_weight_row(self, rows: LinearRows) -> LinearRows:
        """Add "some weight stays" where rows without weight would let all of it go."""
        weighted = self.sample_weight > 0
        n_weighted = int(weighted.sum())
        most = self.n_samples - 1 if self.n_drop is None else self.n_drop
        if n_weighted == self.n_samples or most < n_weighted or (weighted & self.must_keep).any():
            return rows
        return rows.with_rule(weighted.astype(np.float64), 0.0, n_weighted - 1.0)

    def _kept_range(self, quota: KeptQuota) -> KeptRange:
        n_keep = None if self.n_drop is None else self.n_samples - self.n_drop
        if not isinstance(quota, KeptRange):
            keep, drop = self.count(self.must_keep), self.count(self.must_drop)
            names = self.group_names.tolist()
            quota = kept_range(quota, names, self._sizes, keep, drop, n_keep)
        if n_keep is not None:
            quota.counts(n_keep)
        return quota

    @property
    def free(self) -> Mask:
        """Rows that may be kept or dropped, shape (n_samples,)."""
        return ~(self.must_keep | self.must_drop)

    @property
    def free_groups(self) -> Integers:
        """Group of each free row, -1 for the others, shape (n_samples,)."""
        return np.where(self.free, self.groups, -1)

    @property
    def weight_must_stay(self) -> bool:
        """Whether a set of free rows could take all of the sample weight, which is forbidden."""
        stays = bool(self.sample_weight[self.must_keep].any())
        return len(self.constraints) > self.n_given_rows and not stays

    def count(self, mask: Mask) -> Integers:
        """Return the number of rows in ``mask`` for each group."""
        return np.bincount(self.groups[mask], minlength=len(self.group_names)).astype(np.int64)

    def dropped_counts(self, n_drop: int) -> Integers:
        """Return the rows that each group drops when ``n_drop`` are dropped in all."""
        return self._sizes - self.kept_range.counts(self.n_samples - n_drop)

    def dropped_bounds(self, n_drop: int | None) -> tuple[Integers, Integers]:
        """Return the least and the greatest number of rows that each group may drop.

        With "proportional" and "equal" they are the group's share, rounded down and up; with a
        dict or no quota they are a range. ``n_drop=None`` stands for any number of rows in all.
        """
        low, high = self.kept_range.low, self.kept_range.high
        if self.kept_range.is_fixed and n_drop is not None:
            low, high = self.kept_range.rounded(self.n_samples - n_drop)
        return self._sizes - high, self._sizes - low

    def linear_rows(self, n_drop: int | None) -> LinearRows:
        """Return counts, quotas and constraints as linear rules over the free rows.

        ``n_drop`` is the number of rows dropped in all; None leaves it open (at most all but one).
        """
        free, rows = self.free, self.constraints
        least, most = (0, self.n_samples - 1) if n_drop is None else (n_drop, n_drop)
        low, high = self.dropped_bounds(n_drop)
        indicator = np.arange(len(self.group_names))[:, None] == self.groups[free]
        forced, shift = self.count(self.must_drop), rows.A @ self.must_drop.astype(np.float64)
        return LinearRows(
            np.vstack([np.ones((1, int(free.sum()))), indicator, rows.A[:, free]]),
            np.r_[least - forced.sum(), low - forced, rows.low - shift],
            np.r_[most - forced.sum(), high - forced, rows.high - shift],
        )

    def is_feasible(self, drop: Mask) -> bool:
        """Whether the set meets every rule."""
        if (drop & self.must_keep).any() or (self.must_drop & ~drop).any():
            return False
        n_drop = int(drop.sum())
        if self.n_drop is not None and n_drop != self.n_drop:
            return False
        if not self.kept_range.admits(self.n_samples - n_drop):
            return False
        if not self.sample_weight[~drop].any():
            return False
        (low, high), counts = self.dropped_bounds(n_drop), self.count(drop)
        if (counts < low).any() or (counts > high).any():
            return False
        return bool(self.constraints.admit(self.constraints.A @ drop.astype(np.float64)))

    def random_set(self, n_drop: int, rng: np.random.Generator) -> Mask:
        """Draw a random set with the right counts per group, which may break constraints."""
        n_dropped = self.dropped_counts(n_drop) - self.count(self.must_drop)
        return self.must_drop | draw_dropped(self.free_groups, n_dropped, None, rng)

    def with_free(self, chosen: Mask) -> Mask:
        """Return must_drop and the chosen free rows; ``chosen`` has shape (n_free,)."""
        drop = self.must_drop.copy()
        drop[self.free] = chosen
        return drop

    def size_factor(self, drop: Mask) -> float:
        """Return ``N / (N - νᵀw)``; infinite when nothing is kept."""
        kept = float(self.sample_weight[~drop].sum())
        return float(self.sample_weight.sum()) / kept if kept > 0 else np.inf

    def least_size_factor(self, n_drop: int) -> float:
        """Return a lower bound on the size factor of a set of ``n_drop`` rows."""
        spare = np.sort(self.sample_weight[self.free])[: n_drop - int(self.must_drop.sum())]
        kept = self.sample_weight[~self.must_drop].sum() - spare.sum()
        return float(self.sample_weight.sum() / kept) if kept > 0 else np.inf


def as_vector(name: str, value: ArrayLike, n: int) -> Floats:
    """Return ``value`` as one finite float per row, shape (n,); raise ValueError if it is not."""
    vector = np.asarray(value, dtype=np.float64)
    n_bad = int((~np.isfinite(vector)).sum())
    if vector.shape != (n,) or n_bad:
        raise ValueError(
            f"{name} must be finite and of shape ({n},), one number per row; it has shape "
            f"{vector.shape} and {n_bad} numbers that are NaN or infinite. Give one finite number "
            "for each row of Z."
        )
    return vector


def _as_weights(sample_weight: ArrayLike | None, n: int) -> Floats:
    """Return weights whose largest is 1, so that their sum neither overflows nor vanishes."""
    if sample_weight is None:
        return np.ones(n)
    weights = as_vector("sample_weight", sample_weight, n)
    if (weights < 0).any():
        row = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(
            f"sample_weight must be >= 0; row {row} has {weights[row]:g}. Give that row weight 0, "
            "or leave it out."
        )
    return weights / (weights.max(initial=0.0) or 1.0)


def _as_codes(groups: ArrayLike | None, n: int) -> tuple[Array, Integers]:
    if groups is None:
        return np.zeros(1, dtype=np.int64), np.zeros(n, dtype=np.int64)
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(
            f"groups must have shape ({n},), one label per row; it has shape {labels.shape}. Give "
            "one label for each row of Z."
        )
    names, codes = np.unique(labels, return_inverse=True)
    return names, codes.astype(np.int64)
