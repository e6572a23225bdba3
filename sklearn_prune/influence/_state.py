"""What a network's state is put back from after it was read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from skorch import NeuralNet

from .._torch_state import own_random_state


@contextmanager
def left_as_found(net: NeuralNet) -> Iterator[None]:
    """Hold a network in evaluation mode, alone, and put it back as it was after the block.

    Training flags, buffers and torch's random state are put back. Parameters are read inside only:
    a parametrized one, such as that of `torch.nn.utils.parametrizations.spectral_norm`, is computed
    when it is read, and in training mode that moves buffers.
    """
    with own_random_state():
        roots = [r for r in (net.module_, net.criterion_) if isinstance(r, torch.nn.Module)]
        modules = [module for root in roots for module in root.modules()]
        flags = [module.training for module in modules]
        buffers = [dict(module._buffers) for module in modules]
        values = [
            {name: b.detach().clone() for name, b in found.items() if b is not None}
            for found in buffers
        ]
        try:
            for root in roots:
                root.eval()
            yield
        finally:
            for module, flag in zip(modules, flags, strict=True):
                module.training = flag
            for module, found, before in zip(modules, buffers, values, strict=True):
                _put_back(module, found, before)


def _put_back(
    module: torch.nn.Module,
    buffers: dict[str, torch.Tensor | None],
    values: dict[str, torch.Tensor],
) -> None:
    """Give a module its own buffers again, with the values they had; None is None again."""
    module._buffers.clear()
    module._buffers.update(buffers)
    for name, value in values.items():
        buffer = buffers[name]
        if buffer is not None and not torch.equal(buffer, value):
            with torch.no_grad():
                buffer.copy_(value)
