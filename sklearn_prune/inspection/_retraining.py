"""Retrain the last layer on the kept rows, and compare with the pruner's forecast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._influence_pruner import InfluencePruner
from .._types import Array, Mask, Rows, Targets
from ..influence import HeadObjective, RetrainingSteps, retraining_steps
from ._bounds import LossBound, minimiser_distance
from ._changes import Change, LossGap, RetrainingCheck
from ._rows import (
    check_pruner,
    check_support,
    check_training_rows,
    head_influence,
    held_out_loss,
    training_loss,
)


def retraining_check(
    pruner: InfluencePruner,
    X: Rows,
    y: Targets = None,
    *,
    X_test: Rows = None,
    y_test: Targets = None,
    support: Mask | None = None,
) -> RetrainingCheck:
    r"""Retrain the last layer on the kept rows, and compare with the forecast.

    Parameters
    ----------
    pruner : InfluencePruner
        Fitted. Its network does not change.
    X, y : array-like, dict or Dataset, and array-like
        The rows that the pruner is fitted on, in the same order. Without y, a dataset's own targets
        are used.
    X_test, y_test : array-like, dict or Dataset, and array-like, default=None
        Other rows, to measure how their loss changes.
    support : array-like of bool of shape (n_samples,), default=None
        True where a row is kept. None means the pruner's own choice. For others, give what
        ``select`` or another pruner's ``get_support`` returns.

    Returns
    -------
    check : RetrainingCheck
        Changes of the last layer and of the loss: forecast, observed and bounded.

    Raises
    ------
    TypeError
        If the pruner is not an `InfluencePruner`.
    ValueError
        If X and y are not what the pruner is fitted on, the test rows have unknown labels, or
        ``support`` is not a mask of the training rows.

    Notes
    -----
    Retraining starts from zero parameters, on fixed features, and ends at a gradient norm of 1e-8
    or less. Let ``θ̂`` be the last layer of all rows, ``Δ₁`` the first-order step, ``Δ_S`` the
    Newton step with the Hessian of the kept rows S, ``θ̂_S`` the retrained layer and λ the damping.
    As the objective ``J_S`` is λ-strongly convex, ``parameter_bound`` is

    .. math:: \|\hat\theta_S - \hat\theta\| \le \min\Big(\frac{\|\nabla J_S(\hat\theta)\|}\lambda,
        \; \|\Delta_S\| + \frac{\|\nabla J_S(\hat\theta + \Delta_S)\|}\lambda\Big),

    plus ``refit_gradient_norm`` over λ. It needs no retraining. For the mean loss L on any rows,

    .. math:: |L(\hat\theta_S) - L(\hat\theta)| \le \beta(\|\hat\theta_S - \hat\theta\|), \quad
        \beta(\delta) = \min\big(G \delta, \; \|\nabla L(\hat\theta)\| \delta + \tfrac M2
        \delta^2\big)

    with :math:`G = \kappa \, \frac1N \sum_i \nu_i \|a_i\|` and :math:`M = c \, \lambda_{\max}(
    \frac1N \sum_i \nu_i a_i a_i^T)`, where ``a_i`` is the last layer's input. κ and c bound the
    loss's first and second derivative with respect to the outputs: √2 and ½ for softmax
    cross-entropy [2]_, ``1/√K`` and ``1/(4K)`` for binary cross-entropy with K outputs. For the
    squared error, κ is infinite, c is ``2/K``, and M is exact.

    ``proven_bound`` is β at ``parameter_bound``, which always holds. ``stated_bound`` is β at
    ``‖Δ₁‖``, which holds as far as the first order is right. It follows Yang et al. [1]_, who argue
    that the gap is of the order of the first-order change, ``O(ε/n + m/n²)``, with unspecified
    constants, which are G and M here. Both bounds are usually far above the observed gap, since
    ``Δθ`` seldom points in the worst direction.

    For the default linear regression, losses are those of the standardised target.

    References
    ----------
    .. [1] Yang et al., "Dataset Pruning: Reducing Training Data by Examining Generalization
       Influence", ICLR 2023, arXiv:2205.09329, theorem 1.
    .. [2] Böhning, "Multinomial logistic regression algorithm", Annals of the Institute of
       Statistical Mathematics 44, 1992.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_prune import InfluencePruner
    >>> from sklearn_prune.inspection import retraining_check
    >>> X, X_test, y, y_test = train_test_split(
    ...     *load_breast_cancer(return_X_y=True), random_state=0
    ... )
    >>> pruner = InfluencePruner(prune_ratio=0.8, damping=1e-2, random_state=0).fit(X, y)
    >>> check = retraining_check(pruner, X, y, X_test=X_test, y_test=y_test)
    >>> check.n_dropped
    341
    >>> abs(check.loss_change.kept_hessian / check.loss_change.observed - 1) < 0.1
    True
    >>> check.test_gap.is_within_proven_bound
    True
    """
    check_pruner(pruner)
    check_training_rows(pruner, X, y)
    losses = {"train": training_loss(pruner)}
    if X_test is not None or y_test is not None:
        losses["test"] = held_out_loss(pruner, X_test, y_test)
    drop = ~check_support(pruner, support)
    influence = head_influence(pruner)
    steps = retraining_steps(influence, drop, from_zero=True)
    parameter_change = _measure(lambda step: float(np.linalg.norm(step)), steps)
    bound = _parameter_bound(influence.objective.subset(~drop), influence.theta, steps)
    gaps = {
        name: _loss_gap(loss, influence.theta, steps, parameter_change.first_order, bound)
        for name, loss in losses.items()
    }
    return RetrainingCheck(
        n_samples=len(drop),
        n_dropped=int(drop.sum()),
        loss_change=_measure(lambda step: influence.loss_change(step.ravel()), steps),
        parameter_change=parameter_change,
        parameter_bound=bound,
        train_gap=gaps["train"],
        test_gap=gaps.get("test"),
        refit_gradient_norm=steps.refit_gradient_norm,
    )


def _measure(size: Callable[[Array], float], steps: RetrainingSteps) -> Change:
    return Change(size(steps.first_order), size(steps.kept_hessian), size(steps.refitted))


def _parameter_bound(kept: HeadObjective, theta: Array, steps: RetrainingSteps) -> float:
    """Return the bound on ``‖θ̂_S − θ̂‖``, where the refit is within its gradient norm over λ."""
    direct = minimiser_distance(kept, theta)
    newton_step = float(np.linalg.norm(steps.kept_hessian))
    by_newton = newton_step + minimiser_distance(kept, theta + steps.kept_hessian)
    return min(direct, by_newton) + steps.refit_gradient_norm / kept.damping


def _loss_gap(
    loss: HeadObjective,
    theta: Array,
    steps: RetrainingSteps,
    stated_distance: float,
    proven_distance: float,
) -> LossGap:
    before, bound = loss.value(theta), LossBound(loss, theta)
    gap = _measure(lambda step: loss.value(theta + step) - before, steps)
    # Both values of the loss are rounded.
    rounding = 4 * float(np.finfo(float).eps) * abs(before)
    return LossGap(
        gap.first_order,
        gap.kept_hessian,
        gap.observed,
        stated_bound=bound(stated_distance),
        proven_bound=bound(proven_distance) + rounding,
    )
