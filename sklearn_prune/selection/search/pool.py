"""The pool of one round: the rows that may be swapped."""

from __future__ import annotations

import numpy as np

from ..._types import Floats, Integers, Mask
from ..coordinates import Coordinates


def draw_pool(
    coordinates: Coordinates,
    labels: Integers,
    drop: Mask,
    residual: Floats,
    rng: np.random.Generator,
    *,
    size: int,
    reward: Floats | None = None,
) -> list[Integers]:
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
    residual : ndarray of shape (n_coordinates,)
        c.
    rng : numpy.random.Generator
        Draws the random half.
    size : int
        Size of the pool, at most.
    reward : ndarray of shape (n_rows,), default=None
        What dropping each row is worth.

    Returns
    -------
    list of ndarray of int
        Positions of the rows of each stratum.
    """
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
    pool: list[Integers] = []
    for stratum in range(n_strata):
        members, chosen = labels == stratum, []
        for side in (members & drop, members & ~drop):
            candidates = np.flatnonzero(side)
            for key, count in parts:
                n_best = min(count, len(candidates))
                if n_best:
                    best = np.argpartition(-key[candidates], n_best - 1)[:n_best]
                    chosen.append(candidates[best])
                    candidates = np.delete(candidates, best)
        if chosen:
            pool.append(np.concatenate(chosen))
    return pool
