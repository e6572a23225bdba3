"""Uniform access to the rows of Z, whether they are stored or computed on demand."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
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
# Random sets that an expectation is taken over which has no closed form.
_MAX_DRAWS = 2000
# Squares between these are neither rounded off nor overflown; beyond, rows are scaled first.
_SQUARES = (1e-280, 1e300)
# The same for a factor whose square float32 must hold.
_FLOAT32_ROOM = 1e15


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
        What is added to the sum of the dropped rows in :meth:`residual`: minus the wanted sum.
        Zero in Z, and in each B unless :meth:`aimed_at` set it.
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
        weighted = [w * b.norms for w, b in zip(weights, blocks, strict=True)]
        norms = _norms(np.column_stack(weighted))
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

    def aimed_at(self, kept_share: Floats) -> Coordinates:
        """Return the coordinates whose residual in each B is measured from a draw's mean.

        Parameters
        ----------
        kept_share : ndarray of shape (n_samples,)
            Probability with which the draw keeps each row.
        """
        part = object.__new__(Coordinates)
        dropped_share = 1.0 - kept_share
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

    def lengths(self, drop: Booleans) -> list[float]:
        """Return the length of the sum of these rows, less its target, in Z and in each B.

        In the caller's units.

        Unlike :meth:`total` it adds these rows and no others: what the others sum to may be so
        large that the difference is nothing but its rounding.
        """
        parts = zip(self._blocks, self._targets, strict=True)
        return [float(_norms((block.product(drop) - target)[None])[0]) for block, target in parts]

    def rounding(self, drop: Booleans) -> float:
        """Return what float64 cannot tell from zero in the sum of these rows, in units."""
        lengths = np.sqrt(self.squared_norms[drop])
        return float(np.finfo(np.float64).eps * lengths.sum())

    def weighted(self, ratios: Sequence[float]) -> Coordinates:
        """Return the same blocks with other ratios."""
        part = object.__new__(Coordinates)
        part._set(self._blocks, [1.0, *ratios], None, self._targets)
        return part

    def with_less_balance(self, share: float) -> Coordinates:
        """Return the same blocks with so much of each B's ratio."""
        return self if share == 1 else self.weighted([share * w for w in self._weights[1:]])

    @property
    def sizes(self) -> list[float]:
        """The root of the summed squares of each block, in the caller's units."""
        return [float(_norms(block.norms[None])[0]) for block in self._blocks]

    def combined(self, lengths: Sequence[float]) -> float:
        """Return the length in all blocks together, of those in Z and each B."""
        return float(np.linalg.norm(np.multiply(self._weights, lengths)))

    def residual(self, drop: Booleans) -> Floats:
        """Return what is left of the sum: ``offset + total(drop)``."""
        return self.offset + self.total(drop)

    def total(self, w: Floats | Booleans) -> Floats:
        """Return ``[Z, ρ B]ᵀ w / scale`` in float64, shape (n_coordinates,), or of several w."""
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
            block_gram, block_scores = block.products(indices, part, factor)
            gram = gram + block_gram
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
            return self._sum_of_rows - self.product(np.logical_not(w))
        return self.product(w)

    @cached_property
    def _sum_of_rows(self) -> Floats:
        return self.product(np.ones(self.shape[0], dtype=bool))

    def product(self, w: Floats | Booleans) -> Floats:
        """Return ``Zᵀw``, a sum over the rows of w; of a float32 Z without a float64 copy of it.

        Of several w, one a column, it is a column for each.
        """
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

    def rows(self, indices: Integers) -> Floats:
        """Return ``Z[indices]``."""
        return np.asarray(self._Z.rows(indices) if self._is_operator else self._Z[indices])

    def products(self, indices: Integers, v: Floats, factor: float) -> tuple[Floats, Floats]:
        """Return the Gram matrix of ``factor * Z[indices]``, and ``factor * Z[indices] v``."""
        is_moderate = 1 / _FLOAT32_ROOM < factor < _FLOAT32_ROOM
        if is_moderate and hasattr(self._Z, "products"):
            gram, scores = self._Z.products(indices, factor * v)
            return np.float32(factor**2) * gram, scores
        rows = self.rows(indices) * (factor if is_moderate else np.float64(factor))
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
            norms[block] = _norms(self._Z[block].astype(np.float64, copy=False))
        return norms


def _norms(rows: Floats) -> Floats:
    """Return the norm of each row; of rows whose squares leave float64's range, scaled ones'."""
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
    for stratum, total in _stratum_totals(coordinates, labels):
        members, m = labels == stratum, n_dropped[stratum]
        n = int(members.sum())
        mean += m / n * total
        if n > 1:
            scatter = coordinates.squared_norms[members].sum() - total @ total / n
            spread += m * (n - m) / (n * (n - 1)) * max(scatter, 0.0)
    return float(np.sqrt(mean @ mean + spread))


def _stratum_totals(coordinates: Coordinates, labels: Integers) -> Iterator[tuple[int, Floats]]:
    """Yield each stratum and the sum of its rows, some at a time in one pass over all rows."""
    strata = np.unique(labels[labels >= 0])
    n_at_once = max(1, _BLOCK_SIZE // max(1, len(labels)))
    for start in range(0, len(strata), n_at_once):
        some = strata[start : start + n_at_once]
        totals = coordinates.total((labels[:, None] == some).astype(np.float64))
        yield from zip(some.tolist(), totals.T, strict=True)


def drawn_size_factors(
    coordinates: Coordinates,
    labels: Integers,
    n_dropped: Integers,
    must_drop: Booleans,
    weights: Floats,
) -> tuple[float, ...]:
    r"""Return how much the size factor adds to the lengths of random sets, for each block.

    .. math:: \sqrt{E[f^2 \|Z^T w\|^2] \,/\, E\|Z^T w\|^2}, \qquad f = N / (N - ν^T w)

    over drawn sets with these counts that leave some weight. Of large coordinates the draws look
    at the weights alone, and the expectation is split: where many rows go, f hardly varies.

    Parameters
    ----------
    coordinates, labels, n_dropped
        As in :func:`random_change`.
    must_drop : ndarray of bool of shape (n_samples,)
        Rows that go in any case.
    weights : ndarray of shape (n_samples,)
        ν.
    """
    n, n_blocks = coordinates.n_samples, coordinates.n_blocks
    is_small = n * coordinates.n_coordinates <= _TABLE_SIZE
    parts = [coordinates.block(b) for b in range(n_blocks)] if is_small else []
    tables = [part.rows(np.arange(n)) for part in parts]
    kept: list[Floats] = []
    squares: list[list[Floats]] = [[] for _ in range(n_blocks)]
    for drop in _drawn_sets(labels, n_dropped, must_drop):
        left = (~drop) @ weights
        kept.append(left[left > 0])
        for block, lengths in enumerate(squares):
            totals = drop[left > 0] @ tables[block] if tables else np.ones((len(kept[-1]), 1))
            lengths.append(_norms(totals) ** 2)
    factors = (weights.sum() / np.concatenate(kept)) ** 2
    means = [np.concatenate(lengths) for lengths in squares]
    return tuple(
        float(np.sqrt((factors * mean).sum() / mean.sum())) if mean.any() else 1.0 for mean in means
    )


def _drawn_sets(
    labels: Integers, n_dropped: Integers, must_drop: Booleans
) -> Iterator[NDArray[np.bool_]]:
    """Yield random sets with these counts, some hundred of them at a time, one a row."""
    rng, free = np.random.default_rng(0), np.flatnonzero(labels >= 0)
    strata, sizes = np.sort(labels[free]), np.bincount(labels[free], minlength=len(n_dropped))
    rank = np.arange(len(free)) - (np.cumsum(sizes) - sizes)[strata]
    goes = rank < n_dropped[strata]
    n_at_once = max(1, min(_MAX_DRAWS, _BLOCK_SIZE // (10 * len(labels))))
    for _ in range(max(1, min(_MAX_DRAWS // n_at_once, 10))):
        keys = labels[free] + rng.random((n_at_once, len(free)))
        drop = np.repeat(must_drop[None], n_at_once, axis=0)
        np.put_along_axis(drop, free[np.argsort(keys, axis=1)[:, goes]], True, axis=1)
        yield drop
