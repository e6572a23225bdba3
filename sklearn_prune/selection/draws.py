"""Random draws of rows, with equal or unequal probabilities."""

from __future__ import annotations

import numpy as np

from .._types import Floats, Integers, Mask


def inclusion_probabilities(weight: Floats, n_kept: float) -> Floats:
    """Return probabilities proportional to ``weight``, capped at 1, that sum to ``n_kept``.

    Parameters
    ----------
    weight : ndarray of shape (n_rows,)
        Positive.
    n_kept : float
        At most n_rows.

    Returns
    -------
    probabilities : ndarray of shape (n_rows,)
        1 for rows that are certain to be drawn.
    """
    certain = np.zeros(len(weight), dtype=bool)
    while True:
        rest, total = n_kept - certain.sum(), weight[~certain].sum()
        probabilities = np.where(certain, 1.0, weight * (rest / total if total > 0 else 0.0))
        beyond = ~certain & (probabilities >= 1.0)
        if not beyond.any():
            return np.maximum(probabilities, 0.0)
        certain |= beyond


def systematic_sample(probabilities: Floats, rng: np.random.Generator) -> Mask:
    """Draw rows with these inclusion probabilities, which sum to a whole number of rows.

    The rows stand in random order on a line, each as long as its probability, and every whole step
    from a random start picks the row it lands on (Madow 1949).
    """
    drawn = probabilities >= 1.0
    open_rows = rng.permutation(np.flatnonzero(~drawn))
    ends = np.cumsum(probabilities[open_rows])
    n_left = round(float(ends[-1])) if len(ends) else 0
    if n_left:
        steps = (rng.random() + np.arange(n_left)) * (ends[-1] / n_left)
        drawn[open_rows[np.searchsorted(ends, steps, side="right")]] = True
    return drawn


def draw_dropped(
    labels: Integers, n_dropped: Integers, kept_share: Floats | None, rng: np.random.Generator
) -> Mask:
    """Draw ``n_dropped[c]`` rows of each cell c; rows of label -1 are never drawn.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
        Cell of each row.
    n_dropped : ndarray of shape (n_cells,)
        Rows to draw.
    kept_share : ndarray of shape (n_rows,) or None
        Relative odds of each row to be kept; None means equal odds.
    """
    dropped = np.zeros(len(labels), dtype=bool)
    for cell, m in enumerate(n_dropped):
        members = np.flatnonzero(labels == cell)
        if kept_share is None:
            dropped[rng.choice(members, size=int(m), replace=False)] = True
            continue
        odds = np.maximum(kept_share[members], np.finfo(np.float64).tiny)
        probabilities = inclusion_probabilities(odds, len(members) - int(m))
        dropped[members[~systematic_sample(probabilities, rng)]] = True
    return dropped
