"""ZeroShotCoveragePruner: keeps rows that cover the features, without a look at the labels."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import Tags, check_random_state

from .._compat import Interval
from .._types import Array, Estimator, Floats, Integers, Mask, Metadata, RandomState, Rows
from ..data import n_rows
from ._scored import ScoredPruner, ScoringJob, penultimate_features

# The features of a subspace, as many as the authors choose.
_N_DIMS = 2
# Draws for each row and in all, if the user sets no number: the authors' on CIFAR-10 and ImageNet.
_DRAWS_PER_ROW, _MOST_DRAWS = 20, 1_000_000
# Distances that are computed at once: few enough for a processor's cache.
_AT_ONCE = 1 << 16


class ZeroShotCoveragePruner(ScoredPruner):
    r"""Keep rows that cover the features and are unlike each other; labels are not used.

    The score starts with a random number between 0 and 1, which decides ties. Then points z are
    drawn, each in the space S of two random features: along both, from the triangular distribution
    between the feature's minimum and maximum with the mode at its median. The row c that is nearest
    to the point covers it, and gains 1. All others lose 1 together, the more the nearer to c they
    are:

    .. math:: c = \arg\min_i \| \phi_{iS} - z \|_1, \qquad d_i = \| \phi_{iS} - \phi_{cS} \|_1,
        \qquad S_c \leftarrow S_c + 1, \qquad
        S_i \leftarrow S_i - \frac{d_i^{-4}}{\sum_{j \ne c} d_j^{-4}}

    with the network's last-layer input, :math:`\phi_i`. The rows with the highest scores stay.

    Parameters
    ----------
    estimator : skorch net, FrozenEstimator or None, default=None
        Network whose module ends in a ``torch.nn.Linear`` and whose last-layer input are the
        features. A clone is fitted on all rows, for which it needs y; to use a fitted network as it
        is, wrap it in :class:`sklearn.frozen.FrozenEstimator`. None uses the standardised columns
        of X.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    n_draws : int or None, default=None
        Number of points. None draws 20 for each row, and at most a million.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does, if y holds classes. False lets
        all rows compete, as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training and the draws.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Points that each row covers, less its shares of the penalties, plus the random number.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs at most one training, and two distances for each draw and row: on one core a quarter of a
    minute for 10,000 rows, and of an hour for 50,000. With ``estimator=None``, y may be left out.

    The paper takes the penalty from the 1,000 rows nearest to c, as d falls so steeply that the
    others' part hardly counts. If another row equals c in the two features, it takes all of the
    penalty from that row. Which of such rows is called c is a matter of chance, and on average
    their gains and losses cancel; here such a draw changes no score. Features that are the same in
    all rows are not drawn.

    References
    ----------
    Griffin, Marks and Corso, "Zero-Shot Coreset Selection via Iterative Subspace Sampling", WACV
    2026, arXiv:2411.15349 (ZCore).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import ZeroShotCoveragePruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = ZeroShotCoveragePruner(prune_ratio=0.8, random_state=0).fit(X)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "n_draws": [Interval(Integral, 1, None, closed="left"), None],
    }

    _needs_classes = False

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        n_draws: int | None = None,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.n_draws = n_draws

    def _select_rows(self, X: Rows, y: Array | None, **fit_params: Metadata) -> Mask:
        if y is None:
            # Only columns are read, so any numbers will do.
            y = np.zeros(n_rows(X))
        return super()._select_rows(X, y, **fit_params)

    def _score(self, job: ScoringJob) -> Floats:
        features = penultimate_features(job)
        n_draws = self.n_draws or min(_DRAWS_PER_ROW * len(features), _MOST_DRAWS)
        return coverage_scores(features, n_draws, check_random_state(job.seed))

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: only a network needs y."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.estimator is not None
        return tags


def coverage_scores(features: Floats, n_draws: int, rng: np.random.RandomState) -> Floats:
    """Return the score of each row after that many draws, of shape (n_rows,)."""
    scores = rng.uniform(size=len(features))
    columns = np.ascontiguousarray(features.T)
    columns = columns[columns.min(axis=1) < columns.max(axis=1)]
    if not len(columns):
        return scores
    low, middle, high = columns.min(axis=1), np.median(columns, axis=1), columns.max(axis=1)
    n_at_once = max(1, _AT_ONCE // len(features))
    for n_before in range(0, n_draws, n_at_once):
        n_now = min(n_at_once, n_draws - n_before)
        dims = rng.uniform(size=(n_now, len(columns))).argsort(axis=1)[:, :_N_DIMS]
        points = rng.triangular(low[dims], middle[dims], high[dims])
        scores += credits_of(columns, dims, points)
    return scores


def credits_of(columns: Floats, dims: Integers, points: Floats) -> Floats:
    """Return what draws give and take to the score of each row, of shape (n_rows,).

    Parameters
    ----------
    columns : ndarray of shape (n_features, n_rows)
        Features of each row; no feature is the same in all rows.
    dims, points : ndarray of shape (n_draws, n_dims)
        Positions of the features of each draw, and its point.
    """
    n_draws, n_rows = len(dims), columns.shape[1]
    covers = l1_distances(columns, dims, points).argmin(axis=1)
    d = l1_distances(columns, dims, columns[dims, covers[:, None]])
    d[np.arange(n_draws), covers] = np.inf
    nearest = d.min(axis=1)
    is_alone = nearest > 0
    shares = np.square(np.square(nearest[is_alone, None] / d[is_alone]))
    shares /= shares.sum(axis=1, keepdims=True)
    return np.bincount(covers[is_alone], minlength=n_rows) - shares.sum(axis=0)


def l1_distances(columns: Floats, dims: Integers, points: Floats) -> Floats:
    """Return the distance of each point to each row in its features, of shape (n_draws, n_rows)."""
    distances = np.zeros((len(dims), columns.shape[1]))
    for dim, value in zip(dims.T, points.T, strict=True):
        distances += np.abs(columns[dim] - value[:, None])
    return distances
