"""The pool of one round: the rows that may be swapped, and their Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._types import Floats, Integers, Mask
from ..coordinates import Coordinates


@dataclass(frozen=True)
class Pool:
    """Rows of one round, stratum by stratum.

    Attributes
    ----------
    indices : ndarray of shape (n_pool,)
        Positions of the rows.
    labels : ndarray of shape (n_pool,)
        Stratum of each, ascending.
    gram : ndarray of shape (n_pool, n_pool)
        Inner products of the rows, in units of ``scale ** 2``.
    scores : ndarray of shape (n_pool,)
        Inner product of each row with the residual, less half of the row's reward.
    drop : ndarray of bool of shape (n_pool,)
        True where the row is dropped.
    """

    indices: Integers
    labels: Integers
    gram: Floats
    scores: Floats
    drop: Mask

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First and past-the-last position of each stratum with two or more rows."""
        edges = np.flatnonzero(np.diff(self.labels)) + 1
        ends = zip(np.r_[0, edges], np.r_[edges, len(self.labels)], strict=True)
        return [(int(a), int(b)) for a, b in ends if b - a > 1]


def draw_pool(
    coordinates: Coordinates,
    labels: Integers,
    drop: Mask,
    rng: np.random.Generator,
    *,
    size: int,
    reward: Floats | None = None,
) -> Pool:
    r"""Draw the rows of one round, as many dropped as kept ones if there are enough.

    Let c be the residual, ``s_i = z_i · c`` and ``q_i = ‖z_i‖²``. A quarter of the pool are the
    rows whose own move gains most (``2 s_i - q_i`` for a dropped row, ``-2 s_i - q_i`` for a kept
    one). A quarter are the rows most parallel to c (largest ``s_i² / q_i``): if few rows point in
    the direction of c, these must be exchanged, however long they are. The other half is drawn at
    random with a preference for short rows, which allow fine corrections.

    Parameters
    ----------
    coordinates : Coordinates
        The rows, n_rows of them.
    labels : ndarray of shape (n_rows,)
        Stratum of each row; -1 for fixed rows.
    drop : ndarray of bool of shape (n_rows,)
        The current set.
    rng : numpy.random.Generator
        Draws the random half.
    size : int
        Size of the pool, at most.
    reward : ndarray of shape (n_rows,), default=None
        What dropping each row is worth.
    """
    residual = coordinates.residual(drop)
    scores, norms = coordinates.scores(residual), coordinates.squared_norms
    worth = 0.0 if reward is None else reward / 2
    typical = float(np.median(norms[labels >= 0])) if (labels >= 0).any() else 1.0
    smallest = max(1e-6 * typical, np.finfo(float).tiny)
    promise = np.where(drop, 2.0, -2.0) * (scores - worth) - norms
    parallel = scores**2 / np.maximum(norms, smallest)
    # Exponential races: rows are drawn without replacement with odds 1 / (norm + typical norm).
    race = -rng.exponential(size=len(norms)) * (norms + 0.1 * typical)
    n_strata = int(labels.max(initial=-1)) + 1
    share = max(4, size // max(1, 2 * n_strata))
    parts = ((promise, share // 4), (race, share // 2), (parallel, share // 4))
    chosen = []
    for stratum in range(n_strata):
        members = labels == stratum
        for side in (members & drop, members & ~drop):
            candidates = np.flatnonzero(side)
            for key, count in parts:
                n_best = min(count, len(candidates))
                if n_best:
                    best = np.argpartition(-key[candidates], n_best - 1)[:n_best]
                    chosen.append(candidates[best])
                    candidates = np.delete(candidates, best)
    indices = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
    gram, in_pool = coordinates.products(indices, residual)
    if reward is not None:
        in_pool = in_pool - reward[indices] / 2
    return Pool(indices, labels[indices], gram, in_pool, drop[indices])
