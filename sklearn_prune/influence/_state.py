"""What a network's state is put back from after it was read or trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from skorch import NeuralNet


@contextmanager
def own_random_state(seed: int = 0) -> Iterator[None]:
    """Seed torch inside the block, and put its generators back afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        yield


@contextmanager
def left_as_found(net: NeuralNet) -> Iterator[None]:
    """Put training flags, buffers and torch's random state back after the block."""
    roots = [net.module_, net.criterion_]
    modules = [m for root in roots if isinstance(root, torch.nn.Module) for m in root.modules()]
    flags = [module.training for module in modules]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    with own_random_state():
        try:
            yield
        finally:
            for module, flag in zip(modules, flags, strict=True):
                module.training = flag
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
