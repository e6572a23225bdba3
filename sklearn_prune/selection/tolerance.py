"""The generalization form: drop as many rows as a bound on the change allows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .._types import Integers, Mask
from .bound import saving_upper_bound
from .cells import CellCounts
from .exact.free_rows import MAX_ROWS, ExactResult, FreeRows
from .exact.largest_saving import largest_saving
from .problem import SelectionProblem
from .quota import InfeasibleProblemError
from .search.descent import SearchResult, improve_cost, search

# On either side of the relaxation's cut, at least this many rows and this multiple of the number of
# coordinates stay free: enough to bring the sum to zero, and far fewer than n.
_WINDOW_ROWS, _WINDOW_MULTIPLE = 500, 5
# Most numbers of rows tried by descent and bisection; and in all, if none of them met the tolerance
# and the whole range is scanned.
_MAX_TRIALS, _MAX_SCAN = 40, 160
# Attempts with different random rows while the change is within this factor of the tolerance.
_ATTEMPTS, _NEAR = 3, 1.5
# Shares of the balance's weight that are tried: with less weight the change may meet the tolerance,
# while the imbalance is still no larger than that of random rows.
_BALANCE_SHARES = (1.0, 0.1)
# Shares of the remaining time for branch and bound and for the dual bound, before the search.
_EXACT_SHARE, _BOUND_SHARE = 0.7, 0.3


@dataclass(frozen=True)
class LargestSet:
    """The largest (or most saving) set found within the tolerance.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_samples,) or None
        None if no set was found within the tolerance, not even must_drop alone.
    bound : float
        No set within the tolerance saves more.
    proven : bool
        Whether the set is proven optimal.
    smallest_reachable : float
        Smallest change, with the size factor and in the unit of Z, of the non-empty sets tried.
    timed_out : bool
        Whether the deadline cut the work short anywhere.
    cells : CellCounts or None
        The counts of the cells that the set was found with; None if it was found without cells.
    """

    drop: Mask | None
    bound: float
    proven: bool
    smallest_reachable: float
    timed_out: bool
    cells: CellCounts | None = None


def largest_within(
    problem: SelectionProblem, rng: np.random.Generator, deadline: float
) -> LargestSet:
    """Maximise the rows (or the cost) saved while the change stays within the tolerance.

    Problems of up to 32 free rows are solved to optimality if time allows. For others, the dual
    bound limits the number of rows, and its reduced savings order them. The search goes down from
    that number; each trial is a cardinality problem in which only the rows near the cut in that
    order are free. Bisection then goes up from the first number whose set meets the tolerance.

    With a balance all rows stay free, since fixing rows in that order would unbalance the set. A
    set is then accepted only if it is at least as balanced as random sets with the same counts
    (root mean square).
    """
    if problem.free.sum() > MAX_ROWS:
        return _SizeSearch(problem, rng, deadline).run()
    now = time.perf_counter()
    exact = _exact(problem, now + _EXACT_SHARE * (deadline - now))
    if exact.proven:
        return exact
    searched = _SizeSearch(problem, rng, deadline).run()
    best = max(searched, exact, key=lambda result: _saving(problem, result))
    return replace(
        best,
        bound=min(searched.bound, exact.bound),
        smallest_reachable=min(searched.smallest_reachable, exact.smallest_reachable),
        timed_out=searched.timed_out or exact.timed_out,
    )


def _saving(problem: SelectionProblem, result: LargestSet) -> float:
    return -np.inf if result.drop is None else problem.saving(result.drop)


def _exact(problem: SelectionProblem, deadline: float) -> LargestSet:
    """Solve by branch and bound; if the quota fixes the counts, one number of rows at a time."""
    sizes: list[int | None] = [None]
    if problem.kept_range.is_fixed:
        most = problem.n_samples - max(1, int(problem.must_keep.sum()))
        sizes = list(range(most, int(problem.must_drop.sum()) - 1, -1))
    best: Mask | None = None
    best_saving, proven, bound = -np.inf, True, -np.inf
    for n_drop in sizes:
        try:
            result = _exact_size(problem, n_drop, deadline)
        except InfeasibleProblemError:
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
    reachable = min(map(problem.predicted_change, _simplest_sets(problem)), default=np.inf)
    timed_out = not proven and time.perf_counter() > deadline
    return LargestSet(best, best_saving if proven else bound, proven, reachable, timed_out)


def _exact_size(problem: SelectionProblem, n_drop: int | None, deadline: float) -> ExactResult:
    coordinates, open_rows = problem.coordinates.block(0), problem.free
    free = FreeRows.of(problem, coordinates, n_drop, lambda drop: is_allowed(problem, drop))
    tolerance = (problem.tolerance or 0.0) / coordinates.scale
    share = problem.sample_weight / problem.sample_weight.sum()
    cone = (tolerance * share[open_rows], tolerance * float(share[~problem.must_drop].sum()))
    result = largest_saving(free, problem.savings[open_rows], cone, deadline)
    bound = result.bound + problem.saving(problem.must_drop)
    if n_drop is not None and problem.cost is None:
        bound = min(bound, n_drop)
    return replace(result, bound=bound)


def is_allowed(problem: SelectionProblem, drop: Mask) -> bool:
    """Whether a set meets every rule in float64: counts, masks, rows, tolerance and balance."""
    assert problem.tolerance is not None
    return (
        problem.is_feasible(drop)
        and problem.predicted_change(drop) <= problem.tolerance
        and is_balanced_enough(problem, drop)
    )


def is_balanced_enough(problem: SelectionProblem, drop: Mask) -> bool:
    """Whether the set is as balanced as random sets with its counts; True without a balance."""
    if not problem.is_balanced:
        return True
    factor, factors = problem.size_factor(drop), problem.random_size_factors(drop)[1:]
    allowed = np.multiply(factors, problem.random_lengths(drop).imbalances)
    imbalances = np.multiply(factor, problem.lengths(drop).imbalances)
    return bool((imbalances <= allowed * (1 + 1e-9)).all())


def _simplest_sets(problem: SelectionProblem) -> Iterator[Mask]:
    """Yield, for each group, must_drop and the group's shortest free row, if that is feasible."""
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
        self, problem: SelectionProblem, rng: np.random.Generator, deadline: float
    ) -> None:
        self._problem, self._deadline = problem, deadline
        self._seed = int(rng.integers(2**32))
        now = time.perf_counter()
        bound_ends = now + _BOUND_SHARE * (deadline - now)
        self._dual = saving_upper_bound(problem, deadline=bound_ends)
        self._timed_out = time.perf_counter() > bound_ends
        self._best: Mask | None = None
        self._best_saving = -np.inf
        self._cells: CellCounts | None = None
        self._reachable = np.inf
        self._n_trials = 0
        self._dropped_any = False
        # A trial on all rows takes a second or so.
        self._resolution = max(1, problem.n_samples // 2000) if problem.is_balanced else 1
        low, high = problem.dropped_bounds(None)
        self._least = max(int(problem.must_drop.sum()), int(low.sum()))
        self._most = min(problem.n_samples - 1, int(high.sum()), self._cap())

    def run(self) -> LargestSet:
        """Try simple sets and a middle size, then go down from the bound, then bisect.

        Simple sets give an answer even under a short time limit. The descent from the bound usually
        succeeds within a few rows. The bisection refines above the last success.
        """
        self._try_simple_sets()
        passed, failed = self._least, self._most + 1
        middle = (passed + failed) // 2
        if passed < middle < failed and not self._stop() and self._passes(middle):
            passed = middle
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
        if not self._dropped_any:
            self._scan()
        timed_out = self._timed_out or time.perf_counter() > self._deadline
        return LargestSet(
            self._best, self._dual.value, False, self._reachable, timed_out, self._cells
        )

    def _try_simple_sets(self) -> None:
        """Try must_drop alone, must_drop with one more row, and fewer and fewer random rows."""
        problem = self._problem
        self._keep_if_within(problem.must_drop)
        for drop in _simplest_sets(problem):
            self._keep_if_within(drop)
        n_drop = self._most
        # Not cut by the clock: without these there may be no answer at all.
        while n_drop > self._least:
            try:
                drop = problem.random_set(n_drop, self._rng(n_drop))
            except InfeasibleProblemError:
                return
            if self._keep_if_within(drop):
                return
            n_drop = (n_drop + self._least) // 2

    def _scan(self) -> None:
        """Try sizes over the whole range: under masks and quotas, fewer rows may cost more."""
        left = max(0, _MAX_SCAN - self._n_trials)
        least = max(1, self._least)
        for n_drop in np.unique(np.linspace(least, self._most, left).astype(int)):
            if time.perf_counter() > self._deadline or self._passes(int(n_drop)):
                return

    def _cap(self) -> int:
        """Return the most rows to try: the bound or, with costs, the rows the relaxation drops."""
        if self._problem.cost is None:
            return int(np.floor(self._dual.value * (1 + 1e-12) + 1e-9))
        pays = self._problem.must_drop | (self._problem.free & (self._dual.scores > 0))
        return int(pays.sum())

    def _stop(self) -> bool:
        return self._n_trials >= _MAX_TRIALS or time.perf_counter() > self._deadline

    def _passes(self, n_drop: int) -> bool:
        """Whether a set of ``n_drop`` rows was found within the tolerance."""
        self._n_trials += 1
        for share in _BALANCE_SHARES if self._problem.is_balanced else (1.0,):
            for attempt in range(_ATTEMPTS):
                result = self._solve_window(n_drop, share, self._rng(n_drop, attempt))
                if result is None:
                    return False
                self._timed_out |= result.timed_out
                if self._keep_if_within(result.drop, result.cells):
                    self._improve_cost(result)
                    return True
                if not self._is_near(result.drop):
                    break
        return False

    def _is_near(self, drop: Mask) -> bool:
        """Whether the change is near the tolerance, and there is time for another attempt."""
        near = _NEAR * (self._problem.tolerance or 0.0)
        in_time = time.perf_counter() < self._deadline
        return in_time and self._problem.predicted_change(drop) <= near

    def _improve_cost(self, result: SearchResult) -> None:
        """Swap rows so that the dropped ones save more, as far as the tolerance allows."""
        problem = self._problem
        if problem.cost is None:
            return
        allowed = (problem.tolerance or 0.0) / problem.size_factor(result.drop)
        limit, rng = allowed / problem.coordinates.scale, self._rng(int(result.drop.sum()))
        costlier = improve_cost(problem, result, limit, rng, self._deadline)
        self._keep_if_within(costlier.drop, result.cells)

    def _keep_if_within(self, drop: Mask, cells: CellCounts | None = None) -> bool:
        problem = self._problem
        if not (problem.is_feasible(drop) and is_balanced_enough(problem, drop)):
            return False
        change, is_more = problem.predicted_change(drop), bool((drop & problem.free).any())
        if is_more:
            self._reachable = min(self._reachable, change)
        if change > (problem.tolerance or 0.0):
            return False
        self._dropped_any |= is_more
        saving = problem.saving(drop)
        if saving > self._best_saving:
            self._best, self._best_saving, self._cells = drop, saving, cells
        return True

    def _rng(self, *key: int) -> np.random.Generator:
        """Return a generator that depends on ``key`` alone, and not on earlier trials.

        So a user who sets the tolerance to a change that was reported gets the same draws again.
        """
        return np.random.default_rng([self._seed, *key])

    def _solve_window(
        self, n_drop: int, share: float, rng: np.random.Generator
    ) -> SearchResult | None:
        """Solve the cardinality form near the relaxation's cut; None if it is infeasible."""
        problem = self._problem
        try:
            window = self._window(n_drop, problem.dropped_counts(n_drop))
            window = window.with_less_balance(share)
            return search(window, n_drop, rng, deadline=self._deadline)
        except InfeasibleProblemError:
            return None

    def _window(self, n_drop: int, counts: Integers) -> SelectionProblem:
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
