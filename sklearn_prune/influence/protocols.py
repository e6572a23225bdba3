"""The interface of influences, on a last layer, on more layers, or on several networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from .._types import Array
from .row_coordinates import RowCoordinates

Norm: TypeAlias = Literal["loss", "parameter"]
"""How a change is measured: as a rise of the training objective, or as a distance."""


@dataclass(frozen=True)
class RetrainingForecast:
    """How far the parameters move when rows are dropped: two predictions, and the refit.

    All three are in the unit of the influence's norm: ``1/2 d^T H d`` with the Hessian on all rows,
    or the Euclidean length.

    Attributes
    ----------
    first_order : float
        With the Hessian on all rows and the size factor: ``N/(N - sum nu w) sum w_i s_i``.
    kept_hessian : float
        One Newton step on the kept rows, with their own Hessian.
    refitted : float
        The last layer refitted on the kept rows. NaN for more layers than the last: a network that
        is trained again ends elsewhere even on the same rows.
    """

    first_order: float
    kept_hessian: float
    refitted: float


class Influence(Protocol):
    """Predicts how dropping rows changes parameters.

    In every method, `drop` is a mask of the dropped rows, or the share ``w_i`` of each row's weight
    that is dropped: a kept row that counts ``v_i`` times has ``w_i = 1 - v_i``.

    Attributes
    ----------
    norm : {"loss", "parameter"}
        How a change is measured.
    shape : tuple of int
        ``(n_samples, n_params)``.
    sample_weight : ndarray of shape (n_samples,)
        Weights ``nu_i`` of the rows.
    weight_sum : float
        ``N = sum_i nu_i``.
    is_exact : bool
        Whether coordinates are those of the Hessian itself.
    is_centred : bool
        Whether the gradients of all rows sum to zero.
    curvature_name : str
        "dense" or "kronecker": the curvature that the coordinates are computed with.
    """

    norm: Norm
    shape: tuple[int, int]
    sample_weight: Array
    weight_sum: float
    is_exact: bool
    is_centred: bool
    curvature_name: str

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row, float64 of shape (n_samples,)."""

    def row_losses(self) -> Array:
        """Return the loss of every row, not weighted, of shape (n_samples,)."""

    def first_order_step(self, drop: Array) -> Array:
        """Return the predicted ``Delta theta`` of shape (n_params,), size factor included."""

    def kept_step(self, drop: Array) -> Array:
        """Return the Newton step on the kept rows with their own Hessian, of shape (n_params,)."""

    def measure(self, delta: Array) -> float:
        """Return the size of a change of shape (n_params,) in the norm.

        ``1/2 delta^T H delta`` for "loss", with the Hessian on all rows; else ``||delta||_2``.
        """

    def refitted_change(self, drop: Array) -> float:
        """Return how far the parameters move when refitted on the kept rows, in the norm.

        NaN if that is unknown: for more layers than the last, if the refit does not converge, or if
        the kept rows have no weight.
        """

    def forecast(self, drop: Array) -> RetrainingForecast:
        """Return two predictions of the change, and the change by refitting."""

    def size_factor(self, drop: Array) -> float:
        """Return ``N / (N - sum_i nu_i w_i)``.

        Raises
        ------
        ValueError
            If no weight is left.
        """
        kept = float(self.sample_weight @ (1.0 - drop))
        if kept <= 0:
            raise ValueError(
                f"drop removes all {len(drop)} rows (or all of the sample weight); "
                "keep at least one row of positive weight."
            )
        return self.weight_sum / kept


@runtime_checkable
class RefittableInfluence(Influence, Protocol):
    """Influences on last layers that can be recomputed for the rows that a set keeps.

    Attributes
    ----------
    Z : RowCoordinates
        All coordinates of all rows.
    """

    Z: RowCoordinates

    def given(self, drop: Array) -> RowCoordinates:
        """Return the coordinates for sets near `drop`, a mask, with the kept rows' Hessian."""

    def damped(self, factor: float) -> RefittableInfluence:
        """Return the influences on last layers fitted with `factor` times the damping."""

    def retrained_change(self, drop: Array) -> float:
        """Return what refitting on the kept rows costs; infinite if it does not converge."""
