"""A first set that meets every constraint, or the constraint that cannot be met."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from ._coordinates import Booleans
from ._exact import LinearSystem
from ._problem import SelectionProblem
from ._quota import InfeasibleProblemError

# Status codes of scipy.optimize.milp.
_TIME_LIMIT, _INFEASIBLE = 1, 2


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
    """Return a set of ``n_drop`` rows that meets every linear row, found by ``milp``.

    The objective is random: any feasible set will do, different seeds give different ones, and
    HiGHS is about ten times slower on a zero objective. The relaxation has at most one
    fractional column for each linear row, so that the search is short at any n.

    Raises
    ------
    InfeasibleProblemError
        Names the constraint that cannot be met and its nearest feasible value.
    TimeoutError
        When the deadline passes before a feasible set is found.
    """
    system = count_rows(problem, n_drop)
    if problem.is_feasible(problem.must_drop):
        return problem.must_drop.copy()
    left = max(1.0, deadline - time.perf_counter())
    result = _solve(system, rng.standard_normal(system.A.shape[1]), left, elastic=False)
    if result.x is None and result.status == _TIME_LIMIT:
        raise TimeoutError(
            f"no set of {n_drop} rows that meets the constraints was found in {left:.0f} seconds; "
            "raise time_limit or relax a constraint."
        )
    if result.x is None:
        raise InfeasibleProblemError(_diagnosis(problem, n_drop, system, left))
    return problem.with_free(result.x[: system.A.shape[1]] > 0.5)


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
        options={"mip_rel_gap": 0.0 if elastic else 1.0, "time_limit": time_limit},
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
