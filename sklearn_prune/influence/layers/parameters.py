"""The parameters of a network that influences are taken on, and their order in one vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import torch


@dataclass(frozen=True)
class Block:
    """Parameters that are adjacent in the parameter vector.

    Attributes
    ----------
    names : tuple of str
        The weight of a Linear or a convolution, followed by its bias if both are chosen; else one
        parameter.
    shape : tuple of int
        ``(n_outputs, n_features)`` of such a layer, the bias being the last column, as in
        `HeadObjective`; a convolution's features are the numbers under its kernel. Else ``(n,)``.
    layer : str or None
        Name of the Linear or convolution.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    layer: str | None = None

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(np.prod(self.shape))

    def with_constant(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return a layer's inputs of shape (m, d), with a column of ones if it has a bias."""
        if len(self.names) == 1:
            return inputs
        return torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)

    def flatten(self, tensors: dict[str, torch.Tensor], n_leading: int = 0) -> torch.Tensor:
        """Return the block's tensors as one vector, after `n_leading` dimensions that are kept."""
        leading = tensors[self.names[0]].shape[:n_leading]
        rows = self.shape[0] if self.layer is not None else 1
        columns = [tensors[name].reshape(*leading, rows, -1) for name in self.names]
        return torch.cat(columns, dim=-1).reshape(*leading, -1)


def choose_parameters(module: torch.nn.Module, layers: str | Sequence[str]) -> list[str]:
    """Return the names of the module's trained parameters that match, in its own order.

    Parameters
    ----------
    module : torch.nn.Module
        A network's module.
    layers : "all" or list of str
        Patterns of parameter names in the syntax of `fnmatch`, such as ``"encoder.*"``.

    Raises
    ------
    ValueError
        When a pattern matches no parameter that requires a gradient.
    """
    trained = [name for name, tensor in module.named_parameters() if tensor.requires_grad]
    patterns = ["*"] if layers == "all" else list(layers)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in trained):
            raise ValueError(
                f"layers must match trained parameters; the pattern {pattern!r} matches none. Use "
                f"patterns of their names: {', '.join(trained) or 'the network has none'}."
            )
    return [name for name in trained if any(fnmatchcase(name, p) for p in patterns)]


def parameter_blocks(module: torch.nn.Module, names: list[str]) -> list[Block]:
    """Return the chosen parameters as blocks, with each layer's weight and bias in one block."""
    chosen, shapes = dict.fromkeys(names), {n: p.shape for n, p in module.named_parameters()}
    layers = {name: m for name, m in module.named_modules() if is_multiplication(m)}
    blocks: list[Block] = []
    taken: set[str] = set()
    for name in names:
        layer, _, kind = name.rpartition(".")
        prefix = f"{layer}." if layer else ""
        if name in taken:
            continue
        if layer in layers and kind == "weight":
            bias = prefix + "bias"
            n_outputs, n_features = shapes[name][0], shapes[name][1:].numel()
            has_bias = bias in chosen
            own = (name, bias) if has_bias else (name,)
            blocks.append(Block(own, (n_outputs, n_features + has_bias), layer))
            taken.update(own)
        elif not (layer in layers and kind == "bias" and prefix + "weight" in chosen):
            blocks.append(Block((name,), (shapes[name].numel(),)))
    return blocks


def is_multiplication(layer: torch.nn.Module) -> bool:
    """Whether a layer only multiplies its input, or each patch of it, by its weight.

    That is a Linear, or a one- or two-dimensional convolution with zero padding and without groups.
    """
    if type(layer) in (torch.nn.Conv1d, torch.nn.Conv2d):
        pads_zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return bool(layer.groups == 1 and pads_zeros)
    return type(layer) is torch.nn.Linear
