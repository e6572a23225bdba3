"""The heuristic of every large problem: the cells' counts, then exchanges inside cells."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from ...utils import part_done
from ..cells import CellCounts, cell_counts, cell_labels
from ..coordinates import Booleans, Coordinates, Integers
from ..feasible import feasible_set
from ..inclusion import draw_dropped
from ..problem import LinearRows, SelectionProblem
from .exchange import exchange_round
from .multiple_exchange import MAX_COORDINATES, multiple_exchange

# Rows that are exchanged among each other: of more, one block after the other is. A round costs
# passes over all rows of its block, and what a block needs in memory is bounded.
BLOCK_ROWS = 20_000
# Blocks at most. Rows in none stay as they were drawn in their cells, and the blocks make good what
# they leave: with ten blocks of a million rows, each about twice what it leaves itself.
_MAX_BLOCKS = 10
# A round of exchanges that gains less than this share twice in a row ends a descent; the larger
# share ends one that only has to come near enough.
_LEAST_PROGRESS, _COARSE_PROGRESS = 0.01, 0.1
_STALLED_ROUNDS = 2
# Rounds of multiple exchange, of two, four and eight swaps, and how much longer than one the next
# may take.
_DOUBLINGS, _GROWTH = (1, 2, 3, 3), 2.5


@dataclass(frozen=True)
class Found:
    """Best set of a search.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_samples,)
        True where the row is dropped.
    norm : float
        Of the sum of the dropped rows, in units of ``scale``.
    n_swaps : int
        Exchanges made.
    timed_out : bool
        Whether the deadline ended the search.
    labels : ndarray of shape (n_samples,)
        Within which rows exchanges were made: the cells. -1 where the row is fixed.
    cells : CellCounts or None
        How the rows of each cell were decided; None where a set was given, or linear rows, under
        which ``milp`` decides row by row.
    """

    drop: Booleans
    norm: float
    n_swaps: int
    timed_out: bool
    labels: Integers
    cells: CellCounts | None = None


def search(
    problem: SelectionProblem,
    n_drop: int,
    rng: np.random.Generator,
    *,
    deadline: float,
    enough: float = 0.0,
) -> Found:
    """Return a set of exactly ``n_drop`` rows whose sum is close to zero.

    How many rows of each cell go is decided first (:func:`cell_counts`), and stays. Rows drawn at
    random inside the cells are improved by rounds of pair exchange and, where the coordinates are
    few, by multiple exchange. The work is counted in rounds, not in seconds, so that the same seed
    gives the same set; the deadline only cuts it short.

    With ``enough``, the search ends once the sum is that share of what random rows of the same
    counts leave, or exchanges gain little.
    """
    is_coarse = enough > 0 and not problem.n_given_rows
    progress = _COARSE_PROGRESS if is_coarse else _LEAST_PROGRESS
    start, target = _start(problem, n_drop, rng, deadline), 0.0
    if enough:
        target = enough * problem.random_objective(start.drop) / problem.coordinates.scale
    found = _descend(problem, start, rng, deadline, progress, target)
    return _combine(problem, found, rng, deadline) if found.norm > target else found


def improve(
    problem: SelectionProblem, start: Booleans, rng: np.random.Generator, deadline: float
) -> Found:
    """Improve a set that meets every constraint by pair exchange inside cells."""
    labels = _swap_labels(problem, int(start.sum()))
    start_here = Found(start, np.inf, 0, False, labels)
    return _descend(problem, start_here, rng, deadline, _COARSE_PROGRESS)


def improve_cost(
    problem: SelectionProblem, found: Found, limit: float, rng: np.random.Generator, deadline: float
) -> Found:
    r"""Raise ``costᵀw`` by exchanges while ``‖Zᵀw‖₂ / scale`` stays within ``limit``.

    Minimises :math:`\|Z^T w\|^2 - μ\, c^T w` for μ growing by factors of four, and keeps the
    most saving set within the limit.
    """
    assert problem.cost is not None
    best, saved, n_swaps = found.drop, float(problem.cost[found.drop].sum()), found.n_swaps
    spread = float(np.ptp(problem.cost[problem.free])) if problem.free.any() else 0.0
    if spread == 0.0:
        return found
    drop = found.drop
    floor = float(np.median(problem.coordinates.squared_norms)) or 1.0
    for exponent in range(-8, 6):
        reward = problem.cost / spread * floor * 4.0**exponent
        done = exchange_round(
            problem.coordinates,
            found.labels,
            drop,
            rng,
            reward=reward,
            linear_rows=problem.constraints,
        )
        drop, n_swaps = done.drop, n_swaps + done.n_swaps
        norm = float(np.linalg.norm(problem.coordinates.residual(drop)))
        value = float(problem.cost[drop].sum())
        if norm <= limit and value > saved:
            best, saved = drop, value
        if norm > 10 * limit or time.perf_counter() > deadline:
            break
    norm = float(np.linalg.norm(problem.coordinates.residual(best)))
    return replace(found, drop=best, norm=norm, n_swaps=n_swaps)


def _start(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Found:
    """Return a set that meets every constraint; its norm is not looked at."""
    if problem.n_given_rows:
        drop = feasible_set(problem, n_drop, rng, deadline)
        return Found(drop, np.inf, 0, False, _swap_labels(problem, n_drop))
    cells = cell_counts(problem, n_drop, rng)
    drawn = draw_dropped(cells.labels, cells.n_dropped, problem.kept_share, rng)
    drop = problem.must_drop | drawn
    return Found(drop, np.inf, 0, False, cells.labels, cells)


def _descend(
    problem: SelectionProblem,
    start: Found,
    rng: np.random.Generator,
    deadline: float,
    least_progress: float = _LEAST_PROGRESS,
    target: float = 0.0,
) -> Found:
    """Exchange pairs until two rounds in a row gain less than ``least_progress``.

    One round is enough where its pool holds every free row.

    Of very many rows one block after the other is exchanged, each for its part of what is left of
    the whole sum: a tenth by the first of ten blocks, a ninth of the rest by the second, and at
    last all of it.
    """
    coordinates, labels, drop = problem.coordinates, start.labels, start.drop.copy()
    free = np.flatnonzero(labels >= 0)
    if len(free) <= BLOCK_ROWS or problem.n_given_rows:
        descent = _Descent(coordinates, labels, problem.constraints, rng, deadline, least_progress)
        drop = descent.run(drop, target)
        norm = float(np.linalg.norm(coordinates.residual(drop)))
        return replace(
            start, drop=drop, norm=norm, n_swaps=descent.n_swaps, timed_out=descent.timed_out
        )
    total = coordinates.residual(drop)
    blocks = _split(labels, drop, rng)
    n_swaps, timed_out = 0, False
    for n_left, rows in zip(range(len(blocks), 0, -1), blocks, strict=True):
        part = coordinates.take(rows)
        before = part.total(drop[rows])
        part.offset = total / n_left - before
        descent = _Descent(part, labels[rows], None, rng, deadline, least_progress)
        drop[rows] = descent.run(drop[rows], target)
        total = total + part.total(drop[rows]) - before
        n_swaps, timed_out = n_swaps + descent.n_swaps, timed_out or descent.timed_out
    norm = float(np.linalg.norm(total))
    return replace(start, drop=drop, norm=norm, n_swaps=n_swaps, timed_out=timed_out)


def _split(labels: Integers, drop: Booleans, rng: np.random.Generator) -> list[Integers]:
    """Return the positions of the rows of each block, which has its share of each cell.

    Of very many rows some are in no block; they stay as they were drawn.
    """
    free = np.flatnonzero(labels >= 0)
    n_blocks = -(-len(free) // BLOCK_ROWS)
    # Dropped rows and kept ones of a cell are dealt out in turn.
    order = free[np.lexsort((rng.random(len(free)), drop[free], labels[free]))]
    return [np.sort(order[first::n_blocks]) for first in range(min(n_blocks, _MAX_BLOCKS))]


class _Descent:
    """Rounds of pair exchange inside cells, until they gain little."""

    def __init__(
        self,
        coordinates: Coordinates,
        labels: Integers,
        linear_rows: LinearRows | None,
        rng: np.random.Generator,
        deadline: float,
        least_progress: float,
    ) -> None:
        self._coordinates, self._labels, self._linear_rows = coordinates, labels, linear_rows
        self._rng, self._deadline, self._least_progress = rng, deadline, least_progress
        self.n_swaps, self.timed_out = 0, False

    def run(self, drop: Booleans, target: float) -> Booleans:
        """Return an improved set; ends early where its residual is within the target."""
        norm, stalled = float(np.linalg.norm(self._coordinates.residual(drop))), 0
        self.timed_out = time.perf_counter() > self._deadline
        while stalled < _STALLED_ROUNDS and norm > target and not self.timed_out:
            done = exchange_round(
                self._coordinates,
                self._labels,
                drop,
                self._rng,
                linear_rows=self._linear_rows,
                deadline=self._deadline,
            )
            part_done("exchange")
            self.n_swaps += done.n_swaps
            reached = float(np.linalg.norm(self._coordinates.residual(done.drop)))
            stalled = stalled + 1 if reached >= (1 - self._least_progress) * norm else 0
            if reached < norm:
                drop, norm = done.drop, reached
            self.timed_out = time.perf_counter() > self._deadline
            if done.is_exhaustive:
                break
        return drop


def _combine(
    problem: SelectionProblem, found: Found, rng: np.random.Generator, deadline: float
) -> Found:
    """Improve by ever more swaps at once, where the coordinates are few."""
    coordinates, labels = problem.coordinates, found.labels
    drop, last = found.drop, 0.0
    if coordinates.n_coordinates > MAX_COORDINATES or problem.n_given_rows:
        return found
    for n_doublings in _DOUBLINGS:
        started = time.perf_counter()
        if started + _GROWTH * last > deadline:
            break
        drop = multiple_exchange(coordinates, labels, drop, rng, n_doublings=n_doublings)
        part_done("multiple exchange")
        last = time.perf_counter() - started
    timed_out = found.timed_out or time.perf_counter() + _GROWTH * last > deadline
    norm = float(np.linalg.norm(coordinates.residual(drop)))
    return replace(found, drop=drop, norm=norm, timed_out=timed_out)


def _swap_labels(problem: SelectionProblem, n_drop: int) -> Integers:
    """Return within which rows to exchange: cells, or groups where linear rows limit it anyway."""
    if problem.n_given_rows:
        return np.where(problem.free, problem.groups, -1)
    return cell_labels(problem, n_drop)
