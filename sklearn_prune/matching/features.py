"""The features of many rows: centred and scaled, dense or sparse, and stored if rows are few."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, hstack, issparse, vstack

from .._types import Floats, Positions
from ..utils import map_threads
from .feature_maps import CHUNK, FeatureMap, Table

# The features of at most this many rows are stored; for more rows, each pass makes them again.
STORED_ROWS = 50_000


@dataclass(frozen=True, eq=False)
class Features:
    """The matrix ``F = [D, S - 1 oᵀ]`` of shape (n_rows, n_dense + n_sparse), float32.

    Attributes
    ----------
    dense : ndarray of shape (n_rows, n_dense)
        D. Its first column is 1.
    sparse : csr_array of shape (n_rows, n_sparse)
        S.
    offset : ndarray of shape (n_sparse,)
        o.
    """

    dense: Floats
    sparse: csr_array
    offset: Floats

    @property
    def nbytes(self) -> int:
        """Bytes of D and S."""
        sparse = self.sparse
        arrays = (self.dense, sparse.data, sparse.indices, sparse.indptr)
        return sum(array.nbytes for array in arrays)

    def __getitem__(self, rows: Positions) -> Features:
        """Return the features of these rows; those of a slice share the memory of D."""
        n_rows = len(self.dense)
        if isinstance(rows, slice) and rows.indices(n_rows) == (0, n_rows, 1):
            # A slice of a sparse matrix costs as much as a pass over the few rows of a stratum.
            return self
        return Features(self.dense[rows], self.sparse[rows], self.offset)

    def __matmul__(self, V: Floats) -> Floats:
        """Return F V, for V of shape (n_dense + n_sparse, k)."""
        of_dense, of_sparse = np.split(V.astype(np.float32), [self.dense.shape[1]])
        product: Floats = self.dense @ of_dense
        if len(self.offset):
            product += self.sparse @ of_sparse - self.offset @ of_sparse
        return product

    def sums(self, W: Floats) -> Floats:
        """Return Wᵀ F of shape (k, n_dense + n_sparse), for float32 W of shape (n_rows, k)."""
        total: Floats = W.T @ self.dense
        if len(self.offset):
            # In float64, since each sum adds one number after the other.
            W = W.astype(np.float64)
            of_sparse = (self.sparse.T @ W).T - np.outer(W.sum(axis=0), self.offset)
            total = np.hstack([total, of_sparse])
        return total

    def column_squares(self, weight: Floats) -> Floats:
        """Return ``Σ w_i f_ij²`` of each column; the offset must be zero."""
        # In float64, as in `sums`.
        of_sparse = self.sparse.T.power(2) @ weight.astype(np.float64)
        return np.concatenate([weight @ self.dense**2, of_sparse])

    def squared_norms(self) -> Floats:
        """Return the squared norm of each row, of shape (n_rows,)."""
        squares: Floats = np.einsum("ij,ij->i", self.dense, self.dense)
        if len(self.offset):
            squares += (self.sparse**2).sum(axis=1) - 2 * (self.sparse @ self.offset)
            squares += self.offset @ self.offset
        return squares

    def toarray(self) -> Floats:
        """Return F, which is D itself if there are no sparse features."""
        if not len(self.offset):
            return self.dense
        return np.hstack([self.dense, self.sparse.toarray() - self.offset])


class TableFeatures:
    """1 and the features of the rows of a table, stored or made whenever they are read.

    ``features[rows]`` is a `Features`.

    Parameters
    ----------
    table : Table
        The rows.
    maps : sequence of FeatureMap
        The maps whose features are concatenated, the dense ones first.
    n_rows : int
        Number of rows.

    Attributes
    ----------
    columns : list of slice
        Those of 1, and of each map.
    """

    _table: Table | None
    _stored: Features | None

    def __init__(self, table: Table, maps: Sequence[FeatureMap], n_rows: int) -> None:
        self._maps = maps
        one_row = table[slice(0, 1)]
        widths = [feature_map(one_row).shape[1] for feature_map in maps]
        ends = list(itertools.accumulate([1, *widths]))
        self.columns = [slice(0, 1), *itertools.starmap(slice, itertools.pairwise(ends))]
        self._scaling: tuple[Floats, Floats] | None = None
        self._set_rows(table, n_rows)

    def __getitem__(self, rows: Positions) -> Features:
        return self._made(rows) if self._stored is None else self._stored[rows]

    def of(self, table: Table, n_rows: int) -> TableFeatures:
        """Return the features of another table's rows, by the same maps and in the same scale."""
        part = copy.copy(self)
        part._set_rows(table, n_rows)
        return part

    def take(self, rows: Positions) -> TableFeatures:
        """Return the features of these rows, stored."""
        part, stored = copy.copy(self), self[rows]
        part._stored, part._table, part._n_rows = stored, None, len(stored.dense)
        return part

    @property
    def row_bytes(self) -> int:
        """Bytes that the features of a row take when they are stored."""
        return self[slice(0, 1)].nbytes

    def batches(self) -> list[slice]:
        """Return slices of a few thousand rows each that cover all rows."""
        return _batches(self._n_rows)

    def scale(self, mean: Floats, factor: Floats) -> None:
        """Replace each feature f by ``(f - mean) * factor``, once."""
        self._scaling = mean, factor
        if self._stored is not None:
            self._stored = self._scaled(self._stored)

    def _set_rows(self, table: Table, n_rows: int) -> None:
        self._table, self._stored, self._n_rows = table, None, n_rows
        if n_rows <= STORED_ROWS:
            # The rows themselves are no longer needed, nor pickled.
            self._stored, self._table = self._made(np.arange(n_rows)), None

    def _made(self, rows: Positions) -> Features:
        if isinstance(rows, slice) or len(rows) <= CHUNK:
            return self._scaled(self._raw(rows))
        dense = np.empty((len(rows), self._raw(rows[:1]).dense.shape[1]), dtype=np.float32)

        def fill(batch: slice) -> csr_array:
            made = self._raw(rows[batch])
            dense[batch] = made.dense
            return made.sparse

        sparse = vstack(map_threads(fill, _batches(len(rows))), format="csr")
        return self._scaled(Features(dense, sparse, np.zeros(sparse.shape[1], dtype=np.float32)))

    def _raw(self, rows: Positions) -> Features:
        # `take` stores features and leaves no table.
        assert self._table is not None
        table_rows = self._table[rows]
        n_rows = len(table_rows)
        made = [feature_map(table_rows) for feature_map in self._maps]
        dense = [np.ones((n_rows, 1), dtype=np.float32), *(m for m in made if not issparse(m))]
        sparse = [csr_array((n_rows, 0), dtype=np.float32), *filter(issparse, made)]
        joined = hstack(sparse, format="csr")
        return Features(np.hstack(dense), joined, np.zeros(joined.shape[1], dtype=np.float32))

    def _scaled(self, features: Features) -> Features:
        """Return scaled features, in the memory of those given."""
        if self._scaling is None:
            return features
        dense, sparse = features.dense, features.sparse
        mean, factor = self._scaling
        n_dense = dense.shape[1]

        def scale(batch: slice) -> None:
            dense[batch] -= mean[:n_dense]
            dense[batch] *= factor[:n_dense]

        map_threads(scale, _batches(len(dense)))
        sparse.data *= factor[n_dense:][sparse.indices]
        return Features(dense, sparse, (mean * factor)[n_dense:])


def _batches(n_rows: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, n_rows, CHUNK)]
