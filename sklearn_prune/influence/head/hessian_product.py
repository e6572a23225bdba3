"""Products with a head's Hessian, and the Kronecker product that approximates it."""

from __future__ import annotations

import numpy as np

from ..._types import Array
from ...utils import map_threads, serial_blas
from ..curvature.kronecker import KroneckerCurvature, RowSpaceCurvature
from .objective import HeadObjective


class HessianProduct:
    """``V -> (1/N) sum nu_i (C_i V a_i) a_i^T + damping V`` at one fixed theta.

    Computed in float32, which is twice as fast as float64 and enough for the inner iterations of a
    Newton step: the gradient, which decides when the iteration ends, is computed in float64.

    Parameters
    ----------
    objective : HeadObjective
        The objective.
    theta : ndarray of shape (n_outputs, n_features)
        The parameters at which the Hessian is taken.
    """

    def __init__(self, objective: HeadObjective, theta: Array) -> None:
        self._objective = objective
        weights = objective.sample_weight / objective.weight_sum
        self._weights = weights.astype(np.float32)
        hessians = objective.output_hessians(theta)
        self._hessians = hessians.astype(np.float32)
        self._output_curvature = hessians.weighted_sum(weights)

    def __call__(self, B: Array) -> Array:
        """Return ``H B`` in float64 for B of shape (n_params,) or (n_params, k)."""
        shape = self._objective.shape
        columns = [self._product(b.reshape(shape)).ravel() for b in B.reshape(len(B), -1).T]
        return np.stack(columns, axis=1).reshape(B.shape)

    def _product(self, V: Array) -> Array:
        objective = self._objective
        V32 = V.astype(np.float32)

        def terms(rows: slice) -> Array:
            features = objective.design_float32[rows]
            U = self._hessians[rows].product(features @ V32.T)
            return (features.T @ (U * self._weights[rows, None])).T

        total = sum(map_threads(terms, objective.chunks), start=np.zeros(objective.shape))
        return total + objective.damping * V

    def kronecker_curvature(self) -> KroneckerCurvature:
        """Return ``((1/N) sum nu_i C_i) (x) ((1/N) sum nu_i a_i a_i^T) + damping I``.

        For the squared error, whose curvature is the same in every row, it is the Hessian itself.
        """
        objective = self._objective
        with serial_blas():
            s, Q = np.linalg.eigh(self._output_curvature)
            a, V = objective.feature_eigenbasis
        spectrum = np.outer(np.maximum(s, 0), a) + objective.damping
        if objective.is_wide:
            return RowSpaceCurvature(Q, V, spectrum, objective.damping)
        return KroneckerCurvature(Q, V, spectrum)
