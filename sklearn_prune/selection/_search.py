"""The heuristic of every large problem: the cells' counts, graduated rounding, then exchanges."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from .._progress import part_done
from ._annealing import annealed_round
from ._cells import CellCounts, cell_counts, cell_labels
from ._coordinates import Booleans, Integers
from ._exchange import exchange_round
from ._feasible import feasible_set
from ._graduated import graduated_rounding
from ._multiple_exchange import MAX_COORDINATES, multiple_exchange
from ._problem import SelectionProblem, random_rows

# Rows that take part in graduated rounding, in rows and in multiples of the coordinates; the
# other rows are dropped or kept at random, so that the cost of this step does not grow with n.
_POOL_ROWS, _POOL_MULTIPLE = 50_000, 20
# A round of exchanges that gains less than this share twice in a row ends a descent; the larger
# share ends one that annealing follows.
_LEAST_PROGRESS, _COARSE_PROGRESS = 0.01, 0.1
_STALLED_ROUNDS = 2
# Rounds of multiple exchange, of two, four and eight swaps, and how much longer than one the next
# may take.
_DOUBLINGS, _GROWTH = (1, 2, 3, 3), 2.5
# Annealing ends when so many rounds together gained less than that.
_PATIENCE = 10
# Descents from random rows before annealing, the coordinates beyond which one costs too much (and
# below which multiple exchange does better), and the share of the time that may go to them.
_RESTARTS, _MAX_RESTART_COORDINATES, _RESTART_SHARE = 60, 256, 0.6
# What graduated rounding takes for each number of Z that takes part, measured on one thread, and
# the share of the time that may go to it; beyond, the search starts from random rows.
_SECONDS_PER_NUMBER, _ROUNDING_SHARE = 35e-9, 0.6


@dataclass(frozen=True)
class Found:
    """Best set of a search.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_samples,)
        True where the row is dropped.
    norm : float
        ``‖Zᵀw‖₂ / scale``.
    rounding_bound : float
        In the same unit; NaN where nothing was rounded.
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
    rounding_bound: float
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

    How many rows of each cell go is decided first (:func:`cell_counts`), and stays. The relaxation
    is rounded within the cells, and the set improved by rounds of pair exchange and by annealed
    rounds. Where the coordinates are few, multiple exchange follows; where
    they are some hundred, random sets are tried before the annealing, since a descent is cheap and
    one in many ends much lower than the others. The work is counted in rounds, not in seconds, so
    that the same seed gives the same set; the deadline only cuts it short, and where it leaves no
    time for rounding, the search starts from random rows. With ``enough``, nothing further is tried
    once the set is within that times what random rows of the same counts cost, and other random
    sets, which gain a tenth at best, are not tried at all.
    """
    # What annealing does better is left to it; it does not know linear rows.
    progress = _LEAST_PROGRESS if problem.n_given_rows else _COARSE_PROGRESS
    found = _descend(problem, _start(problem, n_drop, rng, deadline), rng, deadline, progress)
    target = 0.0
    if enough:
        target = enough * problem.random_change(found.drop) / problem.coordinates.scale
    else:
        found = _restart(problem, found, rng, deadline)
    if found.norm > target:
        found = _anneal(problem, found, rng, deadline, target)
    if found.norm > target:
        found = _combine(problem, found, rng, deadline)
    return found


def quick_search(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Found:
    """Return a set of exactly ``n_drop`` rows whose sum is close to zero, without annealing."""
    found = _descend(problem, _start(problem, n_drop, rng, deadline), rng, deadline)
    return _combine(problem, found, rng, deadline)


def improve(
    problem: SelectionProblem, start: Booleans, rng: np.random.Generator, deadline: float
) -> Found:
    """Improve a set that meets every constraint by pair exchange inside cells."""
    labels = _swap_labels(problem, int(start.sum()))
    return _descend(problem, Found(start, np.inf, np.nan, 0, False, labels), rng, deadline)


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
        norm = float(np.linalg.norm(problem.coordinates.total(drop)))
        value = float(problem.cost[drop].sum())
        if norm <= limit and value > saved:
            best, saved = drop, value
        if norm > 10 * limit or time.perf_counter() > deadline:
            break
    norm = float(np.linalg.norm(problem.coordinates.total(best)))
    return replace(found, drop=best, norm=norm, n_swaps=n_swaps)


def _start(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Found:
    """Return a set that meets every constraint; its norm is not looked at."""
    if problem.n_given_rows:
        drop = feasible_set(problem, n_drop, rng, deadline)
        return Found(drop, np.inf, np.nan, 0, False, _swap_labels(problem, n_drop))
    coordinates = problem.coordinates
    cells = cell_counts(problem, n_drop, rng)
    labels, wanted = cells.labels, cells.n_dropped
    drop = problem.must_drop | random_rows(labels, wanted, rng)
    start = Found(drop, np.inf, np.nan, 0, False, labels, cells)
    pool = _draw_pool(labels, coordinates.n_coordinates, rng)
    expected = _SECONDS_PER_NUMBER * len(pool) * coordinates.n_coordinates
    if expected > _ROUNDING_SHARE * (deadline - time.perf_counter()):
        return start
    inside = np.zeros(len(drop), dtype=bool)
    inside[pool] = True
    whole = len(pool) == problem.n_samples
    rounded = graduated_rounding(
        coordinates if whole else coordinates.take(pool),
        labels[pool],
        np.bincount(labels[pool][drop[pool]], minlength=len(wanted)),
        coordinates.total(drop & ~inside),
        rng,
        deadline=deadline,
    )
    drop[pool] = rounded.drop
    return replace(start, rounding_bound=rounded.rounding_bound)


def _descend(
    problem: SelectionProblem,
    start: Found,
    rng: np.random.Generator,
    deadline: float,
    least_progress: float = _LEAST_PROGRESS,
) -> Found:
    """Exchange pairs until two rounds in a row gain less than ``least_progress``."""
    coordinates, rows = problem.coordinates, problem.constraints
    labels, drop = start.labels, start.drop
    norm = float(np.linalg.norm(coordinates.total(drop)))
    n_swaps = stalled = 0
    timed_out = time.perf_counter() > deadline
    while stalled < _STALLED_ROUNDS and not timed_out:
        done = exchange_round(coordinates, labels, drop, rng, linear_rows=rows, deadline=deadline)
        part_done("exchange")
        n_swaps += done.n_swaps
        reached = float(np.linalg.norm(coordinates.total(done.drop)))
        stalled = stalled + 1 if reached >= (1 - least_progress) * norm else 0
        if reached < norm:
            drop, norm = done.drop, reached
        timed_out = time.perf_counter() > deadline
    return replace(start, drop=drop, norm=norm, n_swaps=n_swaps, timed_out=timed_out)


def _restart(
    problem: SelectionProblem,
    found: Found,
    rng: np.random.Generator,
    deadline: float,
) -> Found:
    """Descend from random rows many times; return the best."""
    k = problem.coordinates.n_coordinates
    if not MAX_COORDINATES < k <= _MAX_RESTART_COORDINATES or found.cells is None:
        return found
    now = time.perf_counter()
    share_ends = now + _RESTART_SHARE * (deadline - now)
    for _ in range(_RESTARTS):
        if time.perf_counter() > share_ends:
            return replace(found, timed_out=True)
        drop = problem.must_drop | random_rows(found.labels, found.cells.n_dropped, rng)
        other = _descend(problem, replace(found, drop=drop), rng, deadline)
        best = other if other.norm < found.norm else found
        found = replace(best, n_swaps=found.n_swaps + other.n_swaps)
    return found


def _anneal(
    problem: SelectionProblem,
    found: Found,
    rng: np.random.Generator,
    deadline: float,
    target: float,
) -> Found:
    """Improve by annealed rounds until the target is reached or several together gain little."""
    coordinates, labels = problem.coordinates, found.labels
    if problem.n_given_rows:
        return found
    drop, norm, n_swaps = found.drop, found.norm, found.n_swaps
    reference, unrewarded, longest = norm, 0, 0.0
    while unrewarded < _PATIENCE and norm > target:
        started = time.perf_counter()
        # A round that the deadline ends while it is hot is of no use.
        if started + longest > deadline:
            break
        done = annealed_round(coordinates, labels, drop, rng)
        part_done("annealing")
        n_swaps += done.n_swaps
        reached = float(np.linalg.norm(coordinates.total(done.drop)))
        if reached < norm:
            drop, norm = done.drop, reached
        unrewarded += 1
        if norm < (1 - _LEAST_PROGRESS) * reference:
            reference, unrewarded = norm, 0
        longest = max(longest, time.perf_counter() - started)
    timed_out = found.timed_out or time.perf_counter() + longest > deadline
    return replace(found, drop=drop, norm=norm, n_swaps=n_swaps, timed_out=timed_out)


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
    norm = float(np.linalg.norm(coordinates.total(drop)))
    return replace(found, drop=drop, norm=norm, timed_out=timed_out)


def _swap_labels(problem: SelectionProblem, n_drop: int) -> Integers:
    """Return within which rows to exchange: cells, or groups where linear rows limit it anyway."""
    if problem.n_given_rows:
        return np.where(problem.free, problem.groups, -1)
    return cell_labels(problem, n_drop)


def _draw_pool(labels: Integers, n_coordinates: int, rng: np.random.Generator) -> Integers:
    """Return the sorted positions of free rows that take part in graduated rounding."""
    free = np.flatnonzero(labels >= 0)
    size = max(_POOL_ROWS, _POOL_MULTIPLE * n_coordinates)
    if len(free) <= size:
        return free
    return np.sort(rng.choice(free, size=size, replace=False))
