"""Read a network and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from skorch import NeuralNet

from ..utils import own_random_state, put_back


def uncompiled(net: NeuralNet) -> NeuralNet:
    """Return the network without the wrappers of torch.compile, which hide layers from hooks.

    Modules are shared.
    """
    originals = {
        name: module._orig_mod
        for name in ("module_", "criterion_")
        if hasattr(module := getattr(net, name), "_orig_mod")
    }
    return copy_with(net, **originals) if originals else net


def copy_with(net: NeuralNet, **attributes: object) -> NeuralNet:
    """Return a copy for reading, which shares all other attributes with the network."""
    # copy.copy would pickle module, criterion and optimizer.
    copied = object.__new__(type(net))
    vars(copied).update(vars(net) | attributes)
    return copied


@contextmanager
def left_as_found(net: NeuralNet) -> Iterator[None]:
    """Put a network in evaluation mode for the block, one thread at a time, and restore it.

    Training flags, buffers and torch's random state are restored. Read parameters only inside the
    block: a parametrized one, as of `torch.nn.utils.parametrizations.spectral_norm`, is computed
    when it is read, and in training mode that changes buffers.
    """
    with own_random_state():
        roots = [r for r in (net.module_, net.criterion_) if isinstance(r, torch.nn.Module)]
        modules = [module for root in roots for module in root.modules()]
        flags = [module.training for module in modules]
        buffers = [dict(module._buffers) for module in modules]
        values = [
            {name: b.detach().clone() for name, b in module_buffers.items() if b is not None}
            for module_buffers in buffers
        ]
        try:
            for root in roots:
                root.eval()
            yield
        finally:
            put_back(partial(_restore_all, modules, flags, buffers, values))


def _restore_all(
    modules: Sequence[torch.nn.Module],
    flags: Sequence[bool],
    buffers: Sequence[dict[str, torch.Tensor | None]],
    values: Sequence[dict[str, torch.Tensor]],
) -> None:
    """Restore flags, buffers and their values; buffers that were None are None again."""
    for module, flag, own, before in zip(modules, flags, buffers, values, strict=True):
        module.training = flag
        module._buffers.clear()
        module._buffers.update(own)
        for name, value in before.items():
            buffer = own[name]
            if buffer is not None and not torch.equal(buffer, value):
                with torch.no_grad():
                    buffer.copy_(value)
