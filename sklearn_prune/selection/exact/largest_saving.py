"""The generalization form for few rows: the set that saves most within a cone."""

from __future__ import annotations

import time

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult

from ..._types import Floats, Mask
from ..highs import INFEASIBLE, OPTIMAL, RESOLUTION, run_milp
from .free_rows import ExactResult, FreeRows

# Up to this many free rows, all sets can be enumerated.
_MAX_ENUMERATED = 16
# After this many proposals that miss the cone by less than HiGHS resolves, all sets are enumerated.
_MAX_UNRESOLVED = 20


def largest_saving(
    free: FreeRows, saving: Floats, cone: tuple[Floats, float], deadline: float
) -> ExactResult:
    r"""Maximise ``savingᵀw`` subject to ``‖offset + Zᵀw‖₂ + aᵀw <= b`` and linear rules.

    The second-order cone is enclosed by cuts :math:`u^T (\mathrm{offset} + Z^T w) + a^T w \le b`
    for unit vectors u, added at every proposed set that violates it (Kelley 1960). A second rule
    cuts off that set alone, so the loop ends with the best set that meets the cone. Lengths are in
    units of b, and a set counts only if it is accepted. With 16 rows or fewer, all sets are
    enumerated if b is too small beside the rows for HiGHS to resolve, or if HiGHS keeps proposing
    sets that miss the cone by less than it resolves.

    Parameters
    ----------
    free : FreeRows
        The problem; what it accepts meets the cone in float64 as well.
    saving : ndarray of shape (n_free,)
        What dropping each row saves.
    cone : (a, b)
        ndarray of shape (n_free,) and float: the affine right-hand side ``b - aᵀw``.
    deadline : float
        ``time.perf_counter()`` value at which to stop.
    """
    b, largest, n = cone[1], free.largest, len(free)
    program = _ConeProgram(free, saving, cone, max(b, RESOLUTION * largest) or 1.0)
    is_resolved = n > 0 and b > RESOLUTION * largest
    bound, n_nodes = float(saving[saving > 0].sum()), 0
    resolution = RESOLUTION * float(np.abs(saving).sum())
    while time.perf_counter() < deadline:
        if n <= _MAX_ENUMERATED and not (is_resolved and program.n_unresolved < _MAX_UNRESOLVED):
            return _best_of_all(free, program, saving, deadline)
        result = program.solve(deadline - time.perf_counter())
        n_nodes += int(result.mip_node_count or 0)
        if result.status == INFEASIBLE:
            return ExactResult(None, bound, True, n_nodes)
        bound = min(bound, program.upper_bound(result))
        if result.status != OPTIMAL:
            break
        w = result.x[:n] > 0.5
        if program.may_be_within(w[None])[0] and free.accept(w):
            proven = abs(bound - float(saving[w].sum())) <= resolution
            return ExactResult(w, bound, proven, n_nodes)
        program.cut_off(w)
    return ExactResult(None, bound, False, n_nodes)


def _best_of_all(
    free: FreeRows, program: _ConeProgram, saving: Floats, deadline: float
) -> ExactResult:
    """Enumerate all sets, and return the accepted one that saves most."""
    sets = free.all_sets()
    sets = sets[program.may_be_within(sets)]
    savings = sets @ saving
    best, proven = free.first_accepted(sets[np.argsort(-savings, kind="stable")], deadline)
    bound = savings.max(initial=-np.inf) if best is None else saving[best].sum()
    return ExactResult(best, float(bound), proven)


class _ConeProgram:
    """The MILP ``max savingᵀw`` within cuts of a cone, in a unit of about the cone's size."""

    def __init__(
        self, free: FreeRows, saving: Floats, cone: tuple[Floats, float], unit: float
    ) -> None:
        rows, offset = free.rows / unit, free.offset / unit
        rotation, _ = np.linalg.qr(np.column_stack([rows.T, offset]))
        self._Z, self._c = rows @ rotation, rotation.T @ offset
        self._a, self._b = cone[0] / unit, cone[1] / unit
        self._saving, self._rules = saving, free.rules
        self._scale = float(np.abs(saving).max(initial=0.0)) or 1.0
        axes = np.vstack([np.eye(self._Z.shape[1]), -np.eye(self._Z.shape[1])])
        self._directions, self._excluded = [*axes], list[Mask]()
        self.n_unresolved = 0

    def solve(self, time_limit: float) -> OptimizeResult:
        """Solve the current relaxation by branch and bound."""
        U, rules = np.array(self._directions), self._rules.without(self._excluded)
        return run_milp(
            -self._saving / self._scale,
            Bounds(0, 1),
            [
                LinearConstraint(U @ self._Z.T + self._a, -np.inf, self._b - U @ self._c),
                LinearConstraint(rules.A, rules.low, rules.high),
            ],
            n_integers=len(self._saving),
            gap=0.0,
            time_limit=max(0.05, time_limit),
        )

    def upper_bound(self, result: OptimizeResult) -> float:
        """Return an upper bound on what any set saves."""
        return np.inf if result.mip_dual_bound is None else -result.mip_dual_bound * self._scale

    def _excess(self, sets: Mask) -> Floats:
        """Return by how much each set (one per row) exceeds the cone."""
        lengths = np.linalg.norm(self._c + sets @ self._Z, axis=1)
        return np.asarray(lengths + sets @ self._a - self._b)

    def may_be_within(self, sets: Mask) -> Mask:
        """Whether each set (one per row) exceeds the cone by no more than rounding errors can."""
        rounding = 1e-9 * self._b + 1e-12 * float(np.abs(self._Z).sum())
        return self._excess(sets) <= rounding

    def cut_off(self, w: Mask) -> None:
        """Cut off a set, and with it the part of the space beyond the tangent of the cone there.

        The second cut may be too small for HiGHS to resolve.
        """
        self._excluded.append(w)
        residual, excess = self._c + w @ self._Z, float(self._excess(w[None])[0])
        self.n_unresolved += excess < 10 * RESOLUTION
        if excess > 0:
            self._directions.append(residual / np.linalg.norm(residual))
