"""A first set that meets every constraint, or the constraint that cannot be met."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from .coordinates import Booleans, Floats
from .exact.system import LinearSystem
from .problem import SelectionProblem
from .quota import InfeasibleProblemError

# Status codes of scipy.optimize.milp.
_TIME_LIMIT, _INFEASIBLE = 1, 2
# Rows that milp decides about where it may leave the others as they are.
_OPEN_ROWS = 500
# What it gets where the deadline is near, since without a feasible set there is no answer.
_LEAST_SECONDS = 0.5


def count_rows(problem: SelectionProblem, n_drop: int | None) -> LinearSystem:
    """Return counts, quotas and the user's rows as one linear system over the free rows.

    Parameters
    ----------
    problem : SelectionProblem
        The problem.
    n_drop : int or None
        Rows dropped in all; None leaves the number open (between none and all but one).
    """
    free = problem.free
    indicator = np.arange(len(problem.group_names))[:, None] == problem.groups[free]
    forced = problem.count(problem.must_drop)
    if n_drop is None:
        sizes = problem.count(np.ones(problem.n_samples, dtype=bool))
        low, high = sizes - problem.kept_range.high, sizes - problem.kept_range.low
        total = (0, problem.n_samples - 1)
    else:
        low, high = problem.dropped_bounds(n_drop)
        total = (n_drop, n_drop)
    n_forced = int(forced.sum())
    rows = problem.constraints
    shift = rows.A @ problem.must_drop.astype(np.float64)
    return LinearSystem(
        A=np.vstack([np.ones((1, int(free.sum()))), indicator, rows.A[:, free]]),
        low=np.r_[total[0] - n_forced, low - forced, rows.low - shift],
        high=np.r_[total[1] - n_forced, high - forced, rows.high - shift],
    )


def feasible_set(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Booleans:
    """Return a set of ``n_drop`` rows that meets every linear row.

    Random rows mostly do, where the rows are loose. Where they do not, ``milp`` decides anew about
    some of them, drawn at random; then about some of what its relaxation leaves, which has at most
    one fractional column for each row; and about all only if there is no such set: of 50,000 rows
    it takes longer than any time limit, of 500 a moment. Its objective is random: any feasible set
    will do, different seeds give different ones, and HiGHS is about ten times slower on a zero
    objective.

    Raises
    ------
    InfeasibleProblemError
        Names the constraint that cannot be met and its nearest feasible value.
    TimeoutError
        When the deadline passes before a feasible set is found.
    """
    start = problem.random_set(n_drop, rng)
    if problem.is_feasible(start):
        return start
    if int(problem.free.sum()) > _OPEN_ROWS:
        for shares in (start[problem.free], _relaxed(problem, n_drop, rng, deadline)):
            part = _mostly_fixed(problem, n_drop, shares.astype(np.float64), rng)
            drop, _ = _found_by_milp(part, n_drop, rng, deadline)
            if drop is not None:
                return drop
    drop, status = _found_by_milp(problem, n_drop, rng, deadline)
    if drop is not None:
        return drop
    if status == _TIME_LIMIT:
        raise TimeoutError(
            f"no set of {n_drop} rows that meets the constraints was found in time; raise "
            "time_limit or relax a constraint."
        )
    left = max(_LEAST_SECONDS, deadline - time.perf_counter())
    raise InfeasibleProblemError(_diagnosis(problem, n_drop, count_rows(problem, n_drop), left))


def _relaxed(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Floats:
    """Return which share of each free row goes where rows may go in part; 0 where none may."""
    system, n = count_rows(problem, n_drop), int(problem.free.sum())
    left = max(_LEAST_SECONDS, deadline - time.perf_counter())
    result = milp(
        rng.standard_normal(n),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(sp.csr_array(system.A), system.low, system.high),
        options={"time_limit": left},
    )
    return np.zeros(n) if result.x is None else np.asarray(result.x)


def _mostly_fixed(
    problem: SelectionProblem, n_drop: int, shares: Floats, rng: np.random.Generator
) -> SelectionProblem:
    """Return the problem with the fate of most free rows fixed: those that go in part stay open."""
    doubt = np.minimum(shares, 1 - shares)
    is_open = np.argsort(-doubt - 1e-6 * rng.random(len(shares)))[:_OPEN_ROWS]
    fixed = np.ones(len(shares), dtype=bool)
    fixed[is_open] = False
    goes = problem.with_free(fixed & (shares > 0.5))
    stays = problem.must_keep.copy()
    stays[problem.free] = fixed & (shares <= 0.5)
    return problem.fixing(n_drop, stays, goes)


def _found_by_milp(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> tuple[Booleans | None, int]:
    """Return a feasible set, None where none was found, and HiGHS's last status.

    HiGHS meets a row within a tolerance; a set that breaks one in float64 is cut off.
    """
    system, excluded = count_rows(problem, n_drop), list[Booleans]()
    while True:
        left = max(_LEAST_SECONDS, deadline - time.perf_counter())
        objective = rng.standard_normal(system.A.shape[1])
        result = _solve(system.without(excluded), objective, left, elastic=False)
        if result.x is None:
            return None, result.status
        chosen = result.x > 0.5
        drop = problem.with_free(chosen)
        if problem.is_feasible(drop):
            return drop, result.status
        if time.perf_counter() > deadline:
            return None, _TIME_LIMIT
        excluded.append(chosen)


def _solve(system: LinearSystem, objective: Any, time_limit: float, *, elastic: bool) -> Any:
    n_rows, n = system.A.shape
    A = sp.csr_array(system.A)
    if n == 0 and not elastic:
        return OptimizeResult(x=None, status=_INFEASIBLE)
    if elastic:
        # One pair of slacks for each row: by how much it falls short, by how much it exceeds.
        A = sp.hstack([A, sp.eye_array(n_rows), -sp.eye_array(n_rows)])
        objective = np.r_[np.zeros(n), objective, objective]
    n_slack = A.shape[1] - n
    return milp(
        objective,
        integrality=np.r_[np.ones(n), np.zeros(n_slack)],
        bounds=Bounds(0, np.r_[np.ones(n), np.full(n_slack, np.inf)]),
        constraints=LinearConstraint(A, system.low, system.high),
        options={
            "mip_rel_gap": 0.0 if elastic else 1.0,
            "time_limit": time_limit,
            "presolve": False,
        },
    )


def _diagnosis(
    problem: SelectionProblem, n_drop: int, system: LinearSystem, time_limit: float
) -> str:
    n_rows, n = system.A.shape
    n_counts = n_rows - len(problem.constraints)
    # Counts and quotas were checked before, so that they stay hard; only the user's rows give.
    largest = np.abs(system.A[n_counts:]).max(axis=1, initial=0.0)
    price = np.r_[np.full(n_counts, 1e6), 1.0 / (1.0 + largest)]
    result = _solve(system, price, time_limit, elastic=True)
    if result.x is None:
        return (
            f"no set of {n_drop} rows meets the constraints, and no nearest one was found in "
            "time; drop constraints one by one to find the pair that conflicts."
        )
    short, excess = result.x[n : n + n_rows], result.x[n + n_rows :]
    row = int((short + excess)[n_counts:].argmax())
    if row >= problem.n_given_rows:
        return (
            f"n_drop={n_drop} takes all of the sample weight under these quotas and masks; drop "
            "fewer rows, or free rows of weight zero."
        )
    drop, unit = problem.with_free(result.x[:n] > 0.5), problem.constraints.units[row]
    value = float(problem.constraints.A[row] @ drop) * unit
    return (
        f"row {row} of the linear constraints cannot be met: it asks for "
        f"[{problem.constraints.low[row] * unit:g}, {problem.constraints.high[row] * unit:g}], the "
        f"nearest value with {n_drop} rows dropped and every other constraint met is {value:g}; "
        "move the bound there or relax another constraint."
    )
