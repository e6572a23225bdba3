"""Coordinates of all rows for a wide head, in the eigenbasis of a Kronecker product."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..._types import Array, Positions
from ...utils import map_threads, serial_blas
from ..curvature.kronecker import KroneckerCurvature
from ..protocols import Norm
from .coordinates import HeadCoordinates, by_curvature
from .gradients import HeadGradients, row_blocks


class WideHeadCoordinates(HeadCoordinates):
    r"""The operator of rows ``z_i = D^(-1/2) vec(Q^T G_i V) / N``, with ``G_i`` the gradient.

    For the norm "parameter", ``z_i = (Q (x) V) D^-1 vec(Q^T G_i V) / N``. Since
    ``Q^T r_i a_i^T V = (Q^T r_i) (V^T a_i)^T``, lengths and single coordinates of all rows are
    computed without any row of n_params numbers.

    Parameters
    ----------
    gradients : HeadGradients
        ``g_i`` of all rows.
    curvature : KroneckerCurvature
        Q, V and the eigenvalues D.
    norm : {"loss", "parameter"}
        How a change is measured.
    """

    def __init__(self, gradients: HeadGradients, curvature: KroneckerCurvature, norm: Norm) -> None:
        super().__init__(gradients, by_curvature(curvature, norm))
        self._curvature = curvature
        self._scale = curvature.spectrum ** (-0.5 if norm == "loss" else -1.0)
        centre = curvature.rotate(gradients.centre[None])
        self._centre = centre.reshape(self._scale.shape).astype(np.float32)

    def leading(self, n_components: int) -> Array:
        """Return the coordinates with the largest sums of squares over rows, largest first.

        They are coordinates in the eigenbasis for both norms, since the orthogonal ``Q (x) V``
        changes no length.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), float32
            Fewer columns where the eigenbasis has fewer.
        """
        order = np.argsort(-self._energy.ravel(), kind="stable")[:n_components]
        outputs, features = np.unravel_index(order, self._scale.shape)
        scale = self._scale[outputs, features] / self.gradients.weight_sum
        scale = scale.astype(np.float32)
        centre = self._centre[outputs, features]
        Z = np.empty((self.shape[0], len(order)), dtype=np.float32)

        def fill(rows: Positions) -> None:
            residual, design, weights = self._rotated(rows)
            Z[rows] = residual[:, outputs] * design[:, features]
            Z[rows] += weights[:, None] * centre
            Z[rows] *= scale

        map_threads(fill, self._blocks(len(order)))
        return Z

    @property
    def _energy(self) -> Array:
        """Sums of ``z_i^2`` over the rows, in the shape of the spectrum and times ``N^2``."""
        energy = np.zeros(self._scale.shape)
        with serial_blas():
            # Not map_threads, which would hold as many arrays of p numbers as there are blocks.
            for rows in self._blocks(1):
                residual, design, weights = self._rotated(rows)
                squares = (residual**2).T @ design**2
                squares += 2 * self._centre * ((weights[:, None] * residual).T @ design)
                squares += (weights**2).sum() * self._centre**2
                energy += squares.astype(np.float64) * self._scale**2
        return energy

    @cached_property
    def _row_norms(self) -> Array:
        # ||w (r a^T + nu c)||^2 by products of thin matrices: no row of p numbers is made.
        squared = self._scale**2
        crossed = (squared * self._centre).astype(np.float32)
        constant = float((squared * self._centre.astype(np.float64) ** 2).sum())
        squared = squared.astype(np.float32)

        def norms(rows: Positions) -> Array:
            residual, design, weights = self._rotated(rows)
            total = np.einsum("ij,ij->i", residual**2 @ squared, design**2)
            total += 2 * weights * np.einsum("ij,ij->i", residual @ crossed, design)
            return np.maximum(total + weights**2 * constant, 0)

        total = np.concatenate(map_threads(norms, self._blocks(1)))
        return np.sqrt(total.astype(np.float64)) / self.gradients.weight_sum

    def _rotated(self, rows: Positions) -> tuple[Array, Array, Array]:
        """Return ``Q^T r_i`` (weighted), ``V^T a_i`` and ``nu_i`` of these rows, float32."""
        gradients = self.gradients
        design = gradients.design[rows].astype(np.float32, copy=False)
        residual = gradients.residual[rows].astype(np.float32)
        Q, V, _ = self._curvature.in_dtype_of(residual)
        return residual @ Q, design @ V, gradients.sample_weight[rows].astype(np.float32)

    def _blocks(self, width: int) -> list[Positions]:
        n_outputs, n_features = self.gradients.residual.shape[1], self.gradients.design.shape[1]
        return row_blocks(np.arange(self.shape[0]), max(width, n_outputs, n_features))
