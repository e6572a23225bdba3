"""Small problems, solved to proven optimality by ``scipy.optimize.milp``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from ..coordinates import Booleans, Floats
from .halves import best_by_halves
from .system import Accept, ExactResult, LinearSystem, all_sets, first_accepted

# HiGHS takes what is within this of a whole number for one, and meets a row within it. So a value
# that is so small a share of a coefficient says nothing, and a bound may be so much too high.
_RESOLUTION = 1e-6
# The program is scaled anew when a set of this share of the first norm is found.
_RESCALE = 0.3
# Rounds of cuts after which a bound that no longer rises is left where it is.
_MAX_ROUNDS = 200
# Branch-and-bound nodes, of a few milliseconds each, after which all sets are compared.
_MAX_NODES = 200
# Free rows of which every set is looked at where HiGHS cannot tell them apart.
_MAX_ENUMERATED = 16
# Sets that may be cut off before that which HiGHS takes to be within the cone.
_MAX_UNRESOLVED = 20
# Status code of scipy.optimize.milp.
_INFEASIBLE = 2
_INITIAL_TANGENTS = np.array([-1.0, -0.5, -0.25, -0.125, 0.125, 0.25, 0.5, 1.0])


def smallest_change(
    rows: Floats,
    offset: Floats,
    system: LinearSystem,
    incumbent: Booleans,
    *,
    gap: float,
    accept: Accept = lambda chosen: True,
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

    What HiGHS returns is taken for a proposal: its norm is computed in float64, and a set that is
    not accepted is cut off. Where HiGHS proves nothing in some hundred nodes, or cannot tell the
    norms from zero beside the rows, :func:`best_by_halves` compares all sets.

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
    accept : callable, default=any
        Says of a set whether it meets every rule, in float64.
    deadline : float
        ``time.perf_counter()`` value at which to stop.
    """
    norm, lengths = _length(rows, offset, incumbent), np.linalg.norm(rows, axis=1)
    rounding = _rounding(rows, offset)
    if norm <= rounding or not len(rows):
        return ExactResult(incumbent, 0.0 if norm <= rounding else norm, True, 0, 0)
    bounded = ExactResult(incumbent, 0.0, False, 0, 0)
    if norm > _RESOLUTION * float(lengths.max()):
        bounded = _branch_and_bound(rows, offset, system, incumbent, gap, accept, deadline)
    if bounded.proven:
        return bounded
    best = incumbent if bounded.drop is None else bounded.drop
    rest = best_by_halves(rows, offset, system, best, accept=accept, deadline=deadline)
    bound = rest.bound if rest.proven else bounded.bound
    return replace(rest, bound=bound, n_cuts=bounded.n_cuts, n_nodes=bounded.n_nodes)


def _branch_and_bound(
    rows: Floats,
    offset: Floats,
    system: LinearSystem,
    incumbent: Booleans,
    gap: float,
    accept: Accept,
    deadline: float,
) -> ExactResult:
    """Let HiGHS propose sets and bound them, until value and bound meet or it takes too long."""
    best, norm = incumbent, _length(rows, offset, incumbent)
    first, bound, n_nodes = norm, 0.0, 0
    program = _NormProgram(rows, offset, first, system)
    while time.perf_counter() < deadline:
        result = program.solve(deadline - time.perf_counter())
        n_nodes += int(result.mip_node_count or 0)
        bound, before = max(bound, program.lower_bound(result)), norm
        if result.x is not None:
            w = result.x[: len(rows)] > 0.5
            program.add_tangents_at(w)
            if not accept(w):
                program.exclude(w)
            elif _length(rows, offset, w) < norm:
                best, norm = w, _length(rows, offset, w)
        if norm <= _rounding(rows, offset):
            return ExactResult(best, 0.0, True, program.n_cuts, n_nodes)
        if abs(norm - bound) <= max(gap, _RESOLUTION) * norm:
            return ExactResult(best, min(bound, norm), True, program.n_cuts, n_nodes)
        if norm < _RESCALE * first:
            # HiGHS resolves 1e-6 of the unit, which is the norm of the set it started from.
            again = smallest_change(
                rows, offset, system, best, gap=gap, accept=accept, deadline=deadline
            )
            n_cuts, n_nodes = again.n_cuts + program.n_cuts, again.n_nodes + n_nodes
            return replace(again, n_cuts=n_cuts, n_nodes=n_nodes)
        stalls = norm == before and program.n_rounds > _MAX_ROUNDS
        if result.status != 0 or n_nodes > _MAX_NODES or stalls or bound > norm:
            break
    # A bound above the norm of a set is none.
    return ExactResult(best, bound if bound <= norm else 0.0, False, program.n_cuts, n_nodes)


def _rounding(rows: Floats, offset: Floats) -> float:
    """Return what float64 cannot tell from zero in a sum of the rows."""
    length = np.linalg.norm(rows, axis=1).sum() + np.linalg.norm(offset)
    return float(np.finfo(np.float64).eps * length)


def _length(rows: Floats, offset: Floats, w: Booleans) -> float:
    return float(np.linalg.norm(offset + rows[w].sum(axis=0)))


def largest_saving(
    rows: Floats,
    offset: Floats,
    saving: Floats,
    cone: tuple[Floats, float],
    system: LinearSystem,
    *,
    accept: Accept = lambda chosen: True,
    deadline: float,
) -> ExactResult:
    r"""Maximise ``savingᵀw`` subject to ``‖offset + Zᵀw‖₂ + aᵀw <= b`` and linear rows.

    The second-order cone is enclosed by cuts :math:`u^T (\mathrm{offset} + Z^T w) + a^T w \le b`
    for unit vectors u, added at every set that violates it (Kelley 1960). Beside it stands a row
    that cuts off that set alone, so the loop ends with the best set that meets the cone. Lengths
    are taken in units of b, and a set counts as within the cone only if it is accepted. Where HiGHS
    cannot tell b from zero beside the rows, or proposes one set after the other that is not
    accepted, all sets are looked at, if they are few.

    Parameters
    ----------
    rows, offset, system, deadline
        As in :func:`smallest_change`.
    saving : ndarray of shape (n_free,)
        What dropping each row saves.
    cone : (a, b)
        ndarray of shape (n_free,) and float: the affine right-hand side ``b - aᵀw``.
    accept : callable, default=any
        Says of a set within the cone whether it meets every rule, in float64.
    """
    a, b = cone
    largest = float(np.linalg.norm(rows, axis=1).max(initial=0.0))
    unit = max(b, _RESOLUTION * largest) or 1.0
    program = _ConeProgram(rows / unit, offset / unit, saving, (a / unit, b / unit), system)
    is_resolved = len(rows) > 0 and b > _RESOLUTION * largest
    can_enumerate = len(rows) <= _MAX_ENUMERATED
    bound, n_nodes = float(saving[saving > 0].sum()), 0
    resolution = _RESOLUTION * float(np.abs(saving).sum())
    while time.perf_counter() < deadline:
        if can_enumerate and not (is_resolved and program.n_unresolved < _MAX_UNRESOLVED):
            return program.best_of_all(accept, deadline)
        result = program.solve(deadline - time.perf_counter())
        n_nodes += int(result.mip_node_count or 0)
        if result.status == _INFEASIBLE:
            return ExactResult(None, bound, True, program.n_cuts, n_nodes)
        bound = min(bound, program.upper_bound(result))
        if result.status != 0:
            break
        w = result.x[: len(rows)] > 0.5
        if program.may_be_within(w[None])[0] and accept(w):
            proven = abs(bound - float(saving[w].sum())) <= resolution
            return ExactResult(w, bound, proven, program.n_cuts, n_nodes)
        program.cut_off(w)
    return ExactResult(None, bound, False, program.n_cuts, n_nodes)


class _NormProgram:
    """The MILP ``min Σ q`` over (w, r, q), growing by tangents, in units of a first norm."""

    def __init__(self, rows: Floats, offset: Floats, unit: float, system: LinearSystem) -> None:
        rotation, _ = np.linalg.qr(rows.T)
        outside = (offset - rotation @ (rotation.T @ offset)) / unit
        self._constant, self._unit = float(outside @ outside), unit
        self._Z, self._c = rows @ rotation / unit, rotation.T @ offset / unit
        self._n, self._k = self._Z.shape
        n, k = self._n, self._k
        self._residual = LinearConstraint(
            sp.hstack([-sp.csr_array(self._Z.T), sp.eye_array(k, 2 * k)]), self._c, self._c
        )
        self._system, self._excluded = system, list[Booleans]()
        # A set as good as the incumbent has Σ q <= 1, so every |r_j| and q_j is at most 1; the
        # margin keeps the incumbent itself clear of HiGHS's feasibility tolerance.
        margin = 1.0 + 1e-3
        self._bounds = Bounds(
            np.r_[np.zeros(n), np.full(k, -margin), np.zeros(k)],
            np.r_[np.ones(n), np.full(2 * k, margin)],
        )
        self._tangents: list[Any] = []
        self._limits: list[Floats] = []
        self.n_rounds = 0
        for a in _INITIAL_TANGENTS:
            self._add_tangents(np.full(k, a))

    @property
    def n_cuts(self) -> int:
        """Tangents and sets that were cut off."""
        return self._k * len(self._tangents) + len(self._excluded)

    def _add_tangents(self, points: Floats) -> None:
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

    def add_tangents_at(self, w: Booleans) -> None:
        """Add the tangents that touch at a set."""
        self._add_tangents(self._c + w @ self._Z)

    def exclude(self, w: Booleans) -> None:
        """Cut off one set."""
        self._excluded.append(w)

    def solve(self, time_limit: float) -> OptimizeResult:
        """Solve the current relaxation by branch and bound."""
        self.n_rounds += 1
        n, k, system = self._n, self._k, self._system.without(self._excluded)
        rules = sp.hstack([sp.csr_array(system.A), sp.csr_array((system.n_rows, 2 * k))])
        return _milp(
            np.r_[np.zeros(n + k), np.ones(k)],
            np.r_[np.ones(n), np.zeros(2 * k)],
            self._bounds,
            [
                self._residual,
                LinearConstraint(rules, system.low, system.high),
                LinearConstraint(sp.vstack(self._tangents), -np.inf, np.concatenate(self._limits)),
            ],
            time_limit,
            node_limit=_MAX_NODES,
        )

    def lower_bound(self, result: OptimizeResult) -> float:
        """Return the norm, in the unit of the rows, that no set stays below."""
        if result.mip_dual_bound is None:
            return 0.0
        squared = max(result.mip_dual_bound - _RESOLUTION, 0.0) + self._constant
        return float(np.sqrt(squared)) * self._unit


class _ConeProgram:
    """The MILP ``max savingᵀw`` within cuts of a cone, in units of its size."""

    def __init__(
        self,
        rows: Floats,
        offset: Floats,
        saving: Floats,
        cone: tuple[Floats, float],
        system: LinearSystem,
    ) -> None:
        rotation, _ = np.linalg.qr(np.column_stack([rows.T, offset]))
        self._Z, self._c, (self._a, self._b) = rows @ rotation, rotation.T @ offset, cone
        self._saving, self._system = saving, system
        self._scale = float(np.abs(saving).max(initial=0.0)) or 1.0
        axes = np.vstack([np.eye(self._Z.shape[1]), -np.eye(self._Z.shape[1])])
        self._directions, self._excluded = [*axes], list[Booleans]()
        self.n_unresolved = 0

    @property
    def n_cuts(self) -> int:
        """Cuts of the cone and sets that were cut off."""
        return len(self._directions) + len(self._excluded)

    def solve(self, time_limit: float) -> OptimizeResult:
        """Solve the current relaxation by branch and bound."""
        U, system = np.array(self._directions), self._system.without(self._excluded)
        return _milp(
            -self._saving / self._scale,
            np.ones(len(self._saving)),
            Bounds(0, 1),
            [
                LinearConstraint(U @ self._Z.T + self._a, -np.inf, self._b - U @ self._c),
                LinearConstraint(system.A, system.low, system.high),
            ],
            time_limit,
        )

    def upper_bound(self, result: OptimizeResult) -> float:
        """Return what no set saves more than."""
        return np.inf if result.mip_dual_bound is None else -result.mip_dual_bound * self._scale

    def _excess(self, sets: Booleans) -> Floats:
        """Return by how much sets, one a row, exceed the cone."""
        lengths = np.linalg.norm(self._c + sets @ self._Z, axis=1)
        return np.asarray(lengths + sets @ self._a - self._b)

    def may_be_within(self, sets: Booleans) -> Booleans:
        """Whether sets, one a row, exceed the cone by no more than rounding can."""
        rounding = 1e-9 * self._b + 1e-12 * float(np.abs(self._Z).sum())
        return self._excess(sets) <= rounding

    def cut_off(self, w: Booleans) -> None:
        """Cut off a set alone, and the part of the space beyond the cone that it lies in.

        The second by its excess, which HiGHS may not resolve.
        """
        self._excluded.append(w)
        residual, excess = self._c + w @ self._Z, float(self._excess(w[None])[0])
        self.n_unresolved += excess < 10 * _RESOLUTION
        if excess > 0:
            self._directions.append(residual / np.linalg.norm(residual))

    def best_of_all(self, accept: Accept, deadline: float) -> ExactResult:
        """Return the accepted set that saves most, of all there are."""
        sets = all_sets(self._system)
        sets = sets[self.may_be_within(sets)]
        savings = sets @ self._saving
        order = np.argsort(-savings, kind="stable")
        result = first_accepted(sets[order], accept, deadline)
        bound = savings.max(initial=-np.inf)
        if result.drop is not None:
            bound = float(self._saving[result.drop].sum())
        return replace(result, bound=float(bound))


def _milp(
    objective: Floats,
    integrality: Floats,
    bounds: Bounds,
    constraints: list[LinearConstraint],
    time_limit: float,
    *,
    node_limit: int | None = None,
) -> OptimizeResult:
    """Run ``milp`` to optimality, without presolve, whose answers may break a row by one."""
    options: dict[str, Any] = {"mip_rel_gap": 0.0, "presolve": False}
    options["time_limit"] = max(0.05, time_limit)
    if node_limit is not None:
        options["node_limit"] = node_limit
    return milp(
        objective,
        integrality=integrality,
        bounds=bounds,
        constraints=constraints,
        options=options,
    )
