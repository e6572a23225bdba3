"""D2Pruner: keeps hard rows of many neighbourhoods."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import kneighbors_graph

from .._compat import Interval
from .._types import Array, Estimator, Floats, Integers, RandomState
from ..selection import count_of
from ._dynamics import Epoch, record_epochs
from ._scored import ScoredPruner, ScoringJob


class D2Pruner(ScoredPruner):
    r"""Keep hard rows, and few that are near each other.

    Rows are the nodes of a graph. An edge joins each row and its nearest rows of the same class, by
    the last layer's input. Its weight is :math:`w_{ij} = \exp(-d_{ij} / \bar d)`, with the distance
    :math:`d_{ij}` and the mean distance of all rows to their nearest ones, :math:`\bar d`. A row is
    hard if the area under its margin, :math:`A_i`, is low (see `CoveragePruner`). Its difficulty,
    and that of its neighbours, make its value:

    .. math:: s_i = \frac{1 - A_i}{2}, \qquad
        x_i = s_i + \sum_{j \sim i} w_{ij}^{\gamma_f} s_j

    Rows are picked one by one, always the one with the highest value. Picking k lowers the value of
    its neighbours:

    .. math:: x_j \leftarrow x_j - w_{kj}^{\gamma_r} x_k \qquad (j \sim k)

    The rows picked first stay. The hardest rows, the share ``cutoff``, are left out of the graph
    and come last.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None
        trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    n_neighbors : int, default=5
        Nearest rows that each row is joined with. Each of them may be joined with more.
    gamma_f : float, default=1.0
        Exponent :math:`\gamma_f`. The higher, the less a row's value owes to its neighbours.
    gamma_r : float, default=0.1
        Exponent :math:`\gamma_r`. The higher, the less a pick lowers the value of its neighbours.
    cutoff : float in [0, 1), default=0.1
        Share of the rows to drop as the hardest. If ``prune_ratio`` is smaller, only the hardest
        rows go.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does, and join rows of the same
        class only. False lets all rows compete, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Number of rows of its class that were picked before each row.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training, one more forward pass per epoch, and a search for the nearest rows: up to
    ``n ** 2`` distances for the n rows of a class.

    The paper's weight is :math:`\exp(-\gamma d_{ij}^2)`. The authors' code
    (``core/data/sampling.py`` in their repository d2pruning) does not square the distance, and
    gives the first messages the weight :math:`\exp(-d_{ij})`. This pruner follows the code, but
    for :math:`\bar d`: dividing by it makes the picks independent of the features' scale.

    The authors choose the score of difficulty, ``n_neighbors``, ``gamma_r`` and the cutoff for each
    data set and ratio; on CIFAR-10, 90 % pruned: how often a row is forgotten, 5, 0.1 and 0.4.

    References
    ----------
    Maharana, Yadav and Bansal, "D2 Pruning: Message Passing for Balancing Diversity and Difficulty
    in Data Pruning", ICLR 2024, arXiv:2310.07931.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import D2Pruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = D2Pruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "gamma_f": [Interval(Real, 0, None, closed="left")],
        "gamma_r": [Interval(Real, 0, None, closed="left")],
        "cutoff": [Interval(Real, 0, 1, closed="left")],
    }

    _keeps_highest = False

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        n_neighbors: int = 5,
        gamma_f: float = 1.0,
        gamma_r: float = 0.1,
        cutoff: float = 0.1,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.n_neighbors = n_neighbors
        self.gamma_f = gamma_f
        self.gamma_r = gamma_r
        self.cutoff = cutoff

    def _score(self, job: ScoringJob) -> Floats:
        features: Floats = np.empty((0, 0))

        def margin(epoch: Epoch) -> Array:
            nonlocal features
            features = epoch.features
            return epoch.margin

        difficulty = (1 - record_epochs(job, margin).mean(axis=0)) / 2
        return self._score_rows(job, features, difficulty)

    def _score_rows(self, job: ScoringJob, features: Floats, difficulty: Floats) -> Floats:
        """Return how many rows of its stratum come before each row."""
        scores = np.empty(len(difficulty))
        for stratum in job.strata:
            rows = stratum.rows[np.argsort(difficulty[stratum.rows], kind="stable")]
            others, hardest = np.split(rows, [len(rows) - count_of(self.cutoff, len(rows))])
            weights = neighbour_weights(features[others], self.n_neighbors)
            picks = pick_by_messages(difficulty[others], weights, self.gamma_f, self.gamma_r)
            scores[np.concatenate([others[picks], hardest])] = np.arange(len(rows))
        return scores


def neighbour_weights(features: Floats, n_neighbors: int) -> sp.csr_array:
    """Return ``exp(-d / mean(d))`` of each row and its neighbours, of shape (n_rows, n_rows).

    Two rows are neighbours if either is among the ``n_neighbors`` nearest ones of the other. The
    mean is over the nearest ones of each row.
    """
    n_rows = len(features)
    n_neighbors = min(n_neighbors, n_rows - 1)
    if n_neighbors < 1:
        return sp.csr_array((n_rows, n_rows))
    graph = sp.csr_array(kneighbors_graph(features, n_neighbors, mode="distance"))
    # If all rows are the same, every distance is 0.
    graph.data = np.exp(-graph.data / max(graph.data.mean(), np.finfo(float).tiny))
    return graph.maximum(graph.T).tocsr()


def pick_by_messages(
    difficulty: Floats, weights: sp.csr_array, gamma_f: float, gamma_r: float
) -> Integers:
    """Return the positions of all rows in the order in which they are picked."""
    start, neighbours = weights.indptr, weights.indices
    lowering = weights.data**gamma_r
    forward = sp.csr_array((weights.data**gamma_f, neighbours, start), shape=weights.shape)
    values = difficulty + forward @ difficulty
    picks = np.empty(len(values), dtype=np.intp)
    for k in range(len(values)):
        pick = int(values.argmax())
        edges = slice(start[pick], start[pick + 1])
        values[neighbours[edges]] -= lowering[edges] * values[pick]
        values[pick] = -np.inf
        picks[k] = pick
    return picks
