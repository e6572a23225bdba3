"""As many rows of all partitions as a tolerance on the change allows to be dropped.

Each number of rows is tried by a selection of its own, on the same head and features: first a few
numbers from the largest down to one that meets the tolerance, then bisection above it. A trial
takes two passes and, if the change predicted from its sums meets the tolerance, a third for the
change that the certificate will state. Ten million rows take up to 17 trials, so up to 51 passes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit, logit

from ..matching import beyond_tolerance, in_unit_of, warn_of_nothing
from ..selection import InfeasibleProblemError
from .certificate import KeptHead, RandomRows
from .exchange import LastExchange
from .head import MatchedHead
from .search import FoundRows, Search

# Numbers of rows over the whole range, of which the largest that meets the tolerance is where the
# bisection starts. More rows may cost less: they cancel better, and masks and quotas hold some.
_N_SCANNED = 8
# The bisection ends once two numbers differ by this share of the rows kept, and of those dropped.
_RESOLUTION = 0.01
# Share of the balance in a further exchange, if the change is too large; as in memory.
_LESS_BALANCE = 0.1


class ToleranceSearch:
    """Search for the largest number of rows that can be dropped within the tolerance.

    Rows are accepted as in memory: their predicted change is within the tolerance, and their
    distribution is at least as near to that of all rows as random rows' is (root mean square).

    Parameters
    ----------
    fewest : Search
        For the least number of rows to drop.
    head : MatchedHead
        The head of all rows.
    tolerance : float
        In the unit of the head's norm.
    """

    def __init__(self, fewest: Search, head: MatchedHead, tolerance: float) -> None:
        self._fewest, self._head, self._tolerance = fewest, head, tolerance
        self._maps, self._groups = fewest.maps, fewest.groups
        self._random = RandomRows.of(fewest.maps, fewest.known.sample, fewest.groups)
        self._best: FoundRows | None = None
        self._smallest = np.inf

    def largest(self) -> FoundRows:
        """Return the largest set found within the tolerance.

        Raises
        ------
        InfeasibleProblemError
            If no rows that masks and quotas allow to be dropped are within it.

        Warns
        -----
        UserWarning
            If no row can be dropped.
        """
        failed = self._groups.most_dropped + 1
        for passed in self._scanned():
            if self._passes(passed):
                break
            failed = passed
        else:
            raise self._nothing_within()
        while (middle := self._between(passed, failed)) is not None:
            if self._passes(middle):
                passed = middle
            else:
                failed = middle
        assert self._best is not None
        if not passed:
            warn_of_nothing(self._tolerance, self._groups.n_samples, self._smallest)
        return self._best

    def _scanned(self) -> list[int]:
        """Return numbers over the whole range, the largest first."""
        low, high = map(self._log_odds, (self._groups.n_drop, self._groups.most_dropped))
        even = np.linspace(low, high, _N_SCANNED)
        return sorted({self._n_dropped(log_odds) for log_odds in even}, reverse=True)

    def _between(self, passed: int, failed: int) -> int | None:
        """Return the number whose log odds are halfway; None if the two are close enough."""
        low, high = self._log_odds(passed), self._log_odds(failed)
        if failed - passed <= 1 or high - low <= _RESOLUTION:
            return None
        return min(max(self._n_dropped((low + high) / 2), passed + 1), failed - 1)

    def _log_odds(self, n_dropped: int) -> float:
        return float(logit((n_dropped + 0.5) / (self._groups.n_samples + 1)))

    def _n_dropped(self, log_odds: float) -> int:
        return round(float(expit(log_odds)) * (self._groups.n_samples + 1) - 0.5)

    def _passes(self, n_drop: int) -> bool:
        """Whether so many rows were found within the tolerance."""
        found = self._fewest.dropping(n_drop).exchanged()
        if self._is_within(found):
            return True
        rng = np.random.default_rng([self._fewest.seed, 8])
        maps = self._maps.with_less_balance(_LESS_BALANCE)
        return self._is_within(replace(found, last=found.last.exchanged(rng, maps)))

    def _is_within(self, found: FoundRows) -> bool:
        """Whether the rows are within the tolerance; if so, they become the best."""
        is_within = not found.search.groups.n_drop
        if not is_within and self._is_balanced_enough(found):
            change = self._predicted_change(found.last)
            if change <= self._tolerance:
                # What the certificate states, which adds up in another order.
                kept = KeptHead.of(self._fewest.known, self._head, found.last.support)
                change = kept.first_order_change()
            self._smallest = min(self._smallest, change)
            is_within = change <= self._tolerance
        if is_within:
            self._best = found
        return is_within

    def _predicted_change(self, last: LastExchange) -> float:
        """Return the first-order change with the size factor, from the sums of the rows dropped."""
        N = self._head.map.weight_sum
        length = float(np.linalg.norm(self._maps.part(last.dropped, 0)))
        return in_unit_of(self._head.map.norm, N / (N - last.dropped_weight) * length)

    def _is_balanced_enough(self, found: FoundRows) -> bool:
        """Whether every embedding is as near to that of all rows as random rows' is."""
        search, last, groups = found.search, found.last, found.search.groups
        N, n = self._head.map.weight_sum, groups.n_samples
        factor, random_factor = N / (N - last.dropped_weight), n / (n - groups.n_drop)
        off = last.dropped - last.target
        random_off = np.sum([part.random for part in search.sums], axis=0) - search.target
        for b in range(1, len(self._random.variances)):
            length = float(np.linalg.norm(self._maps.part(off, b)))
            allowed = self._random.length(b, self._maps.part(random_off, b), groups)
            if factor * length > random_factor * allowed:
                return False
        return True

    def _nothing_within(self) -> InfeasibleProblemError:
        """Return the error that not even the fewest rows are within the tolerance."""
        forced = np.sum([part.forced for part in self._fewest.sums], axis=0)
        length = float(np.linalg.norm(self._maps.part(forced, 0)))
        is_exceeded = in_unit_of(self._head.map.norm, length) > self._tolerance
        n_forced = int(self._groups.request.counts.must_drop.sum())
        return beyond_tolerance(
            self._tolerance,
            self._smallest,
            n_forced if is_exceeded else 0,
            is_balanced=self._maps.embedding is not None,
        )
