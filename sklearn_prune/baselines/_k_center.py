"""KCenterPruner: no row is far from one that stays."""

from __future__ import annotations

import numpy as np

from ._scored import Floats, GreedyPruner


class KCenterPruner(GreedyPruner):
    r"""Keep rows that leave no other far away.

    Rows are picked one by one, each the farthest from those picked before. With :math:`\phi_i`
    what enters the network's last layer,

    .. math:: \arg\max_i \min_{j \,\text{picked}} \| \phi_i - \phi_j \|_2

    which comes within twice the least possible largest distance. The first picked stay.

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
        Distance of each row to the nearest that was picked before it, of a row that was not
        picked to the nearest that was; infinite for the first of each class. The highest stay.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Notes
    -----
    Costs one training and ``n_kept`` passes over the features of each class. The first pick is
    free; here it is the row nearest the mean. Where y holds numbers, or with ``stratify=False``,
    all rows are covered at once.

    References
    ----------
    Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", Theoretical Computer
    Science 38, 1985.

    Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach",
    ICLR 2018, arXiv:1708.00489.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import KCenterPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = KCenterPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    def _score_picks(self, features: Floats, n_picks: int) -> Floats:
        return insertion_distances(features, n_picks)


def insertion_distances(features: Floats, n_picks: int) -> Floats:
    """Return each row's distance to the nearest one picked before it."""
    features = features - features.mean(axis=0)
    squares = np.einsum("ij,ij->i", features, features)
    nearest = np.full(len(features), np.inf)
    distances = np.empty(len(features))
    is_picked = np.zeros(len(features), dtype=bool)
    pick = int(squares.argmin())
    for _ in range(n_picks):
        is_picked[pick] = True
        distances[pick] = nearest[pick]
        to_pick = squares + squares[pick] - 2 * (features @ features[pick])
        np.minimum(nearest, np.maximum(to_pick, 0), out=nearest)
        pick = int(np.where(is_picked, -1.0, nearest).argmax())
    distances[~is_picked] = nearest[~is_picked]
    return np.sqrt(distances)
