"""Rows in the form that a network takes: batches of tensors in its dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import DTypeLike
from scipy import sparse
from sklearn.utils import gen_batches
from skorch import NeuralNet
from skorch.dataset import Dataset
from torch.utils.data import DataLoader, RandomSampler, default_collate

from .._types import Batch, Rows
from ..data import StoredRows, is_dict, n_rows, take_rows
from .criteria import UnsupportedNetworkError

# Enough rows to run every layer, few enough to cost nothing.
SKETCH_ROWS = 8
# Numbers in a merged batch: small batches are merged to amortise call overhead.
MERGED_SIZE = 2**18
_NUMPY_DTYPES = {torch.float64: np.float64, torch.float16: np.float16}


def cast_input(net: NeuralNet, X: Rows) -> Rows:
    """Return X in the dtype of the network's parameters, CSR kept sparse.

    Integers stay integers for a network with an embedding. Rows on disk are cast when read, and a
    dict array by array. Data frames and torch datasets are left to skorch.
    """
    if is_dict(X):
        return {name: cast_input(net, value) for name, value in X.items()}
    if sparse.issparse(X):
        # A row of a csr_array is one-dimensional, which skorch's Dataset does not expect.
        return sparse.csr_matrix(X, dtype=parameter_dtype(net))
    if not isinstance(X, np.ndarray | StoredRows) or X.dtype.kind not in "fiub":
        return X
    embeds = any(
        isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag))
        for module in net.module_.modules()
    )
    if embeds and X.dtype.kind in "iu":
        return X.astype(np.int64, copy=False)
    return X.astype(parameter_dtype(net), copy=False)


def parameter_dtype(net: NeuralNet) -> DTypeLike:
    """Return the numpy dtype of the network's parameters; float32 where numpy has none such."""
    for parameter in net.module_.parameters():
        if parameter.is_floating_point():
            return _NUMPY_DTYPES.get(parameter.dtype, np.float32)
    return np.float32


def batches(net: NeuralNet, X: Rows) -> Iterator[tuple[Batch, object]]:
    """Yield the batches that the network's own data loading makes, as pairs (inputs, ignored).

    If that is skorch's default, slices give the same batches without a Python call per row.

    Raises
    ------
    UnsupportedNetworkError
        If the network's ``iterator_valid`` shuffles the rows.
    """
    X = cast_input(net, X)
    iterator = net.get_iterator(net.get_dataset(X), training=False)
    if isinstance(getattr(iterator, "sampler", None), RandomSampler):
        raise UnsupportedNetworkError(
            "iterator_valid shuffles the rows, so outputs cannot be matched to rows; "
            "remove iterator_valid__shuffle."
        )
    plain = (
        type(iterator) is DataLoader
        and type(iterator.dataset) is Dataset
        and iterator.collate_fn is default_collate
        and not iterator.drop_last
        and (isinstance(X, np.ndarray | StoredRows) or sparse.issparse(X))
    )
    if not plain:
        yield from iterator
        return
    for rows in gen_batches(X.shape[0], iterator.batch_size):
        chunk = X[rows].toarray() if sparse.issparse(X) else X[rows]
        yield torch.as_tensor(np.require(chunk, requirements=["C", "W"])), None


def first_of(output: Batch) -> torch.Tensor:
    """Return a module's output, or the first of several, which skorch gives to the criterion."""
    first: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return first


def first_rows(X: Rows) -> Rows:
    """Return the first few rows of X."""
    return take_rows(X, np.arange(min(SKETCH_ROWS, n_rows(X))))


def merged(batches: Iterable[tuple[Batch, object]]) -> Iterator[Batch]:
    """Yield the inputs of batches, small ones merged to amortise call overhead."""
    waiting: list[Batch] = []
    size = 0
    for x, _ in batches:
        waiting.append(x)
        size += sum(tensor.numel() for tensor in tensors_of(x))
        if size >= MERGED_SIZE:
            yield joined(waiting)
            waiting, size = [], 0
    if waiting:
        yield joined(waiting)


def joined(batches: list[Batch]) -> Batch:
    """Return one batch of several, their tensors concatenated."""
    if len(batches) == 1:
        return batches[0]
    columns = iter([torch.cat(parts) for parts in zip(*map(tensors_of, batches), strict=True)])
    return map_tensors(lambda _: next(columns), batches[0])


def tensors_of(x: Batch) -> list[torch.Tensor]:
    """Return all tensors of a batch."""
    tensors: list[torch.Tensor] = []
    map_tensors(tensors.append, x)
    return tensors


def map_tensors(function: Callable[[torch.Tensor], object], x: Batch) -> Batch:
    """Return the batch with the function applied to each of its tensors."""
    if isinstance(x, dict):
        return {key: map_tensors(function, value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(map_tensors(function, value) for value in x)
    return function(x)
