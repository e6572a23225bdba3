"""HerdingPruner: the rows whose mean follows that of all."""

from __future__ import annotations

import numpy as np

from ._scored import Floats, GreedyPruner


class HerdingPruner(GreedyPruner):
    r"""Keep rows whose mean feature is that of all rows.

    Rows are picked one by one. With :math:`\phi_i` what enters the network's last layer and
    :math:`\mu` its mean over the class, the k-th pick is

    .. math:: \arg\min_i \Big\| \mu - \frac 1k \Big( \phi_i + \sum_{j \,\text{picked}} \phi_j \Big)
        \Big\|_2

    among the rows that are left. The first picked stay.

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
        rows compete, except that each class keeps one.
    random_state : int, RandomState instance or None, default=None
        Seeds the training of the network.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Rows of the class picked before it; the number of picks for a row that was not picked.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Notes
    -----
    Costs one training and ``n_kept`` passes over the features of each class. Where y holds
    numbers, or with ``stratify=False``, :math:`\mu` is the mean over all rows. On features of one
    length, Welling's rule makes the same picks.

    References
    ----------
    Welling, "Herding Dynamical Weights to Learn", ICML 2009.

    Rebuffi et al., "iCaRL: Incremental Classifier and Representation Learning", CVPR 2017,
    arXiv:1611.07725, for the rule.

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

    def _score_picks(self, features: Floats, n_picks: int) -> Floats:
        scores = np.full(len(features), float(n_picks))
        scores[herd(features, n_picks)] = np.arange(n_picks)
        return scores


def herd(features: Floats, n_picks: int) -> np.ndarray:
    """Return the positions of the rows that herding picks, in order."""
    # The mean does not matter to what is picked, and centred numbers are rounded least.
    features = features - features.mean(axis=0)
    squares = np.einsum("ij,ij->i", features, features)
    total = np.zeros(features.shape[1])
    picks = np.empty(n_picks, dtype=np.intp)
    for k in range(n_picks):
        # ||total + phi||^2, less what is the same for all.
        best = int((squares + 2 * (features @ total)).argmin())
        picks[k] = best
        total += features[best]
        squares[best] = np.inf
    return picks
