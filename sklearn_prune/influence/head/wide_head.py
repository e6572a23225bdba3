"""Influences on a head whose dense Hessian would be too large."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np

from ...losses import Array
from ...utils import map_threads, serial_blas
from ..curvature.conjugate_gradients import IterativeHessian
from ..curvature.dense import require_dense_size
from ..curvature.kronecker import KroneckerCurvature, RowSpaceCurvature
from .head_influence import HeadInfluence
from .objective import HeadObjective, HessianProduct

CurvatureName = Literal["auto", "dense", "kronecker"]

# Parameters up to which "auto" takes the dense Hessian: 0.3 GB, factored within seconds.
_DENSE_PARAMS = 6_000
# Products with the head's Hessian are computed in float32, so a smaller residual is out of reach.
_RTOL = 1e-4


def head_influence(
    objective: HeadObjective,
    theta: Array,
    norm: Literal["loss", "parameter"] = "loss",
    curvature: CurvatureName = "auto",
    reference: HeadObjective | None = None,
) -> HeadInfluence:
    """Return the influences of all rows on a head, with the curvature that fits its size.

    Parameters
    ----------
    objective : HeadObjective
        The objective on all rows.
    theta : ndarray of shape (n_outputs, n_features)
        Parameters of the head, where the objective is stationary.
    norm : {"loss", "parameter"}, default="loss"
        What a change of the head is measured in.
    curvature : {"auto", "dense", "kronecker"}, default="auto"
        "dense": the Cholesky factor of the Hessian, exact, for up to 10,000 parameters.
        "kronecker": coordinates by `KroneckerCurvature`, changes by conjugate gradients. "auto":
        dense up to 6,000 parameters.
    reference : HeadObjective, default=None
        The objective that `theta` minimises, where that is one on other rows; see `HeadInfluence`.

    Returns
    -------
    HeadInfluence
        Its ``curvature_name`` says which was taken.

    Raises
    ------
    ValueError
        When ``curvature="dense"`` and the head has more than 10,000 parameters.
    """
    if curvature == "auto":
        curvature = "dense" if objective.n_params <= _DENSE_PARAMS else "kronecker"
    if curvature == "kronecker":
        return WideHeadInfluence(objective, theta, norm, reference)
    require_dense_size(objective.n_params, objective.n_outputs)
    return HeadInfluence(objective, theta, norm, reference)


class WideHeadInfluence(HeadInfluence):
    r"""Influences on a head of more than some thousand parameters.

    Rows are compared by the coordinates of a Hessian that is taken for a Kronecker product,

    ``z_i = D^(-1/2) vec(Q^T G_i V) / N``  (``norm="parameter"``: ``(Q (x) V) D^-1 vec(..) / N``)

    with ``G_i = nu_i (r_i a_i^T - centre)``; see `KroneckerCurvature`. It is exact for the squared
    error and an approximation otherwise. What is promised is not: `first_order_step` and
    `measure` use the Hessian itself, by conjugate gradients to a relative residual of 1e-4.

    Parameters
    ----------
    objective, theta, norm
        As in `HeadInfluence`.
    """

    curvature: KroneckerCurvature
    curvature_name = "kronecker"
    is_exact = False

    def _make_curvature(self) -> KroneckerCurvature:
        """Return the curvature of mean output curvature (x) second moment of the features."""
        objective = self.objective
        with serial_blas():
            s, Q = np.linalg.eigh(self._hessian_product.output_curvature)
            a, V = objective.feature_eigenbasis
        spectrum = np.outer(np.maximum(s, 0), a) + objective.damping
        if objective.is_wide:
            return RowSpaceCurvature(Q, V, spectrum, objective.damping)
        return KroneckerCurvature(Q, V, spectrum)

    @cached_property
    def _hessian(self) -> IterativeHessian:
        # Methods, not closures: influences are pickled where a memory keeps them.
        return IterativeHessian(self._hessian_products, self.curvature.solve, _RTOL)

    @cached_property
    def _hessian_product(self) -> HessianProduct:
        return self.objective.hessian_product(self.theta)

    def _hessian_products(self, B: Array) -> Array:
        columns = [self._hessian_product(b.reshape(self.theta.shape)).ravel() for b in B.T]
        return np.stack(columns, axis=1)

    def given(self, drop: Array) -> HeadInfluence:
        """Refuse: the kept rows' Hessian would be needed as a dense matrix."""
        raise ValueError(
            f"Influences given the kept rows need the dense Hessian, and this head's "
            f"{self.shape[1]} parameters have a Kronecker-factored one; take curvature='dense'."
        )

    def leading_pairs(self, n_components: int) -> Array:
        """Return the flat positions of the coordinates with the largest sums of squares over rows.

        Positions in the eigenbasis, of shape (n_components,), largest first.
        """
        energy = np.zeros(self.curvature.spectrum.shape)
        with serial_blas():
            # Not map_threads, which would hold as many arrays of p numbers as there are blocks.
            for rows in self._rotated_blocks():
                energy += self._energy(rows)
        order = np.argsort(-energy.ravel(), kind="stable")
        return order[:n_components]

    def coordinates_at(self, pairs: Array) -> Array:
        """Return these columns of ``vec(Q^T G_i V) w / N``, float32 of shape (n_samples, k).

        w is ``D^(-1/2)`` for the loss norm and ``D^-1`` for that of the parameters, in which the
        orthogonal ``Q (x) V`` changes no length.
        """
        outputs, features = np.unravel_index(pairs, self.curvature.spectrum.shape)
        scale = (self._scale[outputs, features] / self.weight_sum).astype(np.float32)
        centre = self._rotated_centre[outputs, features]
        Z = np.empty((self.shape[0], len(pairs)), dtype=np.float32)

        def fill(rows: Array) -> None:
            residual, design, weights = self._rotated(rows)
            Z[rows] = residual[:, outputs] * design[:, features]
            Z[rows] += weights[:, None] * centre
            Z[rows] *= scale

        map_threads(fill, self._rotated_blocks(len(pairs)))
        return Z

    @cached_property
    def _row_norms(self) -> Array:
        # ||w (r a^T + nu c)||^2 by products of thin matrices: no row of p numbers is made.
        squared = self._scale**2
        crossed = (squared * self._rotated_centre).astype(np.float32)
        constant = float((squared * self._rotated_centre.astype(np.float64) ** 2).sum())
        squared = squared.astype(np.float32)

        def norms(rows: Array) -> Array:
            residual, design, weights = self._rotated(rows)
            total = np.einsum("ij,ij->i", residual**2 @ squared, design**2)
            total += 2 * weights * np.einsum("ij,ij->i", residual @ crossed, design)
            return np.maximum(total + weights**2 * constant, 0)

        total = np.concatenate(map_threads(norms, self._rotated_blocks()))
        return np.sqrt(total.astype(np.float64)) / self.weight_sum

    @cached_property
    def _scale(self) -> Array:
        power = 0.5 if self.norm == "loss" else 1.0
        return self.curvature.spectrum**-power

    @cached_property
    def _rotated_centre(self) -> Array:
        centre = self.curvature.rotate(self._centre[None])
        return centre.reshape(self.curvature.spectrum.shape).astype(np.float32)

    def _rotated(self, rows: Array) -> tuple[Array, Array, Array]:
        """Return ``Q^T r_i`` (weighted), ``V^T a_i`` and ``nu_i`` of these rows, float32."""
        Q, V, _ = self.curvature._in_dtype_of(np.empty(0, np.float32))
        design = self.objective.design[rows].astype(np.float32, copy=False)
        residual = self._residual[rows].astype(np.float32)
        return residual @ Q, design @ V, self.objective.sample_weight[rows].astype(np.float32)

    def _energy(self, rows: Array) -> Array:
        """Return ``w^2 sum_i (r a^T + nu c)^2`` over these rows, of the shape of the spectrum."""
        residual, design, weights = self._rotated(rows)
        total = (residual**2).T @ design**2
        total += 2 * self._rotated_centre * ((weights[:, None] * residual).T @ design)
        total += (weights**2).sum() * self._rotated_centre**2
        return total.astype(np.float64) * self._scale**2

    def _rotated_blocks(self, width: int = 1) -> list[Array]:
        return self._blocks(np.arange(self.shape[0]), max(width, *self.theta.shape))
