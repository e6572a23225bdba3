"""Uniform access to the rows of Z, whether they are stored or computed on demand."""

from __future__ import annotations

import copy
from collections.abc import Sequence
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
    r"""The rows of ``[Z, ρ_1 B_1, ...] / scale``.

    ``scale`` is the median norm of the rows that are not zero.

    HiGHS works to absolute tolerances near 1e-6 and influences can be 1e-9, so every
    computation of this package is done in units of a typical row; :attr:`scale` turns a
    result back into the caller's units.

    Parameters
    ----------
    Z : ndarray or LinearOperator of shape (n_samples, n_coordinates)
        An operator must also have ``rows(indices)``, ``row_norms()`` and
        ``take(indices)`` (the operator of those rows alone). One that has
        ``products(indices, v)``, the Gram matrix of some rows and their products with v, is spared
        making the rows for it. An operator is turned into an array only where that has at most a
        million numbers.
    balance : sequence of ndarray or LinearOperator of shape (n_samples, n_more)
        Further coordinates ``B_b`` that are balanced beside Z.
    ratios : sequence of float
        ``ρ_b``, one for each.
    scale : float, default=None
        Length of one unit; None computes it from the rows.

    Attributes
    ----------
    n_samples, n_coordinates : int
        Rows, and columns of all blocks.
    squared_norms : ndarray of shape (n_samples,)
        Of the rows, in units.
    offset : ndarray of shape (n_coordinates,)
        What is added to the sum of the dropped rows in :meth:`residual`: less what that sum is to
        be in each B, which is 0 but for :meth:`aimed_at`.
    """

    def __init__(
        self,
        Z: Any,
        balance: Sequence[Any] = (),
        *,
        ratios: Sequence[float] = (),
        scale: float | None = None,
    ) -> None:
        blocks = [_Block(Z, "Z"), *(_Block(B, "balance") for B in balance)]
        self._set(blocks, [1.0, *ratios], scale, [np.zeros(block.shape[1]) for block in blocks])

    def _set(
        self,
        blocks: list[_Block],
        weights: list[float],
        scale: float | None,
        targets: list[Floats],
    ) -> None:
        self._blocks, self._weights, self._targets = blocks, weights, targets
        self.n_samples = blocks[0].shape[0]
        other = {block.shape[0] for block in blocks} - {self.n_samples}
        if other:
            raise ValueError(
                f"balance must have a row for each of the {self.n_samples} rows of Z; it has "
                f"{other.pop()}. Give both for the same rows."
            )
        self._bounds = np.cumsum([block.shape[1] for block in blocks])
        self.n_coordinates = int(self._bounds[-1])
        squares = sum(w**2 * b.norms**2 for w, b in zip(weights, blocks, strict=True))
        norms: Floats = np.sqrt(squares)
        positive = norms[norms > 0]
        if scale is None:
            scale = float(np.median(positive)) if positive.size else 1.0
        self.scale = scale
        self.squared_norms: Floats = (norms / scale) ** 2
        self.offset: Floats = -self._joined(targets)

    @property
    def n_blocks(self) -> int:
        """Z and how many B's."""
        return len(self._blocks)

    def block(self, position: int) -> Coordinates:
        """Return the coordinates of Z (0) or of a B (1, ...) alone, in the same unit.

        Without its ρ, and without a target.
        """
        block = self._blocks[position]
        part = object.__new__(Coordinates)
        part._set([block], [1.0], self.scale, [np.zeros(block.shape[1])])
        return part

    def aimed_at(self, dropped_share: Floats) -> Coordinates:
        """Return the coordinates whose residual is zero in each B where a draw has its mean.

        Parameters
        ----------
        dropped_share : ndarray of shape (n_samples,)
            Probability with which the draw drops each row.
        """
        part = object.__new__(Coordinates)
        targets = [self._targets[0], *(block.total(dropped_share) for block in self._blocks[1:])]
        part._set(self._blocks, self._weights, self.scale, targets)
        return part

    def replaced(self, Z: Any) -> Coordinates:
        """Return the coordinates with another Z, and the same B's and ratios."""
        part = object.__new__(Coordinates)
        block = _Block(Z, "Z")
        targets = [np.zeros(block.shape[1]), *self._targets[1:]]
        part._set([block, *self._blocks[1:]], self._weights, None, targets)
        return part

    def lengths(self, total: Floats) -> list[float]:
        """Return the length of a sum of rows in Z and in each B, in the caller's units."""
        parts = np.split(total, self._bounds[:-1])
        lengths = (float(np.linalg.norm(part)) * self.scale for part in parts)
        return [length / weight for length, weight in zip(lengths, self._weights, strict=True)]

    def weighted(self, ratios: Sequence[float]) -> Coordinates:
        """Return the same blocks with other ratios."""
        part = object.__new__(Coordinates)
        part._set(self._blocks, [1.0, *ratios], None, self._targets)
        return part

    def with_less_balance(self, share: float) -> Coordinates:
        """Return the same blocks with so much of each B's ratio."""
        return self if share == 1 else self.weighted([share * w for w in self._weights[1:]])

    @property
    def tilts(self) -> list[float]:
        """The length of what the dropped rows are to sum to in Z and each B, in their units."""
        return [float(np.linalg.norm(target)) for target in self._targets]

    @property
    def sizes(self) -> list[float]:
        """The root of the summed squares of each block, in the caller's units."""
        return [float(np.linalg.norm(block.norms)) for block in self._blocks]

    def combined(self, lengths: Sequence[float]) -> float:
        """Return the length in all blocks together, of those in Z and each B."""
        return float(np.linalg.norm(np.multiply(self._weights, lengths)))

    def residual(self, drop: Booleans) -> Floats:
        """Return what is left of the sum: ``offset + total(drop)``."""
        return self.offset + self.total(drop)

    def total(self, w: Floats | Booleans) -> Floats:
        """Return ``[Z, ρ B]ᵀ w / scale`` in float64, shape (n_coordinates,)."""
        return self._joined([block.total(w) for block in self._blocks])

    def _joined(self, parts: list[Floats]) -> Floats:
        weighted = zip(self._weights, parts, strict=True)
        return np.concatenate([weight * part for weight, part in weighted]) / self.scale

    def _split(self, v: Floats) -> list[tuple[_Block, float, Floats]]:
        parts = np.split(v, self._bounds[:-1])
        factors = (weight / self.scale for weight in self._weights)
        return list(zip(self._blocks, factors, parts, strict=True))

    def scores(self, v: Floats) -> Floats:
        """Return ``[Z, ρ B] v / scale``, one inner product a row, shape (n_samples,)."""
        total: Floats = np.zeros(self.n_samples)
        for block, factor, part in self._split(v):
            total += block.scores(factor * part)
        return total

    def rows(self, indices: Integers) -> Floats:
        """Return these rows of ``[Z, ρ B] / scale``, shape (len(indices), n_coordinates)."""
        parts = [
            (weight / self.scale) * block.rows(indices)
            for weight, block in zip(self._weights, self._blocks, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    def products(self, indices: Integers, v: Floats) -> tuple[Floats, Floats]:
        """Return the Gram matrix of these rows, and their inner products with v."""
        gram: Floats = np.zeros((len(indices), len(indices)), dtype=np.float32)
        scores: Floats = np.zeros(len(indices))
        for block, factor, part in self._split(v):
            block_gram, block_scores = block.products(indices, factor * part)
            gram = gram + np.float32(factor**2) * block_gram
            scores += block_scores
        return gram, scores

    def take(self, indices: Integers) -> Coordinates:
        """Return the coordinates of these rows alone, in the same unit."""
        part = copy.copy(self)
        part._blocks = [block.take(indices) for block in self._blocks]
        part.n_samples = len(indices)
        part.squared_norms = self.squared_norms[indices]
        return part


class _Block:
    """A matrix, stored or computed on demand, in the caller's units."""

    def __init__(self, Z: Any, name: str) -> None:
        if isinstance(Z, LinearOperator) and np.prod(Z.shape) <= _TABLE_SIZE:
            Z = Z @ np.eye(Z.shape[1])
        self._is_operator = isinstance(Z, LinearOperator)
        self._Z: Any = Z if self._is_operator else _as_finite_matrix(Z, name)
        self.shape: tuple[int, int] = self._Z.shape
        self.norms = self._row_norms()
        n_bad = int((~np.isfinite(self.norms)).sum())
        if n_bad:
            raise ValueError(
                f"{name} must be finite; {n_bad} of {self.shape[0]} rows hold NaN or infinity. "
                "Remove or impute them."
            )

    def total(self, w: Floats | Booleans) -> Floats:
        """Return ``Zᵀw`` in float64.

        Of most of the rows it is the sum of all, which is kept, less that of the others.
        """
        if w.dtype == bool and 2 * np.count_nonzero(w) > self.shape[0]:
            return self._sum_of_rows - self._product(np.logical_not(w))
        return self._product(w)

    @cached_property
    def _sum_of_rows(self) -> Floats:
        return self._product(np.ones(self.shape[0], dtype=bool))

    def _product(self, w: Floats | Booleans) -> Floats:
        """Return ``Zᵀw``; of a float32 Z without a float64 copy of it."""
        if self._is_operator or self._Z.dtype == np.float64:
            return np.asarray(self._Z.T @ np.asarray(w, dtype=np.float64), dtype=np.float64)
        rows, total = np.flatnonzero(w), np.zeros(self.shape[1])
        step = self._block_rows()
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            total += self._Z[block].astype(np.float64).T @ w[block].astype(np.float64)
        return total

    def scores(self, v: Floats) -> Floats:
        """Return ``Z v``."""
        return np.asarray(self._Z @ (v if self._is_operator else v.astype(self._Z.dtype)))

    def rows(self, indices: Integers) -> Floats:
        """Return ``Z[indices]``."""
        return np.asarray(self._Z.rows(indices) if self._is_operator else self._Z[indices])

    def products(self, indices: Integers, v: Floats) -> tuple[Floats, Floats]:
        """Return ``Z[indices] Z[indices]ᵀ`` and ``Z[indices] v``."""
        if hasattr(self._Z, "products"):
            gram, scores = self._Z.products(indices, v)
            return gram, scores
        rows = self.rows(indices)
        return rows @ rows.T, rows @ v.astype(rows.dtype)

    def take(self, indices: Integers) -> _Block:
        """Return the rows at ``indices`` alone."""
        part = object.__new__(_Block)
        part._is_operator = self._is_operator
        part._Z = self._Z.take(indices) if self._is_operator else self._Z[indices]
        part.shape, part.norms = part._Z.shape, self.norms[indices]
        return part

    def _block_rows(self) -> int:
        return max(1, _BLOCK_SIZE // max(1, self.shape[1]))

    def _row_norms(self) -> Floats:
        if self._is_operator:
            return np.asarray(self._Z.row_norms(), dtype=np.float64)
        norms = np.empty(self.shape[0])
        step = self._block_rows()
        for start in range(0, self.shape[0], step):
            block = slice(start, start + step)
            rows = self._Z[block].astype(np.float64, copy=False)
            norms[block] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        return norms


def _as_finite_matrix(Z: Any, name: str) -> Floats:
    Z = np.asarray(Z)
    if Z.ndim != 2:
        raise ValueError(
            f"{name} must have shape (n_samples, n_coordinates); it has shape {Z.shape}. "
            f"Use {name}.reshape(-1, 1) for a single coordinate."
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
