"""The rows that a selection matches, as an array or as an operator."""

from __future__ import annotations

from typing import Protocol, Self, TypeAlias

import numpy as np

from .._types import Floats, Integers, Positions


class RowCoordinates(Protocol):
    """The operator Z of shape (n_samples, n_columns): row i is what dropping row i contributes.

    A `scipy.sparse.linalg.LinearOperator` that also gives some of its rows.
    """

    shape: tuple[int, int]
    dtype: np.dtype[np.float64]

    @property
    def T(self) -> RowCoordinates:
        """The transpose."""

    def __matmul__(self, V: Floats) -> Floats:
        """Return ``Z V``, of shape (n_samples,) or (n_samples, k)."""

    def rows(self, indices: Integers) -> Floats:
        """Return the rows at `indices`, float32 of shape (len(indices), n_columns)."""

    def take(self, indices: Positions) -> Self:
        """Return the operator of the rows at `indices` alone."""

    def row_norms(self) -> Floats:
        """Return ``||z_i||`` of every row, float64 of shape (n_samples,)."""


RowMatrix: TypeAlias = Floats | RowCoordinates


def rows_of(Z: RowMatrix, indices: Integers) -> Floats:
    """Return the rows at `indices` as an array."""
    return Z[indices] if isinstance(Z, np.ndarray) else Z.rows(indices)


def part_of(Z: RowMatrix, indices: Positions) -> RowMatrix:
    """Return the matrix of the rows at `indices` alone, an operator where Z is one."""
    return Z[indices] if isinstance(Z, np.ndarray) else Z.take(indices)


def norms_of(Z: RowMatrix) -> Floats:
    """Return the norm of every row, of shape (n_samples,)."""
    return np.linalg.norm(Z, axis=1) if isinstance(Z, np.ndarray) else Z.row_norms()
