"""What a network's state is put back from after it was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from skorch import NeuralNet

from ..utils import own_random_state, put_back


def uncompiled(net: NeuralNet) -> NeuralNet:
    """Return the network with the modules themselves, where torch.compile stands before them.

    They are shared. Compiled ones hide their layers from hooks.
    """
    originals = {
        name: module._orig_mod
        for name in ("module_", "criterion_")
        if hasattr(module := getattr(net, name), "_orig_mod")
    }
    return copy_with(net, **originals) if originals else net


def copy_with(net: NeuralNet, **attributes: Any) -> NeuralNet:
    """Return a copy for reading, which shares all other attributes with the network."""
    # copy.copy would pickle module, criterion and optimizer.
    copied = object.__new__(type(net))
    vars(copied).update(vars(net) | attributes)
    return copied


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
            put_back(partial(_put_all_back, modules, flags, buffers, values))


def _put_all_back(
    modules: Sequence[torch.nn.Module],
    flags: Sequence[bool],
    buffers: Sequence[dict[str, torch.Tensor | None]],
    values: Sequence[dict[str, torch.Tensor]],
) -> None:
    for module, flag in zip(modules, flags, strict=True):
        module.training = flag
    for module, found, before in zip(modules, buffers, values, strict=True):
        _put_buffers_back(module, found, before)


def _put_buffers_back(
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
