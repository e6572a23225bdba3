"""The array types of this room, and row matrices that may be arrays or operators."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Booleans",
    "Floats",
    "Integers",
    "Positions",
    "RowMatrix",
    "RowOperator",
    "Rows",
    "Targets",
    "norms_of",
    "part_of",
    "rows_of",
]

Floats: TypeAlias = NDArray[np.floating]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]
# Positions of rows, or a slice of them.
Positions: TypeAlias = slice | Integers
# Class codes, or numbers, of shape (n_samples,) or (n_samples, n_outputs).
Targets: TypeAlias = NDArray[Any]
# Checked rows in the container that a network takes: an array, a sparse matrix, a dict or a
# dataset.
Rows: TypeAlias = Any


class RowOperator(Protocol):
    """A linear operator whose rows can be read a few at a time."""

    shape: tuple[int, int]

    @property
    def T(self) -> Any:
        """The transpose."""

    def __matmul__(self, V: Floats) -> Floats:
        """Return the product with V of shape (n_columns,) or (n_columns, k)."""

    def rows(self, indices: Integers) -> Floats:
        """Return the rows at `indices`, float32 of shape (len(indices), n_columns)."""

    def row_norms(self) -> Floats:
        """Return the norm of every row, of shape (n_samples,)."""

    def take(self, indices: Integers) -> RowOperator:
        """Return the operator of the rows at `indices` alone."""


RowMatrix: TypeAlias = Floats | RowOperator


def rows_of(Z: RowMatrix, indices: Integers) -> Floats:
    """Return the rows at `indices` as an array."""
    return Z[indices] if isinstance(Z, np.ndarray) else Z.rows(indices)


def part_of(Z: RowMatrix, indices: Integers) -> RowMatrix:
    """Return the matrix of the rows at `indices` alone, an operator where Z is one."""
    return Z[indices] if isinstance(Z, np.ndarray) else Z.take(indices)


def norms_of(Z: RowMatrix) -> Floats:
    """Return the norm of every row, of shape (n_samples,)."""
    return np.linalg.norm(Z, axis=1) if isinstance(Z, np.ndarray) else Z.row_norms()
