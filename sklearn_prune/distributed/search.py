"""One selection on partitions, of a given number of rows: sums, counts of cells, and exchanges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._types import Floats
from .cells import (
    CellRule,
    CountedCells,
    PartitionSums,
    count_cells,
    main_directions,
    partition_sums,
)
from .collection import EachOwn
from .draw import Draw
from .exchange import LastExchange, exchange_in_block
from .groups import Groups
from .row_maps import RowMaps
from .survey import Survey

# Share of the balance in the last exchange: with it the head's change falls to a third, and the
# distribution is as near.
_LAST_BALANCE = 0.5


@dataclass(frozen=True, eq=False)
class Search:
    """All that the exchanges need; two passes make it and exchange.

    Attributes
    ----------
    known, groups, maps, draw, odds
        From the stations before.
    rule : CellRule
        The cells inside a partition.
    sums : list of PartitionSums
        Of each partition.
    directions : ndarray of shape (n_coordinates, n_directions)
        In which the cells' means are known.
    target : ndarray of shape (n_coordinates,)
        What all rows dropped are to sum to.
    seed : int
        Seeds all draws.
    """

    known: Survey
    groups: Groups
    maps: RowMaps
    draw: Draw
    odds: EachOwn
    rule: CellRule
    sums: list[PartitionSums]
    directions: Floats
    target: Floats
    seed: int

    @classmethod
    def of(
        cls,
        maps: RowMaps,
        known: Survey,
        groups: Groups,
        draw: Draw,
        odds: EachOwn,
        seed: int,
        *,
        is_led: bool = False,
    ) -> Search:
        """Sum the coordinates of all rows, by cell and by partition.

        With reference rows (``is_led``), those of the rows kept are to sum to zero.
        """
        rule = CellRule.fit(maps, known.sample, groups)
        if is_led:
            # The rows kept are to have other norms than all rows.
            rule = replace(rule, edges=np.full_like(rule.edges, np.inf))
        directions = main_directions(maps, known.sample, np.random.default_rng(seed))
        dropped_share = groups.n_dropped / np.maximum(groups.n_free, 1)
        sums = known.partitioned.compute(
            partition_sums, odds, maps, rule, draw, dropped_share, directions, seed
        )
        target = np.sum([part.left for part in sums], axis=0)
        total = np.sum([part.total for part in sums], axis=0)
        if draw.is_even:
            # The distribution of all rows, whatever the quota.
            target = groups.n_drop / groups.n_samples * total
        if maps.head is not None:
            # The rows dropped are not to move the head.
            target[: maps.head.theta.size] = 0.0
        if is_led:
            target = total
        return cls(known, groups, maps, draw, odds, rule, sums, directions, target, seed)

    @classmethod
    def without_draw(cls, maps: RowMaps, known: Survey, groups: Groups, seed: int) -> Search:
        """Do what `of` does where all rows of a group have the same probability."""
        draw = Draw.with_shares(groups.n_kept / np.maximum(groups.n_free, 1))
        return cls.of(maps, known, groups, draw, EachOwn([None] * groups.n_partitions), seed)

    def dropping(self, n_drop: int) -> Search:
        """Return the search for another number of rows to drop, without a draw."""
        return self.without_draw(self.maps, self.known, self.groups.dropping(n_drop), self.seed)

    def exchanged(self) -> FoundRows:
        """Count the cells, exchange rows in every partition, and then among all of them."""
        sums, target, groups = self.sums, self.target, self.groups
        rng = np.random.default_rng([self.seed, 3])
        # What the parts of the draw leave to reach the target is shared by numbers of rows.
        missing = target - np.sum([part.left for part in sums], axis=0)
        # As in memory: what the calibration of a draw leaves is for the exchanges.
        residual = -missing if self.draw.is_even else np.zeros_like(missing)
        cells = count_cells(sums, groups, residual @ self.directions, rng)
        sizes = groups.free_by_partition.sum(axis=1)
        shares = sizes / max(1, sizes.sum())
        targets = [part.left + share * missing for part, share in zip(sums, shares, strict=True)]
        parts = self.known.partitioned.compute(
            exchange_in_block,
            self.odds,
            EachOwn(cells.by_partition),
            EachOwn([part.total for part in sums]),
            EachOwn(targets),
            self.maps,
            self.rule,
            self.draw,
            groups.n_partitions,
            self.seed,
        )
        last = LastExchange.of(parts, target, self.maps).exchanged(rng)
        if self.maps.head is not None and self.maps.embedding is not None:
            last = last.exchanged(rng, self.maps.with_less_balance(_LAST_BALANCE))
        return FoundRows(self, last, cells)


@dataclass(frozen=True, eq=False)
class FoundRows:
    """The rows that a search drops.

    Attributes
    ----------
    search : Search
        Which found them.
    last : LastExchange
        The rows.
    cells : CountedCells
        How many of each cell.
    """

    search: Search
    last: LastExchange
    cells: CountedCells
