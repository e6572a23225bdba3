"""The change that random sets cause, with which a selection is compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._types import Floats, Integers, Mask
from .coordinates import BLOCK_SIZE, TABLE_SIZE, Coordinates, norms_of

# At most this many random sets are drawn for an expectation without a closed form.
_MAX_DRAWS = 2000


def random_change(
    coordinates: Coordinates, labels: Integers, n_dropped: Integers, fixed: Floats
) -> float:
    r"""Return the root mean square of ``‖Zᵀw‖₂ / scale`` over random sets with these counts.

    .. math:: E\|Z^T w\|^2 = \Big\|\sum_g \tfrac{m_g}{n_g} S_g + f\Big\|^2 + \sum_g
              \frac{m_g (n_g - m_g)}{n_g (n_g - 1)} \Big(\sum_{i \in g} \|z_i\|^2
              - \tfrac{1}{n_g} \|S_g\|^2\Big)

    with :math:`S_g` the sum of the rows of stratum g and f that of must_drop
    (sampling without replacement, Cochran 1977, chapter 5).

    Parameters
    ----------
    coordinates : Coordinates
        Rows of Z.
    labels : ndarray of shape (n_samples,)
        Stratum of each free row; -1 for the others.
    n_dropped : ndarray of shape (n_strata,)
        Rows dropped from each stratum.
    fixed : ndarray of shape (n_coordinates,)
        Sum of the rows of must_drop.
    """
    mean = fixed.astype(np.float64).copy()
    spread = 0.0
    for stratum, total in _stratum_totals(coordinates, labels):
        members, m = labels == stratum, n_dropped[stratum]
        n = int(members.sum())
        mean += m / n * total
        if n > 1:
            scatter = coordinates.squared_norms[members].sum() - total @ total / n
            spread += m * (n - m) / (n * (n - 1)) * max(scatter, 0.0)
    return float(np.sqrt(mean @ mean + spread))


def _stratum_totals(coordinates: Coordinates, labels: Integers) -> Iterator[tuple[int, Floats]]:
    """Yield each stratum and the sum of its rows, batch by batch of strata."""
    strata = np.unique(labels[labels >= 0])
    n_at_once = max(1, BLOCK_SIZE // max(1, len(labels)))
    for start in range(0, len(strata), n_at_once):
        batch = strata[start : start + n_at_once]
        totals = coordinates.total((labels[:, None] == batch).astype(np.float64))
        yield from zip(batch.tolist(), totals.T, strict=True)


def drawn_size_factors(
    coordinates: Coordinates,
    labels: Integers,
    n_dropped: Integers,
    must_drop: Mask,
    weights: Floats,
) -> tuple[float, ...]:
    r"""Return the factor by which the size factor lengthens random sets, for each block.

    .. math:: \sqrt{E[f^2 \|Z^T w\|^2] \,/\, E\|Z^T w\|^2}, \qquad f = N / (N - ν^T w)

    over up to 2,000 drawn sets with these counts that leave some weight. If the
    coordinates are more than a million numbers, f is taken as independent of the length, and only f
    is drawn: with many rows dropped it hardly varies.

    Parameters
    ----------
    coordinates, labels, n_dropped
        As in :func:`random_change`.
    must_drop : ndarray of bool of shape (n_samples,)
        Rows that are always dropped.
    weights : ndarray of shape (n_samples,)
        ν.
    """
    n, n_blocks = coordinates.n_samples, coordinates.n_blocks
    is_small = n * coordinates.n_coordinates <= TABLE_SIZE
    parts = [coordinates.block(b) for b in range(n_blocks)] if is_small else []
    tables = [part.rows(np.arange(n)) for part in parts]
    kept: list[Floats] = []
    squares: list[list[Floats]] = [[] for _ in range(n_blocks)]
    for drop in _drawn_sets(labels, n_dropped, must_drop):
        left = (~drop) @ weights
        kept.append(left[left > 0])
        for block, lengths in enumerate(squares):
            totals = drop[left > 0] @ tables[block] if tables else np.ones((len(kept[-1]), 1))
            lengths.append(norms_of(totals) ** 2)
    factors = (weights.sum() / np.concatenate(kept)) ** 2
    means = [np.concatenate(lengths) for lengths in squares]
    return tuple(
        float(np.sqrt((factors * mean).sum() / mean.sum())) if mean.any() else 1.0 for mean in means
    )


def _drawn_sets(labels: Integers, n_dropped: Integers, must_drop: Mask) -> Iterator[Mask]:
    """Yield arrays of random sets with these counts, one set a row."""
    rng, free = np.random.default_rng(0), np.flatnonzero(labels >= 0)
    strata, sizes = np.sort(labels[free]), np.bincount(labels[free], minlength=len(n_dropped))
    rank = np.arange(len(free)) - (np.cumsum(sizes) - sizes)[strata]
    goes = rank < n_dropped[strata]
    n_at_once = max(1, min(_MAX_DRAWS, BLOCK_SIZE // (10 * len(labels))))
    for _ in range(max(1, min(_MAX_DRAWS // n_at_once, 10))):
        keys = labels[free] + rng.random((n_at_once, len(free)))
        drop = np.repeat(must_drop[None], n_at_once, axis=0)
        np.put_along_axis(drop, free[np.argsort(keys, axis=1)[:, goes]], True, axis=1)
        yield drop
