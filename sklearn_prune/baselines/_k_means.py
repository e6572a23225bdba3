"""KMeansPruner: each row that stays stands for a cluster."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from ._scored import Floats, GreedyPruner, ScoringJob

# Rows times centres. Mini-batches leave about twice the squared distances (on Diamonds and Adult at
# 90 %), and up to here passes over all rows take about a minute on one core.
_FULL_DISTANCES = 400_000_000
# Of squared distances. A centre of two rows is as near to either: rounding must not choose.
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Clusters:
    """Centres, and the rows that are nearest to each.

    Attributes
    ----------
    centres : ndarray of shape (n_clusters, n_features)
        The means; about the means, where mini-batches made them.
    members : ndarray of shape (n_rows,)
        Position in ``centres`` of the one that is nearest to each row.
    """

    centres: Floats
    members: NDArray[np.intp]


class KMeansPruner(GreedyPruner):
    r"""Keep the row nearest each k-means centre.

    Rows are clustered by what enters the network's last layer, :math:`\phi_i`, into as many
    clusters as rows stay. With :math:`C_k` the rows of a cluster and :math:`\mu_k` its centre,

    .. math:: \min_{C, \mu} \sum_k \sum_{i \in C_k} \| \phi_i - \mu_k \|_2^2 , \qquad
        \arg\min_{i \in C_k} \| \phi_i - \mu_k \|_2

    the latter row of each cluster stays: the first, where several are as near. A centre that is
    nearest to no row takes the row nearest to it that is still free, so that as many rows stay as
    there are centres.

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
        Each class is clustered by itself and keeps the same share, as from
        `InfluencePruner`. False clusters all rows at once, except that each class keeps one.
    random_state : int, RandomState instance or None, default=None
        Seeds the training of the network, and the first centres.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Rows that a row stands for: for one that stays the size of its cluster, 1 if its centre is
        nearest to no row; for one that goes zero. The highest stay.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Notes
    -----
    Costs one training and, for n rows of a class and k centres, some tens of passes over ``n * k``
    distances: about a minute on one core for 50,000 rows and 5,000 centres. Beyond
    ``n * k = 4e8`` :class:`sklearn.cluster.MiniBatchKMeans`, from rows drawn at random, takes the
    place of :class:`sklearn.cluster.KMeans`; its clusters are wider. Either starts once. `select`
    clusters anew. Where y holds numbers, all rows are clustered at once.

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

    def _score(self, job: ScoringJob) -> Floats:
        self._seed_ = job.seed
        return super()._score(job)

    def _score_picks(self, features: Floats, n_picks: int) -> Floats:
        if n_picks == len(features):
            return np.ones(n_picks)
        return rows_stood_for(features, cluster(features, n_picks, self._seed_))


def cluster(features: Floats, n_clusters: int, seed: int) -> Clusters:
    """Return as many clusters, of all rows at once or, where these are many, of mini-batches."""
    options = {"n_clusters": n_clusters, "n_init": 1, "random_state": seed}
    if len(features) * n_clusters <= _FULL_DISTANCES:
        model = KMeans(**options)
    else:
        # k-means++ takes more distances than all mini-batches.
        model = MiniBatchKMeans(init="random", **options)
    with warnings.catch_warnings():
        # It warns of rows that are the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features)
    return Clusters(model.cluster_centers_, model.labels_)


def rows_stood_for(features: Floats, clusters: Clusters) -> Floats:
    """Return the number of rows that each row stands for, zero if none, of shape (n_rows,).

    As many rows stand for some as there are centres.
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
