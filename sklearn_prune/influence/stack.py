"""The influences of the same rows on several networks, as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .._types import Array
from .protocols import Influence, RefittableInfluence, RetrainingForecast
from .row_coordinates import RowMatrix, norms_of, part_of, rows_of

# Numbers of a float32 array that are cast to float64 at a time.
_BLOCK_SIZE = 4_000_000


def stack_influences(
    influences: Sequence[Influence], units: Sequence[float] | Array | None = None
) -> StackedInfluence:
    """Return the influences on several networks as one; a `RefittableInfluence` if all are."""
    refittable = [member for member in influences if isinstance(member, RefittableInfluence)]
    if len(refittable) == len(influences):
        return RefittableStack(refittable, units)
    return StackedInfluence(influences, units)


class StackedInfluence(Influence):
    r"""The influences on B networks together.

    A change ``Delta theta`` is that of all parameters, one network after the other. Its size is

    - for ``norm="loss"``, the mean rise of the networks' objectives,
      ``(1/B) sum_b u_b 1/2 Delta_b^T H_b Delta_b``;
    - for ``norm="parameter"``, the square root of the mean of ``u_b ||Delta_b||^2``.

    The first is half of a squared norm of one vector, the second a norm of it, so the rows of
    ``Z = (sqrt(u_b / B) Z_b)_b`` add up to the change, as those of one network do.

    Parameters
    ----------
    influences : sequence of Influence
        The influences of the same rows on each network, in the same norm.
    units : array-like of float, default=None
        ``u_b``: converts each network's loss to a common unit; None means 1.

    Raises
    ------
    ValueError
        If the networks weight rows differently, since the size factor would differ.
    """

    def __init__(
        self, influences: Sequence[Influence], units: Sequence[float] | Array | None = None
    ) -> None:
        self.influences = list(influences)
        self.units = np.ones(len(self.influences)) if units is None else np.asarray(units)
        first = self.influences[0]
        self.norm = first.norm
        self.sample_weight, self.weight_sum = first.sample_weight, first.weight_sum
        widths = [member.shape[1] for member in self.influences]
        # Where the parameters of one network end and the next begin.
        self._bounds = np.cumsum(widths)[:-1]
        self.shape = (first.shape[0], sum(widths))
        self.is_exact = all(member.is_exact for member in self.influences)
        self.is_centred = all(member.is_centred for member in self.influences)
        names = dict.fromkeys(member.curvature_name for member in self.influences)
        self.curvature_name = ", ".join(names)
        for position, member in enumerate(self.influences):
            if not np.array_equal(member.sample_weight, self.sample_weight):
                raise ValueError(
                    "networks that are matched together must weight rows equally; network "
                    f"{position} weights them differently from network 0. Give the criteria of all "
                    "networks the same class weights."
                )

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row, float64 of shape (n_samples,)."""
        return root_mean_square([member.row_norms() for member in self.influences], self.units)

    def row_losses(self) -> Array:
        """Return the mean over the networks of every row's loss, of shape (n_samples,)."""
        losses: Array = self.units @ [member.row_losses() for member in self.influences]
        return losses / len(self.influences)

    def first_order_step(self, drop: Array) -> Array:
        """Return the predicted ``Delta theta`` of shape (n_params,), size factor included."""
        return np.concatenate([member.first_order_step(drop) for member in self.influences])

    def kept_step(self, drop: Array) -> Array:
        """Return the Newton steps on the kept rows, one network after the other."""
        return np.concatenate([member.kept_step(drop) for member in self.influences])

    def measure(self, delta: Array) -> float:
        """Return the size of a change of shape (n_params,): a mean over the networks."""
        parts = np.split(delta, self._bounds)
        return self._mean(
            [member.measure(part) for member, part in zip(self.influences, parts, strict=True)]
        )

    def refitted_change(self, drop: Array) -> float:
        """Return how far refitted heads move, as a mean; NaN if one of them is unknown."""
        return self._mean([member.refitted_change(drop) for member in self.influences])

    def forecast(self, drop: Array) -> RetrainingForecast:
        """Return two predictions of the change and the change by refitting, each a mean."""
        forecasts = [member.forecast(drop) for member in self.influences]
        return RetrainingForecast(
            first_order=self._mean([forecast.first_order for forecast in forecasts]),
            kept_hessian=self._mean([forecast.kept_hessian for forecast in forecasts]),
            refitted=self._mean([forecast.refitted for forecast in forecasts]),
        )

    def _mean(self, sizes: Sequence[float]) -> float:
        if self.norm == "loss":
            return float(np.mean(self.units * sizes))
        return float(root_mean_square(sizes, self.units))


class RefittableStack(StackedInfluence):
    """A `StackedInfluence` on last layers; a `RefittableInfluence` itself."""

    def __init__(
        self,
        influences: Sequence[RefittableInfluence],
        units: Sequence[float] | Array | None = None,
    ) -> None:
        super().__init__(influences, units)
        self._members = list(influences)
        self.Z = StackedCoordinates([member.Z for member in self._members], self.units)

    def given(self, drop: Array) -> StackedCoordinates:
        """Return the coordinates for sets near `drop`, a mask, with the kept rows' Hessians."""
        return StackedCoordinates([member.given(drop) for member in self._members], self.units)

    def damped(self, factor: float) -> RefittableStack:
        """Return the influences on last layers fitted with `factor` times the damping."""
        return RefittableStack([member.damped(factor) for member in self._members], self.units)

    def retrained_change(self, drop: Array) -> float:
        """Return what refitting on the kept rows costs: a mean over the networks."""
        return self._mean([member.retrained_change(drop) for member in self._members])


def influences_of(influence: Influence) -> list[Influence]:
    """Return the influences on each network; a list of one unless they are stacked."""
    return influence.influences if isinstance(influence, StackedInfluence) else [influence]


class StackedCoordinates(LinearOperator):
    """The operator ``Z = (sqrt(u_b / B) Z_b)_b``, of shape (n_samples, sum of the columns).

    Parameters
    ----------
    blocks : sequence of RowCoordinates or ndarray of shape (n_samples, k_b)
        Operators stay operators.
    units : ndarray of shape (B,)
        ``u_b``, as in `StackedInfluence`.
    """

    def __init__(self, blocks: Sequence[RowMatrix], units: Array) -> None:
        self.blocks, self.units = list(blocks), units
        widths = [block.shape[1] for block in self.blocks]
        self._bounds = np.cumsum(widths)[:-1]
        self._scales = np.sqrt(units / len(self.blocks))
        super().__init__(np.float64, (self.blocks[0].shape[0], sum(widths)))

    def rows(self, indices: Array) -> Array:
        """Return the rows of Z at `indices`, float32 of shape (len(indices), n_columns)."""
        parts = [rows_of(block, indices) for block in self.blocks]
        return np.hstack([np.float32(s) * z for s, z in zip(self._scales, parts, strict=True)])

    def take(self, indices: Array) -> StackedCoordinates:
        """Return the operator of the rows at `indices` alone."""
        return StackedCoordinates([part_of(block, indices) for block in self.blocks], self.units)

    def row_norms(self) -> Array:
        """Return the norm of every row of Z, float64 of shape (n_samples,)."""
        return root_mean_square([norms_of(block) for block in self.blocks], self.units)

    def _matmat(self, V: Array) -> Array:
        parts = np.split(np.asarray(V, dtype=np.float64), self._bounds)
        total = np.zeros((self.shape[0], parts[0].shape[1]))
        for block, part, scale in zip(self.blocks, parts, self._scales, strict=True):
            total += block @ (scale * part).astype(block.dtype)
        return total

    def _rmatmat(self, W: Array) -> Array:
        W = np.asarray(W, dtype=np.float64)
        sums = [_sum_of_rows(block, W) for block in self.blocks]
        return np.concatenate([s * z for s, z in zip(self._scales, sums, strict=True)])

    def _rmatvec(self, w: Array) -> Array:
        return self._rmatmat(np.reshape(w, (-1, 1)))[:, 0]


def root_mean_square(norms: Sequence[Array] | Sequence[float], units: Array) -> Array:
    """Return ``sqrt(mean_b u_b norms_b^2)`` over the first axis."""
    root: Array = np.sqrt(units @ np.square(norms, dtype=np.float64) / len(units))
    return root


def _sum_of_rows(Z: RowMatrix, W: Array) -> Array:
    """Return ``Z^T W`` in float64, without a float64 copy of a float32 array."""
    if not isinstance(Z, np.ndarray):
        return Z.T @ W
    total = np.zeros((Z.shape[1], W.shape[1]))
    step = max(1, _BLOCK_SIZE // Z.shape[1])
    for start in range(0, len(Z), step):
        rows = slice(start, start + step)
        total += Z[rows].astype(np.float64).T @ W[rows]
    return total
