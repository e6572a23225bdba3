"""Solving with a Hessian that is known by its products alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from ...utils import check_time

# A numpy array or a torch tensor: what the product takes and returns.
Columns = Any


@dataclass(frozen=True)
class Solution:
    """What `conjugate_gradients` found.

    Attributes
    ----------
    X : array of shape (n_params, k)
        The solution, a column for each right-hand side.
    residuals : array of shape (k,)
        ``||b - H x|| / ||b||`` of each column, from a product with X itself; 0 where b is 0.
    n_iter : int
        Iterations, each with one product.
    """

    X: Columns
    residuals: Columns
    n_iter: int


def conjugate_gradients(
    product: Callable[[Columns], Columns],
    B: Columns,
    precondition: Callable[[Columns], Columns],
    *,
    rtol: float,
    max_iter: int = 500,
) -> Solution:
    """Solve ``H X = B``, each column to a relative residual of ``rtol`` of its own.

    All columns share the products; a column that has reached its tolerance stays as it is. The
    residual that the iteration carries along drifts away from the true one by rounding, so in the
    end the true one is computed, and where it is too large the iteration starts again from there.

    Parameters
    ----------
    product : callable
        ``V -> H V`` for V of shape (n_params, k); H is positive definite.
    B : array of shape (n_params, k)
        Right-hand sides.
    precondition : callable
        ``V -> M^-1 V`` with M positive definite and near H.
    rtol : float
        Largest ``||b - H x|| / ||b||`` of a column.
    max_iter : int, default=500
        Products at most, not counting those for the true residuals.

    Returns
    -------
    Solution
        The columns and how exactly they solve the problem.

    Warns
    -----
    ConvergenceWarning
        When a column did not reach the tolerance, with the largest residual.
    """
    lengths = _norms(B)
    # A right-hand side of zeros is solved by zeros.
    lengths = lengths + (lengths == 0)
    X, residual, n_iter = B * 0, B, 0
    relative = _norms(residual) / lengths
    while True:
        correction, steps = _iterate(
            product, precondition, residual, rtol * lengths, max_iter - n_iter
        )
        X, n_iter = X + correction, n_iter + steps
        residual = B - product(X)
        before, relative = relative, _norms(residual) / lengths
        if relative.max() <= rtol or n_iter >= max_iter or relative.max() > 0.5 * before.max():
            break
    if relative.max() > rtol:
        warnings.warn(
            f"Conjugate gradients reached a relative residual of {float(relative.max()):.2g} in "
            f"{n_iter} iterations; {rtol:.2g} was asked for. Raise damping.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Solution(X, relative, n_iter)


def _iterate(
    product: Callable[[Columns], Columns],
    precondition: Callable[[Columns], Columns],
    B: Columns,
    targets: Columns,
    max_iter: int,
) -> tuple[Columns, int]:
    """Return X and the iterations taken, from ``X = 0``."""
    X, residual, direction, previous = B * 0, B, B * 0, 1.0
    for n_iter in range(max_iter):
        # Columns that are done take steps of length zero.
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


def _norms(B: Columns) -> Columns:
    return (B * B).sum(0) ** 0.5


class IterativeHessian:
    """The Hessian by its products, solved with by preconditioned conjugate gradients.

    Parameters
    ----------
    product : callable
        ``V -> H V`` for V of shape (n_params, k).
    precondition : callable
        ``V -> M^-1 V`` with M near H, such as `KroneckerCurvature.solve`.
    rtol : float
        Relative residual to reach in each column.
    """

    def __init__(
        self,
        product: Callable[[Columns], Columns],
        precondition: Callable[[Columns], Columns],
        rtol: float,
    ) -> None:
        self.product, self.precondition, self.rtol = product, precondition, rtol

    def solve(self, B: Columns) -> Columns:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        columns = B.reshape(len(B), -1)
        solution = conjugate_gradients(self.product, columns, self.precondition, rtol=self.rtol)
        return solution.X.reshape(B.shape)

    def quadratic_form(self, delta: Columns) -> float:
        """Return ``delta^T H delta`` for delta of shape (n_params,)."""
        return float((delta * self.product(delta[:, None])[:, 0]).sum())
