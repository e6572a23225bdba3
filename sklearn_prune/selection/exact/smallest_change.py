"""The cardinality form for few rows: the set of smallest norm."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult

from ..._types import Floats, Mask
from ..highs import OPTIMAL, RESOLUTION, run_milp
from .free_rows import ExactResult, FreeRows
from .meet_in_the_middle import meet_in_the_middle

# Relative gap at which a set counts as optimal.
_GAP = 1e-4
# A set whose norm is below this share of the first set's restarts the program, in its own unit.
_RESCALE = 0.3
# After this many rounds of cuts, the search ends with the first round that finds no better set.
_MAX_ROUNDS = 200
# After this many branch-and-bound nodes, of a few milliseconds each, all sets are compared instead.
_MAX_NODES = 200
_INITIAL_TANGENTS = np.array([-1.0, -0.5, -0.25, -0.125, 0.125, 0.25, 0.5, 1.0])


def smallest_change(free: FreeRows, incumbent: Mask, deadline: float) -> ExactResult:
    r"""Minimise ``‖offset + Zᵀw‖₂`` over ``w ∈ {0,1}ⁿ`` under linear rules.

    Outer approximation of the separable form

    .. math:: \min \sum_j q_j \quad\text{s.t.}\quad r = \mathrm{offset} + Z^T w,\qquad
              q_j \ge 2 a r_j - a^2 \;\text{ for every tangent point } a \text{ of coordinate } j

    Each tangent is a lower bound on :math:`r_j^2`, so the optimum of the MILP is a lower bound on
    the squared norm. Its solution gives new tangent points ``a = r_j``; the loop ends when the
    bound meets the norm of the best set. One tangent per coordinate and round cuts off more than a
    single cut ``uᵀr ≤ t``: the sum of k tangents has k faces to combine (Vielma et al. 2017).
    Coordinates are rotated to the span of the rows and divided by the incumbent's norm.

    HiGHS only proposes sets: their norm is computed in float64, and a set that is not accepted is
    cut off. If HiGHS proves nothing in 200 nodes, or if the norms are below its tolerance,
    :func:`meet_in_the_middle` compares all sets.

    Parameters
    ----------
    free : FreeRows
        The problem.
    incumbent : ndarray of bool of shape (n_free,)
        A feasible set; its norm bounds the search.
    deadline : float
        ``time.perf_counter()`` value at which to stop.
    """
    norm = free.norm(incumbent)
    if norm <= free.rounding or not len(free):
        return ExactResult(incumbent, 0.0 if norm <= free.rounding else norm, True)
    bounded = ExactResult(incumbent, 0.0, False)
    if norm > RESOLUTION * free.largest:
        bounded = _branch_and_bound(free, incumbent, deadline)
    if bounded.proven or bounded.drop is None:
        return bounded
    compared = meet_in_the_middle(free, bounded.drop, deadline)
    bound = compared.bound if compared.proven else bounded.bound
    return replace(compared, bound=bound, n_nodes=bounded.n_nodes)


def _branch_and_bound(free: FreeRows, incumbent: Mask, deadline: float) -> ExactResult:
    """Let HiGHS propose sets and bound them, until value and bound meet or it takes too long."""
    best, norm = incumbent, free.norm(incumbent)
    first, bound, n_nodes = norm, 0.0, 0
    program = _TangentProgram(free, first)
    while time.perf_counter() < deadline:
        result = program.solve(deadline - time.perf_counter())
        n_nodes += int(result.mip_node_count or 0)
        bound, before = max(bound, program.lower_bound(result)), norm
        if result.x is not None:
            w = result.x[: len(free)] > 0.5
            program.add_tangents_at(w)
            if not free.accept(w):
                program.excluded.append(w)
            elif free.norm(w) < norm:
                best, norm = w, free.norm(w)
        if norm <= free.rounding:
            return ExactResult(best, 0.0, True, n_nodes)
        if abs(norm - bound) <= max(_GAP, RESOLUTION) * norm:
            return ExactResult(best, min(bound, norm), True, n_nodes)
        if norm < _RESCALE * first:
            # HiGHS resolves 1e-6 of the unit, which is the norm of the first set.
            rescaled = smallest_change(free, best, deadline)
            return replace(rescaled, n_nodes=rescaled.n_nodes + n_nodes)
        stalls = norm == before and program.n_rounds > _MAX_ROUNDS
        if result.status != OPTIMAL or n_nodes > _MAX_NODES or stalls or bound > norm:
            break
    # A bound above the norm of a known set is wrong.
    return ExactResult(best, bound if bound <= norm else 0.0, False, n_nodes)


class _TangentProgram:
    """The MILP ``min Σ q`` over (w, r, q), to which tangents are added; lengths in ``unit``."""

    def __init__(self, free: FreeRows, unit: float) -> None:
        rotation, _ = np.linalg.qr(free.rows.T)
        outside = (free.offset - rotation @ (rotation.T @ free.offset)) / unit
        self._constant, self._unit = float(outside @ outside), unit
        self._Z, self._c = free.rows @ rotation / unit, rotation.T @ free.offset / unit
        n, k = self._n, self._k = self._Z.shape
        self._residual = LinearConstraint(
            sp.hstack([-sp.csr_array(self._Z.T), sp.eye_array(k, 2 * k)]), self._c, self._c
        )
        self._rules = free.rules
        # A set as good as the incumbent has Σ q <= 1, so every |r_j| and q_j is at most 1; the
        # margin keeps the incumbent itself clear of HiGHS's feasibility tolerance.
        margin = 1.0 + 1e-3
        self._bounds = Bounds(
            np.r_[np.zeros(n), np.full(k, -margin), np.zeros(k)],
            np.r_[np.ones(n), np.full(2 * k, margin)],
        )
        self._points: list[Floats] = [np.full(k, a) for a in _INITIAL_TANGENTS]
        self.excluded: list[Mask] = []
        self.n_rounds = 0

    def add_tangents_at(self, w: Mask) -> None:
        """Add the tangents ``q_j >= 2 a_j r_j - a_j²``, with a the residual of the set w."""
        self._points.append(self._c + w @ self._Z)

    def solve(self, time_limit: float) -> OptimizeResult:
        """Solve the current relaxation by branch and bound."""
        self.n_rounds += 1
        n, k, rules = self._n, self._k, self._rules.without(self.excluded)
        nothing, energies = sp.csr_array((k, n)), -sp.eye_array(k)
        tangents = [sp.hstack([nothing, sp.diags_array(2 * a), energies]) for a in self._points]
        return run_milp(
            np.r_[np.zeros(n + k), np.ones(k)],
            self._bounds,
            [
                self._residual,
                LinearConstraint(
                    sp.hstack([sp.csr_array(rules.A), sp.csr_array((len(rules), 2 * k))]),
                    rules.low,
                    rules.high,
                ),
                LinearConstraint(sp.vstack(tangents), -np.inf, np.concatenate(self._points) ** 2),
            ],
            n_integers=n,
            gap=0.0,
            time_limit=max(0.05, time_limit),
            node_limit=_MAX_NODES,
        )

    def lower_bound(self, result: OptimizeResult) -> float:
        """Return a lower bound on the norm of any set, in the unit of the rows."""
        if result.mip_dual_bound is None:
            return 0.0
        squared = max(result.mip_dual_bound - RESOLUTION, 0.0) + self._constant
        return float(np.sqrt(squared)) * self._unit
