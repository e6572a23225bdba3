"""The head of all rows or of some, by steps on sums over the partitions.

Up to `most_dense_params` parameters the Hessian is summed, and the steps are Newton's. The Hessian
of a wider head is too large to travel. Two thin factors are summed instead, whose Kronecker product
approximates it, and L-BFGS steps in the coordinates in which that is the identity (Liu & Nocedal
1989): a step takes one pass, for the exact value and gradient. Where changes are predicted or
measured, products with the Hessian itself take a pass each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from .._types import Array, Floats, Mask
from ..influence import (
    DenseCurvature,
    HeadFit,
    HeadObjective,
    HessianProduct,
    IterativeHessian,
    KroneckerCurvature,
    MatchedCoordinates,
    Norm,
    by_curvature,
    centre_of,
    fit_head,
    head_coordinates,
    head_influence,
    most_dense_params,
    warn_if_not_convex,
    warn_of_gradient,
)
from ..matching import ReferenceHead
from ..networks import UnsupportedNetworkError, write_head
from .collection import Block, EachOwn, Partitioned
from .masks import packed, unpacked
from .reading import ReadRows, RowReader, joined_rows
from .row_maps import HeadMap
from .sums import Sums
from .survey import SAMPLE_ROWS, Survey

T = TypeVar("T")
Curvature: TypeAlias = DenseCurvature | KroneckerCurvature
Hessian: TypeAlias = DenseCurvature | IterativeHessian

# Gradient norm that a wide head is to reach: its objective is then within 1e-12 / (2 damping) of
# the least. Most passes for it, and steps that L-BFGS remembers.
_WIDE_TOL, _MOST_PASSES, _N_REMEMBERED = 1e-6, 150, 50
# Most inputs of a head, of whose products each partition returns the sums: 0.3 GB, of which a
# worker adds up several.
_MOST_INPUTS = 6_000
# Residual, as a share of the right-hand side, to which a wide head's Hessian is solved; and the
# most products for it, where each is a pass and where the rows are here.
_RTOL, _MOST_PRODUCTS, _MOST_PRODUCTS_HERE = 1e-3, 50, 500


@dataclass(frozen=True)
class _HeadSums(Sums):
    """Sums over rows, each multiplied by its weight; see `HeadObjective`.

    The Hessian of a wide head has no entries.
    """

    weight: float
    value: float
    gradient: Floats
    hessian: Floats


@dataclass(frozen=True)
class _Factors(Sums):
    """Weighted sums of ``C_i`` and of ``a_i a_i^T``, whose product approximates the Hessian."""

    outputs: Floats
    features: Floats


def _rows_of(block: Block, reader: RowReader, bits: Array | None = None) -> ReadRows:
    """Return the rows of a block that count."""
    rows = reader(block)
    return rows if bits is None else rows.take(unpacked(bits, len(block)))


def _on_block(
    block: Block,
    function: Callable[..., T],
    reader: RowReader,
    args: Sequence[Floats | bool],
    bits: Array | None = None,
) -> T:
    """Apply a function to the rows of a block that count; their means are sums."""
    return function(reader.objective(_rows_of(block, reader, bits), 0.0, 1.0), *args)


def _head_sums(objective: HeadObjective, theta: Floats, is_dense: bool) -> _HeadSums:
    hessian = np.zeros((theta.size, theta.size) if is_dense else 0)
    if not objective.n_samples:
        return _HeadSums(0.0, 0.0, np.zeros(theta.shape), hessian)
    value, gradient = objective.value_and_gradient(theta)
    weight = float(objective.sample_weight.sum())
    if is_dense:
        hessian = objective.hessian(theta)
    return _HeadSums(weight, value, gradient, hessian)


def _gradient_scale(objective: HeadObjective, theta: Floats) -> Floats:
    if not objective.n_samples:
        return np.zeros(theta.shape)
    residual = np.abs(objective.sample_weight[:, None] * objective.residual(theta))
    return residual.T @ np.abs(objective.design)


def _factors(objective: HeadObjective, theta: Floats) -> _Factors:
    if not objective.n_samples:
        n_outputs, n_features = theta.shape
        return _Factors(np.zeros((n_outputs, n_outputs)), np.zeros((n_features, n_features)))
    hessians = objective.output_hessians(theta)
    return _Factors(hessians.weighted_sum(objective.sample_weight), objective.feature_moment())


def _hessian_product(objective: HeadObjective, theta: Floats, V: Floats) -> Floats:
    return HessianProduct(objective, theta)(V) if objective.n_samples else np.zeros(V.shape)


class SummedObjective:
    """The objective of a head whose rows lie in partitions, as `refit_head` takes it.

    Parameters
    ----------
    partitioned : Partitioned
        The rows.
    reader : RowReader
        Reads them.
    damping : float
        Of the head.
    n_features : int
        Of each row that enters the head, its column of ones included.
    support : list of ndarray of bool, default=None
        Rows of each partition that count; None means all. If they are no more than the sample, one
        pass brings them here, and all sums are computed here.
    rows : ReadRows, default=None
        The rows that count, if they are here.
    """

    # A pass brings a dense Hessian at no further cost.
    hessian_flops = 0.0

    def __init__(
        self,
        partitioned: Partitioned,
        reader: RowReader,
        damping: float,
        n_features: int,
        support: list[Mask] | None = None,
        rows: ReadRows | None = None,
    ) -> None:
        self._partitioned, self._reader, self.damping = partitioned, reader, damping
        self.shape = (reader.n_outputs, n_features)
        self.n_params = reader.n_outputs * n_features
        self.is_dense = self.n_params <= most_dense_params()
        self._support = [] if support is None else [EachOwn(packed(support))]
        n_rows = partitioned.n_samples if support is None else sum(int(m.sum()) for m in support)
        self._is_here = support is not None and n_rows <= SAMPLE_ROWS
        if rows is not None:
            self._is_here, self.rows = True, rows
        self._theta: Floats | None = None
        self._sums: _HeadSums | None = None

    def weighted(self, weights: Floats) -> SummedObjective:
        """Return the objective with the weights of its rows multiplied by these."""
        return SummedObjective(
            self._partitioned,
            self._reader,
            self.damping,
            self.shape[1],
            rows=self.rows.weighted(weights),
        )

    def _at(self, theta: Floats) -> _HeadSums:
        if self._sums is None or self._theta is None or not np.array_equal(theta, self._theta):
            self._theta = theta.copy()
            self._sums = self._total(_head_sums, theta, self.is_dense)
        return self._sums

    def weight_sum(self, theta: Floats) -> float:
        """Return N, the weight of the rows that count."""
        return (self._sums or self._at(theta)).weight

    def value_and_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """Return the objective and its gradient, from one pass."""
        sums = self._at(theta)
        value = sums.value / sums.weight + self.damping / 2 * float(np.sum(theta**2))
        return value, sums.gradient / sums.weight + self.damping * theta

    def gradient(self, theta: Floats) -> Floats:
        """Return the gradient, from the same pass."""
        return self.value_and_gradient(theta)[1]

    def hessian(self, theta: Floats) -> Floats:
        """Return the Hessian with the damping, from the same pass; not of a wide head."""
        sums = self._at(theta)
        return sums.hessian / sums.weight + self.damping * np.eye(self.n_params)

    def gradient_scale(self, theta: Floats) -> float:
        """Return the size of the gradient's terms, from a pass of its own."""
        scale = self._total(_gradient_scale, theta) / self.weight_sum(theta)
        return float(np.linalg.norm(scale + np.abs(self.damping * theta)))

    def curvature(self, theta: Floats) -> Curvature:
        """Return the Hessian's factor; of a wide head a Kronecker product, from a pass."""
        if self.is_dense:
            return DenseCurvature(self.hessian(theta))
        sums, weight = self._total(_factors, theta), self.weight_sum(theta)
        factors = sums.outputs / weight, sums.features / weight
        return KroneckerCurvature.of_factors(*factors, self.damping)

    def exact(self, theta: Floats, curvature: Curvature) -> Hessian:
        """Return the Hessian, which solves by passes where its ``curvature`` approximates it."""
        if isinstance(curvature, DenseCurvature):
            return curvature
        most = _MOST_PRODUCTS_HERE if self._is_here else _MOST_PRODUCTS
        return IterativeHessian(partial(self._product, theta), curvature.solve, _RTOL, most)

    def minimised(self, start: Floats) -> HeadFit:
        """Return where steps from ``start`` end."""
        return fit_head(self, start) if self.is_dense else _minimised_by_passes(self, start)

    def _product(self, theta: Floats, V: Floats) -> Floats:
        return self._total(_hessian_product, theta, V) / self.weight_sum(theta) + self.damping * V

    def _total(self, function: Callable[..., T], *args: Floats | bool) -> T:
        """Return a function of the objective's rows and ``args``, summed over partitions."""
        if self._is_here:
            return function(self._here, *args)
        return self._partitioned.total(_on_block, function, self._reader, args, *self._support)

    @cached_property
    def rows(self) -> ReadRows:
        """The rows that count, in their order; a pass brings them here."""
        return joined_rows(self._partitioned.compute(_rows_of, self._reader, *self._support))

    @cached_property
    def _here(self) -> HeadObjective:
        return self._reader.objective(self.rows, 0.0, 1.0)


def _minimised_by_passes(objective: SummedObjective, start: Floats) -> HeadFit:
    """Minimise by L-BFGS over u, with ``theta = start + c L^-T u``.

    ``L L^T`` is the Kronecker product at the start. The first step has the length 1 in u, so c
    makes it Newton's.
    """
    curvature = objective.curvature(start)
    c = float(np.linalg.norm(curvature.whiten(objective.gradient(start).ravel()))) or 1.0

    def theta_at(u: Floats) -> Floats:
        return start + c * curvature.unwhiten(u).reshape(start.shape)

    def value_and_gradient(u: Floats) -> tuple[float, Floats]:
        value, gradient = objective.value_and_gradient(theta_at(u))
        return value, c * curvature.whiten(gradient.ravel())

    def stop_if_small(intermediate_result: OptimizeResult) -> None:
        if np.linalg.norm(objective.gradient(theta_at(intermediate_result.x))) <= _WIDE_TOL:
            raise StopIteration

    result = minimize(
        value_and_gradient,
        np.zeros(objective.n_params),
        jac=True,
        method="L-BFGS-B",
        callback=stop_if_small,
        options={"maxfun": _MOST_PASSES, "maxcor": _N_REMEMBERED, "ftol": 0.0, "gtol": 0.0},
    )
    return HeadFit.at(objective, theta_at(result.x), int(result.nit), _WIDE_TOL)


@dataclass(frozen=True, eq=False)
class MatchedHead:
    """The head of all rows, or of reference rows.

    Attributes
    ----------
    map : HeadMap
        From rows to their influences on it.
    objective : SummedObjective
        The objective on all rows.
    fit : HeadFit
        How exactly it was fitted.
    hessian : DenseCurvature or IterativeHessian
        H, with which changes are predicted and measured.
    goal : SummedObjective or HeadObjective
        What it minimises: ``objective``, or that on the reference rows.
    """

    map: HeadMap
    objective: SummedObjective
    fit: HeadFit
    hessian: Hessian
    goal: SummedObjective | HeadObjective

    @property
    def curvature_name(self) -> Literal["dense", "kronecker"]:
        """Which curvature the coordinates are computed with."""
        return "dense" if isinstance(self.hessian, DenseCurvature) else "kronecker"

    @property
    def gradient(self) -> Floats:
        """Gradient of the objective on all rows, of shape (n_params,); about zero."""
        return self.objective.damping * self.map.theta.ravel() - self.map.centre

    def measure(self, delta: Floats) -> float:
        """Return the size of a change of shape (n_params,), in the unit of the norm."""
        if self.map.norm == "loss":
            return 0.5 * self.hessian.quadratic_form(delta)
        return float(np.linalg.norm(delta))


def match_head(known: Survey, norm: Norm, damping: float) -> MatchedHead:
    """Fit the head of all rows, from that of the sample; the default network gets it.

    Raises
    ------
    UnsupportedNetworkError
        If the head has so many inputs that sums of their products are too large to travel.
    """
    _require_few_inputs(known)
    on_sample = known.reader.objective(known.sample, damping, None)
    start = fit_head(on_sample, known.theta).theta
    head = _fitted(known, norm, damping, start)
    warn_of_gradient(head.fit)
    return _written(known, head)


def reference_head(known: Survey, norm: Norm, fitted: ReferenceHead) -> MatchedHead:
    """Return the head of reference rows, at which the curvature is that of all rows.

    Raises and does what `match_head` does.
    """
    _require_few_inputs(known)
    return _written(known, _led(known, norm, fitted.objective, fitted.fit))


def _written(known: Survey, head: MatchedHead) -> MatchedHead:
    """Return the head, once the default network has it."""
    if known.reader.is_linear:
        write_head(known.reader.network, head.map.theta)
    on_sample = known.reader.objective(known.sample, head.objective.damping, None)
    warn_if_not_convex(on_sample, head.map.theta)
    return head


def _require_few_inputs(known: Survey) -> None:
    n_inputs = known.theta.shape[1]
    if n_inputs > _MOST_INPUTS:
        raise UnsupportedNetworkError(
            f"the last layer has {n_inputs} inputs, and at most {_MOST_INPUTS} are matched over a "
            "Dask collection, since each partition returns the sums of their products. Give fewer "
            "columns, or a network with fewer inputs to its last layer."
        )


def damped_head(known: Survey, head: MatchedHead, factor: float) -> MatchedHead:
    """Return the head of all rows that is fitted with ``factor`` times the damping."""
    theta, norm = head.map.theta, head.map.norm
    if isinstance(head.goal, HeadObjective):
        goal = head.goal.damped(factor)
        return _led(known, norm, goal, fit_head(goal, theta))
    return _fitted(known, norm, factor * head.objective.damping, theta)


def damped_on_sample(known: Survey, head: MatchedHead, factor: float) -> HeadMap:
    """Return the map to influences on a head with more damping that is fitted on the sample.

    Influences of all rows still sum to zero, and their curvature is that of all rows. This takes a
    pass, where `damped_head` takes one for each step. A head of reference rows is fitted on these.
    """
    if isinstance(head.goal, HeadObjective):
        return damped_head(known, head, factor).map
    damping = factor * head.objective.damping
    theta = fit_head(known.reader.objective(known.sample, damping, None), head.map.theta).theta
    objective = SummedObjective(known.partitioned, known.reader, damping, theta.shape[1])
    return _map_at(objective, theta, head.map.norm, objective)


def _fitted(known: Survey, norm: Norm, damping: float, start: Floats) -> MatchedHead:
    objective = SummedObjective(known.partitioned, known.reader, damping, start.shape[1])
    fit = objective.minimised(start)
    return _matched(objective, fit, norm, objective)


def _led(known: Survey, norm: Norm, goal: HeadObjective, fit: HeadFit) -> MatchedHead:
    """Return the head that minimises the objective on reference rows."""
    n_features = fit.theta.shape[1]
    objective = SummedObjective(known.partitioned, known.reader, goal.damping, n_features)
    return _matched(objective, fit, norm, goal)


def _matched(
    objective: SummedObjective, fit: HeadFit, norm: Norm, goal: SummedObjective | HeadObjective
) -> MatchedHead:
    head_map = _map_at(objective, fit.theta, norm, goal)
    hessian = objective.exact(fit.theta, head_map.curvature)
    return MatchedHead(head_map, objective, fit, hessian, goal)


def _map_at(
    objective: SummedObjective, theta: Floats, norm: Norm, goal: SummedObjective | HeadObjective
) -> HeadMap:
    curvature = objective.curvature(theta)
    return HeadMap(
        theta,
        centre_of(goal.gradient(theta), theta, goal.damping),
        objective.weight_sum(theta),
        curvature,
        norm,
        by_curvature(curvature, norm),
    )


def measured_coordinates(known: Survey, head: MatchedHead) -> MatchedCoordinates:
    """Return how far the coordinates are from exact, as measured on the sample of a wide head."""
    if head.objective.is_dense:
        return MatchedCoordinates(np.zeros((0, head.objective.n_params)))
    objective = known.reader.objective(known.sample, head.objective.damping, None)
    reference = head.goal if isinstance(head.goal, HeadObjective) else None
    return head_coordinates(head_influence(objective, head.map.theta, head.map.norm, reference))
