"""Small problems, solved to proven optimality by ``scipy.optimize.milp``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from ._coordinates import Booleans, Floats

# Changes below this share of a typical row are zero: HiGHS resolves no better.
_ZERO = 1e-7
# What rounding may cost in a linear row without free columns.
_ROW_SLACK = 1e-9
# The program is scaled anew when a set of this share of the first norm is found.
_RESCALE = 0.3
# Rounds of cuts after which a bound that no longer rises is left where it is.
_MAX_ROUNDS = 200
_INITIAL_TANGENTS = np.array([-1.0, -0.5, -0.25, -0.125, 0.125, 0.25, 0.5, 1.0])


@dataclass(frozen=True)
class LinearSystem:
    """Masks, counts, quotas and further rows over the free rows of a problem.

    Attributes
    ----------
    A : ndarray of shape (n_rows, n_free)
    low, high : ndarray of shape (n_rows,)
        ``low <= A w <= high``.
    """

    A: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class ExactResult:
    """What branch and bound found and proved.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_free,) or None
        Best set found; None when there is none.
    bound : float
        Cardinality form: no set has a smaller norm. Generalization form: no set saves more.
    proven : bool
        Whether the set meets the bound within the gap asked for.
    n_cuts, n_nodes : int
        Tangents added, nodes visited.
    """

    drop: Booleans | None
    bound: float
    proven: bool
    n_cuts: int
    n_nodes: int


def smallest_change(
    rows: Floats,
    offset: Floats,
    system: LinearSystem,
    incumbent: Booleans,
    *,
    gap: float,
    deadline: float,
) -> ExactResult:
    r"""Minimise ``‖offset + Zᵀw‖₂`` over ``w ∈ {0,1}ⁿ`` under linear rows.

    Outer approximation of the separable form

    .. math:: \min \sum_j q_j \quad\text{s.t.}\quad r = \mathrm{offset} + Z^T w,\qquad
              q_j \ge 2 a r_j - a^2 \;\text{ for every tangent point } a \text{ of coordinate } j

    Each tangent is a valid lower bound of :math:`r_j^2`, so the optimum of the MILP is a lower
    bound of the squared norm. Its solution gives new tangent points ``a = r_j``; the loop ends
    when the bound meets the best set. One tangent per coordinate and round cuts off more than a
    single cut ``uᵀr ≤ t``: the sum of k tangents has k faces to combine (Vielma et al. 2017).
    Coordinates are rotated to the span of the rows and divided by the incumbent's norm.

    Parameters
    ----------
    rows : ndarray of shape (n_free, n_coordinates)
    offset : ndarray of shape (n_coordinates,)
        Sum of the rows that must go.
    system : LinearSystem
        Linear rows over w.
    incumbent : ndarray of bool of shape (n_free,)
        A feasible set; its norm bounds the search.
    gap : float
        Relative gap at which a set counts as optimal.
    deadline : float
        ``time.perf_counter()`` value at which to stop.
    """
    n, typical = len(rows), _typical_norm(rows)
    best, best_norm = incumbent, float(np.linalg.norm(offset + incumbent @ rows))
    if best_norm <= _ZERO * typical:
        return ExactResult(best, 0.0, True, 0, 0)
    if n == 0:
        return ExactResult(best, best_norm, True, 0, 0)
    rotation, _ = np.linalg.qr(rows.T)
    k = rotation.shape[1]
    outside = offset - rotation @ (rotation.T @ offset)
    constant = float(outside @ outside) / best_norm**2
    Z, c = rows @ rotation / best_norm, rotation.T @ offset / best_norm
    program = _Program(n, k, Z, c, system)
    for a in _INITIAL_TANGENTS:
        program.add_tangents(np.full(k, a))
    bound, n_nodes = 0.0, 0
    while time.perf_counter() < deadline:
        result = program.solve(deadline - time.perf_counter())
        n_nodes += int(result.mip_node_count or 0)
        if result.mip_dual_bound is not None:
            lower = max(result.mip_dual_bound, 0.0) + constant
            bound = max(bound, float(np.sqrt(min(lower, 1.0))) * best_norm)
        before = norm_now = float(np.linalg.norm(offset + best @ rows))
        if result.x is not None:
            w = result.x[:n] > 0.5
            residual = offset + w @ rows
            if np.linalg.norm(residual) < norm_now:
                best, norm_now = w, float(np.linalg.norm(residual))
            program.add_tangents(c + w @ Z)
        bound = min(bound, norm_now)
        if norm_now - bound <= max(gap * norm_now, _ZERO * typical):
            return ExactResult(best, bound, True, program.n_cuts, n_nodes)
        if norm_now < _RESCALE * best_norm:
            # HiGHS resolves 1e-6 of the unit, which is the norm of the set it started from.
            again = smallest_change(rows, offset, system, best, gap=gap, deadline=deadline)
            return replace(
                again, n_cuts=again.n_cuts + program.n_cuts, n_nodes=again.n_nodes + n_nodes
            )
        if result.status != 0 or norm_now == before and program.n_cuts > _MAX_ROUNDS * k:
            break
    return ExactResult(best, bound, False, program.n_cuts, n_nodes)


def largest_saving(
    rows: Floats,
    offset: Floats,
    saving: Floats,
    cone: tuple[Floats, float],
    system: LinearSystem,
    *,
    accept: Callable[[Booleans], bool] = lambda chosen: True,
    deadline: float,
) -> ExactResult:
    r"""Maximise ``savingᵀw`` subject to ``‖offset + Zᵀw‖₂ + aᵀw <= b`` and linear rows.

    The second-order cone is enclosed by cuts :math:`u^T (\mathrm{offset} + Z^T w) + a^T w \le b`
    for unit vectors u, added at every set that violates it (Kelley 1960). Beside it stands a row
    that cuts off that set alone, so the loop ends with the best set that meets the cone.

    Parameters
    ----------
    rows, offset, system, deadline
        As in :func:`smallest_change`.
    saving : ndarray of shape (n_free,)
        What dropping each row saves.
    cone : (a, b)
        ndarray of shape (n_free,) and float: the affine right-hand side ``b - aᵀw``.
    accept : callable, default=any
        Says of a set within the cone whether it may be returned; others are cut off one by one.
    """
    n, (a, b) = len(rows), cone
    typical = _typical_norm(rows)
    if n == 0:
        inside = float(np.linalg.norm(offset)) <= b + 1e-9 * max(typical, abs(b))
        inside = inside and bool((system.low <= _ROW_SLACK).all())
        inside = inside and bool((system.high >= -_ROW_SLACK).all())
        return ExactResult(np.zeros(0, dtype=bool) if inside else None, 0.0, True, 0, 0)
    rotation, _ = np.linalg.qr(np.column_stack([rows.T, offset]))
    Z, c = rows @ rotation / typical, rotation.T @ offset / typical
    a, b = a / typical, b / typical
    directions = np.vstack([np.eye(Z.shape[1]), -np.eye(Z.shape[1])])
    cuts, limits = [directions @ Z.T + a], [b - directions @ c]
    bound, n_nodes, n_cuts = float(saving[saving > 0].sum()), 0, len(directions)
    scale = max(float(np.abs(saving).max(initial=0.0)), np.finfo(float).tiny)
    while time.perf_counter() < deadline:
        constraints = [
            LinearConstraint(np.vstack(cuts), -np.inf, np.concatenate(limits)),
            LinearConstraint(system.A, system.low, system.high),
        ]
        result = _milp(
            -saving / scale, np.ones(n), Bounds(0, 1), constraints, deadline - time.perf_counter()
        )
        n_nodes += int(result.mip_node_count or 0)
        if result.status == 2:
            return ExactResult(None, bound, True, n_cuts, n_nodes)
        if result.mip_dual_bound is not None:
            bound = min(bound, -result.mip_dual_bound * scale)
        if result.status != 0:
            break
        w = result.x > 0.5
        residual = c + w @ Z
        length = float(np.linalg.norm(residual))
        is_within = length + a @ w <= b + 1e-9 * max(1.0, abs(b))
        if is_within and accept(w):
            return ExactResult(w, bound, True, n_cuts, n_nodes)
        # The tangent cuts the set off by its excess, which HiGHS may not resolve; the other row,
        # of which every other set keeps clear by 1, always does.
        cuts.append(np.where(w, 1.0, -1.0)[None])
        limits.append(np.array([float(w.sum()) - 1.0]))
        if not is_within:
            u = residual / max(length, np.finfo(float).tiny)
            cuts.append((Z @ u + a)[None])
            limits.append(np.array([b - u @ c]))
        n_cuts += 2 - is_within
    return ExactResult(None, bound, False, n_cuts, n_nodes)


def _typical_norm(rows: Floats) -> float:
    """Return the root mean square norm of the rows, 1 where they are all zero."""
    return float(np.sqrt(np.sum(rows**2) / max(1, len(rows)))) or 1.0


class _Program:
    """The MILP ``min Σ q`` over (w, r, q), growing by tangents."""

    def __init__(self, n: int, k: int, Z: Floats, c: Floats, system: LinearSystem) -> None:
        self._n, self._k = n, k
        self._fixed = [
            LinearConstraint(sp.hstack([-sp.csr_array(Z.T), sp.eye_array(k, 2 * k)]), c, c),
            LinearConstraint(
                sp.hstack([sp.csr_array(system.A), sp.csr_array((len(system.A), 2 * k))]),
                system.low,
                system.high,
            ),
        ]
        # A set as good as the incumbent has Σ q <= 1, so every |r_j| and q_j is at most 1; the
        # margin keeps the incumbent itself clear of HiGHS's feasibility tolerance.
        margin = 1.0 + 1e-3
        self._bounds = Bounds(
            np.r_[np.zeros(n), np.full(k, -margin), np.zeros(k)],
            np.r_[np.ones(n), np.full(2 * k, margin)],
        )
        self._tangents: list[Any] = []
        self._limits: list[Floats] = []
        self.n_cuts = 0

    def add_tangents(self, points: Floats) -> None:
        """Add ``q_j >= 2 a_j r_j - a_j²`` for every coordinate, shape (k,)."""
        self._tangents.append(
            sp.hstack(
                [
                    sp.csr_array((self._k, self._n)),
                    sp.diags_array(2.0 * points),
                    -sp.eye_array(self._k),
                ]
            )
        )
        self._limits.append(points**2)
        self.n_cuts += len(points)

    def solve(self, time_limit: float) -> Any:
        """Solve the current relaxation by branch and bound."""
        tangents = LinearConstraint(
            sp.vstack(self._tangents), -np.inf, np.concatenate(self._limits)
        )
        return _milp(
            np.r_[np.zeros(self._n + self._k), np.ones(self._k)],
            np.r_[np.ones(self._n), np.zeros(2 * self._k)],
            self._bounds,
            [*self._fixed, tangents],
            time_limit,
        )


def _milp(
    objective: Floats,
    integrality: Floats,
    bounds: Bounds,
    constraints: list[LinearConstraint],
    time_limit: float,
) -> Any:
    """Run ``milp`` to optimality, without presolve where presolve gives up on tiny problems."""
    for presolve in (True, False):
        # milp changes the dict it is given, so each call gets its own.
        options = {"time_limit": max(0.05, time_limit), "mip_rel_gap": 0.0, "presolve": presolve}
        result = milp(
            objective,
            integrality=integrality,
            bounds=bounds,
            constraints=constraints,
            options=options,
        )
        if result.status != 4:
            break
    return result
