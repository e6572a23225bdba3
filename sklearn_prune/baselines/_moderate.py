"""ModeratePruner: keeps rows at a medium distance from their class's centre."""

from __future__ import annotations

import numpy as np

from .._types import Array, Floats
from ._scored import ScoredPruner, ScoringJob, penultimate_features


class ModeratePruner(ScoredPruner):
    r"""Keep the rows at a medium distance from the centre of their class.

    Let :math:`\phi_i` be the network's last-layer input, and :math:`\mu_c` its mean over class c.
    The score is

    .. math:: d_i = \| \phi_i - \mu_{y_i} \|_2, \qquad S_i = | d_i - \mathrm{median}_j \, d_j |

    with the median over the rows that compete. The rows with the lowest scores stay.

    Parameters
    ----------
    estimator : skorch net, FrozenEstimator or None, default=None
        Network whose module ends in a ``torch.nn.Linear``. A clone is fitted on all rows; to use a
        fitted network as it is, wrap it in :class:`sklearn.frozen.FrozenEstimator`. None uses the
        standardised columns of X as features.
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
        :math:`S_i`, the distance of :math:`d_i` from the median.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training. The authors' code uses the median of the features for :math:`\mu_c`, their
    text the mean; this is the mean.

    References
    ----------
    Xia et al., "Moderate Coreset: A Universal Method of Data Selection for Real-world
    Data-efficient Deep Learning", ICLR 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import ModeratePruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = ModeratePruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _keeps_highest = False

    def _score(self, job: ScoringJob) -> Floats:
        scores = centre_distances(penultimate_features(job), job.y)
        for stratum in job.strata:
            scores[stratum.rows] -= np.median(scores[stratum.rows])
        return np.abs(scores)


def centre_distances(features: Floats, y: Array) -> Floats:
    """Return the distance of each row's features from their mean over its class."""
    sums = np.zeros((y.max() + 1, features.shape[1]))
    np.add.at(sums, y, features)
    centres = sums / np.bincount(y)[:, None]
    return np.linalg.norm(features - centres[y], axis=1)
