"""The losses that a head may train on, with their derivatives in its outputs."""

from .closed_form import (
    Array,
    BinaryCrossEntropy,
    HeadLoss,
    Huber,
    Poisson,
    SoftmaxCrossEntropy,
    SquaredError,
)
from .output_hessians import OutputHessians
from .torch_loss import NonConvexLossWarning, TorchLoss, spread_rows

__all__ = [
    "Array",
    "BinaryCrossEntropy",
    "HeadLoss",
    "Huber",
    "NonConvexLossWarning",
    "OutputHessians",
    "Poisson",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "TorchLoss",
    "spread_rows",
]
