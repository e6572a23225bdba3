"""How many rows of each cell go: one integer a cell, decided by ``scipy.optimize.milp``."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from .coordinates import Booleans, Coordinates, Floats, Integers
from .problem import SelectionProblem
from .quota import Counts, InfeasibleProblemError

# Rows that a stratum of norm should keep, and drop, to be a cell of its own; strata of norm in a
# group; and cells beyond one a group, in all. Exchanges stay inside cells, so that more of them
# leave fewer swaps to choose from.
_LEAST_OF_STRATUM, _MAX_STRATA, _MAX_CELLS = 20, 8, 60
# Coordinates of the residual in the objective, and numbers of their matrix at most: with 100 cells
# HiGHS takes 0.3 seconds.
_MAX_COORDINATES, _MAX_NUMBERS = 6, 1_000
# What a row more or less than the proportional share of a loose group costs, and what the cost of
# the samples is worth, in units of a typical row; and what breaks ties, since HiGHS is ten times
# slower where the objective is zero.
_DEVIATION, _REWARD, _TIE = 5e-2, 0.2, 1e-4
# Rows in all that the cells' means are taken of.
_MEAN_ROWS = 20_000
# Where r² is touched by tangents, in units of about its root.
_TANGENTS = (1.0, 0.3, 0.1)
# More nodes gain little: the bound stays near 0, and the first node already finds a good set.
_NODE_LIMIT = 1
_INFEASIBLE = 2


@dataclass(frozen=True)
class CellSolution:
    """Counts that meet every rule.

    Attributes
    ----------
    n_dropped : ndarray of shape (n_cells,)
        Rows of each cell that go.
    n_integers : int
        Cells whose count is not the only one that the rules allow.
    n_nodes : int
        Branch-and-bound nodes visited.
    gap : float
        Relative gap that HiGHS proved; NaN where it gave none.
    status : {"optimal", "node limit", "apportioned"}
        "apportioned" says that HiGHS found no counts that make the residual small, and that the
        nearest ones to proportional shares were taken.
    """

    n_dropped: Counts
    n_integers: int
    n_nodes: int
    gap: float
    status: str


@dataclass(frozen=True)
class CellCounts(CellSolution):
    """Cells of the free rows, and how many rows of each go.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        Cell of each row, -1 where its fate is fixed.
    seconds : float
        Time spent.
    """

    labels: Integers
    seconds: float


@dataclass(frozen=True)
class CellProgram:
    r"""Which counts d are allowed, and what they cost.

    .. math:: \min\; u \sum_j \max_a (2 a |r_j| - a^2) + δ \sum_c |d_c - s_c| - ρ^T d
    .. math:: u\, r = \mathrm{offset} + \sum_c d_c \bar z_c,\quad \sum_c d_c = m
    .. math:: low_g \le m_g = \sum_{c \in g} d_c \le high_g,\quad |d_c - a_c m_g / a_g| \le 1

    with :math:`s_c = a_c t_g / a_g`, at most its size, the share of the cell where its group drops
    its target, and :math:`a_g` the sum of :math:`a_c` over the cells of the group. The tangents at
    a enclose :math:`r_j^2`: where one direction is far from zero, the norm 1 would let it stay
    there for the sake of some that are not.

    Attributes
    ----------
    sizes, groups : ndarray of shape (n_cells,)
        Rows of each cell, and the group that it lies in.
    expected_dropped : ndarray of shape (n_cells,)
        :math:`a_c`: rows of each cell that the draw drops on average; without a draw, its size.
    low, high, target : ndarray of shape (n_groups,)
        Rows that each group may drop, and how many it does where nothing speaks against it.
    total : int
        Rows dropped in all.
    weighted : ndarray of bool of shape (n_cells,) or None
        Cells of which, together, a row must stay; None where no such rule is needed.
    means : ndarray of shape (n_cells, n_coordinates)
        Mean of each cell's rows.
    offset : ndarray of shape (n_coordinates,)
        Sum of the rows that go in any case.
    reward : ndarray of shape (n_cells,)
        ρ, what dropping a row of each cell is worth.
    deviation : float
        δ, what a row more or less than the share costs.
    """

    sizes: Counts
    groups: Integers
    expected_dropped: Floats
    low: Counts
    high: Counts
    target: Counts
    total: int
    weighted: Booleans | None
    means: Floats
    offset: Floats
    reward: Floats
    deviation: float

    @cached_property
    def ratios(self) -> Floats:
        """``a_c / a_g``, the part of each cell in what its group drops, shape (n_cells,)."""
        expected = self.expected_dropped
        return np.asarray(expected / np.bincount(self.groups, expected)[self.groups])

    @cached_property
    def shares(self) -> Floats:
        """``s_c``, shape (n_cells,)."""
        return np.minimum(self.ratios * self.target[self.groups], self.sizes)

    @cached_property
    def unit(self) -> float:
        """``u``, about the size of the residual where nothing is optimised."""
        start = self.offset + self.shares @ self.means
        low, high = self.bounds()
        rounding = np.sqrt(((self.means[low < high] / 2) ** 2).sum(axis=0))
        return float(max(np.abs(start).max(initial=0.0), rounding.max(initial=0.0))) or 1.0

    @cached_property
    def is_loose(self) -> Booleans:
        """Whether the count of each cell's group is a range, shape (n_cells,)."""
        return (self.low < self.high)[self.groups]

    def bounds(self) -> tuple[Counts, Counts]:
        """Return the least and greatest number of rows that each cell may drop."""
        # What rounding leaves of whole numbers.
        low = np.floor(self.ratios * self.low[self.groups] + 1e-9).astype(np.int64)
        high = np.ceil(self.ratios * self.high[self.groups] - 1e-9).astype(np.int64)
        return np.minimum(low, self.sizes), np.minimum(high, self.sizes)

    def admits(self, n_dropped: Counts) -> bool:
        """Whether the counts meet every rule, proportion inside loose groups aside."""
        in_group = np.bincount(self.groups, n_dropped, minlength=len(self.low))
        low, high = self.bounds()
        return bool(
            n_dropped.sum() == self.total
            and (low <= n_dropped).all()
            and (n_dropped <= high).all()
            and (self.low <= in_group).all()
            and (in_group <= self.high).all()
            and (self.weighted is None or (n_dropped < self.sizes)[self.weighted].any())
        )


def cell_counts(problem: SelectionProblem, n_drop: int, rng: np.random.Generator) -> CellCounts:
    """Decide how many rows of each cell go when ``n_drop`` do in all.

    Raises
    ------
    InfeasibleProblemError
        When no counts leave some sample weight.
    """
    started = time.perf_counter()
    labels = cell_labels(problem, n_drop)
    program = _with_residual(_count_program(problem, labels, n_drop), problem, labels, rng)
    solution = solve_cells(program, rng)
    if solution is None:
        # Counts and quotas were checked before.
        raise InfeasibleProblemError(
            f"n_drop={n_drop} takes all of the sample weight under these quotas and masks; drop "
            "fewer rows, or free rows of weight zero."
        )
    return CellCounts(**vars(solution), labels=labels, seconds=time.perf_counter() - started)


def can_keep_weight(problem: SelectionProblem) -> bool:
    """Whether counts, quotas and masks leave some sample weight; coordinates are not looked at."""
    if not problem.weight_must_stay:
        return True
    n_drop = problem.n_drop
    if n_drop is None:
        # If the fewest rows that may go take all of the weight, more do as well.
        kept = int(problem.kept_range.high.sum())
        n_drop = max(problem.n_samples - kept, int(problem.must_drop.sum()))
    labels = np.where(problem.free, _groups_of_weight(problem), -1)
    labels[problem.free] = _compact(labels[problem.free])
    program = _count_program(problem, labels, n_drop)
    return solve_cells(program, np.random.default_rng(0)) is not None


def _groups_of_weight(problem: SelectionProblem) -> Integers:
    """Return the group of each row, another one for weight zero where some weight must stay."""
    if not problem.weight_must_stay:
        return problem.groups
    return np.asarray(2 * problem.groups + (problem.sample_weight > 0))


def cell_labels(problem: SelectionProblem, n_drop: int) -> Integers:
    """Return the cell of each row, -1 where its fate is fixed.

    Cells are groups, split by the norm of their rows as far as each part still keeps and drops some
    dozens of rows. Where some sample weight must stay, rows with and without
    weight lie in different cells, so that exchanges inside cells leave it.
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
    # Part of a problem may have more rows fixed than its bounds know.
    low = np.maximum(low - forced, 0)
    high = np.minimum(high - forced, problem.count(problem.free))
    cost = np.zeros(len(labels)) if problem.cost is None else problem.cost
    unit = float(np.ptp(cost)) or 1.0
    sizes = np.array([len(rows) for rows in members], dtype=np.int64)
    dropped_share = np.ones(len(labels))
    if problem.kept_share is not None:
        dropped_share -= problem.kept_share
    # Never zero: rounding in its group may make a cell drop a row that the draw would keep.
    expected = np.array([max(dropped_share[rows].sum(), 1e-6) for rows in members])
    return CellProgram(
        sizes=sizes,
        groups=problem.groups[first],
        expected_dropped=expected,
        # What the other groups leave.
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
    """Add the residual in the coordinates that the counts move most."""
    low, high = program.bounds()
    n_open = int((low < high).sum())
    if n_open == 0:
        return program
    coordinates = problem.coordinates
    means = _cell_means(coordinates, labels, len(program.sizes), rng)
    offset = coordinates.residual(problem.must_drop)
    # What the counts move, and what they have to move.
    moved = np.vstack([np.sqrt(high - low)[:, None] * means, offset + program.shares @ means])
    n_directions = max(1, min(_MAX_COORDINATES, _MAX_NUMBERS // n_open))
    directions = _leading_directions(moved, n_directions, rng)
    return replace(program, means=means @ directions, offset=offset @ directions)


def _cell_means(
    coordinates: Coordinates, labels: Integers, n_cells: int, rng: np.random.Generator
) -> Floats:
    """Return the mean of the rows of each cell, of some where there are many."""
    most = max(1, _MEAN_ROWS // n_cells)
    some = [
        np.sort(rng.permutation(members)[:most]) if len(members) > most else members
        for members in _members(labels)
    ]
    rows = np.concatenate(some)
    shares = np.zeros((len(rows), n_cells))
    shares[np.arange(len(rows)), labels[rows]] = 1 / np.bincount(labels[rows])[labels[rows]]
    return coordinates.take(rows).total(shares).T


def _leading_directions(rows: Floats, n_directions: int, rng: np.random.Generator) -> Floats:
    """Return orthonormal directions of most of the rows' energy, one a column, by iteration."""
    n_coordinates = rows.shape[1]
    if n_coordinates <= n_directions:
        return np.eye(n_coordinates)
    basis = rng.standard_normal((n_coordinates, 2 * n_directions))
    for _ in range(4):
        basis, _ = np.linalg.qr(rows.T @ (rows @ basis))
    _, _, rotation = np.linalg.svd(rows @ basis, full_matrices=False)
    return np.asarray(basis @ rotation.T[:, :n_directions])


def solve_cells(
    program: CellProgram, rng: np.random.Generator, *, node_limit: int | None = _NODE_LIMIT
) -> CellSolution | None:
    """Return the best counts found, or None where no counts meet the rules.

    HiGHS's answer is rounded and checked against every rule. Where it has none, the counts nearest
    to the shares are taken, which is apportionment by largest remainders.
    """
    low, high = program.bounds()
    is_open = low < high
    if not is_open.any():
        return CellSolution(low, 0, 0, 0.0, "optimal") if program.admits(low) else None
    n_dropped, result = _run_milp(program, rng, node_limit)
    status = "optimal" if result.status == 0 else "node limit"
    if n_dropped is None and result.status != _INFEASIBLE:
        apart = replace(
            program,
            means=program.means[:, :0],
            offset=np.zeros(0),
            reward=np.zeros(len(low)),
            deviation=1.0,
        )
        n_dropped, result = _run_milp(apart, rng, None)
        status = "apportioned"
    if n_dropped is None:
        return None
    gap = np.nan if result.mip_gap is None else float(result.mip_gap)
    n_nodes = int(result.mip_node_count or 0)
    return CellSolution(n_dropped, int(is_open.sum()), n_nodes, gap, status)


def _run_milp(
    program: CellProgram, rng: np.random.Generator, node_limit: int | None
) -> tuple[Counts | None, Any]:
    """Return the counts, None where there are none that meet every rule, and HiGHS's result.

    The columns are the open cells' counts less what their shares come to when rounded down,
    ``|d_c - s_c|`` where it is not linear between the bounds, the residual in its unit, and the
    energy of each of its coordinates.
    """
    low, high = program.bounds()
    base = np.clip(np.floor(program.shares).astype(np.int64), low, high)
    cells = np.flatnonzero(low < high)
    n, k = len(cells), len(program.offset)
    wide = np.flatnonzero(program.is_loose[cells])
    excess = (program.shares - base)[cells]
    rules = _count_rows(program, base, cells)
    pick = sp.eye_array(n, format="csr")[wide]
    beyond, unit = sp.eye_array(len(wide)), program.unit
    slopes = np.concatenate([[2 * a, -2 * a] for a in _TANGENTS])
    tangents = sp.kron(slopes[:, None], sp.eye_array(k))
    energy = sp.kron(np.ones((len(slopes), 1)), sp.eye_array(k))
    A = sp.block_array(
        [
            [rules.A, None, None, None],
            [pick, -beyond, None, None],
            [pick, beyond, None, None],
            [sp.csr_array(program.means[cells].T / unit), None, -sp.eye_array(k), None],
            [None, None, tangents, -energy],
        ]
    )
    no_limit, limits = np.full(len(wide), np.inf), np.repeat(slopes**2 / 4, k)
    start = -(program.offset + base @ program.means) / unit
    rows = LinearConstraint(
        A,
        np.r_[rules.lb, -no_limit, excess[wide], start, np.full(len(limits), -np.inf)],
        np.r_[rules.ub, excess[wide], no_limit, start, limits],
    )
    price = np.where(program.is_loose[cells], 0.0, program.deviation * (1 - 2 * excess))
    price += _TIE * rng.random(n) - program.reward[cells]
    n_real = len(wide) + 2 * k
    # HiGHS's presolve gives up on some tiny programs, and gains nothing on the others.
    options: dict[str, Any] = {"presolve": False}
    if node_limit is not None:
        options["node_limit"] = node_limit
    result = milp(
        np.r_[price, np.full(len(wide), program.deviation), np.zeros(k), np.full(k, unit)],
        integrality=np.r_[np.ones(n), np.zeros(n_real)],
        bounds=Bounds(
            np.r_[(low - base)[cells], np.zeros(len(wide)), np.full(k, -np.inf), np.zeros(k)],
            np.r_[(high - base)[cells], np.full(n_real, np.inf)],
        ),
        constraints=rows,
        options=options,
    )
    if result.x is None:
        return None, result
    counts = base.copy()
    counts[cells] += np.round(result.x[:n]).astype(np.int64)
    return counts if program.admits(counts) else None, result


def _count_rows(program: CellProgram, base: Counts, cells: Integers) -> LinearConstraint:
    """Return total, groups, proportion in loose groups and weight as rows over ``d - base``."""
    sizes, groups = program.sizes, program.groups
    n, n_groups = len(cells), len(program.low)
    in_group = np.bincount(groups, base, minlength=n_groups)
    indicator = sp.csr_array((np.ones(n), (groups[cells], np.arange(n))), shape=(n_groups, n))
    split = np.flatnonzero(program.is_loose[cells] & (program.ratios < 1.0)[cells])
    ratio = program.ratios[cells[split]]
    uneven = base[cells[split]] - ratio * in_group[groups[cells[split]]]
    proportion = sp.eye_array(n, format="csr")[split]
    proportion = proportion - sp.diags_array(ratio) @ indicator[groups[cells[split]]]
    blocks, missing = [np.ones((1, n)), indicator, proportion], program.total - base.sum()
    low = [missing, *(program.low - in_group), *(-1 - uneven)]
    high = [missing, *(program.high - in_group), *(1 - uneven)]
    if program.weighted is not None:
        blocks.append(program.weighted[cells][None].astype(np.float64))
        low.append(-np.inf)
        high.append((sizes - base)[program.weighted].sum() - 1)
    return LinearConstraint(sp.vstack(blocks, format="csr"), np.array(low), np.array(high))
