"""The influences of the same rows on several networks, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ..losses import Array
from .head.head_influence import HeadInfluence, Influence, RetrainingForecast

# Numbers of a float32 block that are summed in float64 at a time.
_BLOCK_SIZE = 4_000_000


class StackedInfluence:
    r"""What dropping rows does to B networks: the mean over them.

    A change ``Delta theta`` is that of all parameters, one network after the other, and its size

    - for ``norm="loss"`` the mean rise of the networks' objectives,
      ``(1/B) sum_b u_b 1/2 Delta_b^T H_b Delta_b``;
    - for ``norm="parameter"`` the root of the mean of ``u_b ||Delta_b||^2``.

    Both are norms of one vector, so that rows of ``Z = (sqrt(u_b / B) Z_b)_b`` add up to the
    change as those of one network do.

    Parameters
    ----------
    influences : sequence of Influence
        Of the same rows, in the same norm.
    units : array-like of float, default=None
        What one unit of each network's loss is in that of all, ``u_b``; None means 1.

    Raises
    ------
    ValueError
        When the networks weigh rows differently: what is left of a set's weight would then be
        another for each.
    """

    def __init__(
        self, influences: Sequence[Influence], units: Sequence[float] | Array | None = None
    ) -> None:
        self.influences = list(influences)
        self.units = np.ones(len(self.influences)) if units is None else np.asarray(units)
        first = self.influences[0]
        self.norm, self.sample_weight, self.weight_sum = (
            first.norm,
            first.sample_weight,
            first.weight_sum,
        )
        self.shape = (first.shape[0], sum(one.shape[1] for one in self.influences))
        self.is_exact = all(one.is_exact for one in self.influences)
        self.is_centred = all(one.is_centred for one in self.influences)
        self.curvature_name = ", ".join(
            dict.fromkeys(one.curvature_name for one in self.influences)
        )
        for position, one in enumerate(self.influences):
            if not np.array_equal(one.sample_weight, self.sample_weight):
                raise ValueError(
                    "networks whose rows are matched together must weigh them alike, and network "
                    f"{position} weighs them otherwise than the first; give the criteria of all "
                    "networks the same class weights."
                )

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row, float64 of shape (n_samples,)."""
        return root_mean_square([one.row_norms() for one in self.influences], self.units)

    def row_losses(self) -> Array:
        """Return the mean over the networks of every row's loss, of shape (n_samples,)."""
        losses: Array = self.units @ [one.row_losses() for one in self.influences]
        return losses / len(self.influences)

    def size_factor(self, drop: Array) -> float:
        """Return ``N / (N - sum_i nu_i w_i)`` for the mask `drop` of dropped rows."""
        return self.influences[0].size_factor(drop)

    def first_order_step(self, drop: Array) -> Array:
        """Return the predicted ``Delta theta`` of shape (n_params,), size factor included."""
        return np.concatenate([one.first_order_step(drop) for one in self.influences])

    def measure(self, delta: Array) -> float:
        """Return the size of a change of shape (n_params,): a mean over the networks."""
        parts = np.split(delta, self._bounds)
        return self._mean(
            [one.measure(part) for one, part in zip(self.influences, parts, strict=True)]
        )

    def kept_step_size(self, drop: Array) -> float:
        """Return the size of the Newton steps on the kept rows."""
        return self._mean([one.kept_step_size(drop) for one in self.influences])

    def forecast(self, drop: Array) -> RetrainingForecast:
        """Return what is predicted and observed, each a mean; the worst of the gradient norms."""
        found = [one.forecast(drop) for one in self.influences]
        return RetrainingForecast(
            first_order=self._mean([f.first_order for f in found]),
            kept_hessian=self._mean([f.kept_hessian for f in found]),
            refitted=self._mean([f.refitted for f in found]),
            refit_gradient_norm=max(f.refit_gradient_norm for f in found),
        )

    def refitted_change(self, drop: Array) -> float:
        """Return how far refitted heads move; NaN where a network is no head."""
        return self._mean([one.refitted_change(drop) for one in self.influences])

    def retrained_change(self, drop: Array) -> float:
        """Return what refitting on the kept rows costs; ValueError where a network is no head."""
        return self._mean([head.retrained_change(drop) for head in self._heads])

    def given(self, drop: Array) -> StackedCoordinates:
        """Return what holds once `drop` is gone; ValueError where a network is no head."""
        return StackedCoordinates([head.given(drop) for head in self._heads], self.units)

    def damped(self, factor: float) -> StackedInfluence:
        """Return influences with `factor` times the damping; ValueError for other than heads."""
        return StackedInfluence([head.damped(factor) for head in self._heads], self.units)

    @property
    def _heads(self) -> list[HeadInfluence]:
        heads = [one for one in self.influences if isinstance(one, HeadInfluence)]
        if len(heads) < len(self.influences):
            raise ValueError(
                f"{len(self.influences) - len(heads)} of {len(self.influences)} networks are "
                "matched in further layers than the last; only heads can be refitted. Take "
                "layers='last'."
            )
        return heads

    @property
    def _bounds(self) -> Array:
        """Where the parameters of one network end and the next begin."""
        return np.cumsum([one.shape[1] for one in self.influences])[:-1]

    def _mean(self, sizes: Sequence[float]) -> float:
        if self.norm == "loss":
            return float(np.mean(self.units * sizes))
        return float(root_mean_square(sizes, self.units))


def influences_of(influence: Influence) -> list[Influence]:
    """Return the influences on each network: a list of one, unless they are stacked."""
    return influence.influences if isinstance(influence, StackedInfluence) else [influence]


def all_coordinates(
    influence: HeadInfluence | StackedInfluence,
) -> HeadInfluence | StackedCoordinates:
    """Return the operator of all coordinates; the networks of a stack must be heads."""
    if isinstance(influence, HeadInfluence):
        return influence
    return StackedCoordinates(influence.influences, influence.units)


class StackedCoordinates(LinearOperator):
    """The operator ``Z = (sqrt(u_b / B) Z_b)_b``, of shape (n_samples, sum of the columns).

    Parameters
    ----------
    blocks : sequence of HeadInfluence or ndarray of shape (n_samples, k_b)
        Operators stay operators.
    units : ndarray of shape (B,)
        ``u_b``, as in `StackedInfluence`.
    """

    def __init__(self, blocks: Sequence[Any], units: Array) -> None:
        self.blocks, self.units = list(blocks), units
        widths = [block.shape[1] for block in self.blocks]
        self._bounds = np.cumsum(widths)[:-1]
        self._scales = np.sqrt(units / len(self.blocks))
        super().__init__(np.float64, (self.blocks[0].shape[0], sum(widths)))

    def rows(self, indices: Array) -> Array:
        """Return the rows of Z at `indices`, float32 of shape (len(indices), n_columns)."""
        parts = (
            block[indices] if isinstance(block, np.ndarray) else block.rows(indices)
            for block in self.blocks
        )
        return np.hstack([np.float32(s) * z for s, z in zip(self._scales, parts, strict=True)])

    def take(self, indices: Array) -> StackedCoordinates:
        """Return the operator of the rows at `indices` alone."""
        return StackedCoordinates(
            [
                block[indices] if isinstance(block, np.ndarray) else block.take(indices)
                for block in self.blocks
            ],
            self.units,
        )

    def row_norms(self) -> Array:
        """Return the norm of every row of Z, float64 of shape (n_samples,)."""
        norms = [
            np.linalg.norm(block, axis=1).astype(np.float64)
            if isinstance(block, np.ndarray)
            else block.row_norms()
            for block in self.blocks
        ]
        return root_mean_square(norms, self.units)

    def _matmat(self, V: Array) -> Array:
        parts = np.split(np.asarray(V, dtype=np.float64), self._bounds)
        total = np.zeros((self.shape[0], parts[0].shape[1]))
        for block, part, scale in zip(self.blocks, parts, self._scales, strict=True):
            total += block @ (scale * part).astype(block.dtype)
        return total

    def _rmatmat(self, W: Array) -> Array:
        W = np.asarray(W, dtype=np.float64)
        parts = [
            scale * (_sum_of_rows(block, W) if isinstance(block, np.ndarray) else block.T @ W)
            for block, scale in zip(self.blocks, self._scales, strict=True)
        ]
        return np.concatenate(parts)

    def _matvec(self, v: Array) -> Array:
        return self._matmat(np.reshape(v, (-1, 1)))[:, 0]

    def _rmatvec(self, w: Array) -> Array:
        return self._rmatmat(np.reshape(w, (-1, 1)))[:, 0]


def root_mean_square(norms: Sequence[Any], units: Array) -> Array:
    """Return ``sqrt(mean_b u_b norms_b^2)`` over the first axis."""
    root: Array = np.sqrt(units @ np.square(norms) / len(units))
    return root


def _sum_of_rows(Z: Array, W: Array) -> Array:
    """Return ``Z^T W`` of a float32 Z in float64, without a float64 copy of it."""
    total = np.zeros((Z.shape[1], W.shape[1]))
    step = max(1, _BLOCK_SIZE // Z.shape[1])
    for start in range(0, len(Z), step):
        rows = slice(start, start + step)
        total += Z[rows].astype(np.float64).T @ W[rows]
    return total
