"""The set of smallest norm among up to 32 rows, by comparing all sets of two halves."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..._types import Floats, Integers, Mask
from ..linear_rows import LinearRows
from .free_rows import MAX_ROWS, ExactResult, FreeRows, subsets

# Limits on the pairs of sets to compare, on the pairs of groups with equal values in the linear
# rules, and on the candidates whose norms are recomputed.
MAX_PAIRS, MAX_GROUPS, MAX_CANDIDATES = 2e9, 100_000, 100_000
# Products held at a time, and the rounding error of one as a share of its terms.
_AT_ONCE, _ROUNDING = 4_000_000, 1e-13


@dataclass(frozen=True)
class _Half:
    """All sets of one half of the rows, grouped by their values in the linear rows.

    Attributes
    ----------
    sets : ndarray of bool of shape (n_sets, n_rows)
        One set per row.
    sums : ndarray of shape (n_sets, n_coordinates)
        Sum of the rows of each set, offset included.
    values : ndarray of shape (n_groups, n_linear_rows)
        Values of the linear rows that the sets of each group share.
    members : list of ndarray
        Positions of the sets of each group.
    """

    sets: Mask
    sums: Floats
    values: Floats
    members: list[Integers]

    @classmethod
    def of(cls, rows: Floats, A: Floats, offset: Floats) -> _Half:
        """Return the half of ``rows``; A are their columns of the linear rows."""
        sets = subsets(len(rows))
        values, group = np.unique(sets @ A.T, axis=0, return_inverse=True)
        order, sizes = np.argsort(group.ravel(), kind="stable"), np.bincount(group.ravel())
        return cls(sets, offset + sets @ rows, values, np.split(order, np.cumsum(sizes)[:-1]))


def meet_in_the_middle(free: FreeRows, incumbent: Mask, deadline: float) -> ExactResult:
    r"""Minimise ``‖offset + Zᵀw‖₂`` by comparing every set of one half with every set of the other.

    .. math:: \|a + b\|^2 = [2a,\; \|a\|^2,\; 1] \cdot [b,\; 1,\; \|b\|^2]

    so one matrix product gives the norms of all pairs of two groups (Horowitz & Sahni 1974). If 16
    of 32 rows are dropped there are 6e8 pairs, which takes some seconds. The norms of sets within
    rounding of the best are recomputed from their rows. Rows are rotated to their span, so there
    are at most as many coordinates as rows.

    Parameters
    ----------
    free, incumbent, deadline
        As in :func:`smallest_change`.

    Returns
    -------
    ExactResult
        Not proven if there are too many sets or the time ran out.
    """
    unproven, n = ExactResult(incumbent, 0.0, False), len(free)
    if n > MAX_ROWS:
        return unproven
    # The part of the offset outside the span of the rows is the same for all sets.
    rotation, _ = np.linalg.qr(free.rows.T)
    half, Z, c, A = n // 2, free.rows @ rotation, free.offset @ rotation, free.rules.A
    first = _Half.of(Z[:half], A[:, :half], c)
    second = _Half.of(Z[half:], A[:, half:], np.zeros_like(c))
    if len(first.members) * len(second.members) > MAX_GROUPS:
        return unproven
    least = float(np.sum((c + incumbent @ Z) ** 2))
    pairs = _nearest(first, second, free.rules, least, deadline)
    if pairs is None:
        return unproven
    sets = np.hstack([first.sets[pairs[0]], second.sets[pairs[1]]])
    lengths, incumbent_norm = np.array([free.norm(w) for w in sets]), free.norm(incumbent)
    shorter = np.flatnonzero(lengths < incumbent_norm)
    order = shorter[np.argsort(lengths[shorter], kind="stable")]
    best, in_time = free.first_accepted(sets[order], deadline)
    if best is not None:
        return ExactResult(best, free.norm(best), True)
    # If candidates were found but none accepted, a set that is no candidate may be the best.
    is_best = in_time and not len(order)
    return ExactResult(incumbent, incumbent_norm if is_best else 0.0, is_best)


def _nearest(
    first: _Half, second: _Half, rules: LinearRows, least: float, deadline: float
) -> tuple[Integers, Integers] | None:
    """Return the pairs of least squared norm, within rounding; None if there are too many."""
    left = np.column_stack([2 * first.sums, _squared(first.sums), np.ones(len(first.sums))])
    right = np.column_stack([second.sums, np.ones(len(second.sums)), _squared(second.sums)])
    rounding = _ROUNDING * (left[:, -2].max() + right[:, -1].max())
    pairs, n_left = _allowed_groups(first, second, rules), MAX_PAIRS
    candidates: list[tuple[Floats, Integers, Integers]] = []
    for i, j in pairs:
        members, others = first.members[i], second.members[j]
        n_left -= len(members) * len(others)
        step = max(1, _AT_ONCE // len(others))
        for start in range(0, len(members), step):
            if n_left < 0 or time.perf_counter() > deadline:
                return None
            block = members[start : start + step]
            squares = left[block] @ right[others].T
            least = min(least, float(squares.min()))
            a, b = np.nonzero(squares <= least + rounding)
            if len(a):
                candidates.append((squares[a, b], block[a], others[b]))
    if not candidates:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    squares, a, b = (np.concatenate(parts) for parts in zip(*candidates, strict=True))
    near = squares <= least + rounding
    return None if near.sum() > MAX_CANDIDATES else (a[near], b[near])


def _squared(sums: Floats) -> Floats:
    return np.einsum("ij,ij->i", sums, sums)


def _allowed_groups(first: _Half, second: _Half, rules: LinearRows) -> Integers:
    """Return the pairs of groups that together meet the linear rows, shape (n_pairs, 2)."""
    values = first.values[:, None] + second.values[None]
    return np.argwhere(rules.admit(values))
