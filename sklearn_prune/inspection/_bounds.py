r"""Bounds on how far a convex last layer and its mean loss can move.

Two textbook inequalities bound the change of the loss on any rows by the rows that are dropped.

*Rows to parameters.* The damped objective ``J_S`` on the kept rows S is λ-strongly convex, so its
minimiser is within ``‖∇J_S(θ)‖ / λ`` of every θ (Nesterov, *Introductory Lectures on Convex
Optimization*, 2004, section 2.1.3).

*Parameters to loss.* Let ``L(θ) = (1/N) Σ ν_i l(Θ a_i, y_i)`` be a mean loss on any rows. If
``‖dl/df‖₂ ≤ κ`` and the curvature ``d²l/df²`` has no eigenvalue above c, for all outputs f, then

``|L(θ + Δ) − L(θ)| ≤ κ (1/N) Σ ν_i ‖a_i‖ · ‖Δ‖``  (L is Lipschitz), and
``|L(θ + Δ) − L(θ)| ≤ ‖∇L(θ)‖ ‖Δ‖ + (c/2) λ_max((1/N) Σ ν_i a_i a_iᵀ) ‖Δ‖²``  (L is smooth),

since ``‖Δ a_i‖ ≤ ‖Δ‖ ‖a_i‖`` with the Frobenius norm of Δ (Nesterov, lemma 1.2.3). κ and c depend
on the loss (see its method ``steepest``). For example:

- softmax cross-entropy: κ = √2, as the residual ``p − e_y`` is no longer, and c = ½, as
  ``diag(p) − p pᵀ`` has no larger eigenvalue (Böhning, "Multinomial logistic regression
  algorithm", 1992);
- the mean of K binary cross-entropies: ``κ = 1/√K`` and ``c = 1/(4K)``;
- the mean of K squared errors: κ is infinite, and ``c = 2/K``.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..influence import HeadObjective


def minimiser_distance(objective: HeadObjective, theta: Array) -> float:
    """Return ``‖∇J(θ)‖ / λ``, the largest possible distance of J's minimiser from θ."""
    return float(np.linalg.norm(objective.gradient(theta))) / objective.damping


class LossBound:
    """Bound on the change of a mean loss, as a function of how far the parameters move.

    Parameters
    ----------
    loss : HeadObjective
        Mean loss on some rows, without damping.
    theta : ndarray of shape (n_outputs, n_features)
        Parameters to measure the distance from.
    """

    def __init__(self, loss: HeadObjective, theta: Array) -> None:
        slope, curvature = loss.loss.steepest(loss.n_outputs)
        weights = loss.sample_weight / loss.weight_sum
        lengths = np.sqrt(np.einsum("ij,ij->i", loss.design, loss.design, dtype=np.float64))
        self._lipschitz = slope * float(weights @ lengths)
        self._slope = float(np.linalg.norm(loss.gradient(theta)))
        self._smoothness = curvature * float(loss.feature_eigenbasis[0][-1])

    def __call__(self, distance: float) -> float:
        """Return the bound, in units of the loss, for parameters at ``distance``."""
        if distance == 0:
            # 0 times an infinite slope would be NaN.
            return 0.0
        smooth = self._slope * distance + self._smoothness / 2 * distance**2
        return float(min(self._lipschitz * distance, smooth))
