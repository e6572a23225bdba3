"""Minimise the head's convex objective by Newton steps (Cholesky or conjugate gradients)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..._types import Array
from ...utils import check_time, serial_blas, warn_user
from .. import limits
from ..curvature.conjugate_gradients import Product, conjugate_gradients
from ..curvature.dense import DenseCurvature
from .hessian_product import HessianProduct
from .objective import HeadObjective

# Gradient norm to reach.
_TOL = 1e-8
# Below this many operations a dense Newton step, the most accurate, takes hundredths of a second.
CHEAP_FLOPS = 2e9
# Products in float32 are exact to about 1e-6, so the inner iteration cannot reach much less.
_SMALLEST_FORCING = 1e-4
# A step that shortens the gradient to less than this share came from a Hessian that is close enough
# for the next step as well.
_FAST = 0.2


class DampedLoss(Protocol):
    """What a Newton step needs to know of an objective; `HeadObjective` has it all.

    One whose rows lie elsewhere says that its ``hessian_flops`` are few, so that each step is by a
    dense Hessian.
    """

    damping: float
    shape: tuple[int, int]
    n_params: int

    @property
    def hessian_flops(self) -> float:
        """Number of operations that the Hessian takes."""

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the objective and its gradient."""

    def gradient(self, theta: Array) -> Array:
        """Return the gradient alone."""

    def gradient_scale(self, theta: Array) -> float:
        """Return the size of the gradient's terms."""

    def hessian(self, theta: Array) -> Array:
        """Return the Hessian, damping included, of shape (n_params, n_params)."""


@dataclass(frozen=True)
class HeadFit:
    """Where `refit_head` ended.

    Attributes
    ----------
    theta : ndarray of shape (n_outputs, n_features)
        Parameters of the head, float64.
    gradient_norm : float
        Euclidean norm of the objective's gradient there.
    n_iter : int
        Steps taken.
    allowed : float
        Gradient norm that counts as zero: the tolerance, times the size of the gradient's terms if
        that exceeds 1 and the norm is not small without it.
    """

    theta: Array
    gradient_norm: float
    n_iter: int
    allowed: float

    @classmethod
    def at(cls, objective: DampedLoss, theta: Array, n_iter: int, tol: float = _TOL) -> HeadFit:
        """Return a fit of the objective that ended at `theta`."""
        norm, allowed = float(np.linalg.norm(objective.gradient(theta))), tol
        if norm > tol:
            allowed = tol * max(1.0, objective.gradient_scale(theta))
        return cls(theta, norm, n_iter, allowed)

    @property
    def converged(self) -> bool:
        """Whether the gradient is small."""
        return self.gradient_norm <= self.allowed


def refit_head(
    objective: DampedLoss,
    theta_start: Array | None = None,
    *,
    max_iter: int = 100,
    precondition: Product | None = None,
) -> HeadFit:
    """Minimise the objective until the norm of its gradient is at most 1e-8.

    Each iteration solves ``H step = -gradient`` (exactly if that is cheap, else by preconditioned
    conjugate gradients to a relative residual of ``min(0.1, ||gradient||)``, but not below 1e-4)
    and backtracks until the objective has fallen enough. It ends early if rounding allows no
    further progress.

    Parameters
    ----------
    objective : HeadObjective or DampedLoss
        The convex objective; damping makes its minimiser unique.
    theta_start : ndarray of shape (n_outputs, n_features), default=None
        Where to begin; None means zero.
    max_iter : int, default=100
        Most Newton steps.
    precondition : callable, default=None
        Approximate ``V -> H^-1 V`` for V of shape (n_params, k), for the conjugate gradients. None
        takes `HessianProduct.kronecker_curvature`.

    Returns
    -------
    HeadFit
        The parameters and how exactly they solve the problem.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; names the gradient norm that was.
    """
    fit = fit_head(objective, theta_start, max_iter=max_iter, precondition=precondition)
    warn_of_gradient(fit)
    return fit


def warn_of_gradient(fit: HeadFit) -> None:
    """Warn if the gradient at the end of a fit is not small."""
    if not fit.converged:
        warn_user(
            f"The head was refitted to a gradient norm of {fit.gradient_norm:.2g} in {fit.n_iter} "
            f"steps; {fit.allowed:.2g} was asked for. Scale the features that enter the last "
            "layer, or raise damping.",
            ConvergenceWarning,
        )


def fit_head(
    objective: DampedLoss,
    theta_start: Array | None = None,
    *,
    max_iter: int = 100,
    precondition: Product | None = None,
) -> HeadFit:
    """Do what `refit_head` does, without a warning if it does not converge."""
    theta = np.zeros(objective.shape) if theta_start is None else np.array(theta_start, float)
    with serial_blas():
        if isinstance(objective, HeadObjective) and objective.is_wide:
            theta, n_iter = _minimise_in_row_space(objective, theta, max_iter)
        else:
            theta, n_iter = _minimise(objective, theta, max_iter, precondition)
    return HeadFit.at(objective, theta, n_iter)


def _minimise_in_row_space(
    objective: HeadObjective, theta: Array, max_iter: int
) -> tuple[Array, int]:
    """Return the minimiser and the number of Newton steps, computed in the span of the rows.

    With V an orthonormal basis of it, the minimiser is ``Theta = Theta' V^T``: in all other
    directions only the damping acts.
    """
    V = objective.row_basis
    inside, n_iter = _minimise(objective.projected(V), theta @ V, max_iter, None)
    return inside @ V.T, n_iter


def _minimise(
    objective: DampedLoss,
    theta: Array,
    max_iter: int,
    precondition: Product | None,
) -> tuple[Array, int]:
    """Return the parameters at which the Newton iteration ends, and its number of steps.

    The Cholesky factor of a dense Hessian is used again as long as its steps shorten the gradient
    enough: such a step costs one pass over the rows, so they go on until rounding ends them.
    """
    point = _Point.at(objective, theta)
    exact = objective.hessian_flops <= CHEAP_FLOPS
    n_iter, shortened, factor = 0, 0.0, None
    while n_iter < max_iter and (point.gradient_norm > _TOL or (exact and shortened <= _FAST)):
        check_time()
        n_iter += 1
        if exact:
            if factor is None or shortened > _FAST:
                factor = DenseCurvature(objective.hessian(point.theta))
            step = -factor.solve(point.gradient.ravel()).reshape(objective.shape)
        else:
            forcing = max(min(0.1, point.gradient_norm), 0.5 * _TOL / point.gradient_norm)
            step = newton_step(
                objective,
                point.theta,
                point.gradient,
                forcing,
                exact=False,
                precondition=precondition,
            )
        previous, point = point, _backtrack(objective, point, step)
        if point is previous:
            if exact or objective.n_params > limits.DENSE_STEP_PARAMS:
                break
            # Products in float32 allow no progress; continue with the dense Hessian.
            exact = True
        shortened = point.gradient_norm / (previous.gradient_norm or 1.0)
    return point.theta, n_iter


def newton_step(
    objective: DampedLoss,
    theta: Array,
    gradient: Array,
    forcing: float,
    *,
    exact: bool | None = None,
    precondition: Product | None = None,
) -> Array:
    """Return ``-H^-1 gradient`` at `theta`, of shape (n_outputs, n_features).

    `exact` takes the Cholesky factor of the dense Hessian; otherwise conjugate gradients run to a
    residual of `forcing` times the gradient. None decides by the operations the former would take.
    """
    if exact is None:
        exact = objective.hessian_flops <= CHEAP_FLOPS
    if exact:
        step = DenseCurvature(objective.hessian(theta)).solve(gradient.ravel())
    else:
        assert isinstance(objective, HeadObjective)
        product = HessianProduct(objective, theta)
        if precondition is None:
            precondition = product.kronecker_curvature().solve
        columns = gradient.reshape(-1, 1)
        target = max(forcing, _SMALLEST_FORCING) * np.linalg.norm(columns)
        step, _ = conjugate_gradients(product, columns, precondition, target)
    return -step.reshape(objective.shape)


@dataclass(frozen=True)
class _Point:
    theta: Array
    value: float
    gradient: Array
    gradient_norm: float

    @classmethod
    def at(cls, objective: DampedLoss, theta: Array) -> _Point:
        value, gradient = objective.value_and_gradient(theta)
        return cls(theta, value, gradient, float(np.linalg.norm(gradient)))


def _backtrack(objective: DampedLoss, point: _Point, step: Array) -> _Point:
    """Return the first of ``theta + step / 2^k`` at which J has fallen enough; `point` if none has.

    Enough means Armijo's rule, ``J(new) <= J + 1e-4 2^-k <gradient, step>``. If the expected fall
    is within the rounding of J, the full step is taken if it shortens the gradient by a tenth.
    """
    slope = float(np.sum(point.gradient * step))
    rounding = 10 * np.finfo(np.float64).eps * abs(point.value)
    for scale in 0.5 ** np.arange(30):
        trial = _Point.at(objective, point.theta + scale * step)
        if -slope <= rounding:
            return trial if trial.gradient_norm < 0.9 * point.gradient_norm else point
        if trial.value <= point.value + 1e-4 * scale * slope + rounding:
            return trial
    return point
