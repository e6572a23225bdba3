"""Pair exchange: swap a dropped row for a kept one while that shortens the residual."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ..._types import Floats, Integers, Mask
from ..coordinates import Coordinates
from ..linear_rows import LinearRows
from .pool import Pool, draw_pool

# Size of a round's pool: room for many swaps, and a Gram matrix cheaper than a few passes over Z.
_MAX_POOL = 3000
# Swaps between two checks of the clock, and the most swaps in a round.
_SWAPS_PER_LOOK, _MAX_SWAPS = 64, 100_000
# Dropped rows that are tried against every kept row before a stratum counts as exhausted.
_BEST_DROPPED = 64


class Exchanged(NamedTuple):
    """Result of a round of exchanges.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_rows,)
        A new set; equal to the old one where no swap helps.
    is_exhaustive : bool
        Whether the pool held every free row, so that another round would find nothing more.
    """

    drop: Mask
    is_exhaustive: bool


def exchange_round(
    coordinates: Coordinates,
    labels: Integers,
    drop: Mask,
    rng: np.random.Generator,
    *,
    reward: Floats | None = None,
    deadline: float = np.inf,
    linear_rows: LinearRows | None = None,
) -> Exchanged:
    r"""Swap rows of the same stratum inside one pool until no swap helps.

    With the residual c (Zᵀw plus the offset), putting back row i and dropping row j changes its
    squared norm by

    .. math:: \|c - z_i + z_j\|^2 - \|c\|^2
              = -(2 s_i - q_i) + (2 s_j + q_j) - 2 z_i \cdot z_j,
              \qquad s = Z c,\quad q_i = \|z_i\|^2

    All rows are scored once against c to draw the pool (:func:`draw_pool`). Inside the pool the
    Gram matrix has every product: scores are updated, never recomputed, so a swap costs O(pool) for
    any number of coordinates.

    Parameters
    ----------
    coordinates : Coordinates
        The rows, n_rows of them.
    labels : ndarray of shape (n_rows,)
        Stratum of each row; swaps stay inside a stratum. -1 for fixed rows.
    drop : ndarray of bool of shape (n_rows,)
        The set to improve, fixed rows included.
    rng : numpy.random.Generator
        Draws half of the pool.
    deadline : float, default=inf
        ``time.perf_counter()`` value at which the round ends with the swaps made so far.
    reward : ndarray of shape (n_rows,), default=None
        What dropping each row is worth: ``‖c‖² - rewardᵀw`` is minimised instead.
    linear_rows : LinearRows, default=None
        Rules ``low <= A w <= high`` that hold now and continue to hold.
    """
    pool = draw_pool(coordinates, labels, drop, rng, size=_MAX_POOL, reward=reward)
    room = None if not linear_rows else _Room.of(linear_rows, drop, pool.indices)
    improved = drop.copy()
    improved[pool.indices] = _PoolSearch(pool, room, deadline).run()
    return Exchanged(improved, len(pool.indices) == np.count_nonzero(labels >= 0))


class _PoolSearch:
    """Best-improvement exchange inside a pool, by its Gram matrix alone."""

    def __init__(self, pool: Pool, room: _Room | None, deadline: float) -> None:
        self._room, self._deadline = room, deadline
        self._gram = pool.gram
        self._scores = pool.scores.astype(np.float64)
        self._norms = np.diag(pool.gram).astype(np.float64)
        self._drop, self._n_swaps = pool.drop.copy(), 0
        self._slices = [slice(a, b) for a, b in pool.bounds]
        # Smaller gains are float32 rounding, and the search might cycle.
        self._least_gain = 1e-5 * float(np.median(self._norms)) if len(pool.labels) else 0.0

    def run(self) -> Mask:
        """Swap until a whole pass over the strata finds no swap; return the pool's new set."""
        before = -1
        while before < self._n_swaps < _MAX_SWAPS:
            before = self._n_swaps
            for stratum in self._slices:
                self._exhaust(stratum)
        return self._drop

    def _exhaust(self, stratum: slice) -> None:
        """Swap inside a stratum until no swap helps."""
        dropped = np.where(self._drop[stratum], 0.0, -np.inf)
        kept = np.where(self._drop[stratum], -np.inf, 0.0)
        norms, gram = self._norms[stratum], self._gram[stratum, stratum]
        n_swaps = 0
        while self._n_swaps < _MAX_SWAPS:
            if n_swaps % _SWAPS_PER_LOOK == 0 and time.perf_counter() > self._deadline:
                return
            twice = 2.0 * self._scores[stratum]
            back = twice - norms + dropped
            out = kept - twice - norms
            for n_try in (1, _BEST_DROPPED):
                i, j, gain = self._best_pair(back, out, gram, stratum.start, n_try)
                if gain > self._least_gain:
                    break
            else:
                return
            n_swaps, self._n_swaps = n_swaps + 1, self._n_swaps + 1
            dropped[i], kept[i], dropped[j], kept[j] = -np.inf, 0.0, 0.0, -np.inf
            i, j = i + stratum.start, j + stratum.start
            self._drop[i], self._drop[j] = False, True
            self._scores += self._gram[j] - self._gram[i]
            if self._room is not None:
                self._room.swap(i, j)

    def _best_pair(
        self, back: Floats, out: Floats, gram: Floats, start: int, n_try: int
    ) -> tuple[int, int, float]:
        """Return the best pair among the most promising dropped rows and every kept row."""
        n_try = min(n_try, len(back))
        if n_try == 1:
            tried = np.array([back.argmax()])
        else:
            tried = np.argpartition(-back, n_try - 1)[:n_try]
        gains = back[tried, None] + out + 2.0 * gram[tried]
        if self._room is not None:
            gains[~self._room.allows(tried + start, start, len(out))] = -np.inf
        best = int(gains.argmax())
        row, j = divmod(best, len(out))
        return int(tried[row]), j, float(gains[row, j])


class _Room:
    """The room that the rules ``low <= A w <= high`` leave for swaps in the pool."""

    def __init__(self, columns: Floats, value: Floats, low: Floats, high: Floats) -> None:
        self._columns, self._value, self._low, self._high = columns, value, low, high

    @classmethod
    def of(cls, linear_rows: LinearRows, drop: Mask, pool: Integers) -> _Room:
        """Return the room that the rules leave at the set ``drop``."""
        value = linear_rows.A @ drop.astype(np.float64)
        low, high = linear_rows.low - linear_rows.slack, linear_rows.high + linear_rows.slack
        return cls(linear_rows.A[:, pool], value, low, high)

    def allows(self, returned: Integers, start: int, length: int) -> Mask:
        """Whether swapping each returned row for each row of a slice keeps every linear row."""
        out = self._columns[:, start : start + length]
        moved = self._value[:, None, None] - self._columns[:, returned, None] + out[:, None, :]
        inside = (moved >= self._low[:, None, None]) & (moved <= self._high[:, None, None])
        return np.asarray(inside.all(axis=0))

    def swap(self, returned: int, dropped: int) -> None:
        """Record that one row came back and another one went."""
        self._value = self._value - self._columns[:, returned] + self._columns[:, dropped]
