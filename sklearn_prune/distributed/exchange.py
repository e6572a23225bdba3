"""Which rows of each cell go: exchanges in each partition, then among a few rows of all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._types import Floats, Integers, Mask
from ..selection import BLOCK_ROWS, draw_dropped, exchange_rows
from .cells import CellRule
from .collection import Block
from .draw import Draw, Odds
from .reading import ReadRows, joined_rows
from .row_maps import RowMaps

# A search that others follow ends once two rounds gain less than this.
_COARSE_PROGRESS = 0.1
# Rows that partitions give to the last exchange, all together, at most.
_POOL_ROWS = BLOCK_ROWS


@dataclass(frozen=True, eq=False)
class Pool:
    """Some rows of a partition, for the last exchange.

    Attributes
    ----------
    rows : ReadRows
        The rows.
    positions : ndarray of int of shape (n_rows,)
        Their places in the partition.
    labels : ndarray of int of shape (n_rows,)
        Cell of each.
    drop : ndarray of bool of shape (n_rows,)
        Whether it is dropped.
    """

    rows: ReadRows
    positions: Integers
    labels: Integers
    drop: Mask


@dataclass(frozen=True, eq=False)
class Exchanged:
    """The rows that a partition drops.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_rows,)
        True where dropped.
    dropped : ndarray of shape (n_coordinates,)
        Sum of the coordinates of the rows dropped.
    dropped_weight : float
        Sum of their weights.
    pool : Pool
        Rows for the last exchange.
    """

    drop: Mask
    dropped: Floats
    dropped_weight: float
    pool: Pool


def exchange_in_block(
    block: Block,
    odds: Odds | None,
    n_dropped: Integers,
    total: Floats,
    target: Floats,
    maps: RowMaps,
    rule: CellRule,
    draw: Draw,
    n_partitions: int,
    seed: int,
) -> Exchanged:
    """Draw the rows to drop, and exchange some until they sum to the target.

    Parameters
    ----------
    block : Block
        The rows.
    odds : Odds or None
        Their priorities.
    n_dropped : ndarray of int of shape (n_cells,)
        Rows of each cell to drop.
    total, target : ndarray of shape (n_coordinates,)
        Sum of all rows of the block, and what those dropped are to sum to.
    maps, rule, draw : RowMaps, CellRule and Draw
        From rows to their coordinates, cells and probabilities.
    n_partitions : int
        Between which the rows of the pool are shared.
    seed : int
        Seeds all draws, together with the partition's number.
    """
    rng = np.random.default_rng([seed, block.position, 2])
    rows = maps.reader(block)
    labels = rule.labels(maps, rows)
    shares = None
    if odds is not None:
        shares = draw.of_rows(maps, rule.groups(rows), rows, odds)
    drop = rows.must_drop | draw_dropped(labels, n_dropped, shares, rng)
    if not rows.free.any():
        nothing = np.arange(0)
        pool = Pool(rows.take(nothing), nothing, nothing, drop[nothing])
        left = total - _sum(maps, rows, ~drop)
        return Exchanged(drop, left, float(rows.sample_weight[drop].sum()), pool)
    searched = _some_of_each(labels, drop, BLOCK_ROWS // 2, rng)
    part = maps.coordinates(rows.take(searched))
    outside_kept = ~drop
    outside_kept[searched] = False
    # Adding up the rows kept instead costs less, since they are few.
    others = total - _sum(maps, rows, outside_kept) - part.total(np.ones(len(searched), dtype=bool))
    part = part.with_offset(others - target)
    drop[searched] = exchange_rows(
        part,
        _compact(labels[searched]),
        drop[searched],
        rng,
        cost=rows.cost[searched],
        least_progress=_COARSE_PROGRESS,
    )
    dropped = others + part.total(drop[searched])
    size = max(2, _POOL_ROWS // (2 * n_partitions))
    chosen = searched[_some_of_each(labels[searched], drop[searched], size, rng)]
    pool = Pool(rows.take(chosen), chosen, labels[chosen], drop[chosen])
    return Exchanged(drop, dropped, float(rows.sample_weight[drop].sum()), pool)


def _sum(maps: RowMaps, rows: ReadRows, mask: Mask) -> Floats:
    return maps.totals(rows, mask[:, None].astype(np.float64))[:, 0]


def _some_of_each(labels: Integers, drop: Mask, most: int, rng: np.random.Generator) -> Integers:
    """Return at most so many free rows that are dropped, and that are kept, of all cells alike."""
    chosen = []
    for side in (drop, ~drop):
        rows = np.flatnonzero(side & (labels >= 0))
        order = rows[np.lexsort((rng.random(len(rows)), labels[rows]))]
        n_steps = -(-len(order) // most)
        chosen.append(order[:: max(1, n_steps)])
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True, eq=False)
class LastExchange:
    """The rows that all partitions drop, and those of their pools, which may be exchanged.

    Attributes
    ----------
    maps : RowMaps
        From rows to the coordinates of all sums.
    target, dropped : ndarray of shape (n_coordinates,)
        What the rows dropped are to sum to, and what they do.
    dropped_weight : float
        Sum of the weights of the rows dropped.
    masks, positions : list of ndarray
        Rows that each partition drops before the last exchange, and places of its pool's rows.
    rows : ReadRows
        Rows of all pools.
    labels : ndarray of int of shape (n_pool,)
        Cell of each, inside which rows of all partitions are exchanged.
    drop : ndarray of bool of shape (n_pool,)
        Whether it is dropped.
    """

    maps: RowMaps
    target: Floats
    dropped: Floats
    dropped_weight: float
    masks: list[Mask]
    positions: list[Integers]
    rows: ReadRows
    labels: Integers
    drop: Mask

    @classmethod
    def of(cls, parts: list[Exchanged], target: Floats, maps: RowMaps) -> LastExchange:
        """Bring together what the partitions returned."""
        labels = np.concatenate([part.pool.labels for part in parts])
        return cls(
            maps,
            target,
            np.sum([part.dropped for part in parts], axis=0),
            sum(part.dropped_weight for part in parts),
            [part.drop for part in parts],
            [part.pool.positions for part in parts],
            joined_rows([part.pool.rows for part in parts]),
            _compact(labels),
            np.concatenate([part.pool.drop for part in parts]),
        )

    @property
    def support(self) -> list[Mask]:
        """Mask of the rows kept of each partition."""
        masks = [~mask for mask in self.masks]
        bounds = np.cumsum([len(positions) for positions in self.positions])[:-1]
        for mask, positions, drop in zip(
            masks, self.positions, np.split(self.drop, bounds), strict=True
        ):
            mask[positions] = ~drop
        return masks

    def on(self, maps: RowMaps, dropped_influence: Floats) -> LastExchange:
        """Return the same set in the coordinates of another head.

        ``dropped_influence`` is minus the sum of the influences of the rows kept on that head. It
        is to become zero. On a head of all rows, it is the sum of those of the rows dropped.
        """
        dropped, target, n_params = self.dropped.copy(), self.target.copy(), len(dropped_influence)
        dropped[:n_params], target[:n_params] = dropped_influence / maps.scale, 0.0
        return replace(self, maps=maps, dropped=dropped, target=target)

    def weighted(self, kept: ReadRows, weights: Floats) -> LastExchange:
        """Return the same set with the rows kept weighted: a share ``1 - v_i`` of each is dropped.

        ``kept`` are these rows, and ``weights`` v.
        """
        moved = self.maps.totals(kept, 1 - weights[:, None])[:, 0]
        moved_weight = float((1 - weights) @ kept.sample_weight)
        return replace(
            self,
            dropped=self.dropped + moved,
            dropped_weight=self.dropped_weight + moved_weight,
        )

    def exchanged(self, rng: np.random.Generator, maps: RowMaps | None = None) -> LastExchange:
        """Return the set after exchanges among the rows of the pools.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws the pools of the search.
        maps : RowMaps, default=None
            Coordinates that the search is to match; None are those of all sums.
        """
        if not len(self.rows):
            return self
        maps = self.maps if maps is None else maps
        residual = self.maps.converted(self.dropped - self.target, maps)
        matched = maps.coordinates(self.rows)
        offset = residual - matched.total(self.drop)
        drop = exchange_rows(
            matched.with_offset(offset), self.labels, self.drop, rng, cost=self.rows.cost
        )
        # The features of all rows of the pools are large.
        del matched
        swapped = drop.astype(np.float64) - self.drop
        moved = self.maps.totals(self.rows, swapped[:, None])[:, 0]
        return replace(
            self,
            drop=drop,
            dropped=self.dropped + moved,
            dropped_weight=self.dropped_weight + float(swapped @ self.rows.sample_weight),
        )


def _compact(labels: Integers) -> Integers:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
