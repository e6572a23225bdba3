"""From the set whose first-order change is small to one whose retrained head stays put."""

from __future__ import annotations

import time

from .influence import Coordinates, HeadInfluence, Influence, StackedInfluence, serial_blas
from .selection import Selection, SelectionProblem, recertify, solve

# Share of what random rows cost (of the loss, its square) below which the first order no longer
# decides: what retraining does then hangs on the curvature of the kept rows, which is what the
# refinement looks at.
_ENOUGH = 0.1
# Where the step is within this factor of the first order, the kept rows have curvature enough.
_CLOSE = 2.0
# The kept rows' Hessian changes with the rows kept, so that a round may well overshoot and the next
# find its way back; two in a row that shorten the step by less than this share end the refinement.
_MAX_ROUNDS, _PATIENCE, _LEAST_PROGRESS = 4, 2, 0.1


def solve_and_refine(
    influence: Influence,
    coordinates: Coordinates,
    problem: SelectionProblem,
    *,
    time_limit: float,
    random_state: int,
) -> Selection:
    """Choose the rows to drop by first-order change, then by the Newton step on what is kept.

    The latter where coordinates are all those of heads' own Hessians: what they are given a set
    can then be told.

    BLAS runs on one thread, so that the same seed gives the same rows on any number of them.
    """
    started = time.perf_counter()
    with serial_blas():
        selection = solve(problem, time_limit=time_limit, random_state=random_state, enough=_ENOUGH)
        # What else is exact has no coordinates given a set.
        if not (influence.is_exact and coordinates.is_operator):
            return selection
        assert isinstance(influence, HeadInfluence | StackedInfluence)
        left = time_limit - (time.perf_counter() - started)
        return refine(influence, problem, selection, time_limit=left, random_state=random_state)


def refine(
    influence: HeadInfluence | StackedInfluence,
    problem: SelectionProblem,
    selection: Selection,
    *,
    time_limit: float,
    random_state: int,
) -> Selection:
    """Exchange rows further, with the influences that hold once the chosen rows are gone.

    There are very many sets with almost no first-order change, and they differ in the curvature
    of what is kept: the Newton step on the kept rows is ``-H_kept⁻¹`` times what is left of their
    gradient, and where few rows are kept for each parameter ``H_kept`` is far from H. Each round
    takes the influences given the set of the last one (:meth:`HeadInfluence.given`) and exchanges
    rows until that stalls; of all sets, the one with the shortest Newton step on the kept rows is
    returned. Where that step is about as short as the first order says, there is nothing to gain.

    A set that is proven optimal, that a tolerance on the first-order change or a cost asked for, or
    that the time limit ended, stays as it is.

    Parameters
    ----------
    influence : HeadInfluence or StackedInfluence
        Influences on all rows.
    problem : SelectionProblem
        The problem that ``selection`` solves, on the rows of ``influence``.
    selection : Selection
        What :func:`sklearn_prune.selection.solve` returned for it.
    time_limit : float
        Seconds for all rounds.
    random_state : int
        Seeds the exchanges.
    """
    solver = selection.certificate
    if problem.n_drop is None or solver.status != "feasible" or problem.cost is not None:
        return selection
    deadline = time.perf_counter() + time_limit
    drop = best = selection.drop
    shortest, unrewarded = influence.kept_step_size(drop), 0
    for _ in range(_MAX_ROUNDS):
        left = deadline - time.perf_counter()
        first_order = influence.measure(influence.first_order_step(best))
        if left <= 0 or unrewarded == _PATIENCE or shortest <= _CLOSE * first_order:
            break
        drop = solve(
            problem.on(influence.given(drop)),
            time_limit=left,
            random_state=random_state,
            start=drop,
        ).drop
        step = influence.kept_step_size(drop)
        unrewarded = unrewarded + 1 if step >= (1 - _LEAST_PROGRESS) * shortest else 0
        if step < shortest:
            best, shortest = drop, step
    return selection if best is selection.drop else recertify(problem, selection, best)
