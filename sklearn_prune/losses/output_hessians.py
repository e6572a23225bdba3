"""Second derivatives of a loss with respect to a head's outputs: one K x K ``C_i`` per sample.

They are diagonal for a loss that is a sum over outputs, and have a formula for the softmax. For
other losses they are stored as matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike

from .._types import Array


class OutputHessians(Protocol):
    """The matrices ``C_i = d2l_i / df_i2`` of n samples, not weighted, not divided by n."""

    rows_sum_to_zero: ClassVar[bool]
    """Whether the rows of each ``C_i`` sum to zero, so that the last follows from the others."""

    def __getitem__(self, rows: slice | Array) -> Self:
        """Return the matrices of some samples."""

    def astype(self, dtype: DTypeLike) -> Self:
        """Return the matrices in another dtype."""

    def entry(self, j: int, k: int) -> Array:
        """Return ``C_jk`` of each sample, of shape (n,)."""

    def product(self, U: Array) -> Array:
        """Return ``C_i u_i`` for U of shape (n, K), in that shape."""

    def weighted_sum(self, weights: Array) -> Array:
        """Return ``sum_i weights_i C_i`` of shape (K, K) for weights of shape (n,)."""


class _SampleArrays:
    """Base of dataclasses whose fields are arrays with one row per sample."""

    def _map(self, function: Callable[[Array], Array]) -> Self:
        return type(self)(*(function(array) for array in vars(self).values()))

    def __getitem__(self, rows: slice | Array) -> Self:
        """Return the matrices of some samples."""
        return self._map(lambda array: array[rows])

    def astype(self, dtype: DTypeLike) -> Self:
        """Return the matrices in another dtype."""
        return self._map(lambda array: array.astype(dtype))


@dataclass(frozen=True)
class DiagonalHessians(_SampleArrays):
    """``C_i = diag(d_i)``.

    Attributes
    ----------
    diagonals : ndarray of shape (n, K)
        Row i is ``d_i``.
    """

    diagonals: Array
    rows_sum_to_zero: ClassVar[bool] = False

    def entry(self, j: int, k: int) -> Array:
        """Return ``C_jk`` of each sample, of shape (n,)."""
        return self.diagonals[:, j] if j == k else np.zeros(len(self.diagonals))

    def product(self, U: Array) -> Array:
        """Return ``d * u`` of shape (n, K)."""
        return self.diagonals * U

    def weighted_sum(self, weights: Array) -> Array:
        """Return ``diag(sum_i weights_i d_i)`` of shape (K, K)."""
        return np.diag(weights @ self.diagonals)


@dataclass(frozen=True)
class SoftmaxHessians(_SampleArrays):
    """``C_i = t_i (diag(m_i) - m_i m_i^T)``; entries off the diagonal are never positive.

    Attributes
    ----------
    means : ndarray of shape (n, K)
        Probabilities ``m_i``, which sum to 1.
    totals : ndarray of shape (n, 1)
        ``t_i``: the sum of each sample's target shares.
    """

    means: Array
    totals: Array
    rows_sum_to_zero: ClassVar[bool] = True

    def entry(self, j: int, k: int) -> Array:
        """Return ``t m_j (1 - m_j)`` or ``-t m_j m_k`` of each sample, of shape (n,)."""
        return self.totals[:, 0] * self.means[:, j] * ((j == k) - self.means[:, k])

    def product(self, U: Array) -> Array:
        """Return ``t m * (u - m.u)`` of shape (n, K)."""
        centred = U - np.einsum("ik,ik->i", self.means, U)[:, None]
        return self.totals * self.means * centred

    def weighted_sum(self, weights: Array) -> Array:
        """Return ``sum_i weights_i C_i`` of shape (K, K)."""
        weighted = weights[:, None] * self.totals * self.means
        return np.diag(weighted.sum(axis=0)) - weighted.T @ self.means


@dataclass(frozen=True)
class DenseHessians(_SampleArrays):
    """Matrices ``C_i`` of any form.

    Attributes
    ----------
    matrices : ndarray of shape (n, K, K)
        Symmetric.
    """

    matrices: Array
    rows_sum_to_zero: ClassVar[bool] = False

    def entry(self, j: int, k: int) -> Array:
        """Return ``C_jk`` of each sample, of shape (n,)."""
        return self.matrices[:, j, k]

    def product(self, U: Array) -> Array:
        """Return ``C_i u_i`` of shape (n, K)."""
        return np.einsum("ijk,ik->ij", self.matrices, U)

    def weighted_sum(self, weights: Array) -> Array:
        """Return ``sum_i weights_i C_i`` of shape (K, K)."""
        return np.einsum("i,ijk->jk", weights, self.matrices)
