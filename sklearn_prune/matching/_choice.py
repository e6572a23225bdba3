"""From influences and what is asked to the rows to drop, or to the reason why there are none."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np

from .._terms import Request, RowTerms, count_problem, first_to_go, make_problem
from ..influence import Coordinates, Influence, influences_of, serial_blas
from ..selection import InfeasibleProblemError, SelectionProblem
from ._allocation import FEWEST_ROWS, Priorities, kept_shares
from ._certificate import Choice, beyond_tolerance, in_unit_of, length_in, require_exact
from ._distribution import DistributionEmbedding
from ._refinement import match_rows

__all__ = ["check_counts", "choose_rows", "distribution_weight"]

# Weight of the distribution where at least five rows are kept for each parameter that is matched,
# and where fewer are; see `benchmarks.distribution`.
_MANY_ROWS, _MANY_ROWS_WEIGHT, _FEW_ROWS_WEIGHT = 5, 2.0, 0.3


def check_counts(terms: RowTerms, request: Request) -> None:
    """Raise InfeasibleProblemError where counts, masks, quotas and costs cannot be met together."""
    count_problem(terms, request)
    # Which rows are hard is not known yet; how many of each stratum go is.
    count_problem(first_to_go(terms, request, lambda: np.zeros(terms.n_samples)), request)


def choose_rows(
    influence: Influence,
    coordinates: Coordinates,
    balance: Sequence[DistributionEmbedding],
    priorities: Priorities | None,
    terms: RowTerms,
    request: Request,
    *,
    time_limit: float,
    random_state: int,
) -> Choice:
    """Choose the rows to drop.

    Parameters
    ----------
    influence : Influence
        Influences of all rows.
    coordinates : Coordinates
        What of them is matched.
    balance : sequence of DistributionEmbedding
        What is held beside them.
    priorities : Priorities or None
        Which rows other models learn most from.
    terms : RowTerms
        Classes, groups, masks, costs and weights of the rows.
    request : Request
        How many are to go.
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
    all_terms, terms = terms, first_to_go(terms, request, influence.row_losses)
    problem = make_problem(
        coordinates.Z,
        terms,
        request,
        length_in(norm),
        balance,
        distribution_weight(request, influence, has_cost=terms.cost is not None),
    )
    if priorities is not None and _is_allocated(problem):
        with serial_blas():
            shares = kept_shares(problem, priorities, deadline=deadline)
            problem = problem.aimed_at(shares)
    try:
        selection = match_rows(
            influence,
            coordinates,
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
    choose between sets. Not for so few rows that branch and bound decides.
    """
    is_open = problem.n_drop is not None and problem.free.sum() > FEWEST_ROWS
    return bool(is_open and problem.is_balanced and problem.cost is None)


def distribution_weight(request: Request, influence: Influence, *, has_cost: bool = False) -> float:
    """Return the weight asked for; for "auto" it depends on how many rows each parameter keeps.

    It is the smaller one with a tolerance, where that number is not known beforehand, and with
    costs, which compete with the change as well.
    """
    if request.distribution_weight != "auto":
        return float(request.distribution_weight)
    if request.prune_ratio is None or has_cost:
        return _FEW_ROWS_WEIGHT
    n_params = max(one.shape[1] for one in influences_of(influence))
    n_kept = (1 - request.prune_ratio) * np.count_nonzero(influence.sample_weight)
    return _MANY_ROWS_WEIGHT if n_kept >= _MANY_ROWS * n_params else _FEW_ROWS_WEIGHT


def _why_rows_must_go(terms: RowTerms, request: Request) -> dict[str, str]:
    """Return, for what the user gave that makes rows go, the remedy."""
    causes = {}
    if terms.must_drop.any():
        causes["must_drop"] = "free rows of must_drop"
    if request.trim:
        causes[f"trim={request.trim}"] = "lower trim"
    return causes
