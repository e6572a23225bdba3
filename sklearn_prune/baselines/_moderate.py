"""ModeratePruner: rows nearest to and farthest from the centre of their class go first."""

from __future__ import annotations

import numpy as np

from ._scored import Floats, ScoredPruner, ScoringJob, penultimate_features


class ModeratePruner(ScoredPruner):
    r"""Keep the rows at a medium distance from the centre of their class.

    With :math:`\phi_i` what enters the network's last layer and :math:`\mu_c` its mean over
    class c,

    .. math:: d_i = \| \phi_i - \mu_{y_i} \|_2, \qquad S_i = | d_i - \mathrm{median}_j \, d_j |

    with the median over the rows that compete. The lowest stay.

    Parameters
    ----------
    estimator : skorch net, FrozenEstimator or None, default=None
        Network whose module ends in a ``torch.nn.Linear``. A clone is fitted on all rows; one
        that is fitted already is used as it is if wrapped in
        :class:`sklearn.frozen.FrozenEstimator`. None takes the standardised columns of X as
        features.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    stratify : bool, default=True
        Each class keeps the same share, as from `InfluencePruner`. False lets all
        rows compete, as in the paper, except that each class keeps one.
    random_state : int, RandomState instance or None, default=None
        Seeds the training of the network, and which of rows with the same score stay.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Distance of :math:`d_i` from the median.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Notes
    -----
    Costs one training. The authors' code takes the median of the features for :math:`\mu_c`;
    this is the mean of their text.

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


def centre_distances(features: Floats, y: np.ndarray) -> Floats:
    """Return the distance of each row's features from their mean over its class."""
    sums = np.zeros((y.max() + 1, features.shape[1]))
    np.add.at(sums, y, features)
    centres = sums / np.bincount(y)[:, None]
    return np.linalg.norm(features - centres[y], axis=1)
