"""From influences and what is asked to the rows to drop, or to the reason why there are none."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..influence import Influence, MatchedCoordinates, influences_of
from ..selection import (
    InfeasibleProblemError,
    Request,
    RowTerms,
    SelectionProblem,
    count_problem,
    drop_first,
    first_to_go,
    make_problem,
    n_to_drop,
)
from ..utils import serial_blas
from .aim import aimed
from .allocation import FEWEST_ROWS, LEAST_KEPT, Priorities, kept_shares
from .certificate import Choice, beyond_tolerance, in_unit_of, length_in, require_exact
from .distribution import DistributionEmbedding
from .network_checks import check_aim
from .reference import Aim, class_quota
from .refinement import match_rows

__all__ = ["check_counts", "choose_rows", "distribution_weight"]

# Weight of the distribution where at least five rows are kept for each parameter that is matched,
# and where fewer are; see `benchmarks.distribution`.
_MANY_ROWS, _MANY_ROWS_WEIGHT, _FEW_ROWS_WEIGHT = 5, 2.0, 0.3
# The same where reference rows lead; see `benchmarks.reference`, on rows to validate on.
_LED_WEIGHT = 1.0


def check_counts(terms: RowTerms, request: Request) -> None:
    """Raise InfeasibleProblemError where counts, masks, quotas and costs cannot be met together."""
    count_problem(terms, request)
    # Which rows are hard is not known yet; how many of each stratum go is.
    count_problem(first_to_go(terms, request, lambda: np.zeros(terms.n_samples)), request)


def choose_rows(
    influence: Influence,
    coordinates: MatchedCoordinates,
    balance: Sequence[DistributionEmbedding],
    priorities: Priorities | None,
    terms: RowTerms,
    request: Request,
    aim: Aim | None = None,
    *,
    time_limit: float,
    random_state: int,
) -> Choice:
    """Choose the rows to drop.

    Parameters
    ----------
    influence : Influence
        Influences of all rows.
    coordinates : MatchedCoordinates
        What of them is matched.
    balance : sequence of DistributionEmbedding
        What is held beside them.
    priorities : Priorities or None
        Which rows other models learn most from.
    terms : RowTerms
        Classes, groups, masks, costs and weights of the rows.
    request : Request
        How many are to go.
    aim : Aim, default=None
        What reference rows say: classes then keep their shares in what is aimed at, hardness is
        judged by them, and suspect labels go first unless ``trim`` says how many are to.
    time_limit : float
        Seconds for the selection and its refinement.
    random_state : int
        Seeds both.

    Raises
    ------
    InfeasibleProblemError
        When no set within a tolerance was found, in words of the user's parameters.
    ValueError
        When a tolerance is asked for and the coordinates are not exact.
    """
    deadline = time.perf_counter() + time_limit
    if request.tolerance is not None:
        require_exact(coordinates)
    norm = influence.norm
    all_terms = terms
    if aim is None:
        terms = first_to_go(terms, request, influence.row_losses)
    else:
        request, terms = _led_by(aim, terms, request)
    n_drop = None
    if request.prune_ratio is not None:
        n_drop = n_to_drop(request.prune_ratio, terms.n_samples, len(terms.class_names))
    # Integers and draws hang on the last bits of what they are made of.
    with serial_blas():
        problem = make_problem(
            aimed(coordinates.Z, n_drop, is_centred=influence.is_centred),
            terms,
            request,
            length_in(norm),
            [aimed(embedding, n_drop, is_centred=aim is None) for embedding in balance],
            distribution_weight(
                request, influence, has_cost=terms.cost is not None, is_led=aim is not None
            ),
            holds_norms=aim is None,
        )
        if priorities is not None and _is_allocated(problem):
            shares = kept_shares(problem, priorities, deadline=deadline)
            problem = problem.aimed_at(shares)
    try:
        selection = match_rows(
            influence,
            problem,
            time_limit=deadline - time.perf_counter(),
            random_state=random_state,
        )
    except InfeasibleProblemError as error:
        if request.tolerance is None:
            raise
        raise beyond_tolerance(
            error,
            influence,
            problem.must_drop,
            tolerance=request.tolerance,
            causes=_why_rows_must_go(all_terms, request),
            is_balanced=problem.is_balanced,
        ) from error
    if request.tolerance is not None and not selection.drop.any():
        smallest = in_unit_of(norm, selection.certificate.smallest_reachable)
        reason = f"tolerance={request.tolerance} allows no row to be dropped"
        if selection.certificate.status == "time limit":
            reason = (
                f"time_limit={time_limit} ended the search before it found rows that "
                f"tolerance={request.tolerance} allows to be dropped (raise it)"
            )
        warnings.warn(
            f"{reason}, all {terms.n_samples} are kept; the smallest change found is "
            f"{smallest:.3g}.",
            UserWarning,
            stacklevel=3,
        )
    return Choice(selection, problem)


def _is_allocated(problem: SelectionProblem) -> bool:
    """Whether rows are to stay with unequal probabilities.

    Only at a ratio and without costs: a tolerance leaves the number of rows open, and costs already
    choose between sets. Not for so few rows that branch and bound decides, nor where every class
    keeps a handful.
    """
    if problem.n_drop is None or problem.cost is not None or not problem.is_balanced:
        return False
    n_kept = problem.kept_range.counts(problem.n_samples - problem.n_drop)
    return bool(problem.free.sum() > FEWEST_ROWS and n_kept.max() >= LEAST_KEPT)


def _led_by(aim: Aim, terms: RowTerms, request: Request) -> tuple[Request, RowTerms]:
    """Return the request and the terms of a selection that reference rows lead."""
    check_aim(request.tolerance)
    if request.quota == "class" and aim.class_shares is not None:
        request = replace(request, quota=class_quota(terms, request, aim.class_shares))
    terms = first_to_go(terms, request, lambda: aim.losses)
    if request.drops_suspects:
        terms = drop_first(terms, request, 1.0, aim.suspect, aim.losses)
    return request, terms


def distribution_weight(
    request: Request, influence: Influence, *, has_cost: bool = False, is_led: bool = False
) -> float:
    """Return the weight asked for; for "auto" it depends on how many rows each parameter keeps.

    It is the smaller one with a tolerance, where that number is not known beforehand, and with
    costs, which compete with the change as well; and 1 at least where reference rows lead, of which
    the distribution is known better than the head.
    """
    if request.distribution_weight != "auto":
        return float(request.distribution_weight)
    least = _LED_WEIGHT if is_led else _FEW_ROWS_WEIGHT
    if request.prune_ratio is None or has_cost:
        return least
    n_params = max(one.shape[1] for one in influences_of(influence))
    n_kept = (1 - request.prune_ratio) * np.count_nonzero(influence.sample_weight)
    return _MANY_ROWS_WEIGHT if n_kept >= _MANY_ROWS * n_params else least


def _why_rows_must_go(terms: RowTerms, request: Request) -> dict[str, str]:
    """Return, for what the user gave that makes rows go, the remedy."""
    causes = {}
    if terms.must_drop.any():
        causes["must_drop"] = "free rows of must_drop"
    if request.trim:
        causes[f"trim={request.trim}"] = "lower trim"
    return causes
