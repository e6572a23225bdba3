"""KMeansPruner: keeps one row for each k-means cluster."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from .._types import Floats, Integers
from ._scored import GreedyPruner

# Rows times centres, up to which passes over all rows take about a minute on one core. Beyond,
# mini-batches leave about twice the squared distances (on Diamonds and Adult at 90 %).
FULL_DISTANCES = 400_000_000
# Relative tolerance of squared distances: the centre of two rows is equally near to both, and the
# choice must not depend on rounding.
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Clusters:
    """Cluster centres, and the rows nearest to each.

    Attributes
    ----------
    centres : ndarray of shape (n_clusters, n_features)
        The means of the clusters; with mini-batches, approximately.
    members : ndarray of shape (n_rows,)
        Position in ``centres`` of each row's nearest centre.
    """

    centres: Floats
    members: Integers


class KMeansPruner(GreedyPruner):
    r"""Keep the row nearest each k-means centre.

    Clusters rows by the network's last-layer input, :math:`\phi_i`, into as many clusters as rows
    stay. With the rows :math:`C_k` of a cluster and its centre :math:`\mu_k`,

    .. math:: \min_{C, \mu} \sum_k \sum_{i \in C_k} \| \phi_i - \mu_k \|_2^2 , \qquad
        \arg\min_{i \in C_k} \| \phi_i - \mu_k \|_2

    the row nearest the centre stays, or the first of several equally near ones. A centre without
    any rows takes the nearest row that no other centre has taken.

    Parameters
    ----------
    estimator : skorch net, FrozenEstimator or None, default=None
        Network whose module ends in a ``torch.nn.Linear``. A clone is fitted on all rows; to use a
        fitted network as it is, wrap it in :class:`sklearn.frozen.FrozenEstimator`. None uses the
        standardised columns of X as features.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    stratify : bool, default=True
        Cluster each class by itself and keep the same share of each, as `InfluencePruner` does.
        False clusters all rows at once, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training and the first centres.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        For a kept row, the size of its cluster, or 1 if its centre has no rows. For all others, 0.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training and, for n rows of a class and k centres, some tens of passes over ``n * k``
    distances: about a minute on one core for 50,000 rows and 5,000 centres. Beyond
    ``n * k = 4e8``, :class:`sklearn.cluster.MiniBatchKMeans` with random initial centres replaces
    :class:`sklearn.cluster.KMeans`; its clusters are wider. Both use one initialisation. `select`
    clusters again. Without classes, all rows are clustered at once.

    References
    ----------
    Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory 28, 1982.

    Zhang, Tsang and Kwok, "Improved Nyström Low-Rank Approximation and Error Analysis", ICML 2008,
    for the centres as landmarks of kernel machines.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import KMeansPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = KMeansPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    def _score_picks(self, features: Floats, n_picks: int) -> Floats:
        if n_picks == len(features):
            return np.ones(n_picks)
        return represented_counts(features, cluster(features, n_picks, self._seed_))


def cluster(features: Floats, n_clusters: int, seed: int) -> Clusters:
    """Cluster by k-means, on mini-batches if there are too many distances."""
    options = {"n_clusters": n_clusters, "n_init": 1, "random_state": seed}
    if len(features) * n_clusters <= FULL_DISTANCES:
        model = KMeans(**options)
    else:
        # k-means++ computes more distances than all mini-batches do.
        model = MiniBatchKMeans(init="random", **options)
    with warnings.catch_warnings():
        # Ignore the warning about duplicate rows.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features)
    return Clusters(model.cluster_centers_, model.labels_)


def represented_counts(features: Floats, clusters: Clusters) -> Floats:
    """Return the size of the cluster that each row represents, 0 if none; shape (n_rows,).

    Exactly one row represents each cluster; the row of an empty one counts 1.
    """
    centres, members = clusters.centres, clusters.members
    sizes = np.bincount(members, minlength=len(centres))
    squares = np.square(features - centres[members]).sum(axis=1)
    nearest = np.full(len(centres), np.inf)
    np.minimum.at(nearest, members, squares)
    is_nearest = np.flatnonzero(squares <= (1 + _TIE) * nearest[members])
    used, first = np.unique(members[is_nearest], return_index=True)
    counts = np.zeros(len(features))
    counts[is_nearest[first]] = sizes[used]
    for centre in np.flatnonzero(sizes == 0):
        squares = np.square(features - centres[centre]).sum(axis=1)
        squares[counts > 0] = np.inf
        counts[squares.argmin()] = 1
    return counts
