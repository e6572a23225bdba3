"""A first set that meets the caller's constraints, or the constraint that cannot be met."""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult

from .._types import Floats, Mask
from .highs import INFEASIBLE, TIME_LIMIT, run_milp
from .linear_rows import LinearRows
from .problem import SelectionProblem
from .quota import InfeasibleProblemError

# Rows that milp decides about where it may leave the others as they are.
_OPEN_ROWS = 500
# Seconds it gets even past the deadline: without a feasible set there is no answer at all.
_LEAST_SECONDS = 0.5


def feasible_set(
    problem: SelectionProblem, n_drop: int, rng: np.random.Generator, deadline: float
) -> Mask:
    """Return a set of ``n_drop`` rows that meets every rule.

    Tries in turn, since ``milp`` takes a moment on 500 rows and longer than any time limit on
    50,000:

    1. random rows, which meet loose constraints;
    2. ``milp`` on 500 of these rows, the others fixed;
    3. ``milp`` on the 500 rows about which its relaxation is least sure; at most one row for each
       constraint is fractional there;
    4. ``milp`` on all rows.

    The objective is random: any feasible set will do, different seeds give different ones, and
    HiGHS is about ten times slower on a zero objective.

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
    """Return the relaxation's solution for the free rows; zeros where it has none."""
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
    """Return the problem with all but the 500 least certain free rows fixed."""
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
) -> tuple[Mask | None, int]:
    """Return a feasible set or None, and HiGHS's last status.

    HiGHS meets constraints within a tolerance. A set that breaks one in float64 is cut off.
    """
    rows, excluded = problem.linear_rows(n_drop), list[Mask]()
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
    """Return the first set that HiGHS finds; with prices, the one that breaks rules at least cost.

    With prices, each rule has a pair of slacks: by how much it falls short, by how much it exceeds.
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
    # Counts and quotas are known to be feasible, so they stay hard; only constraints may give.
    largest = np.abs(rows.A[n_counts:]).max(axis=1, initial=0.0)
    prices = np.r_[np.full(n_counts, 1e6), 1.0 / (1.0 + largest)]
    result = _solve(rows, np.zeros(n), deadline, prices)
    if result.x is None:
        return (
            f"no set of {n_drop} rows meets the constraints, and no nearest one was found in "
            "time; drop constraints one by one to find the pair that conflicts."
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
    """Return the message that no set of so many rows leaves any weight."""
    return (
        f"n_drop={n_drop} takes all of the sample weight under these quotas and masks; drop fewer "
        "rows, or free rows of weight zero."
    )
