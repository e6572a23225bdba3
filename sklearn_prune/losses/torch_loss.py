"""A torch criterion as a function of the head's outputs, differentiated automatically."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch.func import grad, jacrev, vmap

from .._types import Array
from .output_hessians import DenseHessians

# Rows differentiated at a time.
_CHUNK = 2048
# Rows on which a criterion is tried out.
_TRIAL_ROWS = 16


class NonConvexLossWarning(UserWarning):
    """The loss is not convex; influences replace its negative curvature by zero."""


class TorchLoss:
    """The criterion's value for each single sample and its derivatives, by `torch.func` in float64.

    The output Hessians of a criterion that is not convex have negative eigenvalues. `hessians`
    replaces these by zero, so that with damping the head's Hessian is always positive definite;
    `smallest_curvatures` returns them unchanged.

    Parameters
    ----------
    criterion : torch.nn.Module
        Called with outputs of shape (1, K) and a target of shape (1,) for class codes, else
        (1, n_columns). A copy on the CPU and in float64 is used.
    """

    couples_outputs: ClassVar[bool] = True

    def __init__(self, criterion: torch.nn.Module) -> None:
        self.name = type(criterion).__name__
        self._criterion = copy.deepcopy(criterion).cpu().double().eval().requires_grad_(False)

    def value(self, outputs: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""
        return self._map(self._loss, outputs, targets)

    def residual(self, outputs: Array, targets: Array) -> Array:
        """Return ``dl/df`` of shape (n, K)."""
        return self._map(grad(self._loss), outputs, targets)

    def hessians(self, outputs: Array, targets: Array) -> DenseHessians:
        """Return ``d2l/df2`` of each sample, with negative eigenvalues replaced by zero."""
        matrices = self._matrices(outputs, targets)
        values, vectors = np.linalg.eigh(matrices)
        negative = values[:, 0] < 0
        if negative.any():
            values, vectors = np.maximum(values[negative], 0), vectors[negative]
            matrices[negative] = (vectors * values[:, None]) @ vectors.swapaxes(1, 2)
        return DenseHessians(matrices)

    def steepest(self, n_outputs: int) -> tuple[float, float]:
        """Return two infinities: the criterion's slope and curvature have no known bound."""
        return np.inf, np.inf

    def smallest_curvatures(self, outputs: Array, targets: Array) -> Array:
        """Return the smallest eigenvalue of ``d2l/df2`` of each sample, of shape (n,)."""
        return np.linalg.eigvalsh(self._matrices(outputs, targets))[:, 0]

    def fault(self, targets: Array, n_outputs: int) -> str | None:
        """Return why the criterion cannot be used, or None; tries it on random outputs."""
        targets = targets[spread_rows(targets, _TRIAL_ROWS)]
        outputs = np.random.default_rng(0).standard_normal((len(targets), n_outputs))
        try:
            whole = self._criterion(torch.as_tensor(outputs), torch.as_tensor(targets))
            if whole.ndim:
                return f"returns {whole.numel()} numbers for {len(targets)} rows instead of one"
            single, hessians = self.value(outputs, targets), self._matrices(outputs, targets)
        except Exception as error:
            return f"cannot be differentiated row by row ({error})"
        reductions = [single.mean(), single.sum()]
        if not np.isclose(reductions, whole.item(), rtol=1e-6, atol=1e-12).any():
            return (
                f"gives {whole.item():.4g} for {len(targets)} rows, which is neither the mean "
                f"({reductions[0]:.4g}) nor the sum of what it gives for each row"
            )
        if not hessians.any():
            return "has a second derivative of zero"
        if (np.linalg.eigvalsh(hessians) <= 0).all():
            return "is concave wherever it was tried, so that it has no minimum"
        return None

    def _loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self._criterion(output[None], target[None])

    def _matrices(self, outputs: Array, targets: Array) -> Array:
        matrices = self._map(jacrev(grad(self._loss)), outputs, targets)
        return (matrices + matrices.swapaxes(1, 2)) / 2

    @staticmethod
    def _map(function: Callable[..., torch.Tensor], outputs: Array, targets: Array) -> Array:
        mapped: Callable[..., torch.Tensor] = vmap(function, chunk_size=_CHUNK)
        return mapped(torch.as_tensor(outputs), torch.as_tensor(targets)).numpy()


def spread_rows(y: Array, n_samples: int) -> Array:
    """Return positions of rows that cover the range of targets, shuffled.

    Unlike the first rows of a table that is sorted by class, they show every class.

    Parameters
    ----------
    y : ndarray of shape (n, ...)
        Targets.
    n_samples : int
        Rows to return: all if y has fewer, and more than this if a value would be missing and there
        are at most ``n_samples`` distinct values.
    """
    column = y.reshape(len(y), -1)[:, 0]
    order = np.argsort(column, kind="stable")
    rows = order[np.linspace(0, len(y) - 1, min(n_samples, len(y))).astype(np.intp)]
    _, first = np.unique(column, return_index=True)
    if len(first) <= n_samples:
        rows = np.union1d(rows, first)
    return np.random.default_rng(0).permutation(rows)
