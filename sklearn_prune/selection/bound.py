"""Bounds that hold for every set, from the duals of the two relaxations."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from .._types import Floats, Integers, Mask
from .problem import SelectionProblem

# A relaxed change below this share of a typical row is zero.
_ZERO = 1e-9
# Frank-Wolfe steps at most.
_N_STEPS = 30
# Rounding error in a sum of scores, as a share of the sum of their sizes; Z may be float32.
_ROUNDING = 1.2e-7


@dataclass(frozen=True)
class DualBound:
    """Upper bound on what can be saved within a tolerance, and the order of rows it suggests.

    Attributes
    ----------
    value : float
        No set within the tolerance saves more (in rows, or in units of ``cost``).
    scores : ndarray of shape (n_samples,)
        Reduced savings ``c_i - y·z_i - ε‖y‖ν_i/N``: the relaxation drops the rows whose reduced
        saving is positive, and fractions of those where it is zero.
    """

    value: float
    scores: Floats


def change_lower_bound(
    problem: SelectionProblem, n_drop: int, objective: float, *, deadline: float
) -> float:
    r"""Return a lower bound on ``‖Zᵀw‖₂`` over all sets of ``n_drop`` rows.

    For every unit vector y, :math:`\|Z^T w\|_2 \ge y^T Z^T w \ge \min_{w'} y^T Z^T w'`. The minimum
    is over the sets with the right counts, so it is a sum of smallest entries. The best y is the
    direction of the relaxation's solution, found by Frank-Wolfe steps from the barycentre
    (Wolfe 1976, the nearest point of a polytope). The bound is 0 wherever the relaxation reaches 0,
    as it does when rows sum to zero and quotas are proportional. The iteration therefore returns 0
    once the relaxation is below one percent of ``objective``, the change of the set found so far.
    """
    negligible = max(_ZERO, 0.01 * objective / problem.coordinates.scale)
    coordinates = problem.coordinates.block(0)
    low, high = problem.dropped_bounds(n_drop)
    open_rows = problem.free
    sizes = problem.count(open_rows)
    forced = problem.count(problem.must_drop)
    share = np.where(sizes > 0, (low - forced) / np.maximum(sizes, 1), 0.0)
    spare = (n_drop - low.sum()) / max(1, (high - low).sum())
    share = share + spare * (high - low) / np.maximum(sizes, 1)
    w = np.where(open_rows, share[problem.groups], problem.must_drop)
    point = coordinates.total(w)
    best = 0.0
    for _ in range(_N_STEPS):
        length = float(np.linalg.norm(point))
        if length <= negligible:
            return 0.0
        if time.perf_counter() > deadline:
            break
        scores = coordinates.scores(point / length)
        vertex = _cheapest_set(problem, scores, n_drop, low, high)
        corner = coordinates.total(vertex)
        rounding = _ROUNDING * float(np.abs(scores).sum())
        best = max(best, float(point @ corner) / length - rounding)
        if length - best <= 1e-3 * length:
            break
        direction = corner - point
        step = -float(point @ direction) / max(float(direction @ direction), _ZERO**2)
        point = point + min(1.0, max(0.0, step)) * direction
    return best * coordinates.scale


def _cheapest_set(
    problem: SelectionProblem, scores: Floats, n_drop: int, low: Integers, high: Integers
) -> Mask:
    """Return the set of ``n_drop`` rows with the smallest sum of scores within the counts."""
    key = np.where(problem.must_drop, -np.inf, np.where(problem.must_keep, np.inf, scores))
    order = np.lexsort((key, problem.groups))
    starts = np.searchsorted(problem.groups[order], np.arange(len(low)))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - starts[problem.groups[order]]
    vertex = rank < low[problem.groups]
    spare = np.flatnonzero(~vertex & (rank < high[problem.groups]) & ~problem.must_keep)
    missing = n_drop - int(vertex.sum())
    if missing > 0:
        vertex[spare[np.argsort(key[spare], kind="stable")[:missing]]] = True
    return vertex


def saving_upper_bound(problem: SelectionProblem, *, deadline: float) -> DualBound:
    r"""Return an upper bound on what can be saved within the tolerance ε, for any quotas.

    Let F be the rows of must_drop, with the saving :math:`c_F`, the sum f and the weight
    :math:`ν_F`. For every vector y,

    .. math:: c^T w \le c_F + ε \|y\|_2 (1 - ν_F / N) - y^T f
              + \sum_{i \text{ free}} \max(0,\; c_i - y^T z_i - ε \|y\|_2 ν_i / N)

    (Lagrangian dual of the cone ``‖Zᵀw‖ <= ε(1 - νᵀw/N)``). The right-hand side is convex in y;
    L-BFGS minimises it while the positive part is smoothed less and less. It is evaluated without
    smoothing, so it is a bound wherever the minimisation stops.
    """
    dual = _Dual(problem)

    def stop_in_time(y: Floats) -> None:
        if time.perf_counter() > deadline:
            raise StopIteration

    best_y = np.zeros(dual.coordinates.n_coordinates)
    best = dual.value(best_y)
    for width in (0.3, 0.03, 0.003, 0.0003):
        if time.perf_counter() > deadline:
            break
        y = minimize(
            dual.smoothed,
            best_y,
            args=(width,),
            jac=True,
            method="L-BFGS-B",
            callback=stop_in_time,
            options={"maxiter": 200},
        ).x
        value = dual.value(y)
        if value < best:
            best_y, best = y, value
    paid = problem.saving(problem.must_drop)
    return DualBound(best * dual.unit + paid, dual.reduced(best_y) * dual.unit)


class _Dual:
    """The bound of :func:`saving_upper_bound` without ``c_F``, in units of the largest saving."""

    def __init__(self, problem: SelectionProblem) -> None:
        self.coordinates, self.free = problem.coordinates.block(0), problem.free
        self.unit = float(np.abs(problem.savings).max(initial=0.0)) or 1.0
        self._saving = problem.savings / self.unit
        self._epsilon = (problem.tolerance or 0.0) / self.coordinates.scale
        self._share = problem.sample_weight / problem.sample_weight.sum()
        self._fixed = self.coordinates.total(problem.must_drop)
        self._room = 1.0 - float(self._share[problem.must_drop].sum())

    def reduced(self, y: Floats) -> Floats:
        """Return the reduced savings at y, of shape (n_samples,)."""
        pull = self._epsilon * np.linalg.norm(y) * self._share
        return self._saving - self.coordinates.scores(y) - pull

    def value(self, y: Floats) -> float:
        """Return the bound at y, rounding included."""
        positive = np.maximum(self.reduced(y)[self.free], 0.0).sum()
        rounding = _ROUNDING * np.abs(self.coordinates.scores(y)).sum()
        length = self._epsilon * self._room * np.linalg.norm(y)
        return float(length - y @ self._fixed + positive + rounding)

    def smoothed(self, y: Floats, width: float) -> tuple[float, Floats]:
        """Return value and gradient; max(0, t) becomes ``width * log(1 + exp(t / width))``."""
        # The norm is smoothed near 0, where it has no gradient.
        length = float(np.sqrt(y @ y + 1e-12))
        t = self.reduced(y)[self.free] / width
        active = np.zeros(len(self.free))
        active[self.free] = expit(t)
        positive = width * np.logaddexp(0.0, t).sum()
        value = self._epsilon * self._room * length - y @ self._fixed + positive
        pull = self._epsilon * (self._room - float(active @ self._share)) / length
        return float(value), pull * y - self._fixed - self.coordinates.total(active)
