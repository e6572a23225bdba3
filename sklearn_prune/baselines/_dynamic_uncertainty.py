"""DynamicUncertaintyPruner: keeps rows whose predictions vary most in training."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from .._compat import Interval
from .._types import Estimator, Floats, RandomState
from ._dynamics import record_epochs
from ._scored import ScoredPruner, ScoringJob


class DynamicUncertaintyPruner(ScoredPruner):
    r"""Keep the rows whose predictions vary most during training.

    Let :math:`p_{ti}` be the probability of row i's true class after epoch t, and
    :math:`\bar p_{ki}` its mean over the J epochs that start with k. The score is

    .. math:: U_i = \frac{1}{T - J + 1} \sum_{k=1}^{T-J+1}
        \sqrt{\frac{1}{J-1} \sum_{t=k}^{k+J-1} (p_{ti} - \bar p_{ki})^2}

    The rows with the highest scores stay.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None
        trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    window : int, default=10
        Epochs J of the standard deviation.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and the choice between equal scores.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Mean standard deviation of each row's probability over the windows.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training and one more forward pass per epoch.

    References
    ----------
    He et al., "Large-scale Dataset Pruning with Dynamic Uncertainty", CVPR Workshops 2024,
    arXiv:2306.05175.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import DynamicUncertaintyPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = DynamicUncertaintyPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "window": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        window: int = 10,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.window = window

    def _score(self, job: ScoringJob) -> Floats:
        p = record_epochs(job, lambda epoch: epoch.target_probability, at_least=self.window)
        return dynamic_uncertainty(p, self.window)


def dynamic_uncertainty(p: Floats, window: int) -> Floats:
    """Return the mean standard deviation over all windows; p is (n_epochs, n_samples)."""
    starts = range(len(p) - window + 1)
    return np.mean([p[k : k + window].std(axis=0, ddof=1) for k in starts], axis=0)
