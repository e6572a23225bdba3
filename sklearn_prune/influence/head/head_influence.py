r"""What dropping rows does to a head: one row at a time, any set at once, and for real.

With ``w_i = 1`` where row i is dropped, ``g_i`` its centred gradient and ``H`` the Hessian on all
rows, one Newton step on the kept rows moves the head by

``Delta theta = N / (N - sum_i nu_i w_i) * sum_i w_i s_i,   s_i = H^-1 g_i / N``

if the kept rows' Hessian is taken to be that of all rows (Koh & Liang 2017, Yang et al. 2023).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ...losses import Array
from ...utils import map_threads
from ..curvature.dense import DenseCurvature, require_dense_size
from .objective import HeadObjective
from .refit import fit_head, newton_step, refit_head

# Share of the Hessian on all rows where that of the kept rows is taken. Chosen among 0, 0.1 and 0.5
# on a split of Adult's training rows, by the change of the refitted head.
_FULL_HESSIAN_SHARE = 0.1
# Numbers in one block of rows: 64 MB in float32.
_BLOCK_SIZE = 16_000_000


class HeadInfluence(LinearOperator):
    r"""The influences of all rows, as a linear operator Z of shape (n_samples, n_params).

    Row i is what dropping row i contributes to the change of the head:

    - ``norm="loss"``: ``z_i = L^-1 g_i / N`` with ``H = L L^T``, so that
      ``1/2 ||Z^T w||^2 = 1/2 Delta^T H Delta`` is a rise of the training objective;
    - ``norm="parameter"``: ``z_i = s_i = H^-1 g_i / N``, so that ``||Z^T w||`` is a distance.

    ``Z^T w`` and ``Z v`` cost one pass over the design; Z itself is never made.

    Parameters
    ----------
    objective : HeadObjective
        The objective on all rows.
    theta : ndarray of shape (n_outputs, n_features)
        Parameters of the head, where the objective is stationary.
    norm : {"loss", "parameter"}, default="loss"
        What a change of the head is measured in.
    reference : HeadObjective, default=None
        The objective that `theta` minimises, where that is one on other rows, with the same
        damping; None is `objective` itself.

    Notes
    -----
    The centred gradient is ``g_i = nu_i (grad l_i - mean_j grad l_j)``, not divided by N. At a
    stationary point of the objective it is ``nu_i (grad l_i + damping theta)``, and it sums to
    zero over all rows to rounding, however exactly the head was fitted.

    With a reference, the mean is over its rows, and ``g_i = nu_i (grad l_i + damping theta)`` does
    not sum to zero over all rows: what is kept holds the head where *its* gradients do. The change
    is then that from `theta` to the head of the kept rows,

    ``Delta theta = N / (N - sum_i nu_i w_i) * (sum_i w_i s_i - sum_i s_i)``

    and H is still the Hessian on all rows of `objective`, at `theta`.
    """

    curvature_name = "dense"
    # Whether the coordinates are those of the Hessian itself.
    is_exact = True

    def __init__(
        self,
        objective: HeadObjective,
        theta: Array,
        norm: Literal["loss", "parameter"] = "loss",
        reference: HeadObjective | None = None,
    ) -> None:
        super().__init__(np.float64, (objective.n_samples, objective.n_params))
        self.objective = objective
        self.reference = objective if reference is None else reference
        self.theta = theta
        self.norm = norm
        self.weight_sum = objective.weight_sum
        self.curvature = self._make_curvature()
        self._newton = self.curvature
        self._residual = objective.sample_weight[:, None] * objective.residual(theta)
        mean = self.reference.gradient(theta) - objective.damping * theta + objective.tilt
        self._centre = -mean.ravel()

    def _make_curvature(self) -> Any:
        require_dense_size(self.objective.n_params, self.objective.n_outputs)
        return DenseCurvature(self.objective.hessian(self.theta))

    @property
    def _hessian(self) -> Any:
        """What solves with the Hessian itself, where `curvature` is an approximation."""
        return self.curvature

    @property
    def is_centred(self) -> bool:
        """Whether the gradients of all rows sum to zero."""
        return self.reference is self.objective

    @cached_property
    def _gradient_of_all(self) -> Array:
        """Return ``sum_i g_i`` over all rows, which is rounding where they are centred."""
        if self.is_centred:
            return np.zeros(self.shape[1])
        return self.gradient_sum(np.ones(self.shape[0]))

    def gradient_sum(self, w: Array) -> Array:
        """Return ``sum_i w_i g_i`` in float64, not divided by N, for w of shape (n,) or (n, k)."""
        W = np.asarray(w, dtype=np.float64).reshape(self.shape[0], -1)
        n_outputs, n_features = self.objective.shape

        def terms(rows: Array) -> Array:
            features = self.objective.design[rows].astype(np.float64, copy=False)
            weighted = W[rows, :, None] * self._residual[rows, None, :]
            return features.T @ weighted.reshape(len(rows), -1)

        # A set of few rows costs a pass over those rows only.
        blocks = self._blocks(np.flatnonzero(W.any(axis=1)), n_outputs * W.shape[1])
        nothing = np.zeros((n_features, n_outputs * W.shape[1]))
        total = sum(map_threads(terms, blocks), start=nothing)
        sums = total.T.reshape(W.shape[1], -1).T
        sums += np.outer(self._centre, self.objective.sample_weight @ W)
        return sums[:, 0] if np.ndim(w) == 1 else sums

    def rows(self, indices: Array) -> Array:
        """Return the rows of Z at `indices`, float32 of shape (len(indices), n_params)."""
        indices = np.asarray(indices)
        features = self.objective.design[indices].astype(np.float32, copy=False)
        residual = self._residual[indices].astype(np.float32)
        gradients = (residual[:, :, None] * features[:, None, :]).reshape(len(indices), -1)
        weights = self.objective.sample_weight[indices].astype(np.float32)
        gradients += weights[:, None] * self._centre.astype(np.float32)
        gradients /= np.float32(self.weight_sum)
        return self._to_coordinates(gradients.T).T

    def take(self, indices: Array) -> HeadInfluence:
        """Return the operator of the rows at `indices` alone; N and H stay those of all rows."""
        part = copy.copy(self)
        part.objective = self.objective.subset(indices)
        part.reference = part.objective if self.is_centred else self.reference
        part.shape = (part.objective.n_samples, self.shape[1])
        part._residual = self._residual[indices]
        part._row_norms = self._row_norms[indices]
        return part

    def given(self, drop: Array) -> HeadInfluence:
        r"""Return the operator of the influences that hold once the rows in `drop` are gone.

        The Newton step on the kept rows takes their Hessian, not that of all rows. Here it is
        ``H~ = 0.9 H_kept + 0.1 H``, and with ``H = L L^T`` still the measure of a change

        ``z_i = L^T H~^-1 g_i / N``  (``norm="parameter"``: ``H~^-1 g_i / N``)

        For sets that differ from `drop` by a few rows, this predicts the change where few rows
        are kept for each parameter and the first order says little. The share of H keeps
        directions that the kept rows hardly show from drowning out all others.

        `row_norms` stay those of this operator: they rank rows, and ranking needs no better.
        """
        kept = self.objective.subset(~drop).hessian(self.theta)
        part = copy.copy(self)
        part._newton = DenseCurvature(
            (1 - _FULL_HESSIAN_SHARE) * kept + _FULL_HESSIAN_SHARE * self.curvature.hessian()
        )
        part._row_norms = self._row_norms
        return part

    def damped(self, factor: float) -> HeadInfluence:
        """Return the influences on a head that is fitted with `factor` times the damping.

        However far the fit gets: gradients are centred, and what is chosen by them is tried.
        """
        objective = self.objective.damped(factor)
        reference = objective if self.is_centred else self.reference.damped(factor)
        theta = fit_head(reference, self.theta).theta
        return type(self)(objective, theta, self.norm, reference)

    @property
    def sample_weight(self) -> Array:
        """Weights ``nu_i`` of the rows, of shape (n_samples,)."""
        return self.objective.sample_weight

    def row_losses(self) -> Array:
        """Return the loss of every row under the head, not weighted, of shape (n_samples,)."""
        objective = self.objective

        def losses(rows: Array) -> Array:
            logits = objective.design[rows].astype(np.float64, copy=False) @ self.theta.T
            return objective.loss.value(logits, objective.targets[rows])

        return np.concatenate(map_threads(losses, self._blocks(np.arange(self.shape[0]), 1)))

    def row_blocks(self) -> list[Array]:
        """Return positions of all rows in blocks whose rows of Z take 64 MB at most."""
        return self._blocks(np.arange(self.shape[0]), self.shape[1])

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row, float64 of shape (n_samples,)."""
        return self._row_norms

    @cached_property
    def _row_norms(self) -> Array:
        norms = map_threads(lambda rows: np.linalg.norm(self.rows(rows), axis=1), self.row_blocks())
        return np.concatenate(norms).astype(np.float64)

    def size_factor(self, drop: Array) -> float:
        """Return ``N / (N - sum_i nu_i w_i)`` for the mask `drop` of dropped rows.

        Here and wherever a change is forecast, `drop` may also hold shares of at most 1 of the
        rows' weights: a kept row that counts ``v_i`` times has ``w_i = 1 - v_i``.
        """
        total = self.weight_sum
        kept = float(self.objective.sample_weight @ (1.0 - drop))
        if kept <= 0:
            raise ValueError(
                f"drop removes all {self.shape[0]} rows (or all of the sample weight); "
                "keep at least one row of positive weight."
            )
        return total / kept

    def first_order_step(self, drop: Array) -> Array:
        """Return the predicted ``Delta theta`` of shape (n_params,), size factor included."""
        total = self._hessian.solve(self.gradient_sum(drop) - self._gradient_of_all)
        return self.size_factor(drop) / self.weight_sum * total

    def measure(self, delta: Array) -> float:
        """Return the size of a change of the head, of shape (n_params,).

        ``1/2 delta^T H delta`` for ``norm="loss"``, with the Hessian on all rows;
        ``||delta||_2`` for ``norm="parameter"``.
        """
        return self.loss_change(delta) if self.norm == "loss" else float(np.linalg.norm(delta))

    def loss_change(self, delta: Array) -> float:
        """Return ``1/2 delta^T H delta``, with the Hessian on all rows."""
        return 0.5 * float(self._hessian.quadratic_form(delta))

    def precondition(self, V: Array) -> Array:
        """Return ``H^-1 V`` for V of the shape of theta, to start iterations on other rows from."""
        return self.curvature.solve(V.ravel()).reshape(V.shape)

    def kept_step(self, drop: Array) -> Array:
        """Return the Newton step on the kept rows, with their own Hessian, as (K, d)."""
        kept = self.objective.without(drop)
        return newton_step(
            kept,
            self.theta,
            kept.gradient(self.theta),
            forcing=0.0,
            precondition=self.precondition,
        )

    def kept_step_size(self, drop: Array) -> float:
        """Return the size of `kept_step` in the influence's norm."""
        return self.measure(self.kept_step(drop).ravel())

    def retrained_change(self, drop: Array) -> float:
        """Return what refitting the head on the kept rows costs.

        The rise of the objective on all rows (on the reference's, if there is one) for
        ``norm="loss"``, which is `measure` of the refitted head's change only where that is small;
        the distance for ``norm="parameter"``.
        Infinite where the refit does not converge.
        """
        refitted = fit_head(self.objective.without(drop), self.theta)
        if not refitted.converged:
            return np.inf
        if self.norm == "loss":
            return self.reference.value(refitted.theta) - self.reference.value(self.theta)
        return self.measure((refitted.theta - self.theta).ravel())

    def forecast(self, drop: Array) -> RetrainingForecast:
        """Return what `forecast_retraining` says of dropping these rows."""
        return forecast_retraining(self, drop)

    def refitted_change(self, drop: Array) -> float:
        """Return how far the head moves when it is refitted on the kept rows, in the norm.

        NaN where the refit does not converge, or the kept rows weigh nothing.
        """
        if not self.sample_weight[drop < 1].any():
            return np.nan
        refitted = fit_head(self.objective.without(drop), self.theta)
        return self.measure((refitted.theta - self.theta).ravel()) if refitted.converged else np.nan

    def _to_coordinates(self, gradients: Array) -> Array:
        if self.norm == "parameter":
            return self._newton.solve(gradients)
        if self._newton is self.curvature:
            # L^T H^-1 = L^-1.
            return self.curvature.whiten(gradients)
        return self.curvature.color(self._newton.solve(gradients))

    def _from_coordinates(self, V: Array) -> Array:
        if self.norm == "parameter":
            return self._newton.solve(V)
        if self._newton is self.curvature:
            return self.curvature.unwhiten(V)
        return self._newton.solve(self.curvature.uncolor(V))

    def _matmat(self, V: Array) -> Array:
        """Return ``Z V``; the pass over the rows runs in the design's own dtype."""
        objective = self.objective
        dtype = objective.design.dtype
        U = self._from_coordinates(np.asarray(V, dtype=np.float64)) / self.weight_sum
        k = U.shape[1]
        by_output = U.reshape(*objective.shape, k)
        by_feature = by_output.swapaxes(0, 1).reshape(objective.n_features, -1).astype(dtype)

        def products(rows: Array) -> Array:
            outputs = (objective.design[rows] @ by_feature).reshape(len(rows), -1, k)
            return np.einsum("ij,ijk->ik", self._residual[rows], outputs)

        blocks = self._blocks(np.arange(self.shape[0]), objective.n_outputs * k)
        result = np.concatenate(map_threads(products, blocks))
        return result + np.outer(objective.sample_weight, self._centre @ U)

    def _rmatmat(self, W: Array) -> Array:
        return self._to_coordinates(self.gradient_sum(W)) / self.weight_sum

    def _matvec(self, v: Array) -> Array:
        return self._matmat(np.reshape(v, (-1, 1)))[:, 0]

    def _rmatvec(self, w: Array) -> Array:
        return self._rmatmat(np.reshape(w, (-1, 1)))[:, 0]

    @staticmethod
    def _blocks(indices: Array, width: int) -> list[Array]:
        """Split `indices` so that an array of `width` numbers a row stays small."""
        size = max(1, min(2048, _BLOCK_SIZE // width))
        return [indices[start : start + size] for start in range(0, len(indices), size)]


class Influence(Protocol):
    """What pruning asks of influences, on a head, a whole network or several."""

    norm: Literal["loss", "parameter"]
    shape: tuple[int, int]
    weight_sum: float
    is_exact: bool

    @property
    def is_centred(self) -> bool:
        """Whether the rows of Z sum to zero."""

    @property
    def curvature_name(self) -> str:
        """Which curvature was taken."""

    @property
    def sample_weight(self) -> Array:
        """Weights of the rows, of shape (n_samples,)."""

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row, of shape (n_samples,)."""

    def row_losses(self) -> Array:
        """Return the loss of every row, not weighted, of shape (n_samples,)."""

    def size_factor(self, drop: Array) -> float:
        """Return ``N / (N - sum_i nu_i w_i)``."""

    def first_order_step(self, drop: Array) -> Array:
        """Return the predicted change of the parameters, of shape (n_params,)."""

    def measure(self, delta: Array) -> float:
        """Return the size of a change, of shape (n_params,), in the influence's norm."""

    def refitted_change(self, drop: Array) -> float:
        """Return how far the parameters move when they are refitted; NaN where that is unknown."""

    def kept_step_size(self, drop: Array) -> float:
        """Return the size of the Newton step on the kept rows."""

    def forecast(self, drop: Array) -> RetrainingForecast:
        """Return how far the parameters move, by several means."""


@dataclass(frozen=True)
class RetrainingSteps:
    """Where the head goes when rows are dropped, from a guess to the fact.

    All three are changes ``Delta theta`` of shape (n_outputs, n_features), float64.

    Attributes
    ----------
    first_order : ndarray
        With the Hessian on all rows and the size factor: ``N/(N - sum nu w) sum w_i s_i``.
    kept_hessian : ndarray
        One Newton step on the kept rows, with their own Hessian.
    refitted : ndarray
        What the head does when it is refitted on the kept rows.
    refit_gradient_norm : float
        Gradient norm, on the kept rows, to which that refit was carried.
    """

    first_order: Array
    kept_hessian: Array
    refitted: Array
    refit_gradient_norm: float


def retraining_steps(
    influence: HeadInfluence, drop: Array, *, from_zero: bool = False
) -> RetrainingSteps:
    """Predict where the head goes when rows are dropped, and refit it to see.

    Parameters
    ----------
    influence : HeadInfluence
        Influences on all rows.
    drop : ndarray of shape (n_samples,)
        True where a row is dropped, or the share of its weight that is; see
        :meth:`HeadObjective.without`.
    from_zero : bool, default=False
        Refit from zero parameters, and not from where one Newton step leads. The objective has
        one minimiser, so that this only costs time; but the fact then owes nothing to a guess.

    Returns
    -------
    RetrainingSteps
        Two predictions and the fact.
    """
    influence.size_factor(drop)
    kept, theta = influence.objective.without(drop), influence.theta
    one_step = influence.kept_step(drop)
    start = None if from_zero else theta + one_step
    fit = refit_head(kept, start, precondition=influence.precondition)
    return RetrainingSteps(
        first_order=influence.first_order_step(drop).reshape(theta.shape),
        kept_hessian=one_step,
        refitted=fit.theta - theta,
        refit_gradient_norm=fit.gradient_norm,
    )


@dataclass(frozen=True)
class RetrainingForecast:
    """How far the head moves when rows are dropped, from a guess to the fact.

    All three in the units of the influence's norm: those of the loss, ``1/2 d^T H d`` with the
    Hessian on all rows, or the Euclidean distance of the parameters.

    Attributes
    ----------
    first_order : float
        With the Hessian on all rows and the size factor: ``N/(N - sum nu w) sum w_i s_i``.
    kept_hessian : float
        One Newton step on the kept rows, with their own Hessian.
    refitted : float
        What the head does when it is refitted on the kept rows; NaN for more layers than the last,
        which have no refit: trained again, a network ends elsewhere even on the same rows.
    refit_gradient_norm : float
        Gradient norm, on the kept rows, to which that refit was carried; NaN likewise.
    """

    first_order: float
    kept_hessian: float
    refitted: float
    refit_gradient_norm: float


def forecast_retraining(influence: HeadInfluence, drop: Array) -> RetrainingForecast:
    """Predict what dropping rows does to the head, and refit it to see.

    Parameters
    ----------
    influence : HeadInfluence
        Influences on all rows.
    drop : ndarray of shape (n_samples,)
        True where a row is dropped, or the share of its weight that is.

    Returns
    -------
    RetrainingForecast
        Two predictions and the fact, in the influence's norm.
    """
    steps = retraining_steps(influence, drop)
    return RetrainingForecast(
        first_order=influence.measure(steps.first_order.ravel()),
        kept_hessian=influence.measure(steps.kept_hessian.ravel()),
        refitted=influence.measure(steps.refitted.ravel()),
        refit_gradient_norm=steps.refit_gradient_norm,
    )
