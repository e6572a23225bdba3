"""The losses whose derivatives with respect to the head's outputs have a closed form.

Each loss is a function ``l(f, y)`` of one sample's K outputs ``f`` (the inputs of a softmax, a
sigmoid or an exponential, or predictions) and its target ``y``. Its gradient ``r = dl/df`` is the
residual; its Hessian is ``C = d2l/df2``. All of them are convex in ``f``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from scipy.special import expit, logsumexp, xlogy

from .._types import Array
from .output_hessians import DiagonalHessians, OutputHessians, SoftmaxHessians

Scale: TypeAlias = float | Array
"""One number for all outputs, or one for each."""

# exp overflows float64 at 709; fitted outputs stay far below.
_LARGEST_EXPONENT = 300.0


class HeadLoss(Protocol):
    """What a loss offers. Arrays have one row per sample; nothing is averaged over samples.

    Outputs have shape (n, K), in float64. Targets have shape (n,) where they are class codes,
    else (n, K).
    """

    couples_outputs: ClassVar[bool]
    """Whether the Hessian has entries off its diagonal."""

    def value(self, outputs: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""

    def residual(self, outputs: Array, targets: Array) -> Array:
        """Return ``dl/df`` of shape (n, K)."""

    def hessians(self, outputs: Array, targets: Array) -> OutputHessians:
        """Return ``C = d2l/df2`` of each sample."""

    def steepest(self, n_outputs: int) -> tuple[float, float]:
        """Return bounds on ``||r||_2`` and ``||C||_2`` that hold for all outputs and targets."""


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """Cross-entropy of the softmax, in nats: ``l = sum_k q_k (log sum_j exp(f_j) - f_k)``.

    The class code y stands for the target ``q = (1 - s) e_y + (s / K) c / c_y``, with the label
    smoothing s and the class weights c. The factor ``c_y`` of torch's loss is left out here and
    becomes the sample's weight, since torch's mean is ``sum_i c_{y_i} l_i / sum_i c_{y_i}``. With
    ``t = sum_k q_k`` and ``m = softmax(f)``: ``r = t m - q`` and ``C = t (diag(m) - m m^T)``.

    Attributes
    ----------
    label_smoothing : float in [0, 1]
        Share of the target that is spread over all classes.
    class_weight : tuple of K floats or None
        Positive weights; None means 1. Without label smoothing they only weigh samples.
    """

    label_smoothing: float = 0.0
    class_weight: tuple[float, ...] | None = None
    couples_outputs: ClassVar[bool] = True

    def value(self, outputs: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""
        # Relative to the largest output, or rounding in large outputs would exceed the loss.
        logits = outputs - outputs.max(axis=1, keepdims=True)
        rows = np.arange(len(targets))
        value = (1 - self.label_smoothing) * logits[rows, targets]
        if self.label_smoothing:
            value += np.einsum("ik,ik->i", self._spread(outputs, targets), logits)
        return self._totals(outputs, targets)[:, 0] * logsumexp(logits, axis=1) - value

    def residual(self, outputs: Array, targets: Array) -> Array:
        """Return ``t m - q`` of shape (n, K)."""
        residual = _softmax(outputs)
        if self.label_smoothing:
            residual *= self._totals(outputs, targets)
            residual -= self._spread(outputs, targets)
        residual[np.arange(len(targets)), targets] -= 1 - self.label_smoothing
        return residual

    def hessians(self, outputs: Array, targets: Array) -> SoftmaxHessians:
        """Return ``t (diag(m) - m m^T)`` of each sample."""
        return SoftmaxHessians(_softmax(outputs), self._totals(outputs, targets))

    def steepest(self, n_outputs: int) -> tuple[float, float]:
        """Return ``sqrt(2) t`` and ``t / 2`` for the largest t."""
        largest = 1.0
        if self.label_smoothing and self.class_weight is not None:
            codes = np.arange(n_outputs)
            largest = float(self._totals(np.zeros((n_outputs, n_outputs)), codes).max())
        return np.sqrt(2) * largest, largest / 2

    def _spread(self, outputs: Array, targets: Array) -> Array:
        """Return ``(s / K) c / c_y``, the smoothed part of each target, of shape (n, K)."""
        if self.class_weight is None:
            return np.full(outputs.shape, self.label_smoothing / outputs.shape[1])
        weight = np.array(self.class_weight)
        return self.label_smoothing / outputs.shape[1] * weight / weight[targets, None]

    def _totals(self, outputs: Array, targets: Array) -> Array:
        """Return ``t`` of each sample, of shape (n, 1)."""
        if not self.label_smoothing or self.class_weight is None:
            return np.ones((len(targets), 1))
        spread = self._spread(outputs, targets).sum(axis=1, keepdims=True)
        return 1 - self.label_smoothing + spread


def _softmax(outputs: Array) -> Array:
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    return odds


@dataclass(frozen=True)
class _OutputwiseLoss:
    """A loss that is the mean or the sum of ``l(f_k, y_k)`` over the K outputs.

    Attributes
    ----------
    reduction : {"mean", "sum"}
        Whether the K outputs are averaged or added up.
    """

    reduction: Literal["mean", "sum"] = "mean"
    couples_outputs: ClassVar[bool] = False

    def value(self, outputs: Array, targets: Array) -> Array:
        """Return the loss of each sample, of shape (n,)."""
        return (self._share(outputs) * self._value(outputs, targets)).sum(axis=1)

    def residual(self, outputs: Array, targets: Array) -> Array:
        """Return ``dl/df`` of shape (n, K)."""
        return self._share(outputs) * self._slope(outputs, targets)

    def hessians(self, outputs: Array, targets: Array) -> DiagonalHessians:
        """Return the diagonal Hessian of each sample."""
        return DiagonalHessians(self._share(outputs) * self._curvature(outputs, targets))

    def steepest(self, n_outputs: int) -> tuple[float, float]:
        """Return bounds on ``||r||_2`` and ``||C||_2``, infinite where there are none."""
        slope, curvature = self._steepest()
        share = np.broadcast_to(self._share(np.zeros((1, n_outputs))), n_outputs)
        return float(np.linalg.norm(share * slope)), float(np.max(share * curvature))

    def _share(self, outputs: Array) -> Scale:
        """Return the weight of each output, a number or of shape (K,)."""
        return 1 / outputs.shape[1] if self.reduction == "mean" else 1.0

    def _steepest(self) -> tuple[Scale, Scale]:
        """Return bounds on the size of slope and curvature, numbers or of shape (K,)."""
        return np.inf, np.inf

    def _value(self, f: Array, y: Array) -> Array:
        raise NotImplementedError

    def _slope(self, f: Array, y: Array) -> Array:
        raise NotImplementedError

    def _curvature(self, f: Array, y: Array) -> Array:
        raise NotImplementedError


@dataclass(frozen=True)
class BinaryCrossEntropy(_OutputwiseLoss):
    """``w [(1 - y) f + (1 + (p - 1) y) log(1 + exp(-f))]`` over independent outputs, in nats.

    With ``m = 1 / (1 + exp(-f))``: slope ``w [(1 + (p - 1) y) m - p y]``, curvature
    ``w (1 + (p - 1) y) m (1 - m)``. Targets lie in [0, 1].

    Attributes
    ----------
    positive_weight : tuple of 1 or K floats
        Weights ``p`` of the ones.
    output_weight : tuple of 1 or K floats
        Weights ``w`` of the outputs; the loss is not divided by their sum.
    """

    positive_weight: tuple[float, ...] = (1.0,)
    output_weight: tuple[float, ...] = (1.0,)

    def _share(self, outputs: Array) -> Scale:
        return super()._share(outputs) * np.array(self.output_weight)

    def _steepest(self) -> tuple[Scale, Scale]:
        largest = np.maximum(1, self.positive_weight)
        return largest, largest / 4

    def _weights(self, y: Array) -> Array:
        return 1 + (np.array(self.positive_weight) - 1) * y

    def _value(self, f: Array, y: Array) -> Array:
        return (1 - y) * f + self._weights(y) * np.logaddexp(0, -f)

    def _slope(self, f: Array, y: Array) -> Array:
        return self._weights(y) * expit(f) - np.array(self.positive_weight) * y

    def _curvature(self, f: Array, y: Array) -> Array:
        # Not m (1 - m): 1 - m is 0 where f is large.
        return self._weights(y) * expit(f) * expit(-f)


@dataclass(frozen=True)
class SquaredError(_OutputwiseLoss):
    """``(f - y)^2``: slope ``2 (f - y)``, curvature 2."""

    def _steepest(self) -> tuple[Scale, Scale]:
        return np.inf, 2.0

    def _value(self, f: Array, y: Array) -> Array:
        return (f - y) ** 2

    def _slope(self, f: Array, y: Array) -> Array:
        return 2 * (f - y)

    def _curvature(self, f: Array, y: Array) -> Array:
        return np.full(f.shape, 2.0)


@dataclass(frozen=True)
class Huber(_OutputwiseLoss):
    """``s d^2 / 2`` for ``|d| <= delta`` with ``d = f - y``, else ``s delta (|d| - delta / 2)``.

    Slope ``s d``, cut off at ``+-s delta``; curvature s within delta and 0 beyond. Torch's
    HuberLoss has ``s = 1``, its SmoothL1Loss ``s = 1 / beta`` and ``delta = beta``.

    Attributes
    ----------
    delta : float
        Error up to which the loss is quadratic.
    scale : float
        The factor s.
    """

    delta: float = 1.0
    scale: float = 1.0

    def _steepest(self) -> tuple[Scale, Scale]:
        return self.scale * self.delta, self.scale

    def _value(self, f: Array, y: Array) -> Array:
        error = np.abs(f - y)
        inside = np.minimum(error, self.delta)
        return self.scale * inside * (error - inside / 2)

    def _slope(self, f: Array, y: Array) -> Array:
        return self.scale * np.clip(f - y, -self.delta, self.delta)

    def _curvature(self, f: Array, y: Array) -> Array:
        return self.scale * (np.abs(f - y) <= self.delta)


@dataclass(frozen=True)
class Poisson(_OutputwiseLoss):
    """``exp(f) - y f`` for counts y of mean ``exp(f)``: slope ``exp(f) - y``, curvature ``exp(f)``.

    Attributes
    ----------
    full : bool
        Add Stirling's approximation of ``log y!``, ``y log y - y + log(2 pi y) / 2``, for y > 1.
    """

    full: bool = False

    def _value(self, f: Array, y: Array) -> Array:
        value = _exp(f) - y * f
        if self.full:
            value = value + np.where(y > 1, xlogy(y, y) - y + xlogy(0.5, 2 * np.pi * y), 0)
        return value

    def _slope(self, f: Array, y: Array) -> Array:
        return _exp(f) - y

    def _curvature(self, f: Array, y: Array) -> Array:
        return _exp(f)


def _exp(f: Array) -> Array:
    """Return ``exp(min(f, 300))``, which stays finite, so that a line search can compare values."""
    return np.exp(np.minimum(f, _LARGEST_EXPONENT))
