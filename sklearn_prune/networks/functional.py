"""A network's inference and loss as functions that torch.func can differentiate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from skorch import NeuralNet, NeuralNetClassifier

from .criteria import UnsupportedNetworkError

# Batches are joined until they hold this many numbers: for small rows a call costs more than they.
_CELLS = 2**18


class Inference(torch.nn.Module):
    """A network's own inference as a module, up to the softmax or sigmoid it may end in.

    Parameters
    ----------
    net : skorch.NeuralNet
        The network.
    loss : callable
        Its loss, of outputs and targets.
    """

    def __init__(self, net: NeuralNet, loss: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.module = net.module_
        self._infer = net.infer
        self.loss, self._link = _loss_and_link(net, loss)

    def forward(self, x: Any) -> torch.Tensor:
        """Return the outputs for a batch of inputs, in the shape that the criterion takes."""
        output = self._infer(x)
        return self._link(output[0] if isinstance(output, tuple) else output)


def _loss_and_link(
    net: NeuralNet, loss: Callable[..., torch.Tensor]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the loss as a function of logits, and how logits follow from the module's output.

    As a function of probabilities, the curvature of cross-entropy would be that of the one class
    a row has, and as one of their logarithms zero; as one of logits it is the Fisher information.
    """
    criterion = getattr(net.criterion_, "_orig_mod", net.criterion_)
    functional = torch.nn.functional
    reduction = getattr(criterion, "reduction", "mean")
    if reduction != "mean":
        raise UnsupportedNetworkError(
            f"criterion has reduction={reduction!r}, and only 'mean' is supported: the loss of a "
            "row must not depend on how many there are."
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


def merged(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield inputs of `_CELLS` numbers or more, from one or several batches (input, target)."""
    waiting: list[Any] = []
    n_cells = 0
    for x, _ in batches:
        waiting.append(x)
        n_cells += sum(tensor.numel() for tensor in tensors_of(x))
        if n_cells >= _CELLS:
            yield joined(waiting)
            waiting, n_cells = [], 0
    if waiting:
        yield joined(waiting)


def joined(batches: list[Any]) -> Any:
    """Return one batch of several, the tensors of which are put one after the other."""
    if len(batches) == 1:
        return batches[0]
    columns = iter([torch.cat(parts) for parts in zip(*map(tensors_of, batches), strict=True)])
    return map_tensors(lambda _: next(columns), batches[0])


def tensors_of(x: Any) -> list[torch.Tensor]:
    """Return all tensors in nested dicts, lists and tuples."""
    found: list[torch.Tensor] = []
    map_tensors(found.append, x)
    return found


def map_tensors(function: Callable[..., Any], x: Any) -> Any:
    """Apply the function to every tensor in nested dicts, lists and tuples."""
    if isinstance(x, dict):
        return {key: map_tensors(function, value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(map_tensors(function, value) for value in x)
    return function(x)
