"""Coordinates of rows whose sum is not to be zero: what is dropped must make up for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

Floats = NDArray[np.floating[Any]]


class AimedRows(LinearOperator):
    r"""The operator of rows :math:`z_i - \frac 1m \sum_j z_j`, of shape (n_samples, n_columns).

    With any m rows dropped, their sum is :math:`Z^T w - Z^T 1`: less than nothing of what is kept.
    So a selection of m rows that makes it small makes the sum of the *kept* rows small, whatever
    all rows sum to.

    Parameters
    ----------
    Z : ndarray or LinearOperator of shape (n_samples, n_columns)
        The rows. An operator must also have ``rows(indices)``, ``row_norms()`` and
        ``take(indices)``.
    n_drop : int
        m, at least 1.
    """

    def __init__(self, Z: Any, n_drop: int) -> None:
        total = np.asarray(Z.T @ np.ones(Z.shape[0]), dtype=np.float64)
        self._set(Z, total / n_drop, None)

    def _set(self, Z: Any, shift: NDArray[np.float64], norms: NDArray[np.float64] | None) -> None:
        super().__init__(np.float64, Z.shape)
        self._Z, self._shift = Z, shift
        self._norms = self._shifted_norms() if norms is None else norms

    def _shifted_norms(self) -> NDArray[np.float64]:
        stored = isinstance(self._Z, np.ndarray)
        norms = np.linalg.norm(self._Z, axis=1) if stored else self._Z.row_norms()
        crossed = np.asarray(self._Z @ self._shift, dtype=np.float64)
        squared = norms.astype(np.float64) ** 2 - 2 * crossed + self._shift @ self._shift
        return np.sqrt(np.maximum(squared, 0.0))

    def rows(self, indices: Any) -> Floats:
        """Return the rows at `indices`, float32 of shape (len(indices), n_columns)."""
        stored = isinstance(self._Z, np.ndarray)
        rows = self._Z[indices] if stored else self._Z.rows(indices)
        return np.asarray(rows - self._shift.astype(np.float32), dtype=np.float32)

    def row_norms(self) -> NDArray[np.float64]:
        """Return the norm of every row, of shape (n_samples,)."""
        return self._norms

    def products(self, indices: Any, v: Floats) -> tuple[Floats, Floats]:
        """Return the Gram matrix of the rows at `indices`, and their products with v."""
        if not hasattr(self._Z, "products"):
            rows = self.rows(indices)
            return rows @ rows.T, rows @ v.astype(rows.dtype)
        gram, scores = self._Z.products(indices, v)
        _, crossed = self._Z.products(indices, self._shift)
        gram = gram - crossed[:, None] - crossed[None, :] + np.float32(self._shift @ self._shift)
        return gram, scores - float(self._shift @ v)

    def take(self, indices: Any) -> AimedRows:
        """Return the operator of the rows at `indices` alone; the shift stays that of all."""
        stored = isinstance(self._Z, np.ndarray)
        part = object.__new__(AimedRows)
        part._set(
            self._Z[indices] if stored else self._Z.take(indices),
            self._shift,
            self._norms[indices],
        )
        return part

    def _matvec(self, v: Floats) -> Floats:
        v = np.ravel(v)
        return np.asarray(self._Z @ v, dtype=np.float64) - float(self._shift @ v)

    def _matmat(self, V: Floats) -> Floats:
        return np.asarray(self._Z @ V, dtype=np.float64) - self._shift @ V

    def _rmatvec(self, w: Floats) -> Floats:
        w = np.ravel(w).astype(np.float64)
        return np.asarray(self._Z.T @ w, dtype=np.float64) - w.sum() * self._shift


def aimed(Z: Any, n_drop: int | None, *, is_centred: bool) -> Any:
    """Return Z where all of its rows sum to zero, else what makes those kept sum to zero."""
    return Z if is_centred or not n_drop else AimedRows(Z, n_drop)
