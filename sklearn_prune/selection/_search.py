"""The heuristic of every large problem: graduated rounding, then single and double exchanges."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from ._coordinates import Booleans, Integers
from ._double_exchange import MAX_COORDINATES, double_exchange
from ._exchange import exchange_round
from ._feasible import feasible_set
from ._graduated import graduated_rounding, norm_strata
from ._problem import SelectionProblem

# Rows that take part in graduated rounding, in rows and in multiples of the coordinates; the
# other rows are dropped or kept at random, so that the cost of this step does not grow with n.
_POOL_ROWS, _POOL_MULTIPLE = 50_000, 20
# A round of exchanges that gains less than this share twice in a row ends a descent.
_LEAST_PROGRESS = 0.01
_STALLED_ROUNDS = 2
_MAX_DOUBLE_ROUNDS = 6
# Independent starts where n_samples * n_coordinates is below the threshold.
_N_STARTS, _MANY_STARTS_BELOW = 4, 5_000_000


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
    """

    drop: Booleans
    norm: float
    rounding_bound: float
    n_swaps: int
    timed_out: bool


def search(
    problem: SelectionProblem,
    n_drop: int,
    rng: np.random.Generator,
    *,
    deadline: float,
    n_starts: int | None = None,
    start: Booleans | None = None,
    enough: float = 0.0,
) -> Found:
    """Return a set of exactly ``n_drop`` rows whose sum is close to zero.

    Independent starts (one for large problems), each rounded from the relaxation within strata of
    similar norm and then improved by rounds of pair exchange until two rounds in a row gain less
    than one percent; the best of them is improved by double exchanges where the coordinates are
    few. The work is counted in rounds, not in seconds, so that the same seed gives the same set;
    the deadline only cuts it short. A given start is improved instead. No further start,
    and no double exchange, is made once the best set is within ``enough`` times what random rows
    of the same counts cost.
    """
    if start is not None:
        return _descend(problem, start, np.nan, rng, deadline)
    if n_starts is None:
        small = problem.n_samples * problem.coordinates.n_coordinates < _MANY_STARTS_BELOW
        n_starts = _N_STARTS if small else 1
    best: Found | None = None
    n_swaps, target = 0, 0.0
    for _ in range(n_starts):
        found = _descend(problem, *_start(problem, n_drop, rng, deadline), rng, deadline)
        n_swaps += found.n_swaps
        if best is None or found.norm < best.norm:
            best = found
        target = enough * problem.random_change(best.drop) / problem.coordinates.scale
        if best.timed_out or best.norm <= target:
            break
    assert best is not None
    if best.norm > target:
        best = _combine(problem, best, rng, deadline)
    return replace(best, n_swaps=n_swaps)


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
    labels, rows = problem.swap_terms(int(drop.sum()))
    floor = float(np.median(problem.coordinates.squared_norms)) or 1.0
    for exponent in range(-8, 6):
        reward = problem.cost / spread * floor * 4.0**exponent
        done = exchange_round(
            problem.coordinates, labels, drop, rng, reward=reward, linear_rows=rows
        )
        drop, n_swaps = done.drop, n_swaps + done.n_swaps
        norm = float(np.linalg.norm(problem.coordinates.total(drop)))
        value = float(problem.cost[drop].sum())
        if norm <= limit and value > saved:
            best, saved = drop, value
        if norm > 10 * limit or time.perf_counter() > deadline:
            break
    norm = float(np.linalg.norm(problem.coordinates.total(best)))
    return Found(best, norm, found.rounding_bound, n_swaps, found.timed_out)


def _start(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> tuple[Booleans, float]:
    """Return a set that meets every constraint, and the bound of its rounding."""
    if len(problem.constraints):
        return feasible_set(problem, n_drop, rng, deadline), np.nan
    coordinates = problem.coordinates
    labels, wanted = norm_strata(
        _swap_labels(problem),
        coordinates.squared_norms,
        problem.dropped_counts(n_drop) - problem.count(problem.must_drop),
    )
    drop = problem.must_drop | _random_set(labels, wanted, rng)
    pool = _draw_pool(labels, coordinates.n_coordinates, rng)
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
    return drop, rounded.rounding_bound


def _descend(
    problem: SelectionProblem,
    drop: Booleans,
    rounding_bound: float,
    rng: np.random.Generator,
    deadline: float,
) -> Found:
    coordinates = problem.coordinates
    labels, rows = problem.swap_terms(int(drop.sum()))
    norm = float(np.linalg.norm(coordinates.total(drop)))
    n_swaps = stalled = 0
    timed_out = time.perf_counter() > deadline
    while stalled < _STALLED_ROUNDS and not timed_out:
        done = exchange_round(coordinates, labels, drop, rng, linear_rows=rows)
        n_swaps += done.n_swaps
        reached = float(np.linalg.norm(coordinates.total(done.drop)))
        stalled = stalled + 1 if reached >= (1 - _LEAST_PROGRESS) * norm else 0
        if reached < norm:
            drop, norm = done.drop, reached
        timed_out = time.perf_counter() > deadline
    return Found(drop, norm, rounding_bound, n_swaps, timed_out)


def _combine(
    problem: SelectionProblem, found: Found, rng: np.random.Generator, deadline: float
) -> Found:
    """Improve by double exchanges, each from a fresh sample, until two in a row gain little."""
    coordinates, labels = problem.coordinates, _swap_labels(problem)
    drop, norm, stalled = found.drop, found.norm, 0
    if coordinates.n_coordinates > MAX_COORDINATES or len(problem.constraints):
        return found
    for _ in range(_MAX_DOUBLE_ROUNDS):
        if stalled == _STALLED_ROUNDS or norm == 0 or time.perf_counter() > deadline:
            break
        improved = double_exchange(coordinates, labels, drop, rng)
        reached = float(np.linalg.norm(coordinates.total(improved)))
        stalled = stalled + 1 if reached >= (1 - _LEAST_PROGRESS) * norm else 0
        drop, norm = improved, reached
    return replace(found, drop=drop, norm=norm, timed_out=time.perf_counter() > deadline)


def _swap_labels(problem: SelectionProblem) -> Integers:
    """Return each row's group, -1 where its fate is fixed."""
    return np.where(problem.free, problem.groups, -1)


def _random_set(labels: Integers, wanted: Integers, rng: np.random.Generator) -> Booleans:
    drop = np.zeros(len(labels), dtype=bool)
    for stratum, m in enumerate(wanted):
        members = np.flatnonzero(labels == stratum)
        drop[rng.choice(members, size=int(m), replace=False)] = True
    return drop


def _draw_pool(labels: Integers, n_coordinates: int, rng: np.random.Generator) -> Integers:
    """Return the sorted positions of free rows that take part in graduated rounding."""
    free = np.flatnonzero(labels >= 0)
    size = max(_POOL_ROWS, _POOL_MULTIPLE * n_coordinates)
    if len(free) <= size:
        return free
    return np.sort(rng.choice(free, size=size, replace=False))
