"""How many rows of each cell go: groups, split by the norm of their rows and by partition."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from .._types import Floats, Integers
from ..selection import (
    CellProgram,
    CellSolution,
    InfeasibleProblemError,
    leading_directions,
    n_directions,
    solve_cells,
)
from .collection import Block
from .draw import Draw, Odds
from .groups import Groups
from .reading import ReadRows
from .row_maps import RowMaps

# Each stratum of similar norm keeps and drops at least this many rows of a partition on average;
# there are at most this many in a group.
_LEAST_OF_STRATUM, _MAX_STRATA = 20, 8
# Most cells for which the program has the residual in its objective: HiGHS takes seconds for more.
# Beyond, it apportions the counts.
_MAX_CELLS = 300
# Rows of each partition from which the means of the cells are estimated.
_MEAN_ROWS = 2_000
# As in `selection.cells`.
_DEVIATION = 5e-2


@dataclass(frozen=True, eq=False)
class CellRule:
    """The cell of each row inside its partition: its group, and its stratum of similar norm.

    Attributes
    ----------
    group_of : ndarray of int of shape (n_strata,)
        Group of each pair of class and group.
    edges : ndarray of shape (n_groups, n_edges)
        Norms that separate the strata of a group, ascending; infinite where it has fewer.
    """

    group_of: Integers
    edges: Floats

    @classmethod
    def fit(cls, maps: RowMaps, sample: ReadRows, groups: Groups) -> CellRule:
        """Find edges between which the free rows of the sample are as many."""
        n_groups, n_partitions = len(groups.n_free), groups.n_partitions
        scarce = np.minimum(groups.n_kept, groups.n_dropped)
        room = np.clip(scarce // (_LEAST_OF_STRATUM * n_partitions), 1, _MAX_STRATA)
        n_strata = np.minimum(room, max(1, _MAX_CELLS // (n_groups * n_partitions)))
        edges = np.full((n_groups, _MAX_STRATA - 1), np.inf)
        lengths = maps.lengths(sample)
        group_of_row = np.where(sample.free, groups.group_of[sample.strata], -1)
        for group, n in enumerate(n_strata):
            inside = lengths[group_of_row == group]
            if n > 1 and len(inside):
                edges[group, : n - 1] = np.quantile(inside, np.arange(1, n) / n)
        return cls(groups.group_of, edges)

    @property
    def n_cells(self) -> int:
        """Number of cells that a partition can have."""
        return len(self.edges) * _MAX_STRATA

    def groups(self, rows: ReadRows) -> Integers:
        """Return the group of each row."""
        return self.group_of[rows.strata]

    def labels(self, maps: RowMaps, rows: ReadRows) -> Integers:
        """Return the cell of each row; -1 for rows that are not free."""
        groups = self.groups(rows)
        stratum = np.zeros(len(rows), dtype=np.int64)
        if np.isfinite(self.edges).any():
            stratum = (maps.lengths(rows)[:, None] > self.edges[groups]).sum(axis=1)
        return np.where(rows.free, groups * _MAX_STRATA + stratum, -1)


@dataclass(frozen=True, eq=False)
class PartitionSums:
    """What the client knows of the rows of a partition, thin.

    Attributes
    ----------
    sizes : ndarray of int of shape (n_cells,)
        Free rows of each cell.
    expected_dropped : ndarray of shape (n_cells,)
        How many of them the draw drops on average.
    means : ndarray of shape (n_cells, n_directions)
        Mean of each cell's rows in a few directions, from some of its rows.
    total, left, random : ndarray of shape (n_coordinates,)
        Sums of the coordinates of all rows; of those that the draw drops, on average; and of those
        that a random draw does.
    forced : ndarray of shape (n_coordinates,)
        Sum over must_drop.
    kept_weight : float
        Weight of the rows that the draw keeps, on average.
    """

    sizes: Integers
    expected_dropped: Floats
    means: Floats
    total: Floats
    left: Floats
    random: Floats
    forced: Floats
    kept_weight: float


def partition_sums(
    block: Block,
    odds: Odds | None,
    maps: RowMaps,
    rule: CellRule,
    draw: Draw,
    dropped_share: Floats,
    directions: Floats,
    seed: int,
) -> PartitionSums:
    """Return the sums over a block; ``dropped_share`` is that of the free rows of each group."""
    rows = maps.reader(block)
    labels, groups = rule.labels(maps, rows), rule.groups(rows)
    dropped = 1.0 - draw.of_rows(maps, groups, rows, odds)
    random = np.where(rows.must_keep, 0.0, np.where(rows.free, dropped_share[groups], 1.0))
    sums = maps.totals(rows, np.column_stack([np.ones(len(rows)), dropped, random, rows.must_drop]))
    inside, n_cells = labels >= 0, rule.n_cells
    rng = np.random.default_rng([seed, block.position, 1])
    some = np.sort(rng.permutation(np.flatnonzero(inside))[:_MEAN_ROWS])
    means = np.zeros((n_cells, directions.shape[1]))
    if len(some):
        projected = maps.coordinates(rows.take(some)).rows(np.arange(len(some))) @ directions
        np.add.at(means, labels[some], projected)
        means /= np.maximum(np.bincount(labels[some], minlength=n_cells), 1)[:, None]
    return PartitionSums(
        np.bincount(labels[inside], minlength=n_cells),
        np.bincount(labels[inside], dropped[inside], minlength=n_cells).astype(np.float64),
        means,
        total=sums[:, 0],
        left=sums[:, 1],
        random=sums[:, 2],
        forced=sums[:, 3],
        kept_weight=float(rows.sample_weight @ (1.0 - dropped)),
    )


def main_directions(maps: RowMaps, sample: ReadRows, rng: np.random.Generator) -> Floats:
    """Return the directions in which rows of the sample vary most, one a column."""
    some = rng.permutation(len(sample))[:_MEAN_ROWS]
    rows = maps.coordinates(sample.take(some)).rows(np.arange(len(some))).astype(np.float64)
    return leading_directions(rows, n_directions(_MAX_CELLS), rng)


@dataclass(frozen=True, eq=False)
class CountedCells(CellSolution):
    """The number of rows of each cell to drop, and how it was found.

    Attributes
    ----------
    by_partition : list of ndarray of int of shape (n_cells,)
        Rows of each cell that each partition drops.
    seconds : float
        Time spent.
    """

    by_partition: list[Integers]
    seconds: float


def count_cells(
    sums: list[PartitionSums], groups: Groups, start: Floats, rng: np.random.Generator
) -> CountedCells:
    """Decide how many rows of each cell of each partition go, by `milp`.

    Parameters
    ----------
    sums : list of PartitionSums
        Of each partition.
    groups : Groups
        How many rows to drop, and how many each group keeps.
    start : ndarray of shape (n_directions,)
        The residual that the counts should make up for, if every cell drops its share, in the
        directions of the means.
    rng : numpy.random.Generator
        Breaks ties.
    """
    started = time.perf_counter()
    counts, kept = groups.request.counts, groups.request.kept_range
    sizes = np.concatenate([part.sizes for part in sums])
    cells = np.flatnonzero(sizes)
    low, high = kept.low, kept.high
    if kept.is_fixed:
        low, high = kept.rounded(groups.n_samples - groups.n_drop)
    # In free rows that go.
    least = np.maximum(groups.n_free + counts.must_keep - high, 0)
    most = np.minimum(groups.n_free + counts.must_keep - low, groups.n_free)
    total = groups.n_drop - int(counts.must_drop.sum())
    is_small = len(cells) <= _MAX_CELLS
    means = np.vstack([part.means for part in sums])[cells]
    expected = np.concatenate([part.expected_dropped for part in sums])[cells]
    program = CellProgram(
        sizes=sizes[cells],
        groups=cells % len(sums[0].sizes) // _MAX_STRATA,
        # Never zero: rounding may make a cell drop a row that the draw always keeps.
        expected_dropped=np.maximum(expected, 1e-6),
        low=np.maximum(least, total - most.sum() + most),
        high=np.minimum(most, total - least.sum() + least),
        target=groups.n_dropped,
        total=total,
        weighted=None,
        means=means[:, :0],
        offset=start[:0],
        reward=np.zeros(len(cells)),
        deviation=_DEVIATION,
    )
    if is_small:
        program = program.starting_at(start, means)
    solution = solve_cells(program, rng)
    if solution is None:
        # Counts and quotas were checked before.
        raise InfeasibleProblemError(
            f"no counts of {len(cells)} cells drop {total} rows under these quotas and masks; "
            "widen the quotas."
        )
    n_dropped = np.zeros(len(sizes), dtype=np.int64)
    n_dropped[cells] = solution.n_dropped
    return CountedCells(
        **vars(solution),
        by_partition=np.split(n_dropped, len(sums)),
        seconds=time.perf_counter() - started,
    )
