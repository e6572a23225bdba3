r"""The effect of dropping rows on a head: predicted for any set, and observed by refitting.

With ``w_i = 1`` where row i is dropped, ``g_i`` its centred gradient and ``H`` the Hessian on all
rows, one Newton step on the kept rows moves the head by

``Delta theta = N / (N - sum_i nu_i w_i) * sum_i w_i s_i,   s_i = H^-1 g_i / N``

if H is used in the place of the kept rows' Hessian (Koh & Liang 2017, Yang et al. 2023).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from ..._types import Array
from .. import limits
from ..curvature.conjugate_gradients import IterativeHessian
from ..curvature.dense import DenseCurvature
from ..curvature.kronecker import KroneckerCurvature
from ..protocols import Influence, Norm, RetrainingForecast
from .coordinates import HeadCoordinates, LinearMap, by_another_curvature, by_curvature
from .gradients import HeadGradients, centre_of
from .hessian_product import HessianProduct
from .objective import HeadObjective
from .refit import HeadFit, fit_head, newton_step, refit_head, warn_of_gradient
from .wide_coordinates import WideHeadCoordinates

# Share of the Hessian on all rows that is mixed into that of the kept rows. Chosen among 0, 0.1 and
# 0.5 on a split of Adult's training rows, by the change of the refitted head.
_FULL_HESSIAN_SHARE = 0.1
# Products with the head's Hessian are computed in float32, which allows no smaller residual.
_RTOL = 1e-4
# Refits that are remembered: the search refits sets that the certificate asks for again.
_MOST_REFITS = 8


def head_influence(
    objective: HeadObjective,
    theta: Array,
    norm: Norm = "loss",
    reference: HeadObjective | None = None,
) -> HeadInfluence:
    """Return the influences of all rows on a head, by a dense Hessian unless the head is too wide.

    The parameters are those of `HeadInfluence`.

    Returns
    -------
    DenseHeadInfluence or WideHeadInfluence
        Dense up to `limits.DENSE_PARAMS` parameters.
    """
    is_dense = objective.n_params <= most_dense_params()
    kind = DenseHeadInfluence if is_dense else WideHeadInfluence
    return kind(objective, theta, norm, reference)


def most_dense_params() -> int:
    """Return the most parameters that a head may have for a dense Hessian."""
    return limits.DENSE_PARAMS


def most_matched_params() -> int:
    """Return the most parameters that a head may have for all of its coordinates to be matched."""
    return limits.ALL_MATCHED_PARAMS


class HeadInfluence(Influence):
    r"""The influences of all rows on a head.

    Row i of ``Z`` is what dropping row i contributes to the change of the head:

    - ``norm="loss"``: ``z_i = L^-1 g_i / N`` with ``H = L L^T``. With ``Delta = sum_i w_i s_i``,
      ``1/2 ||Z^T w||^2 = 1/2 Delta^T H Delta`` is a rise of the training objective;
    - ``norm="parameter"``: ``z_i = s_i = H^-1 g_i / N``, and ``||Z^T w||`` is a distance.

    The size factor ``N / (N - sum_i nu_i w_i)``, which multiplies ``Delta``, is not in Z.

    Parameters
    ----------
    objective : HeadObjective
        The objective on all rows.
    theta : ndarray of shape (n_outputs, n_features)
        Parameters of the head, at which the objective is stationary.
    norm : {"loss", "parameter"}, default="loss"
        How a change of the head is measured.
    reference : HeadObjective, default=None
        The objective that `theta` minimises, if it is one on other rows, with the same damping.
        None means `objective` itself.

    Attributes
    ----------
    gradients : HeadGradients
        ``g_i`` of all rows.
    Z : HeadCoordinates
        The operator of all rows' coordinates.
    curvature : DenseCurvature or KroneckerCurvature
        The curvature that the coordinates are computed with.
    hessian : DenseCurvature or IterativeHessian
        H itself, with which changes are predicted and measured.

    Notes
    -----
    The centred gradient is ``g_i = nu_i (grad l_i - mean_j grad l_j)``, with the weighted mean, not
    divided by N. At a stationary point of the objective it equals
    ``nu_i (grad l_i + damping theta)``. It sums to zero over all rows to rounding, however exactly
    the head was fitted.

    With a reference, the mean is over its rows, and ``g_i = nu_i (grad l_i + damping theta)`` does
    not sum to zero over all rows. The kept rows hold the head in place if *their* gradients sum to
    zero. The change is then that from `theta` to the head of the kept rows,

    ``Delta theta = N / (N - sum_i nu_i w_i) * (sum_i w_i s_i - sum_i s_i)``

    and H is still the Hessian on all rows of `objective`, at `theta`.
    """

    Z: HeadCoordinates
    curvature: DenseCurvature | KroneckerCurvature
    hessian: DenseCurvature | IterativeHessian

    def __init__(
        self,
        objective: HeadObjective,
        theta: Array,
        norm: Norm = "loss",
        reference: HeadObjective | None = None,
    ) -> None:
        self.objective, self.theta, self.norm = objective, theta, norm
        self.reference = objective if reference is None else reference
        self.is_centred = self.reference is objective
        self.shape = (objective.n_samples, objective.n_params)
        self.sample_weight, self.weight_sum = objective.sample_weight, objective.weight_sum
        gradient = self.reference.gradient(theta)
        centre = centre_of(gradient, theta, objective.damping)
        self.gradients = HeadGradients(objective, theta, centre)
        # Nothing but rounding if the gradients are centred.
        everything = np.ones(objective.n_samples)
        self._gradient_of_all = 0.0 if self.is_centred else self.gradients.sum(everything)
        self._refits: dict[bytes, HeadFit] = {}
        self._take_curvature()

    def __getstate__(self) -> dict[str, object]:
        # Refits are found again, so a stored influence need not remember them.
        return {**self.__dict__, "_refits": {}}

    @abstractmethod
    def _take_curvature(self) -> None:
        """Set `curvature`, `hessian` and `Z`."""

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row, float64 of shape (n_samples,)."""
        return self.Z.row_norms()

    def row_losses(self) -> Array:
        """Return the loss of every row under the head, not weighted, of shape (n_samples,)."""
        return self.objective.losses(self.theta)

    def first_order_step(self, drop: Array) -> Array:
        """Return the predicted ``Delta theta`` of shape (n_params,), size factor included."""
        step = self.hessian.solve(self.gradients.sum(drop) - self._gradient_of_all)
        return self.size_factor(drop) / self.weight_sum * step

    def kept_step(self, drop: Array) -> Array:
        """Return the Newton step on the kept rows with their own Hessian, of shape (n_params,)."""
        kept = self.objective.without(drop)
        gradient = kept.gradient(self.theta)
        step = newton_step(kept, self.theta, gradient, 0.0, precondition=self.precondition)
        return step.ravel()

    def precondition(self, B: Array) -> Array:
        """Return nearly ``H^-1 B``, for conjugate gradients with the Hessian of kept rows."""
        return self._kronecker.solve(B)

    @cached_property
    def _kronecker(self) -> KroneckerCurvature:
        # The Cholesky factor needs as many iterations, and each takes fifty times as long for a
        # head of ten classes and 256 features.
        return HessianProduct(self.objective, self.theta).kronecker_curvature()

    def measure(self, delta: Array) -> float:
        """Return ``1/2 delta^T H delta``, or for the norm "parameter" ``||delta||_2``."""
        return self.loss_change(delta) if self.norm == "loss" else float(np.linalg.norm(delta))

    def loss_change(self, delta: Array) -> float:
        """Return ``1/2 delta^T H delta``, with the Hessian on all rows."""
        return 0.5 * float(self.hessian.quadratic_form(delta))

    def refitted_change(self, drop: Array) -> float:
        """Return how far the head moves when it is refitted on the kept rows, in the norm.

        NaN if the refit does not converge, or the kept rows have no weight.
        """
        if not self.sample_weight[drop < 1].any():
            return np.nan
        refitted = self.refit(drop)
        return self.measure((refitted.theta - self.theta).ravel()) if refitted.converged else np.nan

    def refit(self, drop: Array) -> HeadFit:
        """Return the head fitted to the kept rows; the last eight of these fits are remembered.

        Parameters
        ----------
        drop : ndarray of shape (n_samples,)
            The dropped rows, or the shares of their weights.
        """
        key = sha256(drop.tobytes()).digest()
        fit = self._refits.get(key)
        if fit is None:
            # Always from the same start, so that no result depends on what was asked before.
            fit = fit_head(self.objective.without(drop), self.theta, precondition=self.precondition)
            earlier = list(self._refits.items())[1 - _MOST_REFITS :]
            self._refits = {**dict(earlier), key: fit}
        return fit

    def forecast(self, drop: Array) -> RetrainingForecast:
        """Return two predictions of the change of the head, and the change when it is refitted."""
        steps = retraining_steps(self, drop)
        return RetrainingForecast(
            first_order=self.measure(steps.first_order.ravel()),
            kept_hessian=self.measure(steps.kept_hessian.ravel()),
            refitted=self.measure(steps.refitted.ravel()),
        )


class DenseHeadInfluence(HeadInfluence):
    """Influences on a head with the Cholesky factor of its Hessian; a `RefittableInfluence`."""

    curvature_name = "dense"
    is_exact = True
    curvature: DenseCurvature

    def _take_curvature(self) -> None:
        self.hessian = self.curvature = DenseCurvature(self.objective.hessian(self.theta))
        self.Z = HeadCoordinates(self.gradients, by_curvature(self.curvature, self.norm))

    def given(self, drop: Array) -> HeadCoordinates:
        r"""Return the coordinates for sets near `drop`, with the Hessian of the kept rows.

        The Newton step on the kept rows uses their Hessian, not that of all rows. Here it is
        ``H~ = 0.9 H_kept + 0.1 H``; changes are still measured with ``H = L L^T``:

        ``z_i = L^T H~^-1 g_i / N``  (``norm="parameter"``: ``H~^-1 g_i / N``)

        For sets that differ from `drop` by a few rows, this predicts the change even if few rows
        are kept for each parameter, when the first order says little. The share of H keeps
        directions in which the kept rows hardly vary from dominating all others.

        Row norms stay those of ``Z``, which is good enough to rank rows.
        """
        kept = self.objective.subset(~drop).hessian(self.theta)
        linear_map = map_given(kept, self.curvature, self.norm)
        return HeadCoordinates(self.gradients, linear_map, self.row_norms())

    def damped(self, factor: float) -> DenseHeadInfluence:
        """Return the influences on a head that is fitted with `factor` times the damping.

        The fit need not converge: gradients are centred anyway, and a selection by them is judged
        by a refit.
        """
        objective = self.objective.damped(factor)
        reference = objective if self.is_centred else self.reference.damped(factor)
        theta = fit_head(reference, self.theta).theta
        return DenseHeadInfluence(objective, theta, self.norm, reference)

    def retrained_change(self, drop: Array) -> float:
        """Return what refitting the head on the kept rows costs.

        For ``norm="loss"``, the rise of the objective on all rows (on the reference rows, if there
        are any), which equals `measure` of the change only if that is small; for
        ``norm="parameter"``, the distance. Infinite if the refit does not converge.
        """
        refitted = self.refit(drop)
        if not refitted.converged:
            return np.inf
        if self.norm == "loss":
            return self.reference.value(refitted.theta) - self.reference.value(self.theta)
        return self.measure((refitted.theta - self.theta).ravel())


def map_given(kept_hessian: Array, curvature: DenseCurvature, norm: Norm) -> LinearMap:
    """Return M for sets near one of whose kept rows this is the Hessian; see `given`."""
    mixed = DenseCurvature(
        (1 - _FULL_HESSIAN_SHARE) * kept_hessian + _FULL_HESSIAN_SHARE * curvature.hessian()
    )
    return by_another_curvature(mixed, curvature, norm)


class WideHeadInfluence(HeadInfluence):
    """Influences on a head whose dense Hessian would be too large.

    The coordinates, which compare rows, come from a Kronecker product, which is exact for the
    squared error and an approximation otherwise. `first_order_step` and `measure`, which predict
    changes, use the Hessian itself, by conjugate gradients to a relative residual of 1e-4.
    """

    curvature_name = "kronecker"
    is_exact = False
    curvature: KroneckerCurvature
    Z: WideHeadCoordinates

    def _take_curvature(self) -> None:
        product = HessianProduct(self.objective, self.theta)
        self.curvature = self._kronecker = product.kronecker_curvature()
        self.hessian = IterativeHessian(product, self.curvature.solve, _RTOL)
        self.Z = WideHeadCoordinates(self.gradients, self.curvature, self.norm)


@dataclass(frozen=True)
class RetrainingSteps:
    """How the head changes when rows are dropped: two predictions, and the refitted head.

    All three are changes ``Delta theta`` of shape (n_outputs, n_features), float64.

    Attributes
    ----------
    first_order : ndarray
        With the Hessian on all rows and the size factor: ``N/(N - sum nu w) sum w_i s_i``.
    kept_hessian : ndarray
        One Newton step on the kept rows, with their own Hessian.
    refitted : ndarray
        The head refitted on the kept rows, minus the head on all rows.
    refit_gradient_norm : float
        Gradient norm on the kept rows at the refitted head.
    """

    first_order: Array
    kept_hessian: Array
    refitted: Array
    refit_gradient_norm: float


def retraining_steps(
    influence: HeadInfluence, drop: Array, *, from_zero: bool = False
) -> RetrainingSteps:
    """Predict how the head changes when rows are dropped, and refit it to compare.

    Parameters
    ----------
    influence : HeadInfluence
        Influences on all rows.
    drop : ndarray of shape (n_samples,)
        True where a row is dropped, or the share of its weight that is; see
        :meth:`HeadObjective.without`.
    from_zero : bool, default=False
        Refit from zero parameters, not from the head on all rows. The objective has one minimiser,
        so this only costs time, but the refit is then independent of that head.

    Returns
    -------
    RetrainingSteps
        Two predictions and the refit.
    """
    first_order = influence.first_order_step(drop)
    theta = influence.theta
    kept_step = influence.kept_step(drop).reshape(theta.shape)
    if from_zero:
        fit = refit_head(influence.objective.without(drop), precondition=influence.precondition)
    else:
        fit = influence.refit(drop)
        warn_of_gradient(fit)
    return RetrainingSteps(
        first_order=first_order.reshape(theta.shape),
        kept_hessian=kept_step,
        refitted=fit.theta - theta,
        refit_gradient_norm=fit.gradient_norm,
    )
