"""Which head loss a skorch network trains on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor
from skorch import NeuralNet, NeuralNetBinaryClassifier

from .._types import Array
from ..losses import (
    BinaryCrossEntropy,
    HeadLoss,
    Huber,
    Poisson,
    SoftmaxCrossEntropy,
    SquaredError,
    TorchLoss,
)

TorchCriterion: TypeAlias = Any
"""One of torch's criteria; its options are attributes, another set for each class."""

SUPPORTED = (
    "Supported: a module whose last layer is a torch.nn.Linear, with CrossEntropyLoss "
    "(module ends in the Linear or log-softmax), NLLLoss (softmax or log-softmax), "
    "BCELoss (sigmoid), or BCEWithLogitsLoss, MSELoss, HuberLoss, SmoothL1Loss, PoissonNLLLoss "
    "or any other twice differentiable mean or sum over rows (the Linear)."
)


class UnsupportedNetworkError(ValueError):
    """Influences cannot be computed for this network, criterion and target."""


@dataclass(frozen=True)
class Criterion:
    """How a torch criterion maps onto a head loss.

    Losses are means over rows: the value of a criterion with ``reduction="sum"`` is divided by the
    number of rows, or by the sum of their weights.

    Attributes
    ----------
    loss : HeadLoss
        The loss as a function of the last Linear's outputs.
    links : tuple of str
        Functions that the module may apply to the Linear's output: "identity", "softmax",
        "log_softmax" or "sigmoid".
    sample_weight : ndarray of shape (n_samples,) or None
        Weight of each row in the criterion's mean; None if all weights are equal.
    """

    loss: HeadLoss
    links: tuple[str, ...]
    sample_weight: Array | None = None


def target_kind(
    net: NeuralNet, y: ArrayLike | None
) -> Literal["classification", "regression"] | None:
    """Return whether a network takes y as classes or numbers; None if its criterion takes both.

    A criterion without a softmax takes several columns as numbers, even if all are 0 or 1.

    Parameters
    ----------
    net : skorch.NeuralNet
        Not necessarily initialised.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        As given by the user.

    Raises
    ------
    UnsupportedNetworkError
        If `net` is not a skorch network.
    """
    if not isinstance(net, NeuralNet):
        raise UnsupportedNetworkError(
            "estimator must be a skorch network (NeuralNet, NeuralNetClassifier, "
            f"NeuralNetBinaryClassifier, NeuralNetRegressor), or None for a linear one; it is "
            f"{net!r}."
        )
    criterion = net.criterion if isinstance(net.criterion, type) else type(net.criterion)
    takes_codes = issubclass(criterion, (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss))
    has_columns = y is not None and _column_count(y) > 1
    if is_regressor(net):
        return "regression"
    if has_columns and not takes_codes and not isinstance(net, NeuralNetBinaryClassifier):
        return "regression"
    if is_classifier(net) or takes_codes:
        return "classification"
    return "regression" if criterion in _REGRESSION_ONLY else None


def _column_count(y: ArrayLike) -> int:
    shape = y.shape if hasattr(y, "shape") else np.shape(y)
    return int(np.prod(shape[1:]))


def read_criterion(net: NeuralNet, y: Array) -> Criterion:
    """Return the head loss of an initialised network, or say why there is none.

    Parameters
    ----------
    net : skorch.NeuralNet
        Its ``criterion_`` is read. Torch's own with a closed form are recognised by their exact
        type; any other is differentiated by torch.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or numbers. Their range is checked.

    Raises
    ------
    UnsupportedNetworkError
        If the criterion or its options are not supported, or do not fit y.
    """
    criterion = getattr(net.criterion_, "_orig_mod", net.criterion_)
    reduction = getattr(criterion, "reduction", "mean")
    if reduction not in ("mean", "sum"):
        raise _unsupported(
            criterion,
            f"reduction={reduction!r}, and a network is trained on one number for all rows; "
            "set reduction='mean' or 'sum'",
        )
    read = _READERS.get(type(criterion))
    if read is not None:
        return read(criterion, y)
    if not isinstance(criterion, torch.nn.Module) or isinstance(criterion, torch.nn.NLLLoss):
        # skorch takes the logarithm of what enters an NLLLoss, whatever its subclass does.
        raise UnsupportedNetworkError(
            f"criterion={type(criterion).__name__} cannot be differentiated twice here; give a "
            f"torch.nn.Module that is no subclass of NLLLoss. {SUPPORTED}"
        )
    return Criterion(TorchLoss(criterion), ("identity",))


def require_row_by_row(criterion: Criterion, targets: Array, n_outputs: int) -> None:
    """Raise if a criterion that torch differentiates is not a mean or a sum over rows.

    Parameters
    ----------
    criterion : Criterion
        From `read_criterion`.
    targets : ndarray of shape (n_samples,) or (n_samples, n_columns)
        As the head's loss takes them.
    n_outputs : int
        Outputs of the last Linear.
    """
    loss = criterion.loss
    if not isinstance(loss, TorchLoss):
        return
    fault = loss.fault(targets, n_outputs)
    if fault is not None:
        raise UnsupportedNetworkError(
            f"criterion={loss.name} {fault}; it must be the mean or the sum over rows of a loss "
            f"that can be differentiated twice. {SUPPORTED}"
        )


def _softmax_criterion(*links: str) -> Callable[[TorchCriterion, Array], Criterion]:
    """Return the reader of a cross-entropy whose classes may have weights."""

    def read(criterion: TorchCriterion, y: Array) -> Criterion:
        if y.ndim != 1:
            raise _unsupported(
                criterion, f"y of shape {y.shape} and needs one class code per row; give those"
            )
        ignored = int(np.sum(y == criterion.ignore_index))
        if ignored:
            raise UnsupportedNetworkError(
                f"criterion={type(criterion).__name__} ignores the class {criterion.ignore_index} "
                f"of {ignored} rows; remove these rows, or set ignore_index to a value that y does "
                "not contain."
            )
        smoothing = float(getattr(criterion, "label_smoothing", 0.0))
        if criterion.weight is None:
            return Criterion(SoftmaxCrossEntropy(smoothing), links)
        weight = _weights(criterion, "weight")
        if not weight.any() or (smoothing and not weight.all()):
            raise _unsupported(
                criterion,
                f"weight={weight} and label_smoothing={smoothing:g}; some class must have a "
                "positive weight, with label_smoothing every class",
            )
        if y.max() >= len(weight):
            raise _unsupported(
                criterion, f"{len(weight)} class weights for {y.max() + 1} classes; give as many"
            )
        loss = SoftmaxCrossEntropy(smoothing, tuple(weight.tolist()) if smoothing else None)
        return Criterion(loss, links, weight[y])

    return read


def _binary_criterion(link: str) -> Callable[[TorchCriterion, Array], Criterion]:
    """Return the reader of a binary cross-entropy, of one output or several."""

    def read(criterion: TorchCriterion, y: Array) -> Criterion:
        outside = y[~((y >= 0) & (y <= 1))]
        if outside.size:
            raise UnsupportedNetworkError(
                f"criterion={type(criterion).__name__} takes targets in [0, 1]; {outside.size} "
                f"values of y are outside, the first is {outside[0]}. Give y as 0 and 1."
            )
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        loss = BinaryCrossEntropy(
            criterion.reduction,
            _output_weights(criterion, "pos_weight", n_outputs),
            _output_weights(criterion, "weight", n_outputs),
        )
        return Criterion(loss, (link,))

    return read


def _squared_error(criterion: TorchCriterion, y: Array) -> Criterion:
    return Criterion(SquaredError(criterion.reduction), ("identity",))


def _huber(criterion: TorchCriterion, y: Array) -> Criterion:
    loss = Huber(criterion.reduction, float(criterion.delta))
    return Criterion(loss, ("identity",))


def _smooth_l1(criterion: TorchCriterion, y: Array) -> Criterion:
    beta = float(criterion.beta)
    if not beta:
        raise _unsupported(
            criterion, "beta=0.0, and the absolute error has no curvature; set beta=1.0"
        )
    return Criterion(Huber(criterion.reduction, beta, 1 / beta), ("identity",))


def _poisson(criterion: TorchCriterion, y: Array) -> Criterion:
    if not criterion.log_input:
        raise _unsupported(
            criterion,
            "log_input=False, which lets a linear layer predict negative rates; set "
            "log_input=True, so that the module gives the logarithm of the rate",
        )
    if (y < 0).any():
        raise _unsupported(
            criterion, f"negative targets, the smallest is {y.min():g}; give counts of 0 or more"
        )
    return Criterion(Poisson(criterion.reduction, criterion.full), ("identity",))


_READERS: dict[type, Callable[[TorchCriterion, Array], Criterion]] = {
    torch.nn.CrossEntropyLoss: _softmax_criterion("identity", "log_softmax"),
    torch.nn.NLLLoss: _softmax_criterion("softmax", "log_softmax"),
    torch.nn.BCEWithLogitsLoss: _binary_criterion("identity"),
    torch.nn.BCELoss: _binary_criterion("sigmoid"),
    torch.nn.MSELoss: _squared_error,
    torch.nn.HuberLoss: _huber,
    torch.nn.SmoothL1Loss: _smooth_l1,
    torch.nn.PoissonNLLLoss: _poisson,
}


_REGRESSION_ONLY = {
    torch.nn.MSELoss,
    torch.nn.HuberLoss,
    torch.nn.SmoothL1Loss,
    torch.nn.PoissonNLLLoss,
}


def _weights(criterion: TorchCriterion, option: str) -> Array:
    weights = getattr(criterion, option).detach().cpu().double().numpy()
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise _unsupported(
            criterion, f"{option}={weights}; give weights that are finite and not negative"
        )
    return weights


def _output_weights(criterion: TorchCriterion, option: str, n_outputs: int) -> tuple[float, ...]:
    """Return a weight for each output, or one for all."""
    if getattr(criterion, option, None) is None:
        return (1.0,)
    weights = _weights(criterion, option)
    if weights.shape not in [(), (1,), (1, 1), (n_outputs,), (1, n_outputs)]:
        raise _unsupported(
            criterion,
            f"{option} of shape {weights.shape} for {n_outputs} outputs; give one number for each "
            "output. Weights of rows belong in sample_weight",
        )
    return tuple(weights.ravel().tolist())


def _unsupported(criterion: TorchCriterion, what: str) -> UnsupportedNetworkError:
    return UnsupportedNetworkError(f"criterion={type(criterion).__name__} has {what}. {SUPPORTED}")
