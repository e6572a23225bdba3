"""The cells: free rows of one group and similar norm, and how many rows of each to drop."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from .._types import Floats, Integers
from .cell_program import CellProgram, CellSolution, solve_cells
from .coordinates import Coordinates
from .feasible import all_weight_goes
from .problem import SelectionProblem
from .quota import InfeasibleProblemError

# Each stratum of similar norm keeps and drops at least this many rows; a group has at most this
# many strata; and there are at most this many cells beyond one per group. Exchanges stay inside
# cells, so more cells leave fewer swaps.
_LEAST_OF_STRATUM, _MAX_STRATA, _MAX_CELLS = 20, 8, 60
# At most this many coordinates of the residual in the objective, and numbers in their matrix: with
# 100 cells HiGHS takes 0.3 seconds.
_MAX_COORDINATES, _MAX_NUMBERS = 6, 1_000
# The price of each row more or less than the proportional share of a group with a range, and the
# reward for dropping the costliest row instead of the cheapest, in units of a typical row.
_DEVIATION, _REWARD = 5e-2, 0.2
# With more numbers in all means of cells together, the residual is left to the exchanges: they see
# all of it, and the program only its few leading directions.
_MAX_MEANS = 2e7
# Total number of rows from which the means of the cells are estimated, and how many at a time.
_MEAN_ROWS, _BATCH_ROWS = 20_000, 4_000


@dataclass(frozen=True)
class CellCounts(CellSolution):
    """The cells of the free rows, and how many rows of each to drop.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        Cell of each row, -1 for rows that are not free.
    seconds : float
        Time spent.
    """

    labels: Integers
    seconds: float


def cell_counts(problem: SelectionProblem, n_drop: int, rng: np.random.Generator) -> CellCounts:
    """Decide how many rows of each cell to drop, ``n_drop`` in all.

    Raises
    ------
    InfeasibleProblemError
        When every choice of counts drops all of the sample weight.
    """
    started = time.perf_counter()
    labels = cell_labels(problem, n_drop)
    program = _with_residual(_count_program(problem, labels, n_drop), problem, labels, rng)
    solution = solve_cells(program, rng)
    if solution is None:
        # Counts and quotas were checked before.
        raise InfeasibleProblemError(all_weight_goes(n_drop))
    return CellCounts(**vars(solution), labels=labels, seconds=time.perf_counter() - started)


def can_keep_weight(problem: SelectionProblem) -> bool:
    """Whether counts, quotas and masks allow some sample weight to be kept."""
    if not problem.weight_must_stay:
        return True
    n_drop = problem.n_drop
    if n_drop is None:
        # The fewest rows that can be dropped leave most weight.
        n_drop = max(int(problem.dropped_bounds(None)[0].sum()), int(problem.must_drop.sum()))
    labels = np.where(problem.free, _groups_of_weight(problem), -1)
    labels[problem.free] = _compact(labels[problem.free])
    program = _count_program(problem, labels, n_drop)
    return solve_cells(program, np.random.default_rng(0)) is not None


def _groups_of_weight(problem: SelectionProblem) -> Integers:
    """Return the group of each row; if weight must stay, rows of zero weight are groups apart."""
    if not problem.weight_must_stay:
        return problem.groups
    return np.asarray(2 * problem.groups + (problem.sample_weight > 0))


def cell_labels(problem: SelectionProblem, n_drop: int) -> Integers:
    """Return the cell of each row, -1 for rows that are not free.

    Cells are groups, split by the norm of their rows into as many strata as still keep and drop at
    least 20 rows each. If some sample weight must stay, rows with and without weight are in
    different cells, so that exchanges inside cells cannot drop all of it.
    """
    free = np.flatnonzero(problem.free)
    labels = np.full(problem.n_samples, -1, dtype=np.int64)
    if not len(free):
        return labels
    groups, sizes = problem.groups[free], problem.count(problem.free)
    wanted = problem.dropped_counts(n_drop) - problem.count(problem.must_drop)
    share = wanted / np.maximum(sizes, 1)
    scarcity = np.minimum(share, 1 - share)[groups]
    cells = _compact(_groups_of_weight(problem)[free])
    most = int(cells.max()) + 1 + _MAX_CELLS
    if problem.holds_norms:
        norms = problem.coordinates.squared_norms[free]
        cells = _split_by_norm(cells, norms, scarcity, most)
    labels[free] = cells
    return labels


def _split_by_norm(cells: Integers, norms: Floats, scarcity: Floats, most: int) -> Integers:
    """Split each cell into strata of similar norm."""
    sizes = np.bincount(cells)
    room = np.maximum(1, np.bincount(cells, scarcity) // _LEAST_OF_STRATUM).astype(np.int64)
    n_strata = next(
        part
        for part in (np.minimum(room, cap) for cap in range(_MAX_STRATA, 0, -1))
        if part.sum() <= max(most, len(sizes))
    )
    order = np.lexsort((norms, cells))
    rank = np.empty(len(cells), dtype=np.int64)
    rank[order] = np.arange(len(cells)) - (np.cumsum(sizes) - sizes)[cells[order]]
    first = np.cumsum(n_strata) - n_strata
    return _compact(first[cells] + rank * n_strata[cells] // sizes[cells])


def _compact(codes: Integers) -> Integers:
    """Return the position of each code among the distinct ones."""
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _members(labels: Integers) -> list[Integers]:
    """Return the rows of each cell."""
    order = np.argsort(labels, kind="stable")
    edges = np.searchsorted(labels[order], np.arange(int(labels.max(initial=-1)) + 2))
    return [order[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _count_program(problem: SelectionProblem, labels: Integers, n_drop: int) -> CellProgram:
    """Return the program over these cells, without a residual."""
    members = _members(labels)
    first = np.array([rows[0] for rows in members], dtype=np.int64)
    forced = problem.count(problem.must_drop)
    total = n_drop - int(forced.sum())
    low, high = problem.dropped_bounds(n_drop)
    # A problem with further rows fixed has the bounds of the whole problem.
    low = np.maximum(low - forced, 0)
    high = np.minimum(high - forced, problem.count(problem.free))
    cost = np.zeros(len(labels)) if problem.cost is None else problem.cost
    unit = float(np.ptp(cost)) or 1.0
    sizes = np.array([len(rows) for rows in members], dtype=np.int64)
    dropped_share = problem.dropped_share
    # Never zero: rounding may make a cell drop a row that the draw always keeps.
    expected = np.array([max(dropped_share[rows].sum(), 1e-6) for rows in members])
    return CellProgram(
        sizes=sizes,
        groups=problem.groups[first],
        expected_dropped=expected,
        # Tightened by what the other groups can drop.
        low=np.maximum(low, total - high.sum() + high),
        high=np.minimum(high, total - low.sum() + low),
        target=problem.dropped_counts(n_drop) - forced,
        total=total,
        weighted=problem.sample_weight[first] > 0 if problem.weight_must_stay else None,
        means=np.zeros((len(members), 0)),
        offset=np.zeros(0),
        reward=np.array([_REWARD / unit * cost[rows].mean() for rows in members]),
        deviation=_DEVIATION,
    )


def _with_residual(
    program: CellProgram, problem: SelectionProblem, labels: Integers, rng: np.random.Generator
) -> CellProgram:
    """Add the residual to the program, in the directions in which the counts move it most."""
    low, high = program.bounds()
    n_open, coordinates = int((low < high).sum()), problem.coordinates
    if n_open == 0 or len(program.sizes) * coordinates.n_coordinates > _MAX_MEANS:
        return program
    means = _cell_means(coordinates, labels, len(program.sizes), rng)
    start = _residual_at_shares(program, problem, labels)
    # How far the counts can move the residual, and where it starts.
    moved = np.vstack([np.sqrt(high - low)[:, None] * means, start])
    directions = leading_directions(moved, n_directions(n_open), rng)
    return program.starting_at(start @ directions, means @ directions)


def _residual_at_shares(
    program: CellProgram, problem: SelectionProblem, labels: Integers
) -> Floats:
    """Return the residual that the counts should make up for, if every cell drops its share.

    With a draw it is taken to be zero: what the calibration leaves is small, and exchanges remove
    it, while counts would pay for it with whole groups.
    """
    if problem.kept_share is not None:
        return np.zeros(problem.coordinates.n_coordinates)
    dropped = problem.must_drop.astype(np.float64)
    in_cell = labels >= 0
    dropped[in_cell] = (program.shares / program.sizes)[labels[in_cell]]
    return problem.coordinates.offset + problem.coordinates.total(dropped)


def _cell_means(
    coordinates: Coordinates, labels: Integers, n_cells: int, rng: np.random.Generator
) -> Floats:
    """Return the mean row of each cell, estimated from a sample if the cell has many rows."""
    most = max(1, _MEAN_ROWS // n_cells)
    samples = [
        np.sort(rng.permutation(members)[:most]) if len(members) > most else members
        for members in _members(labels)
    ]
    rows = np.concatenate(samples)
    shares = np.zeros((len(rows), n_cells))
    shares[np.arange(len(rows)), labels[rows]] = 1 / np.bincount(labels[rows])[labels[rows]]
    # A few rows at a time, for `take` may copy them.
    starts = range(0, len(rows), _BATCH_ROWS)
    batches = [slice(start, start + _BATCH_ROWS) for start in starts]
    sums = [coordinates.take(rows[batch]).total(shares[batch]) for batch in batches]
    return np.sum(sums, axis=0).T


def n_directions(n_open: int) -> int:
    """Return how many coordinates of the residual a program of so many open cells can hold."""
    return max(1, min(_MAX_COORDINATES, _MAX_NUMBERS // n_open))


def leading_directions(rows: Floats, n_directions: int, rng: np.random.Generator) -> Floats:
    """Return leading right singular vectors of the rows, one a column, by subspace iteration."""
    n_coordinates = rows.shape[1]
    if n_coordinates <= n_directions:
        return np.eye(n_coordinates)
    basis = rng.standard_normal((n_coordinates, 2 * n_directions))
    for _ in range(4):
        basis, _ = np.linalg.qr(rows.T @ (rows @ basis))
    _, _, rotation = np.linalg.svd(rows @ basis, full_matrices=False)
    return np.asarray(basis @ rotation.T[:, :n_directions])
