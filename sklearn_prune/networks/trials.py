"""Checks, on a few rows, that a network's outputs and loss are what influences assume."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet

from .._types import Array, Batch, Rows
from ..data import n_rows, take_rows
from ..losses import HeadLoss, TorchLoss, spread_rows
from ..utils import own_random_state
from .batching import batches, first_of, joined, map_tensors, tensors_of
from .criteria import UnsupportedNetworkError
from .state import left_as_found, uncompiled
from .targets import cast_target

_BATCH_ROWS = 16
_LOSS_ROWS = 256
_REMEDY = (
    "In evaluation mode a module must neither mix rows nor draw numbers: batch norm needs "
    "track_running_stats=True, and batch_norm and dropout of torch.nn.functional "
    "training=self.training."
)
_STEPS = ("train_step", "train_step_single")


def require_own_outputs(net: NeuralNet, X: Rows) -> None:
    """Raise if a row's outputs depend on the other rows of its batch, or on random numbers.

    A batch of a few rows is run twice, and then in two halves.

    Raises
    ------
    UnsupportedNetworkError
        When the outputs differ.
    """
    n_samples = n_rows(X)
    rows = np.linspace(0, n_samples - 1, min(_BATCH_ROWS, n_samples)).astype(np.intp)
    with left_as_found(net):
        x = _cast(net, next(iter(batches(net, take_rows(X, rows))))[0])
        whole = _first_output(net, x)
        _require_same(whole, _first_output(net, x), "are run again")
        n = len(whole)
        halves = [_slice(x, n, slice(0, n // 2)), _slice(x, n, slice(n // 2, n))]
        if n < 2 or any(half is None for half in halves):
            return
        try:
            parts = torch.cat([_first_output(net, half) for half in halves])
        except Exception as error:
            raise UnsupportedNetworkError(
                f"a row's outputs must not depend on other rows; the module runs on a batch of {n} "
                f"rows, but not on its halves ({error}). {_REMEDY}"
            ) from error
        _require_same(whole, parts, f"are run in two batches and not in one of {n}")


def _cast(net: NeuralNet, x: Batch) -> Batch:
    """Return a batch in bfloat16 for a network of that dtype, which numpy does not have."""
    dtypes = {parameter.dtype for parameter in net.module_.parameters()}
    if torch.bfloat16 not in dtypes:
        return x
    return map_tensors(lambda t: t.bfloat16() if t.is_floating_point() else t, x)


def _first_output(net: NeuralNet, x: Batch) -> torch.Tensor:
    return first_of(net.evaluation_step((x, None), training=False))


def _slice(x: Batch, n: int, rows: slice) -> Batch:
    """Return some rows of a batch of n rows; None if its tensors do not have one row each."""
    try:
        tensors = tensors_of(x)
        if any(len(tensor) != n for tensor in tensors):
            return None
        return map_tensors(lambda tensor: tensor[rows], x)
    except (TypeError, AttributeError):
        return None


def _require_same(first: torch.Tensor, second: torch.Tensor, what: str) -> None:
    if first.shape != second.shape:
        difference = np.inf
    elif not (torch.isfinite(first).all() and torch.isfinite(second).all()):
        # `require_finite` reports that.
        return
    else:
        difference = float((first - second).abs().max())
    scale = float(first.abs().max())
    if difference > scale * torch.finfo(first.dtype).eps ** 0.5:
        raise UnsupportedNetworkError(
            f"a row's outputs must not depend on other rows or on chance; they differ by "
            f"{difference:.2g} when the same rows {what}. {_REMEDY}"
        )


def require_criterion_trained(net: NeuralNet, X: Rows, y: Array, loss: HeadLoss) -> None:
    """Raise if the network's ``get_loss`` differs from its criterion, which is differentiated.

    skorch's own methods need no check. An overriding one may unpack several outputs, but must
    return what the criterion returns for the first of them. Rows of all classes are tried, in two
    pairings of outputs and targets.

    Raises
    ------
    UnsupportedNetworkError
        If the losses differ.
    """
    is_own = _is_own(net, "get_loss")
    # torch's own criteria take one output; a custom one may take several.
    if not (is_own or isinstance(loss, TorchLoss)):
        return
    with left_as_found(net), torch.no_grad():
        rows = spread_rows(y, _LOSS_ROWS)
        inputs = [_cast(net, x) for x, _ in batches(net, take_rows(X, rows))]
        outputs = [net.evaluation_step((x, None), training=False) for x in inputs]
        if not (is_own or isinstance(outputs[0], tuple)):
            return
        x, output = joined(inputs), joined(outputs)
        tail = tuple(first_of(output).shape[1:])
        target = torch.as_tensor(cast_target(net, loss, y[rows], tail))
        for shift in (0, 1):
            moved = map_tensors(partial(torch.roll, shifts=shift, dims=0), output)
            expected = criterion_loss(net, first_of(moved), target)
            trained = _trained_loss(net, moved, target, x)
            if not _agree(trained, expected):
                raise UnsupportedNetworkError(
                    "get_loss must return the criterion's loss, of which influences are taken; "
                    f"{type(net).__name__}.get_loss gives {float(trained):.6g}, and "
                    f"criterion={type(net.criterion_).__name__} gives {float(expected):.6g} for "
                    "the first output. Put the whole loss into a criterion, a torch.nn.Module such "
                    "as CrossEntropyLoss(weight=...), and do not override get_loss."
                )


def _trained_loss(net: NeuralNet, output: Batch, target: torch.Tensor, x: Batch) -> torch.Tensor:
    try:
        return net.get_loss(output, target, X=x, training=True)
    except Exception as error:
        raise UnsupportedNetworkError(
            f"{type(net).__name__}.get_loss stopped with {type(error).__name__}: {error}. It is "
            "called as in skorch, with all outputs of the module; make it accept these."
        ) from error


def criterion_loss(net: NeuralNet, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the loss by skorch's own ``get_loss`` for this type of network."""
    return _skorch_method(net, "get_loss")(net, output, target, training=False)


def require_plain_steps(net: NeuralNet, X: Rows, y: Array) -> None:
    """Raise if a training step of this network minimises something other than ``get_loss``.

    Rows of all classes are tried.

    Parameters
    ----------
    net : skorch.NeuralNet
        An initialised copy; the training steps change it.
    X, y
        Rows and targets as its ``fit`` takes them.

    Raises
    ------
    UnsupportedNetworkError
        If the losses differ, or a step fails.
    """
    step_name = own_step(net)
    if step_name is None:
        return
    rows = spread_rows(y, _LOSS_ROWS)
    with own_random_state():
        data = net.get_dataset(take_rows(X, rows), y[rows])
        steps = list(net.get_iterator(data, training=True))
    for batch in steps:
        with own_random_state(), torch.no_grad():
            net.module_.train()
            x, target = batch
            expected = net.get_loss(net.infer(x), target, X=x, training=True)
        with own_random_state():
            minimised = _loss_of_step(net, batch, step_name)
        if not _agree(minimised, expected):
            raise UnsupportedNetworkError(
                "a training step must minimise the criterion, which influences are computed from; "
                f"{type(net).__name__}.{step_name} minimises {float(minimised):.6g}, and the "
                f"criterion gives {float(expected):.6g} for the batch. {_remedy_for_steps(net)}"
            )


def trial_copy(net: NeuralNet) -> NeuralNet:
    """Return a copy of a fitted network with its own training step, for `require_plain_steps`."""
    try:
        return copy.deepcopy(uncompiled(net))
    except Exception as error:
        raise UnsupportedNetworkError(
            f"{type(net).__name__}.{own_step(net)} cannot be tried because the network cannot be "
            f"copied: {type(error).__name__}: {error}. {_remedy_for_steps(net)}"
        ) from error


def own_step(net: NeuralNet) -> str | None:
    """Return the name of the training step that a network overrides; None if it overrides none."""
    return next((name for name in _STEPS if _is_own(net, name)), None)


def _loss_of_step(net: NeuralNet, batch: Batch, step_name: str) -> torch.Tensor:
    try:
        return torch.as_tensor(net.train_step(batch)["loss"]).detach()
    except Exception as error:
        raise UnsupportedNetworkError(
            f"{type(net).__name__}.{step_name} stopped with {type(error).__name__}: {error}. It is "
            f"tried on a few rows, outside of fit. {_remedy_for_steps(net)}"
        ) from error


def _remedy_for_steps(net: NeuralNet) -> str:
    plain = next(c.__name__ for c in type(net).__mro__ if c.__module__.startswith("skorch."))
    return (
        "Put the whole loss into a criterion. To compute influences from the criterion anyway, "
        f"train the network yourself and freeze its module in a plain {plain}: "
        f"FrozenEstimator({plain}(net.module_, criterion=...).initialize())."
    )


def _agree(loss: torch.Tensor | float, expected: torch.Tensor | float) -> bool:
    loss, expected = torch.as_tensor(loss), torch.as_tensor(expected)
    tolerance = 10 * torch.finfo(expected.dtype).eps ** 0.5
    return bool(
        torch.allclose(loss.to(expected), expected, tolerance, tolerance / 10, equal_nan=True)
    )


def _is_own(net: NeuralNet, method: str) -> bool:
    """Return whether a network overrides a method of skorch."""
    return method in vars(net) or getattr(type(net), method) is not _skorch_method(net, method)


def _skorch_method(net: NeuralNet, method: str) -> Callable[..., torch.Tensor]:
    """Return the method that a network inherits from skorch."""
    owners = (owner for owner in type(net).__mro__ if owner.__module__.split(".")[0] == "skorch")
    return next(getattr(owner, method) for owner in owners if hasattr(owner, method))
