"""The effect of dropping rows on any layers of a network."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial

import numpy as np
import torch

from ..._types import Array
from ...networks import require_finite
from .. import limits
from ..curvature.conjugate_gradients import IterativeHessian
from ..matched_coordinates import MatchedCoordinates, measured, n_leading
from ..protocols import Influence, Norm, RetrainingForecast
from .gradients import NetworkGradients
from .leading_directions import leading_directions
from .network_curvature import DenseNetworkCurvature, LayerCurvature

# Relative residual of conjugate gradients: products are no better than the network's dtype.
_RTOL = {torch.float32: 1e-4, torch.float64: 1e-8}


class NetworkInfluence(Influence):
    r"""The influences of all rows on any of a network's parameters.

    As in `HeadInfluence`, ``z_i = L^-1 g_i / N`` with ``H = L L^T`` (``norm="parameter"``:
    ``H^-1 g_i / N``), where H is the generalized Gauss-Newton matrix plus the damping,

    ``H = (1/N) sum_i nu_i J_i^T C_i J_i + damping I``

    which, unlike the Hessian of a network, is positive definite. Up to `limits.DENSE_PARAMS`
    parameters H has a Cholesky factor. Beyond, coordinates come from a Kronecker product for each
    layer, which is an approximation; `first_order_step` and `measure` then use H itself, by
    conjugate gradients. The leading coordinates are stored, in float32.

    A trained network is usually no stationary point: its gradients do not sum to zero. Influences
    are those on the objective with a linear term that makes them do so:
    ``g_i = nu_i (grad l_i - centre)`` with ``centre = (1/N) sum_j nu_j grad l_j``. They leave out
    what further training on all rows would still change.

    Parameters
    ----------
    gradients : NetworkGradients
        The network, its rows and the parameters chosen.
    damping : float
        Weight of the squared parameters in the objective.
    norm : {"loss", "parameter"}, default="loss"
        How a change is measured.

    Attributes
    ----------
    coordinates : MatchedCoordinates
        The coordinates that the selection matches, with their error.
    curvature_name : {"dense", "kronecker"}
        The curvature that the coordinates are computed with.
    is_exact : bool
        Whether coordinates are those of H itself (before any are left out).
    """

    is_centred = True

    def __init__(self, gradients: NetworkGradients, damping: float, norm: Norm = "loss") -> None:
        self.gradients, self.damping, self.norm = gradients, damping, norm
        self.sample_weight, self.weight_sum = gradients.sample_weight, gradients.weight_sum
        self.shape = (gradients.n_samples, gradients.n_params)
        self._centre = gradients.weighted_sum(self._column(self.sample_weight / self.weight_sum))
        if not torch.isfinite(self._centre).all():
            require_finite("losses", gradients.losses())
            require_finite("gradient", self._centre.T.cpu().numpy())
        self.curvature: DenseNetworkCurvature | LayerCurvature
        self._hessian: DenseNetworkCurvature | IterativeHessian
        self.is_exact = gradients.n_params <= limits.DENSE_PARAMS
        self.curvature_name = "dense" if self.is_exact else "kronecker"
        if self.is_exact:
            self._hessian = self.curvature = DenseNetworkCurvature(gradients, damping)
        else:
            self.curvature = LayerCurvature(gradients, damping)
            self._hessian = self._iterative(gradients.weights)
        k = n_leading(*self.shape)
        Z = self._stored_coordinates(k)
        is_whole = self.is_exact and k == gradients.n_params
        self.coordinates = MatchedCoordinates(Z) if is_whole else measured(self, Z)

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row in all coordinates, float64 of shape (n_samples,)."""
        return self._row_norms

    @property
    def gradient_norm(self) -> float:
        """Norm of the centre, the gradient of the mean loss on all rows."""
        return float(torch.linalg.vector_norm(self._centre))

    def row_losses(self) -> Array:
        """Return the loss of every row, not weighted, float64 of shape (n_samples,)."""
        return self.gradients.losses()

    def gradient_sum(self, drop: Array) -> torch.Tensor:
        """Return ``sum_i w_i g_i``, float64 of shape (n_params,), not divided by N."""
        weights = self.sample_weight * drop
        total = self.gradients.weighted_sum(self._column(weights)) - weights.sum() * self._centre
        return total[:, 0]

    def first_order_step(self, drop: Array) -> Array:
        """Return the predicted ``Delta theta`` of shape (n_params,), size factor included."""
        step = self._hessian.solve(self.gradient_sum(drop))
        return (step * (self.size_factor(drop) / self.weight_sum)).cpu().numpy()

    def kept_step(self, drop: Array) -> Array:
        """Return the step by the Gauss-Newton matrix of the kept rows, of shape (n_params,)."""
        rest = self.weight_sum / self.size_factor(drop)
        hessian = self._iterative(self._column(self.sample_weight * (1.0 - drop) / rest)[:, 0])
        return (hessian.solve(self.gradient_sum(drop)) / rest).cpu().numpy()

    def forecast(self, drop: Array) -> RetrainingForecast:
        """Return two predictions; the change by retraining is not known (NaN)."""
        return RetrainingForecast(
            first_order=self.measure(self.first_order_step(drop)),
            kept_hessian=self.measure(self.kept_step(drop)),
            refitted=self.refitted_change(drop),
        )

    def refitted_change(self, drop: Array) -> float:
        """Return NaN: the change by retraining is not known."""
        return np.nan

    def measure(self, delta: Array) -> float:
        """Return ``1/2 delta^T H delta`` or, for the norm of the parameters, ``||delta||_2``."""
        if self.norm == "parameter":
            return float(np.linalg.norm(delta))
        return 0.5 * self._hessian.quadratic_form(self._column(delta)[:, 0])

    def _iterative(self, weights: torch.Tensor) -> IterativeHessian:
        # A method, not a closure, since a memory pickles influences.
        product = partial(self._damped_product, weights)
        return IterativeHessian(product, self.curvature.solve, _RTOL[self.gradients.dtype])

    def _damped_product(self, weights: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
        return self.gradients.gauss_newton_product(V, weights) + self.damping * V

    def _stored_coordinates(self, k: int) -> Array:
        """Return Z of shape (n_samples, k), float32, and set the norms of the whole rows."""
        Z = np.empty((self.shape[0], k), dtype=np.float32)
        norms = np.empty(self.shape[0])
        keep = self._leading(k)
        with closing(self._coordinate_blocks()) as blocks:
            for rows, z in blocks:
                norms[rows] = torch.linalg.vector_norm(z, dim=1).double().cpu().numpy()
                leading = z if keep is None else z[:, keep] if keep.ndim == 1 else z @ keep
                Z[rows] = leading.float().cpu().numpy()
        self._row_norms = norms
        return Z

    def _leading(self, k: int) -> torch.Tensor | None:
        """Return the k coordinates with the most energy; None means all.

        If H is dense they are directions of shape (p, k), else positions in the layers' eigenbasis,
        of shape (k,).
        """
        if k == self.shape[1]:
            return None
        if self.is_exact:
            directions = leading_directions(
                lambda: (z.cpu().numpy() for _, z in self._coordinate_blocks()),
                self.shape[1],
                k,
            )
            return torch.as_tensor(directions).to(self.gradients.device, self.gradients.dtype)
        energy = torch.zeros(self.shape[1], dtype=torch.float64, device=self.gradients.device)
        with closing(self._coordinate_blocks()) as blocks:
            for _, z in blocks:
                energy += (z.double() ** 2).sum(dim=0)
        return torch.argsort(energy, descending=True, stable=True)[:k]

    def _coordinate_blocks(self) -> Generator[tuple[slice, torch.Tensor], None, None]:
        """Yield the rows of Z in all coordinates, a chunk at a time, on the network's device."""
        centre = self._centre[:, 0].to(self.gradients.dtype)
        weights = self.gradients.weights
        with closing(self.gradients.per_sample()) as chunks:
            for rows, gradients in chunks:
                centred = weights[rows, None] * (gradients - centre)
                yield rows, self.curvature.coordinates(centred, self.norm)

    def _column(self, values: Array) -> torch.Tensor:
        column = torch.as_tensor(np.asarray(values, dtype=np.float64))[:, None]
        return column.to(self.gradients.device)
