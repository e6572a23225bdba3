"""The integer program of the cells: how many rows of each cell to drop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult

from .._types import Floats, Integers, Mask
from .highs import INFEASIBLE, run_milp

# Random price that breaks ties: HiGHS is ten times slower on a zero objective.
_TIE = 1e-4
# Where the tangents touch r², in units of about the size of r.
_TANGENTS = (1.0, 0.3, 0.1)
# More nodes gain little: the bound stays near 0, and the first node already finds good counts.
_NODE_LIMIT = 1


@dataclass(frozen=True)
class CellSolution:
    """The number of rows to drop from each cell, which meets every rule.

    Attributes
    ----------
    n_dropped : ndarray of shape (n_cells,)
        Rows of each cell that are dropped.
    n_integers : int
        Cells for which the rules allow more than one count.
    n_nodes : int
        Branch-and-bound nodes visited.
    gap : float
        Relative gap that HiGHS proved; NaN if it proved none.
    """

    n_dropped: Integers
    n_integers: int
    n_nodes: int
    gap: float


@dataclass(frozen=True)
class CellProgram:
    r"""Which counts d of dropped rows are allowed, and what they cost.

    .. math:: \min\; u \sum_j \max_a (2 a |r_j| - a^2) + δ \sum_c |d_c - s_c| - ρ^T d
    .. math:: u\, r = \mathrm{offset} + \sum_c d_c \bar z_c,\quad \sum_c d_c = m
    .. math:: low_g \le m_g = \sum_{c \in g} d_c \le high_g,\quad |d_c - a_c m_g / a_g| \le 1

    Here :math:`s_c = a_c t_g / a_g`, at most the cell's size, is the number of rows that the cell
    drops if its group drops its target :math:`t_g`, and :math:`a_g` is the sum of :math:`a_c` over
    the cells of the group. The tangents at a, of which a = 0 is one, enclose :math:`r_j^2` from
    below. They take the place of the 1-norm, which would leave one direction far from zero to bring
    others a little closer.

    Attributes
    ----------
    sizes, groups : ndarray of shape (n_cells,)
        Rows of each cell, and the group that it lies in.
    expected_dropped : ndarray of shape (n_cells,)
        :math:`a_c`: rows of each cell that the draw drops on average (see
        `SelectionProblem.aimed_at`); without a draw, its size.
    low, high, target : ndarray of shape (n_groups,)
        Least and greatest number of rows that each group may drop, and t, the number at its
        proportional share.
    total : int
        Rows dropped in all.
    weighted : ndarray of bool of shape (n_cells,) or None
        Cells that must keep at least one row between them; None if no such rule is needed.
    means : ndarray of shape (n_cells, n_coordinates)
        Mean of each cell's rows.
    offset : ndarray of shape (n_coordinates,)
        :math:`r_0 - \sum_c s_c \bar z_c`, with :math:`r_0` the residual if every cell drops its
        share: means are estimates, and only say how counts beside the shares move it.
    reward : ndarray of shape (n_cells,)
        ρ, the reward for dropping a row of each cell.
    deviation : float
        δ, the price of each row more or less than the share s.
    """

    sizes: Integers
    groups: Integers
    expected_dropped: Floats
    low: Integers
    high: Integers
    target: Integers
    total: int
    weighted: Mask | None
    means: Floats
    offset: Floats
    reward: Floats
    deviation: float

    @cached_property
    def ratios(self) -> Floats:
        """``a_c / a_g``, each cell's share of the rows that its group drops, shape (n_cells,)."""
        expected = self.expected_dropped
        return np.asarray(expected / np.bincount(self.groups, expected)[self.groups])

    @cached_property
    def shares(self) -> Floats:
        """``s_c``, shape (n_cells,)."""
        return np.minimum(self.ratios * self.target[self.groups], self.sizes)

    def starting_at(self, start: Floats, means: Floats) -> CellProgram:
        """Return the program with a residual.

        Parameters
        ----------
        start : ndarray of shape (n_coordinates,)
            The residual if every cell drops its share.
        means : ndarray of shape (n_cells, n_coordinates)
            Mean of each cell's rows.
        """
        return replace(self, means=means, offset=start - self.shares @ means)

    @cached_property
    def unit(self) -> float:
        """u, about the size of the residual at the rounded shares."""
        start = self.offset + self.shares @ self.means
        low, high = self.bounds()
        rounding = np.sqrt(((self.means[low < high] / 2) ** 2).sum(axis=0))
        return float(max(np.abs(start).max(initial=0.0), rounding.max(initial=0.0))) or 1.0

    @cached_property
    def is_loose(self) -> Mask:
        """Whether each cell's group may drop a range of counts, shape (n_cells,)."""
        return (self.low < self.high)[self.groups]

    def bounds(self) -> tuple[Integers, Integers]:
        """Return the least and greatest number of rows that each cell may drop."""
        # Rounding errors must not push a whole number past the next one.
        low = np.floor(self.ratios * self.low[self.groups] + 1e-9).astype(np.int64)
        high = np.ceil(self.ratios * self.high[self.groups] - 1e-9).astype(np.int64)
        return np.minimum(low, self.sizes), np.minimum(high, self.sizes)

    def admits(self, n_dropped: Integers) -> bool:
        """Whether the counts meet every rule, except proportionality inside groups with a range."""
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


def solve_cells(
    program: CellProgram, rng: np.random.Generator, *, node_limit: int | None = _NODE_LIMIT
) -> CellSolution | None:
    """Return the best counts found, or None if no counts meet the rules.

    HiGHS's answer is rounded and checked against every rule. If it has none, the counts nearest to
    the shares are returned (apportionment by largest remainders).
    """
    low, high = program.bounds()
    is_open = low < high
    if not is_open.any():
        return CellSolution(low, 0, 0, 0.0) if program.admits(low) else None
    n_dropped, result = _run_milp(program, rng, node_limit)
    if n_dropped is None and result.status != INFEASIBLE:
        apportionment = replace(
            program,
            means=program.means[:, :0],
            offset=np.zeros(0),
            reward=np.zeros(len(low)),
            deviation=1.0,
        )
        n_dropped, result = _run_milp(apportionment, rng, None)
    if n_dropped is None:
        return None
    gap = np.nan if result.mip_gap is None else float(result.mip_gap)
    n_nodes = int(result.mip_node_count or 0)
    return CellSolution(n_dropped, int(is_open.sum()), n_nodes, gap)


def _run_milp(
    program: CellProgram, rng: np.random.Generator, node_limit: int | None
) -> tuple[Integers | None, OptimizeResult]:
    """Return counts that meet every rule, or None, and HiGHS's result.

    The columns are the counts of the open cells above their rounded-down shares; ``|d_c - s_c|``
    for cells in which it is not linear between the bounds; the residual in its unit; and a bound on
    the square of each coordinate of the residual, by the tangents.
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
    result = run_milp(
        np.r_[price, np.full(len(wide), program.deviation), np.zeros(k), np.full(k, unit)],
        Bounds(
            np.r_[(low - base)[cells], np.zeros(len(wide)), np.full(k, -np.inf), np.zeros(k)],
            np.r_[(high - base)[cells], np.full(n_real, np.inf)],
        ),
        [rows],
        n_integers=n,
        node_limit=node_limit,
    )
    if result.x is None:
        return None, result
    counts = base.copy()
    counts[cells] += np.round(result.x[:n]).astype(np.int64)
    return counts if program.admits(counts) else None, result


def _count_rows(program: CellProgram, base: Integers, cells: Integers) -> LinearConstraint:
    """Return the rules as linear rows over ``d - base``.

    They are the total, the groups' counts, proportionality in groups with a range, and the weight
    that must stay.
    """
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
