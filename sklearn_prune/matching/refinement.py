"""From the set whose first-order change is small to one whose retrained head stays put."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .._types import Mask
from ..influence import Influence, RefittableInfluence, influences_of
from ..selection import Selection, SelectionProblem, recertify, solve
from ..utils import serial_blas
from .aim import aimed

# First-order length, as a share of random rows', below which shorter is no longer better: from
# there on the curvature of the kept rows decides, which the refinement looks at.
ENOUGH = 0.1
# Where the step is within this factor of the first order, the kept rows have curvature enough.
_CLOSE = 2.0
# The kept rows' Hessian changes with the rows kept, so that a round may well overshoot and the next
# find its way back. A trial of more damping that gains less than this share is the last.
_N_ROUNDS, _LEAST_PROGRESS = 2, 0.1
# Share of what random rows cost, when the head is refitted on them, that does not matter.
_NEGLIGIBLE = 0.1
_DAMPING_FACTORS = (1e1, 1e2, 1e3, 1e4)


def match_rows(
    influence: Influence,
    problem: SelectionProblem,
    *,
    time_limit: float,
    random_state: int,
) -> Selection:
    """Choose the rows to drop by first-order change, then by what retraining on the others does.

    The latter where influences can be taken anew for the rows that a set keeps.

    BLAS runs on one thread, so that the same seed gives the same rows on any number of them.
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
    """Return a tenth of what refitting costs on as many random rows; 0 without convergence."""
    rng, n_drop = np.random.default_rng(random_state), int(selection.drop.sum())
    change = influence.retrained_change(problem.random_set(n_drop, rng))
    return _NEGLIGIBLE * change if np.isfinite(change) else 0.0


def refine(
    influence: RefittableInfluence,
    problem: SelectionProblem,
    selection: Selection,
    deadline: float,
    random_state: int,
    *,
    enough: float = 0.0,
) -> Selection:
    """Exchange rows further, with the influences that hold once the chosen rows are gone.

    There are very many sets with almost no first-order change, and they differ in the curvature
    of what is kept: the Newton step on the kept rows is ``-H_kept⁻¹`` times what is left of their
    gradient, and where few rows are kept for each parameter ``H_kept`` is far from H. Each round
    takes the influences given the set of the last one (`RefittableInfluence.given`) and exchanges
    rows until that stalls; of all sets, the one with the shortest Newton step on the kept rows is
    returned. Where that step is about as short as the first order says, or within
    ``enough``, there is nothing to gain.

    A set that is proven optimal, that a tolerance on the first-order change or a cost asked for, or
    that the time limit ended, stays as it is.

    Parameters
    ----------
    influence : RefittableInfluence
        Influences on all rows.
    problem : SelectionProblem
        The problem that ``selection`` solves, on the rows of ``influence``.
    selection : Selection
        What :func:`sklearn_prune.selection.solve` returned for it.
    deadline : float
        ``time.perf_counter()`` value at which the rounds end.
    random_state : int
        Seeds the exchanges.
    enough : float, default=0.0
        Size of the Newton step at which the rounds end.
    """
    if not _is_open(problem, selection):
        return selection
    drop = best = selection.drop
    shortest = influence.measure(influence.kept_step(drop))
    for _ in range(_N_ROUNDS):
        left = deadline - time.perf_counter()
        first_order = influence.measure(influence.first_order_step(best))
        if left <= 0 or shortest <= max(_CLOSE * first_order, enough):
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
    """Match a more damped head instead, where too few rows are kept to hold this one.

    Where fewer rows are kept than the head has parameters, there is much of it that they hardly
    show. Refitted, it runs far from where its gradients and curvature were taken, and a set that
    they call close may be no better than random rows. A head of more damping has fewer directions
    that matter, and rows that keep *it* in place may leave this one nearer as well. Whether they
    do is not guessed: the head is refitted on each trial's rows with its own damping, and what
    that costs (`RefittableInfluence.retrained_change`) decides. The damping grows tenfold until a
    trial gains little.

    What :func:`refine` leaves as it is stays here too; so does a set on which refitting costs no
    more than ``enough``. A trial is begun only where there is as much time left as the first search
    or the longest trial took; where there is not, the status is "time limit".

    Parameters
    ----------
    influence, problem, selection, random_state
        As in :func:`refine`.
    deadline : float
        ``time.perf_counter()`` value after which no trial is begun.
    enough : float
        What refitting may cost; see :func:`negligible_change`.
    """
    n_kept = np.count_nonzero(influence.sample_weight[~selection.drop])
    n_params = max(one.shape[1] for one in influences_of(influence))
    if n_kept >= n_params or not _is_open(problem, selection):
        return selection
    best, least = selection.drop, influence.retrained_change(selection.drop)
    if least <= enough:
        return selection
    pays, longest, timed_out = True, selection.certificate.seconds, False
    for factor in _DAMPING_FACTORS:
        started = time.perf_counter()
        timed_out = deadline - started < longest
        if timed_out or not pays:
            break
        damped = influence.damped(factor)
        trial = _trial(damped, problem, selection.drop, deadline, random_state, enough)
        change = influence.retrained_change(trial)
        pays = change < (1 - _LEAST_PROGRESS) * least
        if change < least:
            best, least = trial, change
        longest = max(longest, time.perf_counter() - started)
    # A trial that the deadline cut may choose other rows on another day.
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
    """Return rows to drop by the influences on a damped head, from those dropped so far.

    Starting from them is as good as from scratch, in a third of the time.
    """
    Z = aimed(damped.Z, problem.n_drop, is_centred=damped.is_centred)
    problem = problem.on(Z)
    left = deadline - time.perf_counter()
    selection = solve(problem, time_limit=left, random_state=random_state, start=start)
    refined = refine(damped, problem, selection, deadline, random_state, enough=enough)
    return refined.drop


def _is_open(problem: SelectionProblem, selection: Selection) -> bool:
    """Whether other rows may be chosen than those of the least first-order change."""
    fixed = problem.n_drop is None or problem.cost is not None
    return not fixed and selection.certificate.status == "feasible"
