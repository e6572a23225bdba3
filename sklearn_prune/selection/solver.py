"""One entry for both forms of the problem, at any size."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .bound import change_lower_bound
from .cells import CellCounts
from .coordinates import Booleans
from .exact.enumeration import largest_saving, smallest_change
from .exact.system import ExactResult
from .feasible import count_rows
from .problem import SelectionProblem
from .quota import InfeasibleProblemError
from .result import Selection, SolverCertificate
from .search.descent import Found, improve, improve_cost, search
from .tolerance import Within, largest_within

# Up to here the answer is proven, within some seconds: by branch and bound or, where that proves
# nothing in some hundred nodes, by comparing all sets.
EXACT_ROWS = 32
# The second objective is optimised among the sets within this factor of the best change.
CHANGE_FACTOR = 1.5


def solve(
    problem: SelectionProblem,
    *,
    time_limit: float = 60.0,
    mip_rel_gap: float = 1e-4,
    random_state: int | np.random.Generator | None = None,
    start: Booleans | None = None,
    enough: float = 0.0,
) -> Selection:
    """Choose the rows to drop.

    Up to 32 free rows the answer is proven optimal, by branch and bound (``scipy.optimize.milp``
    with outer approximation of the norm) and, where that takes long, all sets. Beyond, ``milp``
    decides how many rows of each cell go, and exchanges inside cells decide which. The certificate
    then gives the value beside what random rows cost, and the bound of the relaxation.

    Parameters
    ----------
    problem : SelectionProblem
        What to solve.
    time_limit : float, default=60.0
        Seconds after which the best set so far is returned. The work itself is counted in rounds,
        so that the same seed gives the same set whenever this limit is not reached.
    mip_rel_gap : float, default=1e-4
        Relative gap at which branch and bound stops.
    random_state : int, Generator or None, default=None
        Seed of starts and pools.
    start : ndarray of bool of shape (n_samples,), default=None
        Cardinality form: a feasible set to improve by exchanges, instead of rows drawn at
        random.
    enough : float, default=0.0
        Cardinality form: share of what random rows cost at which the search may stop.

    Returns
    -------
    Selection
        The set and its certificate.

    Raises
    ------
    InfeasibleProblemError
        No set meets every constraint.

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
    if problem.n_drop is not None:
        if start is None:
            found = search(problem, problem.n_drop, rng, deadline=deadline, enough=enough)
        else:
            found = improve(problem, start, rng, deadline)
        return _solve_cardinality(
            problem, problem.n_drop, found, rng, started, deadline, mip_rel_gap
        )
    return _solve_generalization(problem, rng, started, deadline)


def _solve_cardinality(
    problem: SelectionProblem,
    n_drop: int,
    found: Found,
    rng: np.random.Generator,
    started: float,
    deadline: float,
    mip_rel_gap: float,
) -> Selection:
    scale = problem.coordinates.scale
    exact: ExactResult | None = None
    if problem.free.sum() <= EXACT_ROWS:
        found, exact = _prove_smallest(problem, n_drop, found, mip_rel_gap, deadline)
    proven = exact is not None and exact.proven
    if problem.cost is not None:
        limit = CHANGE_FACTOR * found.norm
        found = improve_cost(problem, found, limit, rng, deadline)
        if exact is not None:
            found, proven = _prove_cost(problem, n_drop, found, limit, proven, deadline)
    change = problem.change(found.drop)
    # Branch and bound bounds change and imbalance together, which bounds neither alone.
    if exact and not problem.is_balanced:
        bound = exact.bound * scale
    else:
        bound = change_lower_bound(problem, n_drop, change, deadline=deadline)
    bound = min(bound, change)
    # Without weights every set of this size has the same factor, and the bounds are one.
    least = problem.least_size_factor(n_drop)
    proven = proven and least >= problem.size_factor(found.drop) * (1 - 1e-9)
    return _selection(
        problem,
        _checked(problem, found.drop),
        started,
        lower_bound=bound,
        gap=0.0 if proven else _gap(problem, found.drop, bound),
        saving_bound=np.inf,
        status="optimal" if proven else "time limit" if found.timed_out else "feasible",
        n_swaps=found.n_swaps,
        exact=exact,
        cells=found.cells,
    )


def _checked(problem: SelectionProblem, drop: Booleans) -> Booleans:
    """Return the set, which meets every rule in float64."""
    if not problem.is_feasible(drop):
        raise RuntimeError(
            f"the {int(drop.sum())} rows that the search chose to drop break a count, a mask, a "
            "quota or a linear row. That is a fault of sklearn_prune: please report it with the "
            "data; another random_state may avoid it."
        )
    return drop


def _gap(problem: SelectionProblem, drop: Booleans, lower_bound: float) -> float:
    """Return by which share the change, with the size factor, may exceed the best one."""
    change = problem.size_factor(drop) * problem.change(drop)
    least = problem.least_size_factor(int(drop.sum())) * lower_bound
    return max(0.0, 1.0 - least / change) if change > 0 else 0.0


def recertify(problem: SelectionProblem, selection: Selection, drop: Booleans) -> Selection:
    """Return another set of as many rows, with the bounds that hold for the selection."""
    solver, factor = selection.certificate, problem.size_factor(drop)
    lengths, random_lengths = problem.lengths(drop), problem.random_lengths(drop)
    certificate = replace(
        solver,
        objective=lengths.change,
        size_factor=factor,
        gap=_gap(problem, drop, solver.lower_bound),
        random_objective=random_lengths.change,
        imbalances=lengths.imbalances,
        random_imbalances=random_lengths.imbalances,
        random_size_factors=problem.random_size_factors(drop),
        smallest_reachable=factor * lengths.change,
        status="feasible",
    )
    return Selection(drop, certificate)


def _prove_smallest(
    problem: SelectionProblem, n_drop: int, found: Found, gap: float, deadline: float
) -> tuple[Found, ExactResult]:
    """Improve and prove the heuristic's set by branch and bound."""
    coordinates, free = problem.coordinates, problem.free
    exact = smallest_change(
        coordinates.rows(np.flatnonzero(free)).astype(np.float64),
        coordinates.residual(problem.must_drop),
        count_rows(problem, n_drop),
        found.drop[free],
        gap=gap,
        accept=lambda chosen: problem.is_feasible(problem.with_free(chosen)),
        deadline=deadline,
    )
    assert exact.drop is not None
    drop = problem.with_free(exact.drop)
    norm = float(np.linalg.norm(coordinates.residual(drop)))
    timed_out = not exact.proven and time.perf_counter() > deadline
    return replace(found, drop=drop, norm=norm, timed_out=timed_out), exact


def _prove_cost(
    problem: SelectionProblem,
    n_drop: int,
    found: Found,
    limit: float,
    proven: bool,
    deadline: float,
) -> tuple[Found, bool]:
    """Find the most saving set within the limit on the change."""
    assert problem.cost is not None
    coordinates, free = problem.coordinates, problem.free

    def is_allowed(chosen: Booleans) -> bool:
        drop = problem.with_free(chosen)
        norm = float(np.linalg.norm(coordinates.residual(drop)))
        return problem.is_feasible(drop) and norm <= limit + coordinates.rounding(drop)

    exact = largest_saving(
        coordinates.rows(np.flatnonzero(free)).astype(np.float64),
        coordinates.residual(problem.must_drop),
        problem.cost[free],
        (np.zeros(int(free.sum())), limit),
        count_rows(problem, n_drop),
        accept=is_allowed,
        deadline=deadline,
    )
    if exact.drop is None:
        return found, False
    drop = problem.with_free(exact.drop)
    norm = float(np.linalg.norm(coordinates.residual(drop)))
    return replace(found, drop=drop, norm=norm), proven and exact.proven


def _solve_generalization(
    problem: SelectionProblem, rng: np.random.Generator, started: float, deadline: float
) -> Selection:
    within = largest_within(problem, rng, exact_rows=EXACT_ROWS, deadline=deadline)
    if within.drop is None:
        raise _nothing_within(problem, within)
    drop = _checked(problem, within.drop)
    saving = problem.saving(drop)
    bound = max(within.bound, saving)
    # Costs below zero may make one of them a loss.
    larger = max(abs(bound), abs(saving))
    gap = min(1.0, (bound - saving) / larger) if larger > 0 else 0.0
    status = "optimal" if within.proven else "time limit" if within.timed_out else "feasible"
    if not drop.any() and not within.timed_out:
        status = "nothing to drop"
    return _selection(
        problem,
        drop,
        started,
        lower_bound=0.0,
        gap=0.0 if within.proven else gap,
        saving_bound=bound,
        status=status,
        n_swaps=within.n_swaps,
        exact=None,
        cells=within.cells,
        smallest_reachable=within.smallest_reachable,
    )


def _nothing_within(problem: SelectionProblem, within: Within) -> InfeasibleProblemError:
    """Return the error that no set within the tolerance was found, the one of must_drop neither."""
    forced, tolerance = problem.must_drop, problem.tolerance
    smallest = within.smallest_reachable
    alone = ""
    if forced.any():
        alone = f", the rows of must_drop alone cost {problem.predicted_change(forced):g}"
    if within.timed_out:
        remedy = "time_limit ended the search. Raise it or the tolerance"
    elif np.isfinite(smallest):
        remedy = f"the smallest change found is {smallest:g}. Raise the tolerance to that"
    else:
        remedy = "no set of any size tried meets them. Raise the tolerance"
    return InfeasibleProblemError(
        f"tolerance={tolerance:g}: no set within it was found that meets masks, quotas and "
        f"constraints{alone}; {remedy}, free rows of must_drop or widen the quotas.",
        tolerance=tolerance,
        change=smallest,
        timed_out=within.timed_out,
    )


def _selection(
    problem: SelectionProblem,
    drop: Booleans,
    started: float,
    *,
    lower_bound: float,
    gap: float,
    saving_bound: float,
    status: str,
    n_swaps: int,
    exact: ExactResult | None,
    cells: CellCounts | None,
    smallest_reachable: float | None = None,
) -> Selection:
    factor = problem.size_factor(drop)
    n_integers = int(problem.free.sum())
    if cells is not None and exact is None:
        n_integers = cells.n_integers
    lengths, random_lengths = problem.lengths(drop), problem.random_lengths(drop)
    certificate = SolverCertificate(
        n_samples=problem.n_samples,
        n_dropped=int(drop.sum()),
        objective=lengths.change,
        size_factor=factor,
        least_size_factor=problem.least_size_factor(int(drop.sum())),
        lower_bound=lower_bound,
        gap=gap,
        saving=problem.saving(drop),
        saving_bound=saving_bound,
        random_objective=random_lengths.change,
        imbalances=lengths.imbalances,
        random_imbalances=random_lengths.imbalances,
        random_size_factors=problem.random_size_factors(drop),
        smallest_reachable=factor * lengths.change
        if smallest_reachable is None
        else smallest_reachable,
        status=status,
        n_swaps=n_swaps,
        n_cuts=0 if exact is None else exact.n_cuts,
        n_nodes=0 if exact is None else exact.n_nodes,
        n_cells=0 if cells is None else len(cells.n_dropped),
        n_integers=n_integers,
        cell_nodes=0 if cells is None else cells.n_nodes,
        cell_gap=0.0 if cells is None else cells.gap,
        cell_seconds=0.0 if cells is None else cells.seconds,
        cell_status="row by row" if cells is None else cells.status,
        seconds=time.perf_counter() - started,
    )
    return Selection(drop, certificate)
