"""Batches of rows as a network's own data handling makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import gen_batches
from skorch import NeuralNet
from skorch.dataset import Dataset
from torch.utils.data import DataLoader, RandomSampler, default_collate

from ..data import StoredRows, n_rows, take_rows
from .casting import cast_input
from .criteria import UnsupportedNetworkError

# Enough rows to see every layer at work, few enough to cost nothing.
SKETCH_ROWS = 8


def batches(net: NeuralNet, X: Any) -> Iterator[Any]:
    """Yield batches as the network's own data handling makes them, with no targets.

    Where that is skorch's plain one, slices give the same batches without a Python call per row.
    """
    X = cast_input(net, X)
    iterator = net.get_iterator(net.get_dataset(X), training=False)
    if isinstance(getattr(iterator, "sampler", None), RandomSampler):
        raise UnsupportedNetworkError(
            "iterator_valid shuffles the rows, so they cannot be told apart; "
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


def first_rows(X: Any) -> Any:
    """Return the first few rows of X."""
    return take_rows(X, np.arange(min(SKETCH_ROWS, n_rows(X))))
