"""Rows shifted so that a selection makes the sum of the *kept* rows small."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .._types import Floats, Integers, Positions
from ..influence import RowMatrix, norms_of, part_of, rows_of
from .distribution import DistributionEmbedding


class AimedRows(LinearOperator):
    r"""The operator of rows :math:`z_i - \frac 1m \sum_j z_j`, of shape (n_samples, n_columns).

    If m rows are dropped, their shifted rows sum to :math:`Z^T w - Z^T 1`, which is minus the sum
    of the kept rows. So a selection of m rows that makes this sum small makes the sum of the *kept*
    rows small, even if all rows do not sum to zero.

    Parameters
    ----------
    Z : ndarray or RowCoordinates of shape (n_samples, n_columns)
        The rows.
    n_drop : int
        m, the number of rows to drop, at least 1.
    """

    def __init__(self, Z: RowMatrix, n_drop: int) -> None:
        total = np.asarray(Z.T @ np.ones(Z.shape[0]), dtype=np.float64)
        self._set(Z, total / n_drop, None)

    def _set(self, Z: RowMatrix, shift: Floats, norms: Floats | None) -> None:
        super().__init__(np.float64, Z.shape)
        self._Z, self._shift = Z, shift
        self._norms = self._shifted_norms() if norms is None else norms

    def _shifted_norms(self) -> Floats:
        crossed = np.asarray(self._Z @ self._shift, dtype=np.float64)
        squared = norms_of(self._Z).astype(np.float64) ** 2 - 2 * crossed
        return np.sqrt(np.maximum(squared + self._shift @ self._shift, 0.0))

    def rows(self, indices: Integers) -> Floats:
        """Return the rows at `indices`, float32 of shape (len(indices), n_columns)."""
        shifted = rows_of(self._Z, indices) - self._shift.astype(np.float32)
        return np.asarray(shifted, dtype=np.float32)

    def row_norms(self) -> Floats:
        """Return the norm of every row, of shape (n_samples,)."""
        return self._norms

    def take(self, indices: Positions) -> Self:
        """Return the operator of the rows at `indices` alone; the shift stays that of all rows."""
        part = object.__new__(type(self))
        part._set(part_of(self._Z, indices), self._shift, self._norms[indices])
        return part

    def _matvec(self, v: Floats) -> Floats:
        v = np.ravel(v)
        return np.asarray(self._Z @ v, dtype=np.float64) - float(self._shift @ v)

    def _matmat(self, V: Floats) -> Floats:
        return np.asarray(self._Z @ V, dtype=np.float64) - self._shift @ V

    def _rmatvec(self, w: Floats) -> Floats:
        w = np.ravel(w).astype(np.float64)
        return np.asarray(self._Z.T @ w, dtype=np.float64) - w.sum() * self._shift


class AimedEmbedding(AimedRows):
    """An `AimedRows` of an embedding, whose Gram matrix costs less than its rows."""

    _Z: DistributionEmbedding

    def gram(self) -> Floats:
        """Return the Gram matrix of all rows; they should be few."""
        gram, crossed = self._Z.gram(), self._Z @ self._shift
        gram += np.float32(self._shift @ self._shift)
        gram -= (crossed[:, None] + crossed[None, :]).astype(gram.dtype)
        return gram


def aimed(Z: RowMatrix, n_drop: int | None, *, is_centred: bool) -> RowMatrix:
    """Return Z if all of its rows sum to zero or `n_drop` is 0 or None, else shifted rows."""
    if is_centred or not n_drop:
        return Z
    kind = AimedEmbedding if isinstance(Z, DistributionEmbedding) else AimedRows
    return kind(Z, n_drop)
