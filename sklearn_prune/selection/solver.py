"""One entry for both forms of the problem, at any size."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .._types import Mask
from .bound import change_lower_bound
from .exact.free_rows import MAX_ROWS, FreeRows
from .exact.largest_saving import largest_saving
from .exact.smallest_change import smallest_change
from .problem import SelectionProblem
from .quota import InfeasibleProblemError
from .result import Selection, SetCost, SolverCertificate
from .search.descent import CHANGE_FACTOR, SearchResult, improve, improve_cost, search
from .tolerance import LargestSet, largest_within


def solve(
    problem: SelectionProblem,
    *,
    time_limit: float = 60.0,
    random_state: int | np.random.Generator | None = None,
    start: Mask | None = None,
    enough: float = 0.0,
) -> Selection:
    """Choose the rows to drop.

    Up to 32 free rows the set is proven optimal if time allows: by branch and bound
    (``scipy.optimize.milp`` with outer approximation of the norm) or, if that takes long, by
    comparing all sets. With more rows, ``milp`` decides how many rows of each cell to drop, and
    exchanges inside cells decide which. The certificate compares the set with random rows and with
    the bound of the relaxation.

    Parameters
    ----------
    problem : SelectionProblem
        What to solve.
    time_limit : float, default=60.0
        Seconds after which the best set so far is returned. Otherwise the search ends after a fixed
        amount of work, so the same seed gives the same set whenever this limit is not reached.
    random_state : int, Generator or None, default=None
        Seed of starts and pools.
    start : ndarray of bool of shape (n_samples,), default=None
        Cardinality form: a feasible set to start from instead of random rows.
    enough : float, default=0.0
        Cardinality form: the search may stop once the objective is this share of that of random
        rows.

    Returns
    -------
    Selection
        The set and its certificate.

    Raises
    ------
    InfeasibleProblemError
        If no set meets every rule, or none was found within the tolerance.
    ValueError
        If ``start`` is not a feasible set of a problem with ``n_drop``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_prune.selection import SelectionProblem, solve
    >>> Z = np.array([[1.0], [2.0], [-1.0], [5.0], [-2.0]])
    >>> selection = solve(SelectionProblem(Z, n_drop=4), random_state=0)
    >>> selection.drop
    array([ True,  True,  True, False,  True])
    >>> selection.certificate.status
    'optimal'
    """
    started = time.perf_counter()
    rng = np.random.default_rng(random_state)
    deadline = started + time_limit
    if start is not None and (problem.n_drop is None or not problem.is_feasible(start)):
        raise ValueError(
            "start must be a set that meets every constraint of a problem with n_drop; this one "
            "does not. Leave start out."
        )
    if problem.n_drop is None:
        selection = _solve_generalization(problem, rng, deadline)
    else:
        if start is None:
            result = search(problem, problem.n_drop, rng, deadline=deadline, enough=enough)
        else:
            result = improve(problem, start, rng, deadline)
        selection = _solve_cardinality(problem, problem.n_drop, result, rng, deadline)
    if not problem.is_feasible(selection.drop):
        raise RuntimeError(
            f"the {int(selection.drop.sum())} rows that the search chose to drop break a count, a "
            "mask, a quota or a constraint. This is a bug in sklearn_prune: please report it with "
            "the data. Another random_state may avoid it."
        )
    seconds = time.perf_counter() - started
    return replace(selection, certificate=replace(selection.certificate, seconds=seconds))


def recertify(problem: SelectionProblem, selection: Selection, drop: Mask) -> Selection:
    """Return the selection of another set of as many rows, with the bounds that still hold."""
    previous = selection.certificate
    certificate = replace(
        previous,
        **vars(_cost_of(problem, drop)),
        smallest_reachable=problem.predicted_change(drop),
        gap=_gap(problem, drop, previous.lower_bound),
        status="feasible",
    )
    return Selection(drop, certificate)


def _gap(problem: SelectionProblem, drop: Mask, lower_bound: float) -> float:
    """Return ``1 - bound / change``, both with the size factor; 0 if the change is 0."""
    change = problem.predicted_change(drop)
    least = problem.least_size_factor(int(drop.sum())) * lower_bound
    return max(0.0, 1.0 - least / change) if change > 0 else 0.0


def _solve_cardinality(
    problem: SelectionProblem,
    n_drop: int,
    result: SearchResult,
    rng: np.random.Generator,
    deadline: float,
) -> Selection:
    """With few rows, prove the heuristic's set or find a better one; then raise the saved cost."""
    is_small = problem.free.sum() <= MAX_ROWS
    proven, n_nodes, bound = False, 0, None
    if is_small:
        free = FreeRows.of(problem, problem.coordinates, n_drop, problem.is_feasible)
        exact = smallest_change(free, result.drop[problem.free], deadline)
        assert exact.drop is not None
        result = _moved(problem, result, exact.drop)
        proven, n_nodes = exact.proven, exact.n_nodes
        timed_out = not proven and time.perf_counter() > deadline
        result = replace(result, timed_out=timed_out)
        # With a balance, the bound is on Z and the B's together, and not on the change.
        if not problem.is_balanced:
            bound = exact.bound * problem.coordinates.scale
    if problem.cost is not None:
        limit = CHANGE_FACTOR * result.norm
        result = improve_cost(problem, result, limit, rng, deadline)
        if is_small:
            result, cost_proven = _prove_cost(problem, n_drop, result, limit, deadline)
            proven &= cost_proven
    drop, change = result.drop, problem.change(result.drop)
    if bound is None:
        bound = change_lower_bound(problem, n_drop, change, deadline=deadline)
    bound = min(bound, change)
    # The proof is about ``‖Zᵀw‖``. With weights, another set may have a smaller size factor.
    proven &= problem.least_size_factor(n_drop) >= problem.size_factor(drop) * (1 - 1e-9)
    return _selection(
        problem,
        result,
        lower_bound=bound,
        gap=0.0 if proven else _gap(problem, drop, bound),
        status="optimal" if proven else "time limit" if result.timed_out else "feasible",
        n_nodes=n_nodes,
    )


def _moved(problem: SelectionProblem, result: SearchResult, chosen: Mask) -> SearchResult:
    """Return the result with another choice of the free rows."""
    drop = problem.with_free(chosen)
    return replace(result, drop=drop, norm=problem.norm(drop))


def _prove_cost(
    problem: SelectionProblem, n_drop: int, result: SearchResult, limit: float, deadline: float
) -> tuple[SearchResult, bool]:
    """Find the most saving set within the limit on the change."""
    coordinates, is_open = problem.coordinates, problem.free

    def is_allowed(drop: Mask) -> bool:
        within = problem.norm(drop) <= limit + coordinates.rounding(drop)
        return problem.is_feasible(drop) and within

    free = FreeRows.of(problem, coordinates, n_drop, is_allowed)
    cone = (np.zeros(len(free)), limit)
    exact = largest_saving(free, problem.savings[is_open], cone, deadline)
    if exact.drop is None:
        return result, False
    return _moved(problem, result, exact.drop), exact.proven


def _solve_generalization(
    problem: SelectionProblem, rng: np.random.Generator, deadline: float
) -> Selection:
    largest = largest_within(problem, rng, deadline)
    if largest.drop is None:
        raise _nothing_within(problem, largest)
    saving = problem.saving(largest.drop)
    bound = max(largest.bound, saving)
    # Negative costs may make either of them negative.
    larger = max(abs(bound), abs(saving))
    gap = min(1.0, (bound - saving) / larger) if larger > 0 else 0.0
    status = "optimal" if largest.proven else "time limit" if largest.timed_out else "feasible"
    if not largest.drop.any() and not largest.timed_out:
        status = "nothing to drop"
    return _selection(
        problem,
        largest,
        gap=0.0 if largest.proven else gap,
        saving_bound=bound,
        status=status,
        smallest_reachable=largest.smallest_reachable,
    )


def _nothing_within(problem: SelectionProblem, largest: LargestSet) -> InfeasibleProblemError:
    """Return the error that no set is within the tolerance, not even must_drop alone."""
    forced, tolerance = problem.must_drop, problem.tolerance
    smallest = largest.smallest_reachable
    alone = ""
    if forced.any():
        alone = f", the rows of must_drop alone cost {problem.predicted_change(forced):g}"
    if largest.timed_out:
        remedy = "time_limit ended the search. Raise it or the tolerance"
    elif np.isfinite(smallest):
        remedy = f"the smallest change found is {smallest:g}. Raise the tolerance to that"
    else:
        remedy = "no set that was tried meets the rules. Raise the tolerance"
    return InfeasibleProblemError(
        f"no set within tolerance={tolerance:g} was found that meets masks, quotas and constraints"
        f"{alone}; {remedy}, free rows of must_drop or widen the quotas.",
        tolerance=tolerance,
        change=smallest,
        timed_out=largest.timed_out,
    )


def _selection(
    problem: SelectionProblem,
    result: SearchResult | LargestSet,
    *,
    status: str,
    gap: float,
    lower_bound: float = 0.0,
    saving_bound: float = np.inf,
    smallest_reachable: float | None = None,
    n_nodes: int = 0,
) -> Selection:
    assert result.drop is not None
    if smallest_reachable is None:
        smallest_reachable = problem.predicted_change(result.drop)
    cells, n_free = result.cells, int(problem.free.sum())
    # The search of a small problem starts from cells, but its rows are decided one by one.
    is_exact = problem.n_drop is not None and n_free <= MAX_ROWS
    certificate = SolverCertificate(
        **vars(_cost_of(problem, result.drop)),
        status=status,
        gap=gap,
        lower_bound=lower_bound,
        saving_bound=saving_bound,
        smallest_reachable=smallest_reachable,
        n_integers=n_free if is_exact or cells is None else cells.n_integers,
        n_nodes=n_nodes,
    )
    if cells is not None:
        certificate = replace(
            certificate, cell_nodes=cells.n_nodes, cell_gap=cells.gap, cell_seconds=cells.seconds
        )
    return Selection(result.drop, certificate)


def _cost_of(problem: SelectionProblem, drop: Mask) -> SetCost:
    random_lengths = problem.random_lengths(drop)
    return SetCost(
        objective=problem.change(drop),
        size_factor=problem.size_factor(drop),
        least_size_factor=problem.least_size_factor(int(drop.sum())),
        random_objective=random_lengths.change,
        random_imbalances=random_lengths.imbalances,
        random_size_factors=problem.random_size_factors(drop),
    )
