"""From a set with a small first-order change to one on which retraining moves the head little."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .._types import Mask
from ..influence import Influence, RefittableInfluence, influences_of
from ..selection import Selection, SelectionProblem, recertify, solve
from ..utils import serial_blas
from .aim import aimed

# Below this share of random rows' first-order length, shorter is no longer better: there the
# curvature of the kept rows decides, which the refinement uses.
ENOUGH = 0.1
# If the Newton step is within this factor of the first order, the kept rows have enough curvature.
CLOSE = 2.0
# Rounds of refinement: the kept rows' Hessian changes with the rows, so one round may overshoot and
# the next correct that. A trial of more damping that gains less than this share is the last.
_N_ROUNDS, LEAST_PROGRESS = 2, 0.1
# A change below this share of that of a refit on random rows does not matter.
NEGLIGIBLE = 0.1
DAMPING_FACTORS = (1e1, 1e2, 1e3, 1e4)


def match_rows(
    influence: Influence,
    problem: SelectionProblem,
    *,
    time_limit: float,
    random_state: int,
) -> Selection:
    """Choose the rows to drop by the first-order change, then by what retraining would change.

    The second step needs influences that can be recomputed for the rows that a set keeps
    (`RefittableInfluence`). BLAS runs on one thread, so that the same seed gives the same rows on
    any number of threads.
    """
    deadline = time.perf_counter() + time_limit
    with serial_blas():
        selection = solve(problem, time_limit=time_limit, random_state=random_state, enough=ENOUGH)
        if not (isinstance(influence, RefittableInfluence) and _is_open(problem, selection)):
            return selection
        enough = negligible_change(influence, problem, selection, random_state)
        selection = refine(influence, problem, selection, deadline, random_state, enough=enough)
        return try_more_damping(
            influence, problem, selection, deadline, random_state, enough=enough
        )


def negligible_change(
    influence: RefittableInfluence,
    problem: SelectionProblem,
    selection: Selection,
    random_state: int,
) -> float:
    """Return a tenth of the cost of refitting on as many random rows; 0 if that fails."""
    rng, n_drop = np.random.default_rng(random_state), int(selection.drop.sum())
    change = influence.retrained_change(problem.random_set(n_drop, rng))
    return NEGLIGIBLE * change if np.isfinite(change) else 0.0


def refine(
    influence: RefittableInfluence,
    problem: SelectionProblem,
    selection: Selection,
    deadline: float,
    random_state: int,
    *,
    enough: float = 0.0,
) -> Selection:
    """Exchange more rows, with influences that use the Hessian of the rows kept.

    Very many sets have almost no first-order change, and they differ in the curvature of the rows
    kept: the Newton step on these is ``-H_kept⁻¹`` times their gradient, and with few rows per
    parameter ``H_kept`` is far from H. Each round computes the influences for the set of the last
    round (`RefittableInfluence.given`) and exchanges rows until that stalls. Of all sets, the one
    with the shortest Newton step on the kept rows is returned. If that step is within twice the
    first-order change, or within ``enough``, the rounds end.

    A selection stays as it is if it is proven optimal, was chosen for a tolerance or by costs, or
    was ended by the time limit.

    Parameters
    ----------
    influence : RefittableInfluence
        Influences on all rows.
    problem : SelectionProblem
        The problem that ``selection`` solves, on the rows of ``influence``.
    selection : Selection
        The solution of the problem by :func:`sklearn_prune.selection.solve`.
    deadline : float
        ``time.perf_counter()`` value at which the rounds end.
    random_state : int
        Seeds the exchanges.
    enough : float, default=0.0
        Change by the Newton step at which the rounds end.
    """
    if not _is_open(problem, selection):
        return selection
    drop = best = selection.drop
    shortest = influence.measure(influence.kept_step(drop))
    for _ in range(_N_ROUNDS):
        left = deadline - time.perf_counter()
        first_order = influence.measure(influence.first_order_step(best))
        if left <= 0 or shortest <= max(CLOSE * first_order, enough):
            break
        drop = solve(
            problem.on(
                aimed(influence.given(drop), problem.n_drop, is_centred=influence.is_centred)
            ),
            time_limit=left,
            random_state=random_state,
            start=drop,
        ).drop
        step = influence.measure(influence.kept_step(drop))
        if step < shortest:
            best, shortest = drop, step
    return selection if best is selection.drop else recertify(problem, selection, best)


def try_more_damping(
    influence: RefittableInfluence,
    problem: SelectionProblem,
    selection: Selection,
    deadline: float,
    random_state: int,
    *,
    enough: float,
) -> Selection:
    """Match a head with more damping, if too few rows are kept to hold the given one.

    If fewer rows are kept than the head has parameters, they do not determine all of it. When it is
    refitted it moves far from where its gradients and curvature were computed, and a set that these
    call good may be no better than random rows. A head with more damping has fewer directions that
    matter, and rows that hold *it* in place may hold the given head better as well. This is tested:
    the given head is refitted on each trial's rows with its own damping, and the set with the
    smallest change (`RefittableInfluence.retrained_change`) is returned. The damping grows tenfold
    until a trial gains little.

    A selection that :func:`refine` would leave as it is stays as it is here too; so does a set
    under linear rows, and one on which refitting costs no more than ``enough``. A trial is started
    only if there is as much time left as the first search or the longest trial took; if there is
    not, the status becomes "time limit".

    Parameters
    ----------
    influence, problem, selection, random_state
        As in :func:`refine`.
    deadline : float
        ``time.perf_counter()`` value after which no trial is started.
    enough : float
        Change by refitting that needs no trial; see :func:`negligible_change`.
    """
    n_kept = np.count_nonzero(influence.sample_weight[~selection.drop])
    n_params = max(member.shape[1] for member in influences_of(influence))
    if n_kept >= n_params or not _is_open(problem, selection) or problem.n_given_rows:
        return selection
    best, least = selection.drop, influence.retrained_change(selection.drop)
    if least <= enough:
        return selection
    pays, longest, timed_out = True, selection.certificate.seconds, False
    for factor in DAMPING_FACTORS:
        if not pays:
            break
        started = time.perf_counter()
        timed_out = deadline - started < longest
        if timed_out:
            break
        damped = influence.damped(factor)
        trial = _trial(damped, problem, selection.drop, deadline, random_state, enough)
        change = influence.retrained_change(trial)
        pays = change < (1 - LEAST_PROGRESS) * least
        if change < least:
            best, least = trial, change
        longest = max(longest, time.perf_counter() - started)
    # A trial that the deadline cut short is not reproducible.
    timed_out |= time.perf_counter() > deadline
    if best is not selection.drop:
        selection = recertify(problem, selection, best)
    if timed_out:
        certificate = replace(selection.certificate, status="time limit")
        selection = replace(selection, certificate=certificate)
    return selection


def _trial(
    damped: RefittableInfluence,
    problem: SelectionProblem,
    start: Mask,
    deadline: float,
    random_state: int,
    enough: float,
) -> Mask:
    """Return the rows to drop by the influences on a damped head, starting from ``start``.

    That is as good as a search from scratch and takes a third of the time.
    """
    Z = aimed(damped.Z, problem.n_drop, is_centred=damped.is_centred)
    problem = problem.on(Z)
    left = deadline - time.perf_counter()
    selection = solve(problem, time_limit=left, random_state=random_state, start=start)
    refined = refine(damped, problem, selection, deadline, random_state, enough=enough)
    return refined.drop


def _is_open(problem: SelectionProblem, selection: Selection) -> bool:
    """Whether the selection may be refined; see `refine`."""
    fixed = problem.n_drop is None or problem.cost is not None
    return not fixed and selection.certificate.status == "feasible"
