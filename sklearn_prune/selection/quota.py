"""How many rows each group keeps, and which rows are always kept or dropped."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._types import Floats, Integers, Mask


class InfeasibleProblemError(ValueError):
    """No set of rows meets every constraint; the message names one that cannot be met.

    Attributes
    ----------
    tolerance, change : float or None
        If a tolerance cannot be met: the tolerance and the smallest change found, in the unit of Z
        and with the size factor.
    timed_out : bool
        Whether the time limit ended the search.
    """

    def __init__(
        self,
        message: str,
        *,
        tolerance: float | None = None,
        change: float | None = None,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.tolerance, self.change, self.timed_out = tolerance, change, timed_out


@dataclass(frozen=True)
class KeptRange:
    """Least and greatest number of rows that each group may keep, and its share between them.

    Attributes
    ----------
    low, high : ndarray of shape (n_groups,)
        Bounds on the rows kept, in rows.
    weights : ndarray of shape (n_groups,)
        Within the bounds, the target of group g is the share ``weights[g] / weights.sum()`` of
        the rows kept.
    is_fixed : bool, default=False
        Whether each group keeps exactly that share, rounded down or up.
    """

    low: Integers
    high: Integers
    weights: Floats
    is_fixed: bool = False

    def admits(self, n_keep: int) -> bool:
        """Whether the groups can keep ``n_keep`` rows in all."""
        return bool(self.low.sum() <= n_keep <= self.high.sum())

    def counts(self, n_keep: int) -> Integers:
        """Return the rows each group keeps when ``n_keep`` are kept in all.

        The targets are ``clip(t * weights, low, high)`` with t such that they sum to ``n_keep``,
        rounded by largest remainders.

        Raises
        ------
        InfeasibleProblemError
            If the bounds do not admit ``n_keep`` rows.
        """
        if not self.admits(n_keep):
            raise InfeasibleProblemError(
                f"the quota keeps between {self.low.sum()} and {self.high.sum()} rows, not "
                f"{n_keep}; change the number of rows to drop or widen the quota."
            )
        targets = self._targets(n_keep)
        counts = np.floor(targets + 1e-9).astype(np.int64)
        missing = n_keep - int(counts.sum())
        # Ties go to the first group, so that the same input gives the same counts.
        remainder = np.where(counts < self.high, targets - counts, -1.0)
        order = np.argsort(-remainder, kind="stable")
        counts[order[:missing]] += 1
        return counts

    def rounded(self, n_keep: int) -> tuple[Integers, Integers]:
        """Return the share of each group when ``n_keep`` rows are kept, rounded down and up."""
        targets = self._targets(n_keep)
        low = np.floor(targets + 1e-6).astype(np.int64)
        high = np.ceil(targets - 1e-6).astype(np.int64)
        return np.minimum(low, high), high

    def _targets(self, n_keep: int) -> Floats:
        positive = self.weights[self.weights > 0]
        low, high = 0.0, (self.high.max() + 1.0) / (positive.min() if positive.size else 1.0)
        for _ in range(100):
            middle = (low + high) / 2
            total = np.clip(middle * self.weights, self.low, self.high).sum()
            low, high = (middle, high) if total < n_keep else (low, middle)
        return np.clip(low * self.weights, self.low, self.high)


# An entry of a dict: a count (int), a share (float), or a (low, high) pair of either.
Entry: TypeAlias = float | tuple[float, float]
# What a user asks for, and what it comes to in a problem.
Quota: TypeAlias = Literal["class", "equal"] | Mapping[Hashable, Entry] | None
KeptQuota: TypeAlias = str | Mapping[Hashable, Entry] | KeptRange | None


def decided_rows(
    must_keep: ArrayLike | None, must_drop: ArrayLike | None, n_samples: int
) -> tuple[Mask, Mask]:
    """Check the masks of rows that are always kept or always dropped; None means no row.

    Raises
    ------
    ValueError
        When one is not a boolean mask of shape (n_samples,).
    InfeasibleProblemError
        When they share a row.
    """
    keep = _as_mask("must_keep", must_keep, n_samples)
    drop = _as_mask("must_drop", must_drop, n_samples)
    overlap = int((keep & drop).sum())
    if overlap:
        raise InfeasibleProblemError(
            f"must_keep and must_drop share {overlap} rows; take each row out of one of them."
        )
    return keep, drop


def _as_mask(name: str, value: ArrayLike | None, n_samples: int) -> Mask:
    if value is None:
        return np.zeros(n_samples, dtype=bool)
    mask = np.asarray(value)
    if mask.dtype != bool or mask.shape != (n_samples,):
        raise ValueError(
            f"{name} must be a boolean mask of shape ({n_samples},); it has dtype {mask.dtype} and "
            f"shape {mask.shape}. Turn positions into a mask with np.isin(np.arange({n_samples}), "
            "positions)."
        )
    return mask


def kept_range(
    quota: str | Mapping[Hashable, Entry] | None,
    names: Sequence[Hashable],
    sizes: Integers,
    n_must_keep: Integers,
    n_must_drop: Integers,
    n_keep: int | None,
    *,
    least_named: int = 0,
    classes: Integers | None = None,
) -> KeptRange:
    """Translate a quota into bounds for each group.

    Parameters
    ----------
    quota : None, "proportional", "equal" or mapping
        "proportional": every group keeps the same share, and at least one row if possible.
        "equal": every group keeps the same number, as far as its size allows. A mapping gives a
        count (int), a share of the group's rows (float), or a ``(low, high)`` tuple of either;
        groups that it does not name are free.
    names : sequence of length n_groups
        The groups' names, in the order of the other arrays.
    sizes, n_must_keep, n_must_drop : ndarray of shape (n_groups,)
        Number of rows of each group: in all, always kept, always dropped.
    n_keep : int or None
        Number of rows kept in all; None if that is not known.
    least_named : int, default=0
        Least number of rows that each group named in a mapping keeps.
    classes : ndarray of int of shape (n_groups,), default=None
        Class of each group. Each class keeps at least one row; unless another rule ensures that,
        its group with the most rows that may be kept has to keep one.

    Returns
    -------
    kept_range : KeptRange
        The bounds and the targets.

    Raises
    ------
    ValueError
        When the quota is malformed or names a group that no row belongs to.
    InfeasibleProblemError
        When a group cannot keep as many rows as the quota asks for.
    """
    low: Integers = n_must_keep.copy()
    high: Integers = sizes - n_must_drop
    weights = np.ones(len(sizes)) if quota == "equal" else sizes.astype(np.float64)
    is_fixed = isinstance(quota, str)
    if isinstance(quota, Mapping):
        low, high = _named_bounds(quota, names, sizes, low, high, least_named)
    elif quota not in (None, "proportional", "equal"):
        raise ValueError(f"quota must be None, 'proportional', 'equal' or a dict; it is {quota!r}.")
    at_least_one = np.maximum(low, np.minimum(1, high))
    if is_fixed and (n_keep is None or at_least_one.sum() <= n_keep):
        low = at_least_one
    if classes is not None:
        for label in np.setdiff1d(classes, classes[low > 0]):
            groups = np.flatnonzero(classes == label)
            low[groups[high[groups].argmax()]] = 1
    return KeptRange(low, high, weights, is_fixed)


def _named_bounds(
    quota: Mapping[Hashable, Entry],
    names: Sequence[Hashable],
    sizes: Integers,
    low: Integers,
    high: Integers,
    least: int,
) -> tuple[Integers, Integers]:
    low, high = low.copy(), high.copy()
    position = {name: g for g, name in enumerate(names)}
    for label, value in quota.items():
        if label not in position:
            pairs = " Name those, pairs as (class, group)." if least else ""
            raise ValueError(
                f"quota names the group {label!r}, which has no rows; the groups are "
                f"{list(names[:10])}.{pairs}"
            )
        g = position[label]
        ends = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
        asked_low, asked_high = (_as_count(end, int(sizes[g]), label) for end in ends)
        if asked_high < least:
            raise InfeasibleProblemError(
                f"every class or group keeps at least one row; quota={value!r} for {label!r} "
                f"keeps none of its {sizes[g]} rows. Raise it to 1 or more."
            )
        asked_low = max(asked_low, least)
        if asked_low > high[g] or asked_high < low[g] or asked_low > asked_high:
            raise InfeasibleProblemError(
                f"quota={value!r} for group {label!r} keeps between {asked_low} and {asked_high} "
                f"of its {sizes[g]} rows, but only {low[g]} to {high[g]} can be kept; change the "
                "quota, must_keep or must_drop."
            )
        low[g], high[g] = max(low[g], asked_low), min(high[g], asked_high)
    return low, high


def _as_count(value: float, size: int, label: Hashable) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0:
        return int(value)
    if isinstance(value, (float, np.floating)) and 0 <= value <= 1:
        return round(float(value) * size)
    raise ValueError(
        f"quota for group {label!r} must be a count (int >= 0), a share (float in [0, 1]) or a "
        f"tuple (low, high) of them; it is {value!r}. Give one of these."
    )
