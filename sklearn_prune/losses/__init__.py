"""The losses of a last layer (the head), with their derivatives with respect to its outputs.

Start at `HeadLoss` in `closed_form`, which says what a loss offers: value, residual and Hessian of
each sample. `closed_form` also holds the losses whose derivatives have formulas; `torch_loss`
differentiates any other criterion. `output_hessians` holds one small matrix per sample, in three
forms.
"""

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
