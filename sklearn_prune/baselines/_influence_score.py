"""InfluenceScorePruner: keeps rows that move the last layer most when dropped alone."""

from __future__ import annotations

from numbers import Real
from typing import Literal

from .._compat import Interval, StrOptions
from .._types import Estimator, Floats, RandomState
from ..matching import StageClock, TrainingJob, train_once
from ._scored import ScoredPruner, ScoringJob


class InfluenceScorePruner(ScoredPruner):
    r"""Keep the rows with the largest influence, each taken alone.

    The influence of row i on the last layer is :math:`s_i = \frac 1N H^{-1} g_i`. The score is the
    change :math:`\Delta\theta_i = \frac{N}{N-1} s_i` if row i alone is dropped, measured by
    ``norm``. The rows with the highest scores stay. The influences are those of `InfluencePruner`,
    so any difference between the two comes from choosing rows jointly.

    Parameters
    ----------
    estimator : skorch net, FrozenEstimator or None, default=None
        As in `InfluencePruner`.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    norm : {"loss", "parameter"}, default="loss"
        Measure of a change: ``½ Δθᵀ H Δθ`` or ``‖Δθ‖₂``.
    damping : float, default=1e-4
        λ in the last layer's objective ``(1/N) Σ loss_i + (λ/2) ‖θ‖²``.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and the choice between equal scores.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        First-order change from dropping each row alone, measured by ``norm``; equal to
        `InfluencePruner`'s ``influence_norms_``.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs as much as `InfluencePruner` without its selection.

    References
    ----------
    Koh and Liang, "Understanding Black-box Predictions via Influence Functions", ICML 2017,
    arXiv:1703.04730.

    Yang et al., "Dataset Pruning: Reducing Training Data by Examining Generalization Influence",
    ICLR 2023, arXiv:2205.09329, where it is the baseline "influence-score".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import InfluenceScorePruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = InfluenceScorePruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "norm": [StrOptions({"loss", "parameter"})],
        "damping": [Interval(Real, 0, None, closed="neither")],
    }

    _needs_classes = False

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        norm: Literal["loss", "parameter"] = "loss",
        damping: float = 1e-4,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.norm = norm
        self.damping = damping

    def _score(self, job: ScoringJob) -> Floats:
        training = TrainingJob(
            [job.estimator],
            job.X,
            job.y,
            job.classes,
            sample_weight=None,
            norm=self.norm,
            damping=self.damping,
            seed=job.seed,
        )
        return train_once(training, None, StageClock(), with_priorities=False).row_changes
