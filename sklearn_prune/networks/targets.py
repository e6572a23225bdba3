"""Targets in the form that a network's criterion takes, and the loss of its last layer."""

from __future__ import annotations

import math

import numpy as np
from skorch import NeuralNet

from .._types import Array
from ..losses import HeadLoss, SoftmaxCrossEntropy, TorchLoss
from .batching import parameter_dtype
from .criteria import UnsupportedNetworkError
from .default_linear import StandardizedLinear


def cast_target(net: NeuralNet, loss: HeadLoss, y: Array, output_tail: tuple[int, ...]) -> Array:
    """Return y as torch's criterion needs it: integers, or floats of the output's shape.

    The output has the shape ``(n, *output_tail)``. With a y of shape (n,) and an output of shape
    (n, 1), torch would broadcast both to (n, n).
    """
    if takes_codes(loss, y, math.prod(output_tail)):
        return y.astype(np.int64, copy=False)
    y = y.astype(parameter_dtype(net), copy=False)
    if y.ndim == 1 and output_tail:
        return y[:, None]
    return y if output_tail or y.shape[1:] != (1,) else y.ravel()


def head_targets(net: NeuralNet, loss: HeadLoss, y: Array, n_outputs: int) -> Array:
    """Return y as the head's loss needs it: class codes, or float64 with one column per output.

    For a `TorchLoss`, y may have another number of columns than there are outputs.

    Raises
    ------
    UnsupportedNetworkError
        If the last layer has fewer outputs than classes, or not one for each column of y.
    """
    if takes_codes(loss, y, n_outputs):
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


def takes_codes(loss: HeadLoss, y: Array, n_outputs: int) -> bool:
    """Return whether the loss takes y as class codes; a `TorchLoss` of one output does not.

    Parameters
    ----------
    loss : HeadLoss
        From `read_criterion`.
    y : ndarray of shape (n_samples,) or (n_samples, n_columns)
        Class codes or numbers. A `TorchLoss` takes codes only as integers of shape (n_samples,).
    n_outputs : int
        Outputs for each row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_prune.losses import SoftmaxCrossEntropy, SquaredError
    >>> from sklearn_prune.networks import takes_codes
    >>> y = np.array([0, 2, 1])
    >>> takes_codes(SoftmaxCrossEntropy(), y, 3), takes_codes(SquaredError(), y, 1)
    (True, False)
    """
    if isinstance(loss, TorchLoss):
        return y.ndim == 1 and y.dtype.kind in "iub" and n_outputs > 1
    return isinstance(loss, SoftmaxCrossEntropy)
