"""A network's inference and loss as functions that torch.func can differentiate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from skorch import NeuralNet, NeuralNetClassifier

from .._types import Batch
from .batching import first_of
from .criteria import UnsupportedNetworkError

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A loss, as a function of outputs and targets."""


class Inference(torch.nn.Module):
    """A network's own inference as a module, without the softmax or sigmoid that it may end in.

    Parameters
    ----------
    net : skorch.NeuralNet
        The network.
    loss : callable
        Its loss, as a function of outputs and targets.
    """

    def __init__(self, net: NeuralNet, loss: Loss) -> None:
        super().__init__()
        self.module = net.module_
        self._infer = net.infer
        self.loss, self._link = _loss_and_link(net, loss)

    def forward(self, x: Batch) -> torch.Tensor:
        """Return the outputs for a batch of inputs, in the shape that the criterion takes."""
        return self._link(first_of(self._infer(x)))


def _loss_and_link(
    net: NeuralNet, loss: Loss
) -> tuple[Loss, Callable[[torch.Tensor], torch.Tensor]]:
    """Return the loss as a function of logits, and the function from module output to logits.

    The curvature of cross-entropy in logits is the Fisher information. In probabilities it would
    involve the row's own class alone, and in log-probabilities it would be zero.
    """
    criterion = getattr(net.criterion_, "_orig_mod", net.criterion_)
    functional = torch.nn.functional
    reduction = getattr(criterion, "reduction", "mean")
    if reduction != "mean":
        raise UnsupportedNetworkError(
            f"influences on more layers than the last need a criterion with reduction='mean'; it "
            f"is {reduction!r}. Set criterion__reduction='mean', or layers='last'."
        )
    if type(criterion) is torch.nn.NLLLoss:
        link = torch.log if isinstance(net, NeuralNetClassifier) else _unchanged
        return functional.cross_entropy, link
    if type(criterion) is torch.nn.BCELoss:
        weighted = partial(functional.binary_cross_entropy_with_logits, weight=criterion.weight)
        return weighted, torch.logit
    return loss, _unchanged


def _unchanged(output: torch.Tensor) -> torch.Tensor:
    return output
