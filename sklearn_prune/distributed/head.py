"""The head of all rows, by Newton steps on sums over the partitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import Array, Floats, Mask
from .collection import Block, EachOwn, Partitioned
from .masks import packed, unpacked
from .reading import RowReader
from .sums import Sums


@dataclass(frozen=True)
class _HeadSums(Sums):
    """Sums over rows, each multiplied by its weight; see `HeadObjective`."""

    weight: float
    value: float
    gradient: Floats
    hessian: Floats


def _head_sums(
    block: Block, reader: RowReader, theta: Floats, bits: Array | None = None
) -> _HeadSums:
    rows = reader(block)
    if bits is not None:
        rows = rows.take(unpacked(bits, len(block)))
    if not len(rows):
        p = theta.size
        return _HeadSums(0.0, 0.0, np.zeros(theta.shape), np.zeros((p, p)))
    objective = reader.objective(rows, 0.0, 1.0)
    value, gradient = objective.value_and_gradient(theta)
    weight = float(rows.sample_weight.sum())
    return _HeadSums(weight, value, gradient, objective.hessian(theta))


def _gradient_scale(
    block: Block, reader: RowReader, theta: Floats, bits: Array | None = None
) -> Floats:
    rows = reader(block)
    if bits is not None:
        rows = rows.take(unpacked(bits, len(block)))
    if not len(rows):
        return np.zeros(theta.shape)
    objective = reader.objective(rows, 0.0, 1.0)
    residual = np.abs(rows.sample_weight[:, None] * objective.residual(theta))
    return residual.T @ np.abs(rows.design)


class SummedObjective:
    """The objective of a head whose rows lie in partitions, as `refit_head` takes it.

    Parameters
    ----------
    partitioned : Partitioned
        The rows.
    reader : RowReader
        Reads them.
    damping : float
        Of the head.
    n_features : int
        Of each row that enters the head, its column of ones included.
    support : list of ndarray of bool, default=None
        Rows of each partition that count; None means all.
    """

    # Sums come with a dense Hessian at no further cost.
    hessian_flops = 0.0

    def __init__(
        self,
        partitioned: Partitioned,
        reader: RowReader,
        damping: float,
        n_features: int,
        support: list[Mask] | None = None,
    ) -> None:
        self._partitioned, self._reader, self.damping = partitioned, reader, damping
        self.shape = (reader.n_outputs, n_features)
        self.n_params = reader.n_outputs * n_features
        self._support = [] if support is None else [EachOwn(packed(support))]
        self._theta: Floats | None = None
        self._sums: _HeadSums | None = None

    def _at(self, theta: Floats) -> _HeadSums:
        if self._sums is None or self._theta is None or not np.array_equal(theta, self._theta):
            self._theta = theta.copy()
            args = (self._reader, theta, *self._support)
            self._sums = self._partitioned.total(_head_sums, *args)
        return self._sums

    def weight_sum(self, theta: Floats) -> float:
        """Return N, the weight of the rows that count."""
        return self._at(theta).weight

    def value_and_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """Return the objective and its gradient, from one pass."""
        sums = self._at(theta)
        value = sums.value / sums.weight + self.damping / 2 * float(np.sum(theta**2))
        return value, sums.gradient / sums.weight + self.damping * theta

    def gradient(self, theta: Floats) -> Floats:
        """Return the gradient, from the same pass."""
        return self.value_and_gradient(theta)[1]

    def hessian(self, theta: Floats) -> Floats:
        """Return the Hessian with the damping, from the same pass."""
        sums = self._at(theta)
        return sums.hessian / sums.weight + self.damping * np.eye(self.n_params)

    def gradient_scale(self, theta: Floats) -> float:
        """Return the size of the gradient's terms, from a pass of its own."""
        args = (self._reader, theta, *self._support)
        scale = self._partitioned.total(_gradient_scale, *args) / self.weight_sum(theta)
        return float(np.linalg.norm(scale + np.abs(self.damping * theta)))
