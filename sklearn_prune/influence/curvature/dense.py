"""The Hessian as a Cholesky factor, to solve with and to whiten by."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from ..._types import Array
from ...utils import serial_blas


class DenseCurvature:
    """Cholesky factor of a symmetric positive definite Hessian: ``H = L L^T``.

    Parameters
    ----------
    hessian : ndarray of shape (n_params, n_params)
        H, divided by the sum of the sample weights, damping included.

    Raises
    ------
    ValueError
        If H is singular to working precision.

    Notes
    -----
    Arguments in float64 are solved in float64, arguments in float32 with a float32 copy of L.
    """

    def __init__(self, hessian: Array) -> None:
        with serial_blas():
            self._factor = _cholesky(hessian)

    @property
    def factor(self) -> Array:
        """L, lower triangular and in float64, of shape (n_params, n_params)."""
        return self._factor

    @cached_property
    def _factor_float32(self) -> Array:
        return self._factor.astype(np.float32)

    def solve(self, B: Array) -> Array:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return cho_solve((self._factor_like(B), True), B, check_finite=False)

    def whiten(self, B: Array) -> Array:
        """Return ``L^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return solve_triangular(self._factor_like(B), B, lower=True, check_finite=False)

    def unwhiten(self, B: Array) -> Array:
        """Return ``L^-T B`` for B of shape (n_params,) or (n_params, k)."""
        return solve_triangular(self._factor_like(B), B, lower=True, trans="T", check_finite=False)

    def color(self, B: Array) -> Array:
        """Return ``L^T B``, the inverse of `unwhiten`."""
        return self._factor_like(B).T @ B

    def uncolor(self, B: Array) -> Array:
        """Return ``L B``, the inverse of `whiten`."""
        return self._factor_like(B) @ B

    def hessian(self) -> Array:
        """Return ``H = L L^T``."""
        return self._factor @ self._factor.T

    def quadratic_form(self, delta: Array) -> float:
        """Return ``delta^T H delta = ||L^T delta||^2`` for delta of shape (n_params,)."""
        return float(np.sum((self._factor.T @ delta) ** 2))

    def _factor_like(self, B: Array) -> Array:
        return self._factor_float32 if B.dtype == np.float32 else self._factor


def _cholesky(hessian: Array) -> Array:
    """Return L, after adding a diagonal of the size of rounding errors if that is necessary.

    With unscaled, collinear features, rounding errors of the largest eigenvalue can exceed the
    smallest one, the damping.
    """
    rounding = 10 * len(hessian) * np.finfo(np.float64).eps
    for jitter in (0.0, rounding, 100 * rounding):
        try:
            damped = hessian + np.diag(jitter * np.diag(hessian)) if jitter else hessian
            return cholesky(damped, lower=True, check_finite=False)
        except LinAlgError:
            continue
    raise ValueError(
        f"The Hessian of {len(hessian)} parameters is singular to working precision "
        f"(largest diagonal entry {np.diag(hessian).max():.2g}). "
        "Scale the features that enter the last layer, or raise damping."
    )
