"""ForgettingPruner: rows that are never forgotten go first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._dynamics import record_epochs
from ._scored import Floats, ScoredPruner, ScoringJob


class ForgettingPruner(ScoredPruner):
    r"""Keep the rows that a network in training forgets most often.

    A row is forgotten after epoch t if it is classified correctly at its end and wrongly at the
    end of the next. With :math:`c_{ti}` being 1 where row i is correct after epoch t,

    .. math:: F_i = \sum_{t=1}^{T-1} c_{ti} (1 - c_{t+1,i})

    and :math:`F_i = \infty` for a row that is never correct. The highest stay.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None is
        a linear model on standardised columns, trained by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    stratify : bool, default=True
        Each class keeps the same share, as from `InfluencePruner`. False lets all
        rows compete, as in the paper, except that each class keeps one.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and which of rows with the same score stay.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Times each row was forgotten; infinite where it was never learnt.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Notes
    -----
    The paper looks at a row when its batch is trained on; here all rows are looked at after each
    epoch, which costs one forward pass more an epoch. The counts are small integers and mostly
    zero, so many rows are drawn.

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


def forgetting_events(correct: NDArray[np.bool_]) -> Floats:
    """Return how often each row turns wrong, for booleans of shape (n_epochs, n_samples)."""
    forgotten = (correct[:-1] & ~correct[1:]).sum(axis=0).astype(np.float64)
    return np.where(correct.any(axis=0), forgotten, np.inf)
