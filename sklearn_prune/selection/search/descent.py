"""The heuristic for many rows: decide the cells' counts, then exchange rows inside cells."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from ..._types import Floats, Integers, Mask
from ...utils import part_done
from ..cells import CellCounts, cell_counts, cell_labels
from ..coordinates import Coordinates
from ..draws import draw_dropped
from ..feasible import feasible_set
from ..linear_rows import LinearRows
from ..problem import SelectionProblem
from .exchange import exchange_round
from .multiple_exchange import MAX_COORDINATES, multiple_exchange

# More rows than this are exchanged block by block, which bounds the memory: a round makes several
# passes over all rows of its block. Exchanges among all rows need fewer rounds.
WHOLE_ROWS, BLOCK_ROWS = 50_000, 20_000
# At most this many blocks. Rows outside all blocks stay as drawn, and the blocks make up for them.
MAX_BLOCKS = 10
# A descent ends after two rounds in a row that gain less than this share. The larger share is for
# searches that may stop before the optimum.
_LEAST_PROGRESS, _COARSE_PROGRESS = 0.01, 0.1
_STALLED_ROUNDS = 2
# The cost is optimised among the sets within this factor of the best change.
CHANGE_FACTOR = 1.5
# Doublings of each round of multiple exchange (two, four, eight and eight swaps at once), and the
# factor by which the next round may take longer than the last.
_DOUBLINGS, _GROWTH = (1, 2, 3, 3), 2.5


@dataclass(frozen=True)
class SearchResult:
    """The best set that a search found.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_samples,)
        True where the row is dropped.
    norm : float
        Norm of the residual, in units of ``scale``; infinite before the first exchange.
    labels : ndarray of shape (n_samples,)
        Cell of each row, inside which rows are exchanged; -1 for rows that are not free.
    cells : CellCounts or None
        The counts of the cells. None if the caller gave a start, or constraints, under which
        ``milp`` decides row by row.
    timed_out : bool
        Whether the deadline ended the search.
    """

    drop: Mask
    norm: float
    labels: Integers
    cells: CellCounts | None = None
    timed_out: bool = False


def search(
    problem: SelectionProblem,
    n_drop: int,
    rng: np.random.Generator,
    *,
    deadline: float,
    enough: float = 0.0,
) -> SearchResult:
    """Return a set of exactly ``n_drop`` rows whose sum is close to zero.

    First decides how many rows of each cell to drop (:func:`cell_counts`). Then improves random
    rows inside the cells by rounds of pair exchange and, where the coordinates are few, by multiple
    exchange. Work is counted in rounds, not in seconds, so the same seed gives the same set; the
    deadline only cuts it short.

    With ``enough``, the search ends once the norm is that share of the root mean square over
    random sets with the same counts, or once exchanges gain little.
    """
    is_coarse = enough > 0 and not problem.n_given_rows
    progress = _COARSE_PROGRESS if is_coarse else _LEAST_PROGRESS
    start, target = _start(problem, n_drop, rng, deadline), 0.0
    if enough:
        target = enough * problem.random_objective(start.drop) / problem.coordinates.scale
    result = _descend(problem, start, rng, deadline, progress, target)
    return _combine(problem, result, rng, deadline) if result.norm > target else result


def improve(
    problem: SelectionProblem, start: Mask, rng: np.random.Generator, deadline: float
) -> SearchResult:
    """Improve a set that meets every constraint by pair exchange inside cells."""
    result = SearchResult(start, np.inf, _swap_labels(problem, int(start.sum())))
    return _descend(problem, result, rng, deadline, _COARSE_PROGRESS)


def exchange_rows(
    coordinates: Coordinates,
    labels: Integers,
    drop: Mask,
    rng: np.random.Generator,
    *,
    cost: Floats | None = None,
    least_progress: float = _LEAST_PROGRESS,
) -> Mask:
    """Return a set of the same counts whose residual, offset included, is closer to zero.

    Pairs are exchanged until two rounds in a row gain less than ``least_progress``. Without costs,
    more rows at once follow, if the coordinates are few. With costs, pairs follow that save more,
    as long as the norm stays within 1.5 times the one reached before.

    Parameters
    ----------
    coordinates : Coordinates
        The rows, at most 20,000.
    labels : ndarray of int of shape (n_rows,)
        Cell of each row, inside which rows are exchanged; -1 for rows that are not free.
    drop : ndarray of bool of shape (n_rows,)
        The set to improve.
    rng : numpy.random.Generator
        Draws the pools.
    cost : ndarray of shape (n_rows,), default=None
        What dropping each row saves.
    """
    drop = _Descent(rng, np.inf, least_progress, 0.0).run(coordinates, labels, drop)
    savings = None if cost is None else _in_spreads(cost, labels >= 0)
    if savings is None:
        return _combined(coordinates, labels, drop, rng, np.inf)[0]
    limit = CHANGE_FACTOR * float(np.linalg.norm(coordinates.residual(drop)))
    return _costlier(coordinates, labels, drop, savings, limit, rng, np.inf)


def improve_cost(
    problem: SelectionProblem,
    result: SearchResult,
    limit: float,
    rng: np.random.Generator,
    deadline: float,
) -> SearchResult:
    """Raise ``costᵀw`` by exchanges while the norm of the residual stays within ``limit``."""
    savings = _in_spreads(problem.savings, problem.free)
    if savings is None:
        return result
    drop = _costlier(
        problem.coordinates,
        result.labels,
        result.drop,
        savings,
        limit,
        rng,
        deadline,
        problem.constraints,
    )
    return replace(result, drop=drop, norm=problem.norm(drop))


def _in_spreads(cost: Floats, free: Mask) -> Floats | None:
    """Return the costs in units of the spread among free rows; None if these cost the same."""
    spread = float(np.ptp(cost[free])) if free.any() else 0.0
    return cost / spread if spread > 0 else None


def _costlier(
    coordinates: Coordinates,
    labels: Integers,
    drop: Mask,
    savings: Floats,
    limit: float,
    rng: np.random.Generator,
    deadline: float,
    linear_rows: LinearRows | None = None,
) -> Mask:
    r"""Return the set within the limit that saves most, of those found by exchanges.

    Minimises :math:`\|r\|^2 - μ\, c^T w`, with r the residual in units of ``scale`` and c the
    savings in units of their spread, for μ growing by factors of four.
    """
    best, saved = drop, float(savings[drop].sum())
    floor = float(np.median(coordinates.squared_norms)) or 1.0
    for exponent in range(-8, 6):
        drop = exchange_round(
            coordinates,
            labels,
            drop,
            rng,
            reward=savings * floor * 4.0**exponent,
            linear_rows=linear_rows,
        ).drop
        norm, saving = float(np.linalg.norm(coordinates.residual(drop))), float(savings[drop].sum())
        if norm <= limit and saving > saved:
            best, saved = drop, saving
        if norm > 10 * limit or time.perf_counter() > deadline:
            break
    return best


def _start(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> SearchResult:
    """Return a set that meets every constraint, whatever its norm."""
    if problem.n_given_rows:
        drop = feasible_set(problem, n_drop, rng, deadline)
        return SearchResult(drop, np.inf, _swap_labels(problem, n_drop))
    cells = cell_counts(problem, n_drop, rng)
    drawn = draw_dropped(cells.labels, cells.n_dropped, problem.kept_share, rng)
    return SearchResult(problem.must_drop | drawn, np.inf, cells.labels, cells)


def _descend(
    problem: SelectionProblem,
    start: SearchResult,
    rng: np.random.Generator,
    deadline: float,
    least_progress: float = _LEAST_PROGRESS,
    target: float = 0.0,
) -> SearchResult:
    """Exchange pairs until two rounds in a row gain less than ``least_progress``.

    One round is enough if its pool holds every free row. More than 50,000 rows are exchanged in
    blocks of up to 20,000. Each block removes its part of the residual: the first of ten blocks a
    tenth, the second a ninth of the rest, and the last one all that is left.
    """
    coordinates, labels, drop = problem.coordinates, start.labels, start.drop.copy()
    descent = _Descent(rng, deadline, least_progress, target)
    if np.count_nonzero(labels >= 0) <= WHOLE_ROWS or problem.n_given_rows:
        drop = descent.run(coordinates, labels, drop, problem.constraints)
        norm = problem.norm(drop)
        return replace(start, drop=drop, norm=norm, timed_out=descent.timed_out)
    total = coordinates.residual(drop)
    blocks = _split(labels, drop, rng)
    for n_left, rows in zip(range(len(blocks), 0, -1), blocks, strict=True):
        part = coordinates.take(rows)
        before = part.total(drop[rows])
        part = part.with_offset(total / n_left - before)
        drop[rows] = descent.run(part, labels[rows], drop[rows])
        total = total + part.total(drop[rows]) - before
    norm = float(np.linalg.norm(total))
    return replace(start, drop=drop, norm=norm, timed_out=descent.timed_out)


def _split(labels: Integers, drop: Mask, rng: np.random.Generator) -> list[Integers]:
    """Return the rows of each block, which has an equal share of each cell.

    Beyond 200,000 rows, some are in no block and stay as drawn.
    """
    free = np.flatnonzero(labels >= 0)
    n_blocks = -(-len(free) // BLOCK_ROWS)
    # Distribute the dropped and the kept rows of each cell over the blocks in turn.
    order = free[np.lexsort((rng.random(len(free)), drop[free], labels[free]))]
    return [np.sort(order[first::n_blocks]) for first in range(min(n_blocks, MAX_BLOCKS))]


@dataclass
class _Descent:
    """Rounds of pair exchange inside cells, until they gain little or the norm meets the target."""

    rng: np.random.Generator
    deadline: float
    least_progress: float
    target: float
    timed_out: bool = False

    def run(
        self,
        coordinates: Coordinates,
        labels: Integers,
        drop: Mask,
        linear_rows: LinearRows | None = None,
    ) -> Mask:
        """Return an improved set, and record in ``timed_out`` whether the deadline passed."""
        residual, stalled, is_done = coordinates.residual(drop), 0, False
        norm = float(np.linalg.norm(residual))
        while not (self._is_over() or is_done) and norm > self.target:
            improved, is_exhaustive = exchange_round(
                coordinates,
                labels,
                drop,
                self.rng,
                residual=residual,
                linear_rows=linear_rows,
                deadline=self.deadline,
            )
            part_done("exchange")
            left = coordinates.residual(improved)
            reached = float(np.linalg.norm(left))
            stalled = stalled + 1 if reached >= (1 - self.least_progress) * norm else 0
            is_done = is_exhaustive or stalled == _STALLED_ROUNDS
            if reached < norm:
                drop, residual, norm = improved, left, reached
        return drop

    def _is_over(self) -> bool:
        is_over = time.perf_counter() > self.deadline
        self.timed_out |= is_over
        return is_over


def _combine(
    problem: SelectionProblem, result: SearchResult, rng: np.random.Generator, deadline: float
) -> SearchResult:
    """Improve by more and more swaps at once, if the coordinates are few."""
    if problem.coordinates.n_coordinates > MAX_COORDINATES or problem.n_given_rows:
        return result
    drop, is_cut = _combined(problem.coordinates, result.labels, result.drop, rng, deadline)
    timed_out = result.timed_out or is_cut
    return replace(result, drop=drop, norm=problem.norm(drop), timed_out=timed_out)


def _combined(
    coordinates: Coordinates,
    labels: Integers,
    drop: Mask,
    rng: np.random.Generator,
    deadline: float,
) -> tuple[Mask, bool]:
    """Return a set improved by many swaps at once, and whether the deadline cut that short."""
    last = 0.0
    if coordinates.n_coordinates > MAX_COORDINATES:
        return drop, False
    for n_doublings in _DOUBLINGS:
        started = time.perf_counter()
        if started + _GROWTH * last > deadline:
            break
        drop = multiple_exchange(coordinates, labels, drop, rng, n_doublings=n_doublings)
        part_done("multiple exchange")
        last = time.perf_counter() - started
    return drop, time.perf_counter() + _GROWTH * last > deadline


def _swap_labels(problem: SelectionProblem, n_drop: int) -> Integers:
    """Return where rows may be exchanged: in cells, or in groups if constraints are given."""
    return problem.free_groups if problem.n_given_rows else cell_labels(problem, n_drop)
