"""The losses that a head may train on, with their derivatives in its outputs.

Start at `HeadLoss` in `closed_form`, which says what a loss offers: value, residual and Hessian of
single samples. There are the losses that have formulas; `torch_loss` differentiates any other
criterion. `output_hessians` holds one small matrix a sample in three forms.
"""

from .._types import Array
from .closed_form import (
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
