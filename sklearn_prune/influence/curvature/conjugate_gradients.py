"""Solving with a Hessian that is known by its products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sklearn.exceptions import ConvergenceWarning

from ...utils import check_time, warn_user

Columns: TypeAlias = Any
"""A numpy array or torch tensor of shape (n_params, k); some functions also take (n_params,)."""

Product: TypeAlias = Callable[[Columns], Columns]
"""``V -> A V`` for V of shape (n_params, k)."""

_MAX_ITER = 500


def conjugate_gradients(
    product: Product,
    B: Columns,
    precondition: Product,
    targets: Columns,
    *,
    max_iter: int = _MAX_ITER,
) -> tuple[Columns, int]:
    """Solve ``H X = B`` until each column's residual is at most its target.

    All columns share the products; a column that has reached its target stays as it is. The
    residual is updated by the iteration, so rounding moves it away from the true one;
    `IterativeHessian` checks the true one.

    Parameters
    ----------
    product : callable
        ``V -> H V`` for V of shape (n_params, k); H is positive definite.
    B : array of shape (n_params, k)
        Right-hand sides.
    precondition : callable
        ``V -> M^-1 V`` with M positive definite and close to H.
    targets : float or array of shape (k,)
        Largest ``||b - H x||`` of each column.
    max_iter : int, default=500
        Most products to compute.

    Returns
    -------
    X : array of shape (n_params, k)
        The solution, a column for each right-hand side.
    n_iter : int
        Number of products computed.
    """
    X, residual, direction, previous = B * 0, B, B * 0, 1.0
    for n_iter in range(max_iter):
        # Columns that have converged take steps of length zero.
        active = _norms(residual) > targets
        if not active.any():
            return X, n_iter
        check_time()
        Z = precondition(residual)
        rz = (residual * Z).sum(0)
        direction = Z + direction * (rz / previous)
        curved = product(direction)
        curvature = (direction * curved).sum(0)
        length = active * rz / (curvature + (curvature == 0))
        X = X + direction * length
        residual = residual - curved * length
        previous = rz + (rz == 0)
    return X, max_iter


class IterativeHessian:
    """A Hessian given by its products; it solves by preconditioned conjugate gradients.

    Parameters
    ----------
    product : callable
        ``V -> H V`` for V of shape (n_params, k).
    precondition : callable
        ``V -> M^-1 V`` with M close to H, such as `KroneckerCurvature.solve`.
    rtol : float
        Largest ``||b - H x|| / ||b||`` of each column.
    max_iter : int, default=500
        Most products to compute, not counting those for the true residuals.
    """

    def __init__(
        self, product: Product, precondition: Product, rtol: float, max_iter: int = _MAX_ITER
    ) -> None:
        self.product, self.precondition = product, precondition
        self.rtol, self.max_iter = rtol, max_iter

    def solve(self, B: Columns) -> Columns:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k).

        The true residual is computed at the end; if it is too large, the iteration restarts from
        there.

        Warns
        -----
        ConvergenceWarning
            If a column does not reach the tolerance; names the largest residual.
        """
        shape, B = B.shape, B.reshape(len(B), -1)
        lengths = _norms(B)
        # A right-hand side of zeros is solved by zeros.
        lengths = lengths + (lengths == 0)
        X, residual, n_iter = B * 0, B, 0
        largest = float((_norms(residual) / lengths).max())
        while True:
            correction, steps = conjugate_gradients(
                self.product,
                residual,
                self.precondition,
                self.rtol * lengths,
                max_iter=self.max_iter - n_iter,
            )
            X, n_iter = X + correction, n_iter + steps
            residual = B - self.product(X)
            before, largest = largest, float((_norms(residual) / lengths).max())
            if largest <= self.rtol or n_iter >= self.max_iter or largest > 0.5 * before:
                break
        if largest > self.rtol:
            warn_user(
                f"Conjugate gradients reached a relative residual of {largest:.2g} in {n_iter} "
                f"iterations; {self.rtol:.2g} was asked for. Raise damping.",
                ConvergenceWarning,
            )
        return X.reshape(shape)

    def quadratic_form(self, delta: Columns) -> float:
        """Return ``delta^T H delta`` for delta of shape (n_params,)."""
        return float((delta * self.product(delta[:, None])[:, 0]).sum())


def _norms(B: Columns) -> Columns:
    return (B * B).sum(0) ** 0.5
