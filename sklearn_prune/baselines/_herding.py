"""HerdingPruner: keeps rows whose mean follows that of all rows."""

from __future__ import annotations

import numpy as np

from .._types import Floats, Integers
from ._scored import GreedyPruner


class HerdingPruner(GreedyPruner):
    r"""Keep rows whose mean features are those of all rows.

    Picks rows one by one. Let :math:`\phi_i` be the network's last-layer input, and :math:`\mu` its
    mean over the class. The k-th pick is

    .. math:: \arg\min_i \Big\| \mu - \frac 1k \Big( \phi_i + \sum_{j \,\text{picked}} \phi_j \Big)
        \Big\|_2

    among the rows not yet picked. The picked rows stay.

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
        but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Number of rows of its class that were picked before each row; for a row that was not picked,
        the number of picks.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training and ``n_kept`` passes over the features of each class. Without classes, or
    with ``stratify=False``, :math:`\mu` is the mean over all rows. If all features have the same
    norm, Welling's rule makes the same picks.

    References
    ----------
    Welling, "Herding Dynamical Weights to Learn", ICML 2009.

    Rebuffi et al., "iCaRL: Incremental Classifier and Representation Learning", CVPR 2017,
    arXiv:1611.07725 (the rule above).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import HerdingPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = HerdingPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _keeps_highest = False

    def _centre(self, features: Floats) -> Floats:
        """Return what the mean of the picked rows follows, of shape (n_features,)."""
        return features.mean(axis=0)

    def _score_picks(self, features: Floats, n_picks: int) -> Floats:
        scores = np.full(len(features), float(n_picks))
        scores[herd(features - self._centre(features), n_picks)] = np.arange(n_picks)
        return scores


def herd(features: Floats, n_picks: int) -> Integers:
    """Return the positions of the rows that are picked so that their mean is near 0, in order."""
    squares = np.einsum("ij,ij->i", features, features)
    total = np.zeros(features.shape[1])
    picks = np.empty(n_picks, dtype=np.intp)
    for k in range(n_picks):
        # ||total + phi||^2, less ||total||^2, which all rows share.
        best = int((squares + 2 * (features @ total)).argmin())
        picks[k] = best
        total += features[best]
        squares[best] = np.inf
    return picks
