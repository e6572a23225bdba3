"""Reading the last layer of a skorch network, and its inputs, without changing the network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.special import expit, log_softmax, softmax
from sklearn.utils import gen_batches
from skorch import NeuralNet

from .._types import Array, Rows
from ..data import n_rows
from ..losses import HeadLoss
from .batching import batches, first_of, first_rows
from .criteria import (
    SUPPORTED,
    Criterion,
    UnsupportedNetworkError,
    read_criterion,
    require_row_by_row,
)
from .default_linear import StandardizedLinear
from .finite import require_finite
from .state import left_as_found, uncompiled
from .targets import head_targets
from .trials import require_criterion_trained, require_own_outputs

_LINKS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda logits: logits,
    "softmax": lambda logits: softmax(logits, axis=1),
    "log_softmax": lambda logits: log_softmax(logits, axis=1),
    "sigmoid": expit,
}
# Rows whose losses are computed at a time.
_LOSS_ROWS = 8192
# Features that take more bytes are kept in a temporary file.
SPILL_BYTES = 2**32


@dataclass(frozen=True)
class Head:
    """The last layer of a network, with its inputs, targets and loss.

    Attributes
    ----------
    design : ndarray of shape (n_samples, n_features)
        Inputs of the last Linear in the network's dtype, with a last column of ones if it has a
        bias.
    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes for softmax cross-entropy, else float64, one column per output.
    loss : HeadLoss
        Loss of one sample as a function of the Linear's outputs.
    theta : ndarray of shape (n_outputs, n_features)
        The layer's current weight, with its bias as the last column, in float64.
    has_bias : bool
        Whether the Linear has a bias.
    sample_weight : ndarray of shape (n_samples,) or None
        Weight of each row in the criterion's mean; None if all weights are equal.
    """

    design: Array
    targets: Array
    loss: HeadLoss
    theta: Array
    has_bias: bool
    sample_weight: Array | None = None

    def losses(self) -> Array:
        """Return the loss of each row, not weighted, of shape (n_samples,)."""
        losses = np.empty(len(self.design))
        for rows in gen_batches(len(self.design), _LOSS_ROWS):
            outputs = self.design[rows].astype(np.float64) @ self.theta.T
            with np.errstate(over="ignore", invalid="ignore"):
                losses[rows] = self.loss.value(outputs, self.targets[rows])
        return losses


def read_head(net: NeuralNet, X: Rows, y: Array) -> Head:
    """Run a fitted network on X in evaluation mode and return its last layer.

    The last layer is the last torch.nn.Linear that is executed. On every row, the module's output
    must be this layer's output, or its softmax, log-softmax or sigmoid. Parameters, buffers,
    training flags, gradients, hooks and torch's random state are left as they were.

    Parameters
    ----------
    net : skorch.NeuralNet
        A fitted network.
    X : ndarray or CSR matrix of shape (n_samples, ...)
        Rows to read, cast to the dtype of the network's parameters.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes (integers from 0) or regression targets.

    Returns
    -------
    Head
        Inputs, targets, loss and parameters of the last layer.

    Raises
    ------
    UnsupportedNetworkError
        If the last layer, the criterion, or what follows the layer is not supported.
    ValueError
        If the network's outputs or losses are not finite.
    """
    net, y = uncompiled(net), np.asarray(y)
    criterion = read_criterion(net, y)
    n_samples = n_rows(X)
    design: Array | None = None
    possible = set(_LINKS)
    largest = np.zeros(n_samples)
    with left_as_found(net):
        start = 0
        for layer, features, output in _executed_heads(net, X):
            stop = start + len(features)
            largest[start:stop] = _largest(output, len(features))
            if np.isfinite(largest[start:stop]).all():
                possible &= _matching_links(net, layer, features, output)
            if not possible:
                raise UnsupportedNetworkError(
                    f"The module's output, of shape {tuple(output.shape)}, is not the output of "
                    f"its last Linear, {layer}, nor its softmax, log-softmax or sigmoid: other "
                    f"layers or operations follow. {SUPPORTED}"
                )
            if design is None:
                design = _empty_design(n_samples, layer, features)
            design[start:stop, : layer.in_features] = _to_numpy(features)
            start = stop
        if design is not None:
            theta = _parameters(layer)
    if design is None or start != n_samples:
        raise UnsupportedNetworkError(
            f"The network's iterator_valid gave {0 if design is None else start} of {n_samples} "
            "rows; remove options such as drop_last that leave rows out."
        )
    require_finite("outputs", largest)
    _require_link(net, criterion, possible)
    targets = head_targets(net, criterion.loss, y, layer.out_features)
    require_row_by_row(criterion, targets, layer.out_features)
    require_own_outputs(net, X)
    require_criterion_trained(net, X, y, criterion.loss)
    head = Head(
        design=design,
        targets=targets,
        loss=criterion.loss,
        theta=theta,
        has_bias=layer.bias is not None,
        sample_weight=criterion.sample_weight,
    )
    require_finite("losses", head.losses())
    return head


def _parameters(layer: torch.nn.Linear) -> Array:
    """Return the layer's weight with its bias as the last column, in float64."""
    theta = layer.weight.detach()
    if layer.bias is not None:
        theta = torch.cat([theta, layer.bias.detach()[:, None]], dim=1)
    return _to_numpy(theta).astype(np.float64)


def network_codes(net: NeuralNet, X: Rows, y: Array, classes: Array) -> Array:
    """Return the classes of the rows as the codes that a fitted network was trained on.

    If there are as many outputs as classes (or one output for two classes), the outputs are the
    classes in sorted order. A network with more outputs knows classes that y lacks; then the labels
    must themselves be the codes, from 0 to n_outputs - 1.

    Parameters
    ----------
    net : skorch.NeuralNet
        A fitted network.
    X : ndarray or CSR matrix of shape (n_samples, ...)
        Rows; a few of them are run to count the outputs.
    y : ndarray of int of shape (n_samples,)
        Positions in ``classes``.
    classes : ndarray of shape (n_classes,)
        The labels, sorted.

    Returns
    -------
    codes : ndarray of int of shape (n_samples,)
        Position of each row's class among the network's outputs.

    Raises
    ------
    ValueError
        If outputs and classes cannot be matched.
    """
    n_outputs, n_classes = first_output(net, X)[0].numel(), len(classes)
    if n_outputs == n_classes or (n_outputs, n_classes) == (1, 2):
        return y
    if classes.dtype.kind in "iuf" and classes[0] >= 0 and classes[-1] < n_outputs:
        return classes[y].astype(np.int64)
    raise ValueError(
        f"the frozen network has {n_outputs} outputs and y has {n_classes} classes, so outputs and "
        f"classes cannot be matched; give y as the codes 0 to {n_outputs - 1} that the network was "
        "trained on."
    )


def write_head(net: NeuralNet, theta: Array) -> None:
    """Put refitted parameters into the last layer of a network made by this package.

    Parameters
    ----------
    net : skorch.NeuralNet
        From `linear_network` or `model_network`; it is changed in place.
    theta : ndarray of shape (n_outputs, n_features + 1)
        Weight, with the bias as its last column; the weight alone if the layer has no bias.
    """
    layer = net.module_.linear
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(theta[:, : layer.in_features]))
        if layer.bias is not None:
            layer.bias.copy_(torch.as_tensor(theta[:, -1]))


def first_output(net: NeuralNet, X: Rows) -> torch.Tensor:
    """Return the module's output for the first rows."""
    net = uncompiled(net)
    with left_as_found(net):
        batch = next(iter(batches(net, first_rows(X))))
        return first_of(net.evaluation_step(batch, training=False))


@dataclass
class _LastCall:
    """The last call of a Linear in one forward pass, recorded by a hook."""

    layer: torch.nn.Linear | None = None
    features: torch.Tensor | None = None
    n_calls: dict[torch.nn.Linear, int] = field(default_factory=dict)

    def note(
        self,
        layer: torch.nn.Module,
        args: tuple[torch.Tensor, ...],
        named: dict[str, torch.Tensor],
        output: torch.Tensor,
    ) -> None:
        assert isinstance(layer, torch.nn.Linear)
        self.layer, self.features = layer, args[0] if args else named["input"]
        self.n_calls[layer] = self.n_calls.get(layer, 0) + 1


def _executed_heads(
    net: NeuralNet, X: Rows
) -> Iterator[tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]]:
    """Yield the last executed Linear, its input and the module's output, batch by batch."""
    call = _LastCall()
    linears = [m for m in net.module_.modules() if isinstance(m, torch.nn.Linear)]
    first: torch.nn.Linear | None = None
    handles = [layer.register_forward_hook(call.note, with_kwargs=True) for layer in linears]
    try:
        for batch in batches(net, X):
            call.layer, call.features, call.n_calls = None, None, {}
            output = net.evaluation_step(batch, training=False)
            layer, features = _require_head(net, call)
            first = first or layer
            if layer is not first:
                raise UnsupportedNetworkError(
                    "Different batches end in different torch.nn.Linear layers. " + SUPPORTED
                )
            yield layer, features, first_of(output)
    finally:
        for handle in handles:
            handle.remove()


def _require_head(net: NeuralNet, call: _LastCall) -> tuple[torch.nn.Linear, torch.Tensor]:
    if call.layer is None or call.features is None:
        kinds = sorted({type(m).__name__ for m in net.module_.modules()})
        hint = " A compiled part hides its layers: compile the whole module, or none of it."
        raise UnsupportedNetworkError(
            f"No torch.nn.Linear was executed by the module, which consists of "
            f"{', '.join(kinds)}.{hint if 'OptimizedModule' in kinds else ''} {SUPPORTED}"
        )
    layer, features = call.layer, call.features
    if call.n_calls[layer] > 1:
        raise UnsupportedNetworkError(
            f"The last layer, {layer}, is called {call.n_calls[layer]} times in one forward pass; "
            f"its gradient is not the product of one residual and one input. {SUPPORTED}"
        )
    if features.ndim != 2:
        raise UnsupportedNetworkError(
            f"The last layer, {layer}, receives an input of shape {tuple(features.shape)}; "
            f"one row of features per sample is needed. Pool or flatten it before. {SUPPORTED}"
        )
    return layer, features


def _matching_links(
    net: NeuralNet, layer: torch.nn.Linear, features: torch.Tensor, output: torch.Tensor
) -> set[str]:
    """Return the names of the functions that turn the layer's output into the module's."""
    if isinstance(net.module_, StandardizedLinear):
        # It adds the target's mean, of which the rounding error may exceed the layer's output.
        return {"identity"}
    with torch.no_grad():
        logits = _to_numpy(torch.nn.functional.linear(features, layer.weight, layer.bias))
    outputs = _to_numpy(output)
    if outputs.size != logits.size:
        return set()
    outputs = outputs.reshape(logits.shape)
    # Rounding of the dtype, with room for one more operation.
    rtol = 1e3 * torch.finfo(features.dtype).eps
    # Not torch.allclose, whose threads mostly wait for each other on small arrays.
    return {
        name
        for name, link in _LINKS.items()
        if np.allclose(link(logits), outputs, rtol, rtol / 100, equal_nan=True)
    }


def _largest(output: torch.Tensor, n_rows: int) -> Array:
    """Return each row's largest absolute output (NaN if one is), or that of all if rows mix."""
    sizes = np.abs(_to_numpy(output))
    if len(sizes) != n_rows:
        return np.full(n_rows, sizes.max())
    return sizes.reshape(n_rows, -1).max(axis=1)


def _require_link(net: NeuralNet, criterion: Criterion, links: set[str]) -> None:
    if links.isdisjoint(criterion.links):
        raise UnsupportedNetworkError(
            f"criterion={type(net.criterion_).__name__} receives the {' or '.join(sorted(links))} "
            f"of the last Linear, and needs its {' or '.join(criterion.links)}. {SUPPORTED}"
        )


def _empty_design(n_samples: int, layer: torch.nn.Linear, features: torch.Tensor) -> Array:
    """Return an array of the design's shape whose last column is ones if the layer has a bias.

    Beyond 4 GB it is in a temporary file without a name, so that nothing is left of it even if the
    program is killed.
    """
    has_bias = layer.bias is not None
    dtype = np.dtype(np.float64 if features.dtype == torch.float64 else np.float32)
    shape = (n_samples, layer.in_features + has_bias)
    if n_samples * shape[1] * dtype.itemsize <= SPILL_BYTES:
        return np.ones(shape, dtype=dtype)
    with tempfile.TemporaryFile() as file:
        design = np.memmap(file, dtype=dtype, mode="w+", shape=shape)
    if has_bias:
        design[:, -1] = 1
    return design


def _to_numpy(tensor: torch.Tensor) -> Array:
    # numpy has no bfloat16.
    tensor = tensor.detach().cpu()
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).numpy()
