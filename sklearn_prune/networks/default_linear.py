"""Linear networks of one layer, for users who give no network or a scikit-learn model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import torch
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor

from .._types import Array, Rows
from ..utils import own_random_state

# Rows made dense at a time.
CHUNK = 4096

NetworkKind: TypeAlias = Literal["multiclass", "binary", "regression"]


class StandardizedLinear(torch.nn.Module):
    """``target_mean + target_scale * Linear((x - mean) / scale)`` in float64.

    Means and scales are buffers, not parameters. ``target_mean`` and ``target_scale`` are 0 and 1
    for classifiers; for regression they standardise the target, so that damping and influence do
    not depend on the unit of y.

    Parameters
    ----------
    n_features, n_outputs : int
        Number of inputs and outputs of the layer.
    constant : float, default=None
        Value of a last column that takes the place of the layer's bias, whose damping is then
        ``1 / constant**2`` times that of the other weights. None means a bias that is damped like
        them, and 0 means no bias.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    target_mean: torch.Tensor
    target_scale: torch.Tensor

    def __init__(self, n_features: int, n_outputs: int, constant: float | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("target_mean", torch.zeros(n_outputs))
        self.register_buffer("target_scale", torch.ones(n_outputs))
        self.constant = constant
        has_bias = constant is None
        self.linear = torch.nn.Linear(n_features + (not has_bias), n_outputs, bias=has_bias)
        for parameter in self.linear.parameters():
            torch.nn.init.zeros_(parameter)
        self.double()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the outputs, of shape (n, n_outputs), for X of any dtype."""
        standardized = (X.to(self.mean.dtype) - self.mean) / self.scale
        if self.constant is not None:
            column = standardized.new_full((len(X), 1), self.constant)
            standardized = torch.cat([standardized, column], dim=1)
        return self.target_mean + self.target_scale * self.linear(standardized)

    def standardize_target(self, targets: Array) -> Array:
        """Return the targets (n, n_outputs) in the units of the linear layer's output."""
        return (targets - self.target_mean.cpu().numpy()) / self.target_scale.cpu().numpy()


def network_kind(classes: Array | None) -> NetworkKind:
    """Return the kind of linear network for these classes; None stands for numbers."""
    if classes is None:
        return "regression"
    return "binary" if len(classes) <= 2 else "multiclass"


def linear_network(
    kind: NetworkKind,
    X: Rows,
    y: Array,
    sample_weight: Array | None = None,
) -> NeuralNet:
    """Return a linear skorch network on standardised columns, its weights zero.

    It is not trained: `refit_head` solves for its only layer. Constant columns have scale 1.

    Parameters
    ----------
    kind : {"multiclass", "binary", "regression"}
        Softmax over the classes, one logit, or one output per column of y.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Training data; CSR is made dense a few thousand rows at a time.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes (integers from 0) or regression targets.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights for means and scales.

    Returns
    -------
    skorch.NeuralNet
        An initialised network whose module is in float64.
    """
    targets = np.asarray(y, dtype=np.float64).reshape(X.shape[0], -1)
    net = unscaled_network(kind, X.shape[1], targets)
    module = net.module_
    set_scale("X", module.mean, module.scale, X, sample_weight)
    if kind == "regression":
        set_scale("y", module.target_mean, module.target_scale, targets, sample_weight)
    return net


def unscaled_network(
    kind: NetworkKind, n_features: int, targets: Array, constant: float | None = None
) -> NeuralNet:
    """Return an initialised linear network on columns as they are, its weights zero.

    Parameters
    ----------
    kind : {"multiclass", "binary", "regression"}
        As in `linear_network`.
    n_features : int
        Columns of X.
    targets : ndarray of shape (n_samples, n_columns)
        Class codes or regression targets, which tell the number of outputs.
    constant : float, default=None
        As in `StandardizedLinear`.
    """
    n_outputs = 1 if kind == "binary" else targets.shape[1]
    if kind == "multiclass":
        n_outputs = int(targets.max()) + 1
    options: dict[str, object] = {
        "module": StandardizedLinear,
        "module__n_features": n_features,
        "module__n_outputs": n_outputs,
        "module__constant": constant,
        "train_split": None,
        "optimizer": _NoOptimizer,
        "batch_size": CHUNK,
        "verbose": 0,
    }
    if kind == "multiclass":
        net = NeuralNetClassifier(
            criterion=torch.nn.CrossEntropyLoss, classes=list(range(n_outputs)), **options
        )
    elif kind == "binary":
        net = NeuralNetBinaryClassifier(**options)
    else:
        net = NeuralNetRegressor(**options)
    # Building a Linear draws random weights before they are set to zero.
    with own_random_state():
        return net.initialize()


class _NoOptimizer:
    """A placeholder for an optimizer: a real one would import torch's compiler (1.5 s)."""

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float) -> None:
        # It steps through none of them, and skops cannot store tensors.
        self.param_groups = [{"params": [], "lr": lr}]

    def state_dict(self) -> dict[str, object]:
        """Return nothing: there are no steps to remember."""
        return {}

    def step(self, closure: object = None) -> None:
        """Refuse to train."""
        raise RuntimeError(
            "the pruner's linear network has no optimizer, since it is solved for and not trained; "
            "train a network of your own."
        )


def set_scale(
    name: str, mean: torch.Tensor, scale: torch.Tensor, values: Rows, sample_weight: Array | None
) -> None:
    """Set a mean and a scale to those of the columns; `name` is what an error calls them."""
    scaler = column_scaler(values, sample_weight)
    if not (np.isfinite(scaler.mean_).all() and np.isfinite(scaler.var_).all()):
        largest = np.abs(values.data if sparse.issparse(values) else values[:]).max()
        raise ValueError(
            f"the squares of {name} must fit float64; it holds numbers up to {largest:.2g}. Divide "
            "it by its largest number, for example."
        )
    mean.copy_(torch.as_tensor(scaler.mean_))
    scale.copy_(torch.as_tensor(scaler.scale_))


def column_scaler(values: Rows, sample_weight: Array | None) -> StandardScaler:
    """Return a fitted scaler of the columns of an array or CSR matrix, read in chunks."""
    scaler = StandardScaler()
    for rows in gen_batches(values.shape[0], CHUNK):
        weights = None if sample_weight is None else sample_weight[rows]
        # The scaler refuses a chunk whose weights are all zero.
        if weights is not None and not weights.any():
            continue
        chunk = values[rows].toarray() if sparse.issparse(values) else values[rows]
        # The memory order would change the last bits of a column's sum.
        chunk = np.asarray(chunk).astype(np.float64, order="C")
        with np.errstate(over="ignore", invalid="ignore"):
            scaler.partial_fit(chunk, sample_weight=weights)
    # Weights of very different sizes can make a variance negative by rounding.
    constant = scaler.var_ < 0
    scaler.var_[constant], scaler.scale_[constant] = 0, 1
    return scaler
