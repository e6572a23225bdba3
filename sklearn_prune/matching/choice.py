"""Choose the rows to drop, from what they must match and what the user asks for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from .._types import Floats, Mask
from ..influence import Influence, MatchedCoordinates, influences_of
from ..selection import (
    InfeasibleProblemError,
    Request,
    RowTerms,
    Selection,
    SelectionProblem,
    count_problem,
    draw_dropped,
    drop_first,
    drop_weightless,
    make_problem,
)
from ..utils import serial_blas, warn_user
from .aim import aimed
from .allocation import FEWEST_ROWS, LEAST_KEPT, kept_shares
from .matched import Matched
from .network_checks import check_aim
from .reference import Aim, class_quota
from .refinement import match_rows
from .units import in_unit_of, length_in

# Weight of the distribution if at least five rows are kept for each parameter that is matched, and
# if fewer are; see `benchmarks.distribution`.
_MANY_ROWS, _MANY_ROWS_WEIGHT, _FEW_ROWS_WEIGHT = 5, 2.0, 0.3
# The smaller weight with reference rows; see `benchmarks.reference`, on validation rows.
_LED_WEIGHT = 1.0


@dataclass(frozen=True)
class Choice:
    """The rows to drop, and the selection problem that they solve.

    Attributes
    ----------
    selection : Selection
        The rows, and the solver's certificate.
    problem : SelectionProblem
        The problem that was solved.
    weights : ndarray of shape (n_kept,) or None
        Weights of the kept rows, of mean 1; None if all are 1.
    """

    selection: Selection
    problem: SelectionProblem
    weights: Floats | None = None

    @property
    def support(self) -> Mask:
        """The mask of kept rows."""
        return ~self.selection.drop

    @property
    def dropped(self) -> Mask | Floats:
        """The mask of dropped rows; with weights v, the share ``1 - v_i`` of each row's weight."""
        if self.weights is None:
            return self.selection.drop
        share = np.ones(len(self.support))
        share[self.support] = 1 - self.weights
        return share

    def random_rows(self, rng: np.random.Generator) -> Mask:
        """Draw random rows to drop: as many of each group as were chosen, within the masks."""
        problem, drop = self.problem, self.selection.drop
        labels = np.where(problem.free, problem.groups, -1)
        n_dropped = problem.count(drop & problem.free)
        return problem.must_drop | draw_dropped(labels, n_dropped, None, rng)


def check_counts(terms: RowTerms, request: Request) -> None:
    """Raise InfeasibleProblemError if counts, masks, quotas and costs cannot be met together."""
    count_problem(terms, request)
    count_problem(drop_weightless(terms, request), request)


def check_priority(request: Request, *, has_cost: bool, is_led: bool) -> None:
    """Raise ValueError if something beside priorities already decides between sets."""
    others = {
        f"tolerance={request.tolerance}": request.tolerance is not None,
        "sample_cost": has_cost,
        "X_ref": is_led,
        "distribution_weight=0": request.distribution_weight == 0,
    }
    for other, is_given in others.items():
        if is_given:
            raise ValueError(
                "sample_priority says which rows other models learn most from, and with "
                f"{other} nothing is kept for these; leave out one of the two."
            )


def choose_rows(
    matched: Matched,
    terms: RowTerms,
    request: Request,
    *,
    deadline: float = np.inf,
    random_state: int = 0,
) -> Choice:
    """Choose the rows to drop.

    With reference rows, classes keep the shares of their target distribution, and rows with suspect
    labels are dropped first.

    Parameters
    ----------
    matched : Matched
        What the kept rows are to match.
    terms : RowTerms
        Classes, groups, masks, costs and weights of the rows.
    request : Request
        How many rows to drop.
    deadline : float, default=inf
        ``time.perf_counter()`` value at which the selection and its refinement end.
    random_state : int, default=0
        Seeds both.

    Raises
    ------
    InfeasibleProblemError
        If no set within the tolerance was found; stated in terms of the user's parameters.
    ValueError
        If a tolerance is given and the coordinates are not exact.

    Warns
    -----
    UserWarning
        If the tolerance allows no row to be dropped.
    """
    if terms.priority is not None:
        check_priority(request, has_cost=terms.cost is not None, is_led=matched.aim is not None)
    if request.tolerance is not None:
        require_exact(matched.coordinates)
    given = terms
    if matched.aim is not None:
        request, terms = _with_reference(matched.aim, terms, request)
    else:
        terms = drop_weightless(terms, request)
    # Rounded counts and draws depend on the last bits of the coordinates.
    with serial_blas():
        problem = _problem(matched, terms, request, deadline)
    try:
        selection = match_rows(
            matched.influence,
            problem,
            time_limit=deadline - time.perf_counter(),
            random_state=random_state,
        )
    except InfeasibleProblemError as error:
        if request.tolerance is None or error.change is None:
            raise
        raise _in_users_terms(error, matched.influence, problem, given, request) from error
    if request.tolerance is not None and not selection.drop.any():
        certificate = selection.certificate
        warn_of_nothing(
            request.tolerance,
            len(selection.drop),
            in_unit_of(matched.influence.norm, certificate.smallest_reachable),
            timed_out=certificate.status == "time limit",
        )
    return Choice(selection, problem)


def _problem(
    matched: Matched, terms: RowTerms, request: Request, deadline: float
) -> SelectionProblem:
    """Return the problem to solve, with the draw that the kept rows should look like."""
    influence, aim, n_drop = matched.influence, matched.aim, request.n_drop(terms)
    weight = distribution_weight(
        request, influence, has_cost=terms.cost is not None, is_led=aim is not None
    )
    problem = make_problem(
        aimed(matched.coordinates.Z, n_drop, is_centred=influence.is_centred),
        terms,
        request,
        length_in(influence.norm),
        [aimed(embedding, n_drop, is_centred=aim is None) for embedding in matched.balance],
        weight,
        holds_norms=aim is None,
    )
    if _is_allocated(problem, is_told=terms.priority is not None):
        priorities = matched.with_priorities().priorities
        if priorities is not None:
            problem = problem.aimed_at(kept_shares(problem, priorities, deadline=deadline))
    return problem


def _is_allocated(problem: SelectionProblem, *, is_told: bool) -> bool:
    """Whether rows should be kept with unequal probabilities.

    Only with a ratio and without costs: a tolerance leaves the number of rows open, and costs
    already decide between sets. Only beside a distribution, unless the user says which rows models
    learn most from. Not with so few rows that branch and bound decides, and not if every class
    keeps only a handful.
    """
    if problem.n_drop is None or problem.cost is not None:
        return False
    if not (problem.is_balanced or is_told):
        return False
    n_kept = problem.kept_range.counts(problem.n_samples - problem.n_drop)
    return bool(problem.free.sum() > FEWEST_ROWS and n_kept.max() >= LEAST_KEPT)


def _with_reference(aim: Aim, terms: RowTerms, request: Request) -> tuple[Request, RowTerms]:
    """Return the request and the terms of a selection with reference rows."""
    check_aim(request.tolerance)
    if request.quota == "class" and aim.class_shares is not None:
        request = replace(request, quota=class_quota(terms.counts(), request, aim.class_shares))
    terms = drop_weightless(terms, request)
    return request, drop_first(terms, request, aim.suspect, aim.losses)


def distribution_weight(
    request: Request, influence: Influence, *, has_cost: bool = False, is_led: bool = False
) -> float:
    """Return the weight given; "auto" depends on how many rows are kept for each parameter.

    With a tolerance, "auto" is the smaller weight, since that number is not known in advance, and
    also with costs, which compete with the change as well. With reference rows it is at least 1,
    since they determine the distribution better than the head.
    """
    n_kept = 0.0
    if request.ratio is not None and not has_cost:
        n_kept = (1 - request.ratio) * np.count_nonzero(influence.sample_weight)
    n_params = max(part.shape[1] for part in influences_of(influence))
    return weight_of_distribution(request, n_kept, n_params, is_led=is_led)


def weight_of_distribution(
    request: Request, n_kept: float, n_params: int, *, is_led: bool
) -> float:
    """Return the weight given; "auto" is smaller if few rows are kept for each parameter."""
    if request.distribution_weight != "auto":
        return float(request.distribution_weight)
    if n_kept >= _MANY_ROWS * n_params:
        return _MANY_ROWS_WEIGHT
    return _LED_WEIGHT if is_led else _FEW_ROWS_WEIGHT


def require_exact(coordinates: MatchedCoordinates) -> None:
    """Raise ValueError if a bound on the coordinates would not bound the change."""
    if coordinates.relative_error:
        raise ValueError(
            "tolerance bounds the change in all parameters, and this many parameters are matched "
            f"only approximately: the coordinates are off by {coordinates.relative_error:.0%}. "
            "Set tolerance=None and give prune_ratio a number, or use a smaller last layer."
        )


def _in_users_terms(
    error: InfeasibleProblemError,
    influence: Influence,
    problem: SelectionProblem,
    terms: RowTerms,
    request: Request,
) -> InfeasibleProblemError:
    """Return the solver's error about a length as one about the change, in the user's unit."""
    assert error.change is not None and request.tolerance is not None
    must_drop, n_forced = problem.must_drop, 0
    is_exceeded = influence.measure(influence.first_order_step(must_drop)) > request.tolerance
    if is_exceeded and terms.must_drop.any():
        n_forced = int(must_drop.sum())
    return beyond_tolerance(
        request.tolerance,
        in_unit_of(influence.norm, error.change),
        n_forced,
        is_balanced=problem.is_balanced,
        timed_out=error.timed_out,
    )


def beyond_tolerance(
    tolerance: float, change: float, n_forced: int, *, is_balanced: bool, timed_out: bool = False
) -> InfeasibleProblemError:
    """Return the error that no rows within the tolerance were found.

    Parameters
    ----------
    tolerance, change : float
        What was asked for, and the smallest change found, infinite if none was.
    n_forced : int
        Rows of must_drop, if these alone exceed the tolerance; otherwise 0.
    is_balanced : bool
        Whether the distribution was held as well.
    timed_out : bool, default=False
        Whether the time limit ended the search.
    """
    sets, remedies = "that meet the quotas", ["widen the quotas"]
    if n_forced:
        sets = f"that include the {n_forced} rows of must_drop"
        remedies = ["free rows of must_drop"]
    smallest = ""
    if np.isfinite(change):
        smallest = f"; the smallest change found is {change:.3g}"
        remedies.insert(0, f"raise the tolerance to {_met_by(change):.3g}")
    if timed_out:
        smallest += "; time_limit ended the search"
        remedies.append("raise time_limit")
    if is_balanced:
        remedies.append("set distribution_weight to 0")
    message = (
        f"tolerance={tolerance:g}, but no rows within it were found {sets}{smallest}. "
        f"To go on, {', or '.join(remedies)}."
    )
    return InfeasibleProblemError(message, tolerance=tolerance, change=change)


def warn_of_nothing(
    tolerance: float, n_samples: int, smallest: float, *, timed_out: bool = False
) -> None:
    """Warn that the tolerance allows no row to be dropped, and name one that would.

    ``smallest`` is infinite if no other set was found that masks, quotas and distribution allow.
    """
    reason = f"tolerance={tolerance} allows no row to be dropped"
    if timed_out:
        reason = (
            "time_limit ended the search before it found rows that "
            f"tolerance={tolerance} allows to be dropped (raise it)"
        )
    remedy = (
        "no other set meets masks, quotas and the distribution. To drop rows, free rows of "
        "must_keep, widen the quotas, or set distribution_weight to 0."
    )
    if np.isfinite(smallest):
        remedy = (
            f"the smallest change found is {smallest:.3g}. To drop rows, raise tolerance to "
            f"{_met_by(smallest):.3g}."
        )
    warn_user(f"{reason}, so all {n_samples} are kept; {remedy}")


def _met_by(change: float) -> float:
    """Return a tolerance that the change meets even when three digits of it are given."""
    return 1.005 * change
