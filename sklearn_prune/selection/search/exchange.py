"""Pair exchange: swap a dropped row for a kept one while that shortens the residual."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..._types import Floats, Integers, Mask
from ..coordinates import Coordinates
from ..linear_rows import LinearRows
from .pool import draw_pool

# Rows in a round's pool: room for many swaps, and Gram matrices cheaper than a few passes over Z.
POOL_ROWS = 3000
# The last pass over the strata of a pool gains less than this share of what the round has gained,
# unless the pool holds every row: the next pool offers more.
_LEAST_OF_ROUND = 0.1
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
    residual: Floats | None = None,
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

    All rows are scored once against c to draw the pool (:func:`draw_pool`). Inside a stratum of the
    pool the Gram matrix has every product: scores are updated, not recomputed, so a swap costs
    O(stratum) for any number of coordinates. Then c itself is updated, and the next stratum is
    scored against it.

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
    residual : ndarray of shape (n_coordinates,), default=None
        c, if it is known already.
    deadline : float, default=inf
        ``time.perf_counter()`` value at which the round ends with the swaps made so far.
    reward : ndarray of shape (n_rows,), default=None
        What dropping each row is worth: ``‖c‖² - rewardᵀw`` is minimised instead.
    linear_rows : LinearRows, default=None
        Rules ``low <= A w <= high`` that hold now and continue to hold.
    """
    if residual is None:
        residual = coordinates.residual(drop)
    pool = draw_pool(coordinates, labels, drop, residual, rng, size=POOL_ROWS, reward=reward)
    if not pool:
        return Exchanged(drop, is_exhaustive=True)
    indices = np.concatenate(pool)
    rows = coordinates.gathered(indices)
    worth = np.zeros(len(indices)) if reward is None else reward[indices]
    ends = np.cumsum([len(stratum) for stratum in pool])
    strata = [
        _Stratum(rows.take(part), part.start, drop[indices[part]], worth[part])
        for part in map(slice, np.r_[0, ends[:-1]], ends)
    ]
    room = None if not linear_rows else _Room.of(linear_rows, drop, indices)
    is_exhaustive = len(indices) == np.count_nonzero(labels >= 0)
    search = _PoolSearch(strata, residual, room, deadline)
    search.run(least_share=0.0 if is_exhaustive else _LEAST_OF_ROUND)
    improved = drop.copy()
    improved[indices] = np.concatenate([stratum.drop for stratum in strata])
    return Exchanged(improved, is_exhaustive)


@dataclass(eq=False)
class _Stratum:
    """The rows of one stratum of the pool.

    Attributes
    ----------
    rows : Coordinates
        These rows alone.
    start : int
        Position of the first of them in the pool.
    drop : ndarray of bool of shape (n_rows,)
        Which of them are dropped.
    worth : ndarray of shape (n_rows,)
        What dropping each is worth.
    n_seen : int
        Swaps in the whole pool after which no swap in this stratum helped; -1 before it was tried.
    gram : ndarray of shape (n_rows, n_rows)
        Inner products of the rows.
    norms : ndarray of shape (n_rows,)
        Squared norms of the rows.
    """

    rows: Coordinates
    start: int
    drop: Mask
    worth: Floats
    n_seen: int = -1

    def __post_init__(self) -> None:
        self.gram = self.rows.gram()
        self.norms = np.diag(self.gram).astype(np.float64)


class _PoolSearch:
    """Best-improvement exchange inside the strata of a pool."""

    def __init__(
        self, strata: list[_Stratum], residual: Floats, room: _Room | None, deadline: float
    ) -> None:
        self._strata, self._residual = strata, residual
        self._room, self._deadline, self._n_swaps = room, deadline, 0
        # Smaller gains are float32 rounding, and the search might cycle.
        norms = np.concatenate([stratum.norms for stratum in strata])
        self._least_gain = 1e-5 * float(np.median(norms))

    def run(self, least_share: float) -> None:
        """Swap until a pass over the strata gains nothing, or at most this share of all gains."""
        start = objective = self._objective()
        before = np.inf
        while before - objective > max(self._least_gain, least_share * (start - objective)):
            for stratum in self._strata:
                if stratum.n_seen < self._n_swaps:
                    self._exhaust(stratum)
            objective, before = self._objective(), objective

    def _objective(self) -> float:
        worth = sum(float(stratum.worth[stratum.drop].sum()) for stratum in self._strata)
        return float(self._residual @ self._residual) - worth

    def _exhaust(self, stratum: _Stratum) -> None:
        """Swap inside a stratum until no swap helps, and update the residual."""
        before = stratum.drop.copy()
        self._swap_in(stratum)
        stratum.n_seen = self._n_swaps
        swapped = stratum.drop.astype(np.float64) - before
        if swapped.any():
            self._residual = self._residual + stratum.rows.total(swapped)

    def _swap_in(self, stratum: _Stratum) -> None:
        drop, norms, gram = stratum.drop, stratum.norms, stratum.gram
        scores = stratum.rows.scores(self._residual) - stratum.worth / 2
        dropped, kept = np.where(drop, 0.0, -np.inf), np.where(drop, -np.inf, 0.0)
        n_swaps = 0
        while self._n_swaps < _MAX_SWAPS:
            if n_swaps % _SWAPS_PER_LOOK == 0 and time.perf_counter() > self._deadline:
                return
            back = 2.0 * scores - norms + dropped
            out = kept - 2.0 * scores - norms
            for n_try in (1, _BEST_DROPPED):
                i, j, gain = self._best_pair(back, out, gram, stratum.start, n_try)
                if gain > self._least_gain:
                    break
            else:
                return
            n_swaps, self._n_swaps = n_swaps + 1, self._n_swaps + 1
            dropped[i], kept[i], dropped[j], kept[j] = -np.inf, 0.0, 0.0, -np.inf
            drop[i], drop[j] = False, True
            scores += gram[j] - gram[i]
            if self._room is not None:
                self._room.swap(i + stratum.start, j + stratum.start)

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
