"""Which head loss a skorch network trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ._losses import Array, BinaryCrossEntropy, HeadLoss, SoftmaxCrossEntropy, SquaredError

SUPPORTED = (
    "Supported: a module whose last layer is a torch.nn.Linear, with CrossEntropyLoss "
    "(module ends in the Linear or log-softmax), NLLLoss (softmax or log-softmax), "
    "BCEWithLogitsLoss (the Linear), BCELoss (sigmoid) or MSELoss (the Linear)."
)


class UnsupportedNetworkError(ValueError):
    """The network's last layer has no form whose curvature is known."""


@dataclass(frozen=True)
class Criterion:
    """How a torch criterion maps onto a head loss.

    Attributes
    ----------
    loss : HeadLoss
        The loss as a function of the last Linear's outputs.
    links : tuple of str
        What may stand between the Linear and the module's output.
    """

    loss: HeadLoss
    links: tuple[str, ...]


_CRITERIA: dict[type, Criterion] = {
    torch.nn.CrossEntropyLoss: Criterion(SoftmaxCrossEntropy(), ("identity", "log_softmax")),
    torch.nn.NLLLoss: Criterion(SoftmaxCrossEntropy(), ("softmax", "log_softmax")),
    torch.nn.BCEWithLogitsLoss: Criterion(BinaryCrossEntropy(), ("identity",)),
    torch.nn.BCELoss: Criterion(BinaryCrossEntropy(), ("sigmoid",)),
    torch.nn.MSELoss: Criterion(SquaredError(), ("identity",)),
}

# Options that change the loss, with the only value the closed forms hold for.
_PLAIN_OPTIONS = {"reduction": "mean", "weight": None, "pos_weight": None, "label_smoothing": 0.0}


def read_criterion(net: Any, y: Array) -> Criterion:
    """Return the head loss of an initialised network, or say why there is none."""
    torch_criterion = getattr(net.criterion_, "_orig_mod", net.criterion_)
    name = type(torch_criterion).__name__
    criterion = _CRITERIA.get(type(torch_criterion))
    if criterion is None:
        raise UnsupportedNetworkError(
            f"criterion={name} has no known second derivative here. {SUPPORTED}"
        )
    for option, plain in _PLAIN_OPTIONS.items():
        found = getattr(torch_criterion, option, plain)
        if found is not plain and found != plain:
            raise UnsupportedNetworkError(
                f"criterion={name} has {option}={found!r}, and only {option}={plain!r} is "
                f"supported. {SUPPORTED}"
            )
    ignored = int(np.sum(y == getattr(torch_criterion, "ignore_index", np.nan)))
    if ignored:
        raise UnsupportedNetworkError(
            f"criterion={name} ignores the class {torch_criterion.ignore_index} of {ignored} rows; "
            "remove these rows, or set ignore_index to a value that y does not contain."
        )
    if isinstance(criterion.loss, BinaryCrossEntropy):
        outside = y[~((y >= 0) & (y <= 1))]
        if outside.size:
            raise UnsupportedNetworkError(
                f"criterion={name} takes targets from 0 to 1; {outside.size} values of y are "
                f"outside, the first is {outside[0]}. Give y as 0 and 1."
            )
    return criterion
