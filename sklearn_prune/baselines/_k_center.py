"""KCenterPruner: keeps rows so that every row is near a kept one."""

from __future__ import annotations

import numpy as np

from .._types import Floats
from ._scored import GreedyPruner


class KCenterPruner(GreedyPruner):
    r"""Keep rows so that every row is near a kept one.

    Picks rows one by one, each the farthest from those picked before. Let :math:`\phi_i` be the
    network's last-layer input. The next pick is

    .. math:: \arg\max_i \min_{j \,\text{picked}} \| \phi_i - \phi_j \|_2

    so that the largest distance from any row to the nearest picked row is at most twice the
    smallest possible. The picked rows stay.

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
        For a picked row, its distance to the nearest row that was picked before it (infinite for
        the first pick of each class); for any other row, to the nearest picked row. The rows with
        the highest scores stay.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training and ``n_kept`` passes over the features of each class. The first pick, which
    the method leaves open, is the row nearest the mean. Without classes, or with
    ``stratify=False``, all rows are covered at once.

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
    """Return each row's distance to the nearest row picked before it."""
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
