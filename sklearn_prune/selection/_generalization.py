"""The generalization-guaranteed form: as many rows as a bound on the change allows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ._bound import DualBound, saving_upper_bound
from ._cells import CellCounts
from ._coordinates import Booleans
from ._exact import ExactResult, largest_saving
from ._feasible import count_rows
from ._problem import SelectionProblem
from ._quota import InfeasibleProblemError
from ._search import Found, quick_search

# Rows on either side of the cut that the relaxation suggests, in rows and in multiples of the
# number of coordinates: enough freedom to bring the sum to zero, far fewer than n.
_WINDOW_ROWS, _WINDOW_MULTIPLE = 500, 5
_MAX_TRIALS = 40
# Shares of the balance's weight that a number of rows is tried with: with less of it the change may
# come within the tolerance, and the balance may still be that of random rows.
_BALANCE_SHARES = (1.0, 0.1)
# The same where none of these met the tolerance, and sizes all over the range are tried.
_MAX_SCAN = 160


@dataclass(frozen=True)
class Within:
    """Largest set found within the tolerance.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_samples,) or None
        None where no set but the rows that must go was found.
    bound : float
        No set within the tolerance saves more.
    proven : bool
        Whether the set is proven optimal.
    smallest_reachable : float
        Smallest change, with the size factor and in the unit of Z, of the non-empty sets tried.
    n_swaps : int
        Exchanges made.
    timed_out : bool
        Whether the deadline ended the search.
    cells : CellCounts or None
        How the rows of each cell of the set were decided, where they were.
    """

    drop: Booleans | None
    bound: float
    proven: bool
    smallest_reachable: float
    n_swaps: int
    timed_out: bool
    cells: CellCounts | None = None


def largest_within(
    problem: SelectionProblem, rng: np.random.Generator, *, exact_rows: int, deadline: float
) -> Within:
    """Maximise the rows (or the cost) saved while the change stays within the tolerance.

    Small problems are solved to optimality. Beyond, the dual bound gives both a limit on the
    number of rows and an order of them; the number is then searched downward from the bound, each
    trial a cardinality problem in a window of that order, and the first number whose set passes
    the exact check is refined by bisection. With a balance no rows are fixed, since a window of
    that order would tip it; and a set passes only if it is at least as balanced as random sets of
    its counts are in the root mean square.
    """
    if problem.free.sum() <= exact_rows:
        return _exact(problem, deadline)
    return _SizeSearch(problem, saving_upper_bound(problem, deadline=deadline), rng, deadline).run()


def _exact(problem: SelectionProblem, deadline: float) -> Within:
    """Solve by branch and bound; apportioned quotas fix the counts, so each number is tried."""
    least = int(problem.must_drop.sum())
    most = problem.n_samples - max(1, int(problem.must_keep.sum()))
    sizes: list[int | None] = [None]
    if problem.kept_range.is_fixed:
        sizes = list(range(most, least - 1, -1))
    best: Booleans | None = None
    best_saving, proven, bound = -np.inf, True, -np.inf
    for n_drop in sizes:
        result = _exact_size(problem, n_drop, deadline)
        if result is None:
            continue
        proven &= result.proven
        bound = max(bound, result.bound)
        if result.drop is not None:
            drop = problem.with_free(result.drop)
            saving = problem.saving(drop)
            if saving > best_saving:
                best, best_saving = drop, saving
            if problem.cost is None and result.proven:
                break
    if proven:
        bound = best_saving
    if best is not None and not best.any():
        best = None
    reachable = min(
        (problem.size_factor(w) * problem.change(w) for w in _single_row_sets(problem)),
        default=np.inf,
    )
    return Within(best, bound, proven, reachable, 0, not proven)


def _exact_size(
    problem: SelectionProblem, n_drop: int | None, deadline: float
) -> ExactResult | None:
    coordinates, free = problem.coordinates.block(0), problem.free
    try:
        system = count_rows(problem, n_drop)
    except InfeasibleProblemError:
        return None
    tolerance = (problem.tolerance or 0.0) / coordinates.scale
    share = problem.sample_weight / problem.sample_weight.sum()
    saving = np.ones(len(free)) if problem.cost is None else problem.cost
    result = largest_saving(
        coordinates.rows(np.flatnonzero(free)).astype(np.float64),
        coordinates.residual(problem.must_drop),
        saving[free],
        (tolerance * share[free], tolerance * (1.0 - float(share[problem.must_drop].sum()))),
        system,
        accept=lambda chosen: is_balanced_enough(problem, problem.with_free(chosen)),
        deadline=deadline,
    )
    forced = float(saving[problem.must_drop].sum())
    return ExactResult(
        result.drop, result.bound + forced, result.proven, result.n_cuts, result.n_nodes
    )


def is_balanced_enough(problem: SelectionProblem, drop: Booleans) -> bool:
    """Whether the set is as balanced as random ones of its counts; where nothing is, any is."""
    if not problem.is_balanced:
        return True
    allowed = problem.random_lengths(drop).imbalances
    found = problem.lengths(drop).imbalances
    return all(a <= b * (1 + 1e-9) for a, b in zip(found, allowed, strict=True))


def _single_row_sets(problem: SelectionProblem) -> Iterator[Booleans]:
    """Yield, for each group, what must go and its free row of smallest norm, where feasible."""
    norms = np.where(problem.free, problem.coordinates.block(0).squared_norms, np.inf)
    for group in range(len(problem.group_names)):
        members = np.flatnonzero(problem.free & (problem.groups == group))
        if len(members):
            drop = problem.must_drop.copy()
            drop[members[norms[members].argmin()]] = True
            if problem.is_feasible(drop):
                yield drop


class _SizeSearch:
    """Search over the number of rows dropped, downward from the dual bound."""

    def __init__(
        self,
        problem: SelectionProblem,
        dual: DualBound,
        rng: np.random.Generator,
        deadline: float,
    ) -> None:
        self._problem, self._dual, self._rng, self._deadline = problem, dual, rng, deadline
        self._best: Booleans | None = None
        self._best_saving = 0.0
        self._cells: CellCounts | None = None
        self._reachable = np.inf
        self._n_swaps = self._n_trials = 0
        # A trial on all rows takes a second or so.
        self._resolution = max(1, problem.n_samples // 2000) if problem.is_balanced else 1
        sizes = problem.count(np.ones(problem.n_samples, dtype=bool))
        forced, kept = int(problem.must_drop.sum()), problem.kept_range.low
        self._least = max(forced, int((sizes - problem.kept_range.high).sum()))
        self._most = min(problem.n_samples - max(1, int(kept.sum())), self._cap())

    def run(self) -> Within:
        """Try the bound, then ever smaller numbers; then bisect above the last success."""
        self._try_single_rows()
        passed, failed = self._least, self._most + 1
        n_drop, step = self._most, max(1, self._problem.n_samples // 2000)
        while n_drop > passed and not self._stop():
            if self._passes(n_drop):
                passed = n_drop
                break
            failed, n_drop, step = n_drop, max(passed, n_drop - step), 2 * step
        if passed == self._least and self._least > 0 and not self._stop():
            self._passes(self._least)
        while failed - passed > self._resolution and not self._stop():
            middle = (failed + passed) // 2
            if self._passes(middle):
                passed = middle
            else:
                failed = middle
        if self._best is None:
            self._scan()
        return Within(
            self._best,
            self._dual.value,
            False,
            self._reachable,
            self._n_swaps,
            time.perf_counter() > self._deadline,
            self._cells,
        )

    def _try_single_rows(self) -> None:
        """Drop one free row, the simplest sets there are."""
        for drop in _single_row_sets(self._problem):
            self._keep_if_within(drop)

    def _scan(self) -> None:
        """Try sizes all over the range: under masks and quotas the change is not monotone."""
        left = max(0, _MAX_SCAN - self._n_trials)
        least = max(1, self._least)
        for n_drop in np.unique(np.linspace(least, self._most, left).astype(int)):
            if time.perf_counter() > self._deadline or self._passes(int(n_drop)):
                return

    def _cap(self) -> int:
        """Return the most rows that a set can have whose saving is within the dual bound."""
        if self._problem.cost is None:
            return int(np.floor(self._dual.value * (1 + 1e-12) + 1e-9))
        return self._problem.n_samples - 1

    def _stop(self) -> bool:
        return self._n_trials >= _MAX_TRIALS or time.perf_counter() > self._deadline

    def _passes(self, n_drop: int) -> bool:
        """Whether a set of ``n_drop`` rows was found within the tolerance."""
        self._n_trials += 1
        for share in _BALANCE_SHARES if self._problem.is_balanced else (1.0,):
            found = self._solve_window(n_drop, share)
            if found is None:
                return False
            self._n_swaps += found.n_swaps
            if self._keep_if_within(found.drop, found.cells):
                return True
        return False

    def _keep_if_within(self, drop: Booleans, cells: CellCounts | None = None) -> bool:
        problem = self._problem
        assert problem.tolerance is not None
        change = problem.size_factor(drop) * problem.change(drop)
        if not problem.is_feasible(drop):
            return False
        if not is_balanced_enough(problem, drop):
            return False
        self._reachable = min(self._reachable, change)
        if change > problem.tolerance:
            return False
        saving = problem.saving(drop)
        if self._best is None or saving > self._best_saving:
            self._best, self._best_saving, self._cells = drop, saving, cells
        return True

    def _solve_window(self, n_drop: int, share: float) -> Found | None:
        """Solve the cardinality form among the rows near the relaxation's cut.

        With a balance, by a share of its weight.
        """
        problem = self._problem
        try:
            window = self._window(n_drop, problem.dropped_counts(n_drop))
            window.coordinates = window.coordinates.with_less_balance(share)
            return quick_search(window, n_drop, self._rng, self._deadline)
        except InfeasibleProblemError:
            return None

    def _window(self, n_drop: int, counts: np.ndarray) -> SelectionProblem:
        problem, scores = self._problem, self._dual.scores
        if problem.is_balanced:
            return problem.fixing(n_drop, problem.must_keep, problem.must_drop)
        k = problem.coordinates.n_coordinates
        half = max(_WINDOW_ROWS, _WINDOW_MULTIPLE * k, problem.n_samples // 20)
        free = problem.free
        keep, drop = problem.must_keep.copy(), problem.must_drop.copy()
        wanted = counts - problem.count(problem.must_drop)
        for group, m in enumerate(wanted):
            members = np.flatnonzero(free & (problem.groups == group))
            order = members[np.argsort(-scores[members], kind="stable")]
            drop[order[: max(0, int(m) - half)]] = True
            keep[order[int(m) + half :]] = True
        return problem.fixing(n_drop, keep, drop)
