"""The losses whose second derivative has a closed form in the head's outputs.

Each loss is a function ``l(f, y)`` of one sample's K outputs ``f`` (logits) and its target ``y``.
Its derivatives need only ``m = mean(f)``, what the model expects of y, as in a generalised linear
model: the residual ``r = dl/df`` and the curvature ``C = d2l/df2``. A curvature
entry ``C_jk`` has one sign over all samples: never negative for j = k, never positive otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

Array = NDArray[Any]


class HeadLoss(Protocol):
    """What a loss must offer; every array has one row per sample and is not averaged."""

    couples_outputs: ClassVar[bool]
    """Whether the curvature has entries off its diagonal; its rows then sum to zero."""

    def value(self, logits: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""

    def mean(self, logits: Array) -> Array:
        """Return the expected target, of shape (n, K)."""

    def residual(self, means: Array, targets: Array) -> Array:
        """Return ``dl/df`` of shape (n, K)."""

    def curvature_entry(self, means: Array, j: int, k: int) -> Array:
        """Return ``C_jk = d2l / df_j df_k`` of each sample, of shape (n,)."""

    def curvature_product(self, means: Array, U: Array) -> Array:
        """Return ``C_i u_i`` of shape (n, K), without forming any ``C_i``."""

    def curvature_sum(self, means: Array, weights: Array) -> Array:
        """Return ``sum_i weights_i C_i`` of shape (K, K)."""


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """Cross-entropy of the softmax, in nats: ``l = log sum_k exp(f_k) - f_y``.

    With ``m = softmax(f)``: ``r = m - e_y`` and ``C = diag(m) - m m^T``.
    Targets are class codes of shape (n,).
    """

    couples_outputs: ClassVar[bool] = True

    def value(self, logits: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""
        chosen = np.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
        return logsumexp(logits, axis=1) - chosen

    def mean(self, logits: Array) -> Array:
        """Return the class probabilities, of shape (n, K)."""
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        return odds

    def residual(self, means: Array, targets: Array) -> Array:
        """Return ``m - e_y`` of shape (n, K)."""
        residual = means.copy()
        residual[np.arange(len(targets)), targets] -= 1
        return residual

    def curvature_entry(self, means: Array, j: int, k: int) -> Array:
        """Return ``m_j (1 - m_j)`` or ``-m_j m_k`` of each sample, of shape (n,)."""
        return means[:, j] * ((j == k) - means[:, k])

    def curvature_product(self, means: Array, U: Array) -> Array:
        """Return ``m * (u - m.u)`` of shape (n, K)."""
        return means * (U - np.einsum("ik,ik->i", means, U)[:, None])

    def curvature_sum(self, means: Array, weights: Array) -> Array:
        """Return ``sum_i weights_i C_i`` of shape (K, K)."""
        weighted = weights[:, None] * means
        return np.diag(weighted.sum(axis=0)) - weighted.T @ means


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Mean over K independent logits of ``log(1 + exp(f)) - y f``, in nats.

    With ``m = 1 / (1 + exp(-f))``: ``r = (m - y) / K`` and ``C = diag(m (1 - m)) / K``.
    Targets lie in [0, 1] and have shape (n, K).
    """

    couples_outputs: ClassVar[bool] = False

    def value(self, logits: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""
        return (np.logaddexp(0, logits) - targets * logits).mean(axis=1)

    def mean(self, logits: Array) -> Array:
        """Return the probabilities, of shape (n, K)."""
        return expit(logits)

    def residual(self, means: Array, targets: Array) -> Array:
        """Return ``(m - y) / K`` of shape (n, K)."""
        return (means - targets) / means.shape[1]

    def curvature_entry(self, means: Array, j: int, k: int) -> Array:
        """Return ``m_j (1 - m_j) / K`` or 0 of each sample, of shape (n,)."""
        return (j == k) / means.shape[1] * means[:, j] * (1 - means[:, j])

    def curvature_product(self, means: Array, U: Array) -> Array:
        """Return ``m (1 - m) u / K`` of shape (n, K)."""
        return means * (1 - means) * U / means.shape[1]

    def curvature_sum(self, means: Array, weights: Array) -> Array:
        """Return ``sum_i weights_i C_i`` of shape (K, K)."""
        return np.diag(weights @ (means * (1 - means)) / means.shape[1])


@dataclass(frozen=True)
class SquaredError:
    """Mean over K outputs of ``(y - f)^2``, as torch's MSELoss has it.

    ``m = f``, ``r = 2 (f - y) / K`` and ``C = 2 I / K``. Targets have shape (n, K).
    """

    couples_outputs: ClassVar[bool] = False

    def value(self, logits: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""
        return ((targets - logits) ** 2).mean(axis=1)

    def mean(self, logits: Array) -> Array:
        """Return the predictions themselves, of shape (n, K)."""
        return logits

    def residual(self, means: Array, targets: Array) -> Array:
        """Return ``2 (f - y) / K`` of shape (n, K)."""
        return (means - targets) * (2 / means.shape[1])

    def curvature_entry(self, means: Array, j: int, k: int) -> Array:
        """Return ``2 / K`` or 0 for each sample, of shape (n,)."""
        return np.full(len(means), (j == k) * 2 / means.shape[1])

    def curvature_product(self, means: Array, U: Array) -> Array:
        """Return ``2 u / K`` of shape (n, K)."""
        return U * (2 / means.shape[1])

    def curvature_sum(self, means: Array, weights: Array) -> Array:
        """Return ``sum_i weights_i C_i`` of shape (K, K)."""
        n_outputs = means.shape[1]
        return np.eye(n_outputs) * (2 * weights.sum() / n_outputs)
