"""ForgettingPruner: keeps rows that are forgotten most often in training."""

from __future__ import annotations

import numpy as np

from .._types import Floats, Mask
from ._dynamics import record_epochs
from ._scored import ScoredPruner, ScoringJob


class ForgettingPruner(ScoredPruner):
    r"""Keep the rows that a network forgets most often during training.

    A row is forgotten if it is classified correctly after one epoch and wrongly after the next. Let
    :math:`c_{ti}` be 1 if row i is classified correctly after epoch t of T, else 0. The score is

    .. math:: F_i = \sum_{t=1}^{T-1} c_{ti} (1 - c_{t+1,i})

    or infinity for a row that is never correct. The rows with the highest scores stay.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None
        trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and the choice between equal scores.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Number of times each row is forgotten; infinite for rows that are never learned.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training and one more forward pass per epoch, as all rows are classified after each
    epoch; the paper classifies a row when its batch is trained on. The scores are small integers,
    most of them zero, so many rows are chosen at random.

    References
    ----------
    Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning",
    ICLR 2019, arXiv:1812.05159.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import ForgettingPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = ForgettingPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    def _score(self, job: ScoringJob) -> Floats:
        return forgetting_events(record_epochs(job, lambda epoch: epoch.is_correct))


def forgetting_events(correct: Mask) -> Floats:
    """Return how often each row turns wrong; ``correct`` is (n_epochs, n_samples)."""
    forgotten = (correct[:-1] & ~correct[1:]).sum(axis=0).astype(np.float64)
    return np.where(correct.any(axis=0), forgotten, np.inf)
