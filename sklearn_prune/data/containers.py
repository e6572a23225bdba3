"""Containers of rows: arrays, data frames, dicts of arrays, files and torch datasets."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse
from torch.utils.data import Dataset, IterableDataset, Subset

from .._compat import num_samples, safe_indexing
from .._types import Array, Integers, Rows
from ..utils import own_random_state

# Cells read at a time in a pass over all rows: 8 MB of float64.
CHUNK_CELLS = 2**20


class StoredRows:
    """An array that is read a few rows at a time: a numpy.memmap, or one of h5py or zarr.

    Parameters
    ----------
    array : object with ``shape``, ``dtype`` and rows by position and by slice
        Never turned into an array as a whole.
    dtype : dtype, default=None
        Type that rows are cast to when read; None keeps theirs.
    is_flat : bool, default=False
        Read each row as a vector, whatever its shape.
    """

    def __init__(
        self, array: Rows, dtype: DTypeLike | None = None, *, is_flat: bool = False
    ) -> None:
        self._array = array
        self._is_flat = is_flat
        length, *row_shape = array.shape
        self.shape = (length, math.prod(row_shape)) if is_flat else (length, *row_shape)
        self.dtype = np.dtype(array.dtype if dtype is None else dtype)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: int | slice) -> Array:
        """Return one row or a slice of them, in memory."""
        values = np.array(self._array[rows], dtype=self.dtype)
        is_one = isinstance(rows, Integral)
        return values.reshape(self.shape[1:] if is_one else (len(values), *self.shape[1:]))

    def astype(self, dtype: DTypeLike, copy: bool = False) -> StoredRows:
        """Return the same rows, to be cast when read; reads nothing now."""
        return StoredRows(self._array, dtype, is_flat=self._is_flat)

    def flat(self) -> StoredRows:
        """Return the same rows, each as a vector; reads nothing now."""
        return StoredRows(self._array, self.dtype, is_flat=True)


def is_dict(rows: Rows) -> bool:
    """Whether rows are a dict of arrays; a sparse matrix in DOK format is not."""
    return isinstance(rows, Mapping) and not issparse(rows)


def is_collection(rows: Rows) -> bool:
    """Whether rows are a Dask collection; Dask is not imported for the answer."""
    # Where nobody imported Dask, nobody has made a collection.
    dask = sys.modules.get("dask")
    return dask is not None and bool(dask.is_dask_collection(rows))


def require_memory(owner: str, rows: Rows) -> None:
    """Raise ValueError if rows are a Dask collection, or a mask of one."""
    if is_collection(rows):
        raise ValueError(
            f"{owner} needs all rows in memory, and X is a Dask collection. Give X.compute() and "
            "y.compute(), and fit the pruner on them."
        )


def two_rows_like(collection: Rows) -> Rows:
    """Return two rows of zeros that have the columns of a Dask collection; computes nothing."""
    if not hasattr(collection, "columns"):
        return np.zeros((2, *collection.shape[1:]))
    import pandas as pd

    return pd.DataFrame(0.0, index=range(2), columns=list(collection.columns))


def is_stored(rows: Rows) -> bool:
    """Whether rows are an array on disk, which is read a few rows at a time."""
    if isinstance(rows, np.ndarray):
        return isinstance(rows, np.memmap)
    return (
        isinstance(getattr(rows, "dtype", None), np.dtype)
        and hasattr(rows, "shape")
        and hasattr(rows, "__getitem__")
        and not hasattr(rows, "iloc")
        and not isinstance(rows, np.generic)
        and not issparse(rows)
    )


def flat_rows(rows: Rows) -> Rows:
    """Return checked rows of more than two dimensions, such as images, with a vector for each.

    Rows of two dimensions, dicts and datasets stay as they are.
    """
    if len(getattr(rows, "shape", ())) <= 2:
        return rows
    return rows.flat() if isinstance(rows, StoredRows) else rows.reshape(len(rows), -1)


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of a few rows each that cover an array of this shape."""
    step = max(1, CHUNK_CELLS // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def read_rows(array: Rows, indices: Integers) -> Array:
    """Return the rows at ``indices`` of a stored array, read slice by slice."""
    order = np.argsort(indices, kind="stable")
    ascending = np.asarray(indices)[order]
    rows = np.empty((len(indices), *array.shape[1:]), dtype=array.dtype)
    for piece_rows in pieces(array.shape):
        first, last = np.searchsorted(ascending, [piece_rows.start, piece_rows.stop])
        if first < last:
            inside = ascending[first:last]
            piece = np.asarray(array[int(inside[0]) : int(inside[-1]) + 1])
            rows[order[first:last]] = piece[inside - inside[0]]
    return rows


def n_rows(container: Rows) -> int:
    """Return the number of rows of any container, a dict of arrays included."""
    if not is_dict(container):
        return int(num_samples(container))
    counts = {name: n_rows(value) for name, value in container.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(
            f"a dict of rows needs arrays of the same length; it has {counts or 'none'}. Give one "
            "entry of each array for each row."
        )
    return next(iter(counts.values()))


def take_rows(container: Rows, indices: Integers) -> Rows:
    """Return the rows at ``indices``, in a container of the same type.

    pandas keeps index and column types, polars its schema, SciPy its sparse format. A dict keeps
    its type, a torch dataset becomes a `torch.utils.data.Subset`, an array on disk one in memory.
    None stays None. Any other container without ``__getitem__`` becomes an ndarray.
    """
    if container is None:
        return None
    if is_dict(container):
        kept = {name: take_rows(value, indices) for name, value in container.items()}
        return type(container)(**kept) if isinstance(container, dict) else kept
    if isinstance(container, Dataset):
        return Subset(container, indices.tolist())
    if is_stored(container) and not isinstance(container, np.ndarray):
        return read_rows(container, indices)
    if issparse(container):
        return container.tocsr()[indices].asformat(container.format)
    if not hasattr(container, "__getitem__"):
        # An array is all that such a container can become.
        container = np.asarray(container)
    return safe_indexing(container, indices)


def dataset_targets(dataset: Dataset[Any]) -> Array:
    """Return the targets of a dataset of pairs, of shape (n_samples, ...), in one pass.

    Raises
    ------
    ValueError
        When the dataset has no length, or its items are not pairs of a row and its target.
    """
    check_dataset(dataset)
    targets = []
    # A dataset that draws random numbers must not disturb the caller's generators.
    with own_random_state():
        for i in range(len(dataset)):  # type: ignore[arg-type]
            item = dataset[i]
            _require_pair(dataset, i, item)
            targets.append(np.asarray(item[1]))
    return np.stack(targets)


def _require_pair(dataset: Dataset[Any], position: int, item: object) -> None:
    if not (isinstance(item, tuple | list) and len(item) == 2):
        raise ValueError(
            f"a dataset must give pairs of a row and its target, as skorch takes them; item "
            f"{position} of this {type(dataset).__name__} is a {type(item).__name__}. Return pairs."
        )


def check_dataset(dataset: Dataset[Any]) -> None:
    """Raise ValueError unless a dataset has a length and gives pairs by position."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ValueError(
            f"rows are kept by position, so a dataset needs a length and positions; this "
            f"{type(dataset).__name__} lacks one of them. Give a dataset with __len__ and "
            "__getitem__."
        )
    if len(dataset):
        with own_random_state():
            _require_pair(dataset, 0, dataset[0])
