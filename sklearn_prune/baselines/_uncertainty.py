"""UncertaintyPruner: draws rows that a network which never saw them is unsure of."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from .._compat import Interval
from .._types import Estimator, Floats, Integers, RandomState
from ..matching import softened
from ..networks import fit_network
from ..selection import draw_dropped
from ..utils import drawn_seed
from ._dynamics import Epoch, network_to_train
from ._scored import ScoredPruner, ScoringJob, Stratum


class UncertaintyPruner(ScoredPruner):
    r"""Draw rows that a network is unsure of, and few of those whose label it contradicts.

    The rows are split into folds, and each fold gets its class probabilities :math:`p_i` from a
    network that was trained on the others. The score is

    .. math:: r_i = q_{i y_i} \sum_k q_{ik} (1 - q_{ik}), \qquad
        q_i = 0.98\, p_i + \frac{0.02}{K}

    with the own class :math:`y_i` of K classes. The sum is largest near the boundaries between
    classes. The factor before it is small where the label is likely to be wrong. Rows are drawn
    with probabilities in proportion to their scores, or kept where that would be more than 1.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; clones are trained on all folds but one.
        None trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    n_folds : int, default=3
        Folds, and networks to train. Each fold has the same share of every class.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds, the training and the draw.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Positive numbers, less than 1.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs about ``n_folds - 1`` trainings.

    This pruner is for networks that are trained anew on the rows kept, if some labels may be wrong.
    `InfluencePruner` holds the last layer that all rows give, wrong labels included, so it keeps
    more of these. If all labels are right and few rows are kept, `InfluencePruner` can be better
    (``benchmarks/results/priorities.md``). Cross-validation can choose between the two:
    ``GridSearchCV(PrunedClassifier(net, InfluencePruner()), {"pruner": [...]})`` with both of them
    in the list, each with the network and the ratio.

    References
    ----------
    Lewis and Gale, "A Sequential Algorithm for Training Text Classifiers", SIGIR 1994, for choosing
    uncertain rows.

    Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
    JAIR 2021, for judging labels by networks that never saw them. The product of both is this
    library's.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import UncertaintyPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = UncertaintyPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "n_folds": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        n_folds: int = 3,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.n_folds = n_folds

    def _score(self, job: ScoringJob) -> Floats:
        q = softened(unseen_probabilities(job, self.n_folds))
        own: Floats = np.take_along_axis(q, job.y[:, None], axis=1)[:, 0]
        return own * np.sum(q * (1 - q), axis=1)

    def _rank(self, stratum: Stratum, rng: np.random.RandomState) -> Integers:
        """Return all rows of a stratum in random order, those drawn first."""
        n_rows, draws = len(stratum.rows), np.random.default_rng(drawn_seed(rng))
        dropped = draw_dropped(
            np.zeros(n_rows, dtype=np.intp),
            np.array([n_rows - stratum.n_keep]),
            self.scores_[stratum.rows],
            draws,
        )
        # The first row of a class that was not drawn replaces the last one that was.
        order = draws.permutation(n_rows)
        return stratum.rows[order[np.argsort(dropped[order], kind="stable")]]


def unseen_probabilities(job: ScoringJob, n_folds: int) -> Floats:
    """Return class probabilities from networks that did not see the row: (n_samples, n_classes)."""
    rng = check_random_state(job.seed)
    shuffled = rng.permutation(len(job.y))
    by_class = shuffled[np.argsort(job.y[shuffled], kind="stable")]
    folds = [by_class[first::n_folds] for first in range(min(n_folds, len(by_class)))]
    parts = []
    for unseen in folds:
        seen = np.setdiff1d(by_class, unseen)
        seed = drawn_seed(rng)
        net = fit_network(network_to_train(job), job.X[seen], job.y[seen], random_state=seed)
        parts.append(Epoch(net, job.X[unseen], job.y[unseen]).probabilities)
    return np.concatenate(parts)[np.argsort(np.concatenate(folds))]
