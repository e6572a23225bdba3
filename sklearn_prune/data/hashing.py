"""Digests: equal for equal values, parameters, networks, code, and for equal rows."""

from __future__ import annotations

import hashlib
import inspect
import sys
import weakref
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from pickle import PicklingError
from types import FunctionType

import numpy as np
import torch
from joblib import hash as joblib_hash
from joblib.hashing import Hasher, NumpyHasher
from scipy.sparse import csr_array, issparse
from torch.utils.data import Dataset

from .._types import Rows
from .containers import StoredRows, is_collection, pieces
from .values import is_missing

# The version of these packages stands for their code.
_PACKAGES = ("numpy", "scipy", "scikit-learn", "skorch", "torch")
_TOP_LEVEL = {"numpy", "scipy", "sklearn", "skorch", "torch"} | sys.stdlib_module_names


def digest(*values: object) -> str:
    """Return a digest that is the same for equal values, in this process and in any other.

    The digest of a network covers its tensors, which of them it shares, and the source of the
    modules that define its classes, but not of what those modules import. A change of this
    package's own source, or of the version of a package that it builds on, changes every digest.

    Parameters
    ----------
    *values : object
        Anything that can be pickled, tensors and networks included.

    Raises
    ------
    Exception
        If a value cannot be pickled, such as a class defined in a function, or has no source, such
        as a class typed at a prompt. Its type is that of the failure.
    """
    versions = [version(package) for package in _PACKAGES]
    return str(_ValueHasher().hash((versions, _own_source(), values)))


class _ValueHasher(NumpyHasher):
    """joblib's hash of arrays and pickles, extended to tensors and code."""

    def __init__(self) -> None:
        super().__init__(hash_name="sha1", coerce_mmap=True)
        self._tensors: dict[int, tuple[int, torch.Tensor]] = {}
        self._storages: dict[int, int] = {}

    def save(self, obj: object) -> None:
        if isinstance(obj, torch.Tensor) and obj.layout is torch.strided:
            obj = self._described(obj)
        elif isinstance(obj, type | FunctionType):
            super().save(_source(obj))
        super().save(obj)

    def _described(self, tensor: torch.Tensor) -> tuple[object, ...]:
        """Return what identifies a tensor; equal tensors may have different pickles."""
        # Kept until the end, so that no other tensor gets the same id.
        number, _ = self._tensors.setdefault(id(tensor), (len(self._tensors), tensor))
        # Training a weight that two layers share differs from training two equal weights.
        storage = tensor.untyped_storage().data_ptr()
        place = (number, self._storages.setdefault(storage, len(self._storages)))
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        kind = (type(tensor), str(tensor.dtype), str(tensor.device), tensor.requires_grad)
        layout = (tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
        return (*kind, *layout, *place, vars(tensor), values)

    def _batch_setitems(self, items: object, *args: object) -> None:
        # joblib sorts the keys, but torch.nn.Sequential runs its layers in their order.
        super(Hasher, self)._batch_setitems(items, *args)


@lru_cache(maxsize=1024)
def _source(obj: type | FunctionType) -> list[str]:
    """Return the source of the modules that define a function, or a class and its bases.

    The whole module counts, since a class most likely calls functions that are defined beside it.
    """
    sources = []
    for definition in getattr(obj, "__mro__", (obj,)):
        if definition.__module__ and definition.__module__.split(".")[0] in _TOP_LEVEL:
            continue
        try:
            sources.append(inspect.getsource(sys.modules[definition.__module__]))
        except (OSError, TypeError, KeyError):
            # A notebook has no file, but inspect finds the source of each class, or raises.
            sources.append(inspect.getsource(definition))
    return sources


@cache
def _own_source() -> str:
    """Return a digest of this package's files, which computed what is cached."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return hashlib.sha1(b"".join(path.read_bytes() for path in files)).hexdigest()


def fingerprint(rows: Rows) -> str | Identity:
    """Return a digest of the rows' values, order and shape, whatever their container.

    Numbers are hashed as float64, so the same numbers in float32, as integers or in a sparse matrix
    have the same digest. Anything else has the same digest in the same kind of container.

    Parameters
    ----------
    rows : ndarray, csr_array or StoredRows of shape (n_samples, n_features, ...), dict or Dataset
        Validated numbers, as `check_rows` returns them; or a table, array or list of anything. A
        dataset, which may draw new rows each time, is identified by being the same object. A Dask
        collection, which is not computed for this, by its name, which says how it is computed.

    Raises
    ------
    TypeError
        If a cell that is no number cannot be pickled.
    """
    if is_collection(rows):
        from dask.base import tokenize

        return str(tokenize(rows))
    if isinstance(rows, Dataset):
        return Identity(rows)
    if isinstance(rows, Mapping):
        parts = repr([(name, fingerprint(rows[name])) for name in sorted(rows)])
        return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()
    is_array = isinstance(rows, np.ndarray | StoredRows) or issparse(rows)
    if not is_array or rows.dtype.kind not in "biuf":
        return _digest_of_cells(rows)
    result = hashlib.blake2b(repr(tuple(rows.shape)).encode(), digest_size=16)
    for piece in pieces(rows.shape):
        block = rows[piece]
        block = (block if issparse(block) else block.reshape(len(block), -1)).astype(np.float64)
        if not issparse(block) and np.count_nonzero(block) == block.size:
            # The same as csr_array(block).data, without its copies.
            values = np.ascontiguousarray(block)
        else:
            sparse = csr_array(block)
            sparse.sum_duplicates()
            sparse.eliminate_zeros()
            values = sparse.data
            if sparse.nnz < block.shape[0] * block.shape[1]:
                result.update(sparse.indptr.astype(np.int64))
                result.update(sparse.indices.astype(np.int64))
        result.update(values.data if values.size else b"")
    return result.hexdigest()


def _digest_of_cells(rows: Rows) -> str:
    """Return a digest of rows that are not numbers, or not in an array."""
    if hasattr(rows, "columns"):
        return _hash([(name, _digest_of_cells(rows[name])) for name in rows.columns])
    cells = rows if isinstance(rows, list | tuple) else np.asarray(rows)
    values = cells.ravel().tolist() if isinstance(cells, np.ndarray) else cells
    try:
        # Equal objects may have different pickles, and pickling many takes long.
        values = [None if is_missing(value) else value for value in values]
        code = {value: position for position, value in enumerate(dict.fromkeys(values))}
        codes = np.array([code[value] for value in values])
    except TypeError:
        # Some cells, such as lists, cannot be hashed.
        return _hash(cells)
    return _hash((getattr(cells, "shape", None), list(code), codes))


def _hash(cells: object) -> str:
    try:
        return str(joblib_hash(cells))
    except (PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"rows are recognised by what they hold, and a cell cannot be pickled: {error.args[0]} "
            "Give cells that can, such as numbers, text or the positions of what these stand for."
        ) from error


class Identity:
    """Compares equal for the same live object; an unpickled one equals nothing."""

    def __init__(self, obj: object) -> None:
        self._object: Callable[[], object] = weakref.ref(obj)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Identity):
            return NotImplemented
        obj = self._object()
        return obj is not None and obj is other._object()

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]:
        return {"_object": _nothing}


def _nothing() -> None:
    """Return what a reference to a deleted object returns."""
