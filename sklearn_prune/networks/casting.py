"""Rows and targets in the types that a network, its criterion and its head take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNet

from ..data import StoredRows, is_dict
from ..losses import Array, HeadLoss, SoftmaxCrossEntropy, TorchLoss
from .criteria import UnsupportedNetworkError
from .default_linear import StandardizedLinear

_NUMPY_DTYPES = {torch.float64: np.float64, torch.float16: np.float16}


def cast_input(net: NeuralNet, X: Any) -> Any:
    """Return X in the dtype of the network's parameters, CSR kept sparse.

    Integers stay integers for a network that looks them up in an embedding. Rows on disk are cast
    as they are read, and a dict array by array. What is no array of numbers (a data frame, a torch
    dataset) is left to skorch.
    """
    if is_dict(X):
        return {name: cast_input(net, value) for name, value in X.items()}
    if sparse.issparse(X):
        # A row of a csr_array is one-dimensional, which skorch's Dataset does not expect.
        return sparse.csr_matrix(X, dtype=_parameter_dtype(net))
    if not isinstance(X, np.ndarray | StoredRows) or X.dtype.kind not in "fiub":
        return X
    embeds = any(
        isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag))
        for module in net.module_.modules()
    )
    if embeds and X.dtype.kind in "iu":
        return X.astype(np.int64, copy=False)
    return X.astype(_parameter_dtype(net), copy=False)


def cast_target(net: NeuralNet, loss: HeadLoss, y: Array, output_tail: tuple[int, ...]) -> Array:
    """Return y as torch's criterion needs it: integers, or floats of the output's shape.

    A y of shape (n,) against an output of shape (n, 1) would be broadcast to (n, n). The output
    has the shape ``(n, *output_tail)``.
    """
    if _takes_codes(loss, y, math.prod(output_tail)):
        return y.astype(np.int64, copy=False)
    y = y.astype(_parameter_dtype(net), copy=False)
    if y.ndim == 1 and output_tail:
        return y[:, None]
    return y if output_tail or y.shape[1:] != (1,) else y.ravel()


def head_targets(net: NeuralNet, loss: HeadLoss, y: Array, n_outputs: int) -> Array:
    """Return y as the head's loss needs it: class codes, or float64 with a column an output.

    A criterion that only torch knows may have other columns than outputs.
    """
    if _takes_codes(loss, y, n_outputs):
        n_classes = int(y.max()) + 1
        if n_outputs < n_classes:
            raise UnsupportedNetworkError(
                f"The last layer has {n_outputs} outputs for {n_classes} classes; "
                f"give it {n_classes}."
            )
        return y.astype(np.int64, copy=False)
    targets = y.astype(np.float64).reshape(len(y), -1)
    if isinstance(loss, TorchLoss):
        return targets
    if targets.shape[1] != n_outputs:
        raise UnsupportedNetworkError(
            f"The last layer has {n_outputs} outputs and y has {targets.shape[1]} columns; "
            f"give the layer {targets.shape[1]} outputs."
        )
    if isinstance(net.module_, StandardizedLinear):
        return net.module_.standardize_target(targets)
    return targets


def _takes_codes(loss: HeadLoss, y: Array, n_outputs: int) -> bool:
    """Whether y goes to the loss as class codes; a single output leaves none to choose among."""
    if isinstance(loss, TorchLoss):
        return y.ndim == 1 and y.dtype.kind in "iub" and n_outputs > 1
    return isinstance(loss, SoftmaxCrossEntropy)


def _parameter_dtype(net: NeuralNet) -> type:
    for parameter in net.module_.parameters():
        if parameter.is_floating_point():
            return _NUMPY_DTYPES.get(parameter.dtype, np.float32)
    return np.float32
