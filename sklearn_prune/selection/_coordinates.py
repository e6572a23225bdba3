"""Uniform access to the rows of Z, whether they are stored or computed on demand."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Booleans = NDArray[np.bool_]

# Sums over rows are taken in blocks of about this many numbers, so that a float32 Z is
# summed in float64 without a float64 copy of it.
_BLOCK_SIZE = 4_000_000
# An operator of no more numbers than this (8 MB) is tabulated: on small problems the overhead of
# its products would be most of the work.
_TABLE_SIZE = 1_000_000


class Coordinates:
    """The rows of ``Z / scale``, where ``scale`` is the median norm of the non-zero rows.

    HiGHS works to absolute tolerances near 1e-6 and influences can be 1e-9, so every
    computation of this package is done in units of a typical row; :attr:`scale` turns a
    result back into the caller's units.

    Parameters
    ----------
    Z : ndarray or LinearOperator of shape (n_samples, n_coordinates)
        An operator must also have ``rows(indices)``, ``row_norms()`` and
        ``take(indices)`` (the operator of those rows alone). It is turned into an array only
        where that has at most a million numbers.
    scale : float, default=None
        Length of one unit; None computes it from the rows.
    """

    def __init__(self, Z: Any, *, scale: float | None = None) -> None:
        if isinstance(Z, LinearOperator) and np.prod(Z.shape) <= _TABLE_SIZE:
            Z = Z @ np.eye(Z.shape[1])
        self._is_operator = isinstance(Z, LinearOperator)
        self._Z: Any = Z if self._is_operator else _as_finite_matrix(Z)
        self.n_samples, self.n_coordinates = self._Z.shape
        norms = self._row_norms()
        if not np.isfinite(norms).all():
            n_bad = int((~np.isfinite(norms)).sum())
            raise ValueError(
                f"Z must be finite; {n_bad} of {self.n_samples} rows hold NaN or infinity. "
                "Remove or impute them."
            )
        positive = norms[norms > 0]
        if scale is None:
            scale = float(np.median(positive)) if positive.size else 1.0
        self.scale = scale
        self.squared_norms: Floats = (norms / scale) ** 2

    def total(self, w: Floats | Booleans) -> Floats:
        """Return ``Zᵀw / scale`` in float64, shape (n_coordinates,)."""
        if self._is_operator or self._Z.dtype == np.float64:
            return self.quick_total(np.asarray(w, dtype=np.float64))
        if w.dtype == bool and 2 * np.count_nonzero(w) > self.n_samples:
            return np.subtract(self._sum_of_rows, self._total_in_blocks(np.logical_not(w)))
        return self._total_in_blocks(w)

    def quick_total(self, w: Floats) -> Floats:
        """Return ``Zᵀw / scale``, summed in the precision of Z."""
        weights = w if self._is_operator else w.astype(self._Z.dtype, copy=False)
        return np.asarray(self._Z.T @ weights, dtype=np.float64) / self.scale

    @cached_property
    def _sum_of_rows(self) -> Floats:
        return self._total_in_blocks(np.ones(self.n_samples, dtype=bool))

    def _total_in_blocks(self, w: Floats | Booleans) -> Floats:
        """Sum a float32 Z in float64, without a float64 copy of it or a look at rows not asked."""
        rows, total = np.flatnonzero(w), np.zeros(self.n_coordinates)
        step = self._block_rows()
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            total += self._Z[block].astype(np.float64).T @ w[block].astype(np.float64)
        return total / self.scale

    def scores(self, v: Floats) -> Floats:
        """Return ``Z v / scale``, one inner product a row, shape (n_samples,)."""
        v = v / self.scale
        if not self._is_operator:
            v = v.astype(self._Z.dtype)
        return np.asarray(self._Z @ v, dtype=np.float64)

    def rows(self, indices: Integers) -> Floats:
        """Return ``Z[indices] / scale``, shape (len(indices), n_coordinates)."""
        rows = self._Z.rows(indices) if self._is_operator else self._Z[indices]
        return np.asarray(rows / self.scale)

    def take(self, indices: Integers) -> Coordinates:
        """Return the coordinates of these rows alone, in the same unit."""
        Z = self._Z.take(indices) if self._is_operator else self._Z[indices]
        part = object.__new__(Coordinates)
        part._is_operator, part._Z, part.scale = self._is_operator, Z, self.scale
        part.n_samples, part.n_coordinates = Z.shape
        part.squared_norms = self.squared_norms[indices]
        return part

    def largest_curvature(self, v: Floats, n_iter: int) -> tuple[float, Floats]:
        """Return the largest eigenvalue of ``ZᵀZ / scale²`` by power iteration from v.

        Also returns the last vector, to start from when rows have been taken away.
        """
        value = 0.0
        for _ in range(n_iter):
            length = float(np.linalg.norm(v))
            if length == 0.0:
                break
            v = self.quick_total(self.scores(v / length))
            value = float(np.linalg.norm(v))
        return max(value, np.finfo(float).tiny), v

    def _block_rows(self) -> int:
        return max(1, _BLOCK_SIZE // max(1, self.n_coordinates))

    def _row_norms(self) -> Floats:
        if self._is_operator:
            return np.asarray(self._Z.row_norms(), dtype=np.float64)
        norms = np.empty(self.n_samples)
        step = self._block_rows()
        for start in range(0, self.n_samples, step):
            block = slice(start, start + step)
            rows = self._Z[block].astype(np.float64, copy=False)
            norms[block] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        return norms


def _as_finite_matrix(Z: Any) -> Floats:
    Z = np.asarray(Z)
    if Z.ndim != 2:
        raise ValueError(
            f"Z must have shape (n_samples, n_coordinates); it has shape {Z.shape}. "
            "Use Z.reshape(-1, 1) for a single coordinate."
        )
    return Z if Z.dtype in (np.float32, np.float64) else Z.astype(np.float64)


def random_change(
    coordinates: Coordinates, labels: Integers, n_dropped: Integers, fixed: Floats
) -> float:
    r"""Return the root mean square of ``‖Zᵀw‖₂ / scale`` over random sets with these counts.

    .. math:: E\|Z^T w\|^2 = \Big\|\sum_g \tfrac{m_g}{n_g} S_g + f\Big\|^2 + \sum_g
              \frac{m_g (n_g - m_g)}{n_g (n_g - 1)} \Big(\sum_{i \in g} \|z_i\|^2
              - \tfrac{1}{n_g} \|S_g\|^2\Big)

    with :math:`S_g` the sum of the rows of stratum g and f the sum of the rows that must go
    (sampling without replacement, Cochran 1977, chapter 5).

    Parameters
    ----------
    coordinates : Coordinates
        Rows of Z.
    labels : ndarray of shape (n_samples,)
        Stratum of each free row; -1 for rows whose fate is fixed.
    n_dropped : ndarray of shape (n_strata,)
        Rows that go, per stratum.
    fixed : ndarray of shape (n_coordinates,)
        Sum of the rows that must go.
    """
    mean = fixed.astype(np.float64).copy()
    spread = 0.0
    for stratum, m in enumerate(n_dropped):
        members = labels == stratum
        n = int(members.sum())
        if n == 0:
            continue
        total = coordinates.total(members)
        mean += m / n * total
        if n > 1:
            scatter = coordinates.squared_norms[members].sum() - total @ total / n
            spread += m * (n - m) / (n * (n - 1)) * max(scatter, 0.0)
    return float(np.sqrt(mean @ mean + spread))
