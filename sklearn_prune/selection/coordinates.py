"""The rows of Z in units of a typical row, whether stored or computed on demand."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .._types import Floats, Integers, Mask, Positions

# Rows of numbers: an array, or an operator that computes them on demand (see `Coordinates`).
Matrix: TypeAlias = Floats | LinearOperator

# Numbers in one block of a sum over rows, so that float32 rows are summed in float64 without a
# float64 copy of all of them.
BLOCK_SIZE = 4_000_000
# An operator of at most this many numbers (8 MB) becomes an array: on small problems the overhead
# of its products would dominate.
TABLE_SIZE = 1_000_000
# Rows to search in become one array if they have at most this many numbers (32 MB in float32).
# Beyond, operators with a Gram matrix stay operators, whose products are faster than their rows.
STORED_SIZE = 8_000_000
# Squared norms in this range are exact enough; rows outside are scaled first.
_SQUARES = (1e-280, 1e300)
# A factor between this and its inverse has a square that fits float32.
_FLOAT32_ROOM = 1e15


class Coordinates:
    r"""The rows of ``[Z, ρ_1 B_1, ...] / scale``.

    ``scale`` is the median norm of the rows that are not zero. HiGHS works to absolute tolerances
    near 1e-6 and influences can be 1e-9, so this room computes in units of a typical row; times
    :attr:`scale`, a result is in the caller's units.

    Parameters
    ----------
    Z : ndarray or LinearOperator of shape (n_samples, n_coordinates)
        An operator must also have ``rows(indices)``, ``row_norms()`` and ``take(indices)`` (the
        operator of those rows alone). It may have ``gram()``, which returns the Gram matrix of its
        rows without computing them; ``take`` then takes slices too. An operator of at most a
        million numbers is turned into an array.
    balance : sequence of ndarray or LinearOperator of shape (n_samples, n_more)
        Further coordinates ``B_b``, whose sums are to be small as well.
    ratios : sequence of float
        ``ρ_b``, one for each.
    targets : sequence of ndarray of shape (n_more,), default=None
        Target for the sum of the dropped rows in each B; None means zero. In Z it is always zero.
    scale : float, default=None
        Length of one unit; None computes it from the rows.

    Attributes
    ----------
    n_samples, n_coordinates : int
        Number of rows, and of columns in all blocks.
    squared_norms : ndarray of shape (n_samples,)
        Squared norms of the rows, in units of a typical row.
    offset : ndarray of shape (n_coordinates,)
        Minus the target for the sum of the dropped rows; :meth:`residual` adds it to their sum.
    """

    def __init__(
        self,
        Z: Matrix | _Block,
        balance: Sequence[Matrix | _Block] = (),
        *,
        ratios: Sequence[float] = (),
        targets: Sequence[Floats] | None = None,
        scale: float | None = None,
    ) -> None:
        self._blocks = [_block(Z, "Z"), *(_block(B, "balance") for B in balance)]
        self._weights = [1.0, *ratios]
        self.n_samples = self._blocks[0].shape[0]
        other = {block.shape[0] for block in self._blocks} - {self.n_samples}
        if other:
            raise ValueError(
                f"balance must have one row for each of the {self.n_samples} rows of Z; it has "
                f"{other.pop()}. Give both for the same rows."
            )
        widths = [block.shape[1] for block in self._blocks]
        self._bounds = np.cumsum(widths)
        self.n_coordinates = int(self._bounds[-1])
        weighted = [w * b.norms for w, b in zip(self._weights, self._blocks, strict=True)]
        norms = norms_of(np.column_stack(weighted))
        if scale is None:
            positive = norms[norms > 0]
            scale = float(np.median(positive)) if positive.size else 1.0
        self.scale = scale
        self.squared_norms: Floats = (norms / scale) ** 2
        self._targets: list[Floats] = [np.zeros(width) for width in widths]
        if targets is not None:
            self._targets[1:] = targets
        self.offset: Floats = -self._joined(self._targets)

    @property
    def n_blocks(self) -> int:
        """Number of blocks: Z and the B's."""
        return len(self._blocks)

    @property
    def ratios(self) -> list[float]:
        """``ρ_b`` of each B."""
        return self._weights[1:]

    @property
    def widths(self) -> list[int]:
        """Number of columns of Z and of each B."""
        return [block.shape[1] for block in self._blocks]

    def block(self, position: int) -> Coordinates:
        """Return Z (0) or a B (1, ...) alone, in the same unit, without ρ and target."""
        return Coordinates(self._blocks[position], scale=self.scale)

    def beside(self, balance: Sequence[Matrix], weight: float) -> Coordinates:
        """Return Z with each B scaled to the weight times the root mean square norm of Z's rows."""
        blocks = [_block(B, "balance") for B in balance]
        size, *others = (norms_of(block.norms[None])[0] for block in [self._blocks[0], *blocks])
        ratios = [weight * size / other if min(size, other) > 0 else weight for other in others]
        return Coordinates(self._blocks[0], blocks, ratios=ratios)

    def with_less_balance(self, share: float) -> Coordinates:
        """Return the same blocks with this share of each B's ratio."""
        if share == 1:
            return self
        Z, *balance = self._blocks
        ratios = [share * weight for weight in self._weights[1:]]
        return Coordinates(Z, balance, ratios=ratios, targets=self._targets[1:])

    def aimed_at(self, kept_share: Floats) -> Coordinates:
        """Return the coordinates whose residual in each B is relative to the mean of a draw.

        Parameters
        ----------
        kept_share : ndarray of shape (n_samples,)
            Probability with which the draw keeps each row.
        """
        Z, *balance = self._blocks
        targets = [B.total(1.0 - kept_share) for B in balance]
        ratios = self._weights[1:]
        return Coordinates(Z, balance, ratios=ratios, targets=targets, scale=self.scale)

    def replaced(self, Z: Matrix) -> Coordinates:
        """Return the coordinates with another Z, and the same B's and ratios."""
        ratios, targets = self._weights[1:], self._targets[1:]
        return Coordinates(Z, self._blocks[1:], ratios=ratios, targets=targets)

    def take(self, indices: Positions) -> Coordinates:
        """Return the coordinates of these rows alone, in the same unit."""
        return self._of_rows([block.take(indices) for block in self._blocks], indices)

    def gathered(self, indices: Integers) -> Coordinates:
        """Return the coordinates of these rows alone, for many products.

        Rows are computed now where that is cheaper than again and again. Parts of the result that
        `take` cuts by slices share its memory.
        """
        if len(indices) * self.n_coordinates <= STORED_SIZE:
            return Coordinates(self.rows(indices), scale=1.0)
        return self._of_rows([block.gathered(indices) for block in self._blocks], indices)

    def _of_rows(self, blocks: list[_Block], rows: Positions) -> Coordinates:
        part = copy.copy(self)
        part._blocks, part.squared_norms = blocks, self.squared_norms[rows]
        part.n_samples = len(part.squared_norms)
        return part

    def with_offset(self, offset: Floats) -> Coordinates:
        """Return the same coordinates with another offset."""
        part = copy.copy(self)
        part.offset = offset
        return part

    def lengths(self, drop: Mask) -> list[float]:
        """Return the length of the sum of the rows in ``drop``, less its target, in Z and each B.

        In the caller's units. Unlike :meth:`total` it adds up only these rows: if the sum of the
        others is large, a difference of sums may be nothing but rounding.
        """
        parts = zip(self._blocks, self._targets, strict=True)
        return [float(norms_of((block.product(drop) - target)[None])[0]) for block, target in parts]

    def combined(self, lengths: Sequence[float]) -> float:
        """Return the length in all blocks together from the lengths in each."""
        return float(np.linalg.norm(np.multiply(self._weights, lengths)))

    def rounding(self, drop: Mask) -> float:
        """Return the float64 rounding error in the sum of these rows, in units of a typical row."""
        lengths = np.sqrt(self.squared_norms[drop])
        return float(np.finfo(np.float64).eps * lengths.sum())

    def residual(self, drop: Mask) -> Floats:
        """Return the residual ``offset + total(drop)``, of shape (n_coordinates,)."""
        return self.offset + self.total(drop)

    def total(self, w: Floats | Mask) -> Floats:
        """Return ``[Z, ρ B]ᵀ w / scale`` in float64, shape (n_coordinates,); w may have columns."""
        return self._joined([block.total(w) for block in self._blocks])

    def _joined(self, parts: list[Floats]) -> Floats:
        weighted = zip(self._weights, parts, strict=True)
        return np.concatenate([weight * part for weight, part in weighted]) / self.scale

    def _split(self, v: Floats) -> list[tuple[_Block, float, Floats]]:
        parts = np.split(v, self._bounds[:-1])
        factors = (weight / self.scale for weight in self._weights)
        return list(zip(self._blocks, factors, parts, strict=True))

    def scores(self, v: Floats) -> Floats:
        """Return ``[Z, ρ B] v / scale``, one inner product per row, shape (n_samples,)."""
        total: Floats = np.zeros(self.n_samples)
        for block, factor, part in self._split(v):
            total += block.scores(factor * part)
        return total

    def rows(self, indices: Integers) -> Floats:
        """Return these rows of ``[Z, ρ B] / scale``, shape (len(indices), n_coordinates)."""
        parts = [
            block.rows(indices, weight / self.scale)
            for weight, block in zip(self._weights, self._blocks, strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
        joined: Floats = np.empty((len(indices), self.n_coordinates), np.result_type(*parts))
        start = 0
        while parts:
            # Each part's memory goes as soon as it is copied, for all parts are large.
            part = parts.pop(0)
            joined[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return joined

    def gram(self) -> Floats:
        """Return the Gram matrix of all rows, shape (n_samples, n_samples); they should be few."""
        factors = (weight / self.scale for weight in self._weights)
        grams = [b.gram(factor) for b, factor in zip(self._blocks, factors, strict=True)]
        return sum(grams[1:], start=grams[0])


def _block(Z: Matrix | _Block, name: str) -> _Block:
    return Z if isinstance(Z, _Block) else _Block(Z, name)


class _Block:
    """A matrix, stored or computed on demand, in the caller's units."""

    def __init__(self, Z: Matrix, name: str) -> None:
        if isinstance(Z, LinearOperator) and np.prod(Z.shape) <= TABLE_SIZE:
            Z = Z @ np.eye(Z.shape[1])
        self._is_operator = isinstance(Z, LinearOperator)
        self._Z: Any = Z if self._is_operator else _as_matrix(Z, name)
        self.shape: tuple[int, int] = self._Z.shape
        self.norms = self._row_norms()
        n_bad = int((~np.isfinite(self.norms)).sum())
        if n_bad:
            raise ValueError(
                f"{name} must be finite; {n_bad} of {self.shape[0]} rows hold NaN or infinity. "
                "Remove or impute them."
            )

    def total(self, w: Floats | Mask) -> Floats:
        """Return ``Zᵀw`` in float64.

        For a mask of more than half of the rows, it is the cached sum of all rows less that of the
        others.
        """
        if w.dtype == bool and 2 * np.count_nonzero(w) > self.shape[0]:
            return self._sum_of_rows - self.product(np.logical_not(w))
        return self.product(w)

    @cached_property
    def _sum_of_rows(self) -> Floats:
        return self.product(np.ones(self.shape[0], dtype=bool))

    def product(self, w: Floats | Mask) -> Floats:
        """Return ``Zᵀw`` in float64, adding only the rows in w; several w are columns."""
        if self._is_operator or self._Z.dtype == np.float64:
            return np.asarray(self._Z.T @ np.asarray(w, dtype=np.float64), dtype=np.float64)
        rows = np.flatnonzero(w if w.ndim == 1 else w.any(axis=1))
        total = np.zeros((self.shape[1], *w.shape[1:]))
        step = self._block_rows()
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            total += self._Z[block].astype(np.float64).T @ w[block].astype(np.float64)
        return total

    def scores(self, v: Floats) -> Floats:
        """Return ``Z v``."""
        return np.asarray(self._Z @ (v if self._is_operator else v.astype(self._Z.dtype)))

    def rows(self, indices: Integers, factor: float = 1.0) -> Floats:
        """Return ``factor * Z[indices]``."""
        rows = self._Z.rows(indices) if self._is_operator else self._Z[indices]
        if not _is_moderate(factor):
            return np.asarray(rows * np.float64(factor))
        rows *= factor
        return np.asarray(rows)

    def gram(self, factor: float) -> Floats:
        """Return the Gram matrix of ``factor * Z``."""
        if _is_moderate(factor) and hasattr(self._Z, "gram"):
            return np.asarray(np.float32(factor**2) * self._Z.gram())
        rows = self.rows(np.arange(self.shape[0]), factor)
        return np.asarray(rows @ rows.T)

    def take(self, indices: Positions) -> _Block:
        """Return the rows at ``indices`` alone."""
        Z = self._Z.take(indices) if self._is_operator else self._Z[indices]
        return self._of_rows(Z, indices)

    def gathered(self, indices: Integers) -> _Block:
        """Return the rows at ``indices`` alone, computed unless the operator has a Gram matrix."""
        is_cheap = hasattr(self._Z, "gram")
        return self.take(indices) if is_cheap else self._of_rows(self.rows(indices), indices)

    def _of_rows(self, Z: Matrix, rows: Positions) -> _Block:
        part = object.__new__(_Block)
        part._is_operator = isinstance(Z, LinearOperator)
        part._Z, part.shape, part.norms = Z, Z.shape, self.norms[rows]
        return part

    def _block_rows(self) -> int:
        return max(1, BLOCK_SIZE // max(1, self.shape[1]))

    def _row_norms(self) -> Floats:
        if self._is_operator:
            return np.asarray(self._Z.row_norms(), dtype=np.float64)
        norms = np.empty(self.shape[0])
        # Nothing is summed over rows, so small blocks do as well, and take less memory.
        step = max(1, self._block_rows() // 8)
        for start in range(0, self.shape[0], step):
            block = slice(start, start + step)
            norms[block] = norms_of(self._Z[block].astype(np.float64, copy=False))
        return norms


def _is_moderate(factor: float) -> bool:
    """Whether float32 numbers can be multiplied by the factor and squared."""
    return 1 / _FLOAT32_ROOM < factor < _FLOAT32_ROOM


def norms_of(rows: Floats) -> Floats:
    """Return the norm of each row, even if its square overflows or underflows float64."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    in_range = (squares > _SQUARES[0]) & (squares < _SQUARES[1])
    norms: Floats = np.sqrt(squares)
    if not in_range.all():
        others = rows[~in_range]
        largest = np.abs(others).max(axis=1, initial=0.0)
        unit = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
        norms[~in_range] = unit * np.sqrt(((others / unit[:, None]) ** 2).sum(axis=1))
    return norms


def _as_matrix(Z: Matrix, name: str) -> Floats:
    Z = np.asarray(Z)
    if Z.ndim != 2:
        raise ValueError(
            f"{name} must have shape (n_samples, n_coordinates); it has shape {Z.shape}. "
            f"Use {name}.reshape(-1, 1) for a single coordinate."
        )
    return Z if Z.dtype in (np.float32, np.float64) else Z.astype(np.float64)
