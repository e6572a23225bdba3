"""A first set that meets every constraint, or the error that names one that cannot be met."""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult

from .arrays import Booleans, Floats
from .highs import INFEASIBLE, TIME_LIMIT, run_milp
from .linear_rows import LinearRows
from .problem import SelectionProblem
from .quota import InfeasibleProblemError

# Rows that milp decides while the others stay fixed.
_OPEN_ROWS = 500
# milp gets this many seconds even past the deadline, since without a feasible set there is no
# answer at all.
_LEAST_SECONDS = 0.5


def feasible_set(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Booleans:
    """Return a set of ``n_drop`` rows that meets every rule.

    Tries four ways in turn, since ``milp`` is fast on 500 rows and exceeds any time limit on
    50,000:

    1. random rows, which meet loose constraints;
    2. ``milp`` on 500 of these rows, the others fixed;
    3. ``milp`` on the 500 rows whose values are the most fractional in its relaxation, where at
       most one row for each constraint is fractional;
    4. ``milp`` on all rows.

    The objective is random: any feasible set will do, different seeds give different sets, and
    HiGHS is about ten times slower with a zero objective.

    Raises
    ------
    InfeasibleProblemError
        If no set meets every rule; the message names one that cannot be met and its nearest
        feasible value.
    TimeoutError
        When the deadline passes before a feasible set is found.
    """
    start = problem.random_set(n_drop, rng)
    if problem.is_feasible(start):
        return start
    if int(problem.free.sum()) > _OPEN_ROWS:
        for shares in (start[problem.free], _relaxed(problem, n_drop, rng, deadline)):
            part = _mostly_fixed(problem, n_drop, shares.astype(np.float64), rng)
            drop, _ = _set_by_milp(part, n_drop, rng, deadline)
            if drop is not None:
                return drop
    drop, status = _set_by_milp(problem, n_drop, rng, deadline)
    if drop is not None:
        return drop
    if status == TIME_LIMIT:
        raise TimeoutError(
            f"no set of {n_drop} rows that meets the constraints was found in time; raise "
            "time_limit or relax a constraint."
        )
    raise InfeasibleProblemError(_diagnosis(problem, n_drop, deadline))


def _relaxed(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Floats:
    """Return the relaxation's solution for the free rows; zeros if it has none."""
    rows, n = problem.linear_rows(n_drop), int(problem.free.sum())
    result = run_milp(
        rng.standard_normal(n),
        Bounds(0, 1),
        [LinearConstraint(sp.csr_array(rows.A), rows.low, rows.high)],
        n_integers=0,
        time_limit=_seconds_until(deadline),
    )
    return np.zeros(n) if result.x is None else np.asarray(result.x)


def _seconds_until(deadline: float) -> float:
    return max(_LEAST_SECONDS, deadline - time.perf_counter())


def _mostly_fixed(
    problem: SelectionProblem, n_drop: int, shares: Floats, rng: np.random.Generator
) -> SelectionProblem:
    """Return the problem with all free rows fixed but the 500 with the most fractional shares."""
    doubt = np.minimum(shares, 1 - shares)
    is_open = np.argsort(-doubt - 1e-6 * rng.random(len(shares)))[:_OPEN_ROWS]
    fixed = np.ones(len(shares), dtype=bool)
    fixed[is_open] = False
    goes = problem.with_free(fixed & (shares > 0.5))
    stays = problem.must_keep.copy()
    stays[problem.free] = fixed & (shares <= 0.5)
    return problem.fixing(n_drop, stays, goes)


def _set_by_milp(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> tuple[Booleans | None, int]:
    """Return a feasible set or None, and HiGHS's last status.

    HiGHS meets constraints within a tolerance. A set that breaks one in float64 is cut off.
    """
    rows, excluded = problem.linear_rows(n_drop), list[Booleans]()
    n = int(problem.free.sum())
    while n:
        result = _solve(rows.without(excluded), rng.standard_normal(n), deadline)
        if result.x is None:
            return None, result.status
        chosen = result.x > 0.5
        drop = problem.with_free(chosen)
        if problem.is_feasible(drop):
            return drop, result.status
        if time.perf_counter() > deadline:
            return None, TIME_LIMIT
        excluded.append(chosen)
    return None, INFEASIBLE


def _solve(
    rows: LinearRows, objective: Floats, deadline: float, prices: Floats | None = None
) -> OptimizeResult:
    """Return the first set that HiGHS finds; with prices, the one that breaks rules least.

    With prices, each rule has two slack variables, for a value below and above its bounds, and
    their priced sum is minimised.
    """
    n_rows, n = rows.A.shape
    A = sp.csr_array(rows.A)
    if prices is not None:
        A = sp.hstack([A, sp.eye_array(n_rows), -sp.eye_array(n_rows)])
        objective = np.r_[objective, prices, prices]
    n_slack = A.shape[1] - n
    return run_milp(
        objective,
        Bounds(0, np.r_[np.ones(n), np.full(n_slack, np.inf)]),
        [LinearConstraint(A, rows.low, rows.high)],
        n_integers=n,
        gap=1.0 if prices is None else 0.0,
        time_limit=_seconds_until(deadline),
    )


def _diagnosis(problem: SelectionProblem, n_drop: int, deadline: float) -> str:
    rows = problem.linear_rows(n_drop)
    n_rows, n = rows.A.shape
    n_counts = n_rows - len(problem.constraints)
    # Counts and quotas are known to be feasible, so breaking them costs most.
    largest = np.abs(rows.A[n_counts:]).max(axis=1, initial=0.0)
    prices = np.r_[np.full(n_counts, 1e6), 1.0 / (1.0 + largest)]
    result = _solve(rows, np.zeros(n), deadline, prices)
    if result.x is None:
        return (
            f"no set of {n_drop} rows meets the constraints, and no nearest one was found in "
            "time; remove constraints one by one to find those that conflict."
        )
    short, excess = result.x[n : n + n_rows], result.x[n + n_rows :]
    row = int((short + excess)[n_counts:].argmax())
    if row >= problem.n_given_rows:
        return all_weight_goes(n_drop)
    drop, given = problem.with_free(result.x[:n] > 0.5), problem.constraints
    low, high, value = given.units[row] * np.array(
        [given.low[row], given.high[row], given.A[row] @ drop]
    )
    return (
        f"row {row} of the linear constraints cannot be met: it asks for [{low:g}, {high:g}], the "
        f"nearest value with {n_drop} rows dropped and every other constraint met is {value:g}; "
        "move the bound there or relax another constraint."
    )


def all_weight_goes(n_drop: int) -> str:
    """Return the error message that every allowed set of ``n_drop`` rows takes all the weight."""
    return (
        f"n_drop={n_drop} takes all of the sample weight under these quotas and masks; drop fewer "
        "rows, or free rows of weight zero."
    )
