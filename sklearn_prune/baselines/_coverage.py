"""CoveragePruner: drops the hardest rows, and keeps others of every difficulty."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from .._compat import Interval
from .._types import Estimator, Floats, Integers, RandomState
from ..selection import count_of
from ._dynamics import record_epochs
from ._scored import ScoredPruner, ScoringJob, Stratum


class CoveragePruner(ScoredPruner):
    r"""Drop the hardest rows, then keep equally many of each difficulty.

    Coverage-centric coreset selection (CCS) measures how easy a row is by its area under the
    margin: the mean over all T epochs of the gap between the true class and the best other class,

    .. math:: A_i = \frac 1T \sum_t \Big( p_{ti}(y_i) - \max_{k \ne y_i} p_{ti}(k) \Big)

    It drops the share ``cutoff`` of the rows with the lowest :math:`A_i`. It splits the range of
    the others into ``n_strata`` bins of equal width, and draws the same number of rows from each
    bin, or all rows of a bin that has fewer.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None
        trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    cutoff : float in [0, 1), default=0.1
        Share of the rows to drop as the hardest. If ``prune_ratio`` is smaller, only the hardest
        rows go.
    n_strata : int, default=50
        Number of bins of difficulty.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training and the draw.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Area under the margin of each row, between -1 and 1. The hardest rows have the lowest.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training and one more forward pass per epoch. The paper chooses ``cutoff`` for each
    data set and ratio: between 0 and 0.3 on CIFAR-10, up to 0.5 on CIFAR-100.

    References
    ----------
    Zheng et al., "Coverage-centric Coreset Selection for High Pruning Rates", ICLR 2023,
    arXiv:2210.15809.

    Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking", NeurIPS
    2020, arXiv:2001.10528.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import CoveragePruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = CoveragePruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "cutoff": [Interval(Real, 0, 1, closed="left")],
        "n_strata": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        cutoff: float = 0.1,
        n_strata: int = 50,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.cutoff = cutoff
        self.n_strata = n_strata

    def _score(self, job: ScoringJob) -> Floats:
        return record_epochs(job, lambda epoch: epoch.margin).mean(axis=0)

    def _rank(self, stratum: Stratum, rng: np.random.RandomState) -> Integers:
        from_easy = super()._rank(stratum, rng)
        n_rows = len(from_easy)
        n_cut = min(count_of(self.cutoff, n_rows), n_rows - stratum.n_keep)
        others, hardest = np.split(from_easy, [n_rows - n_cut])
        others = rng.permutation(others)
        bins = difficulty_bins(self.scores_[others], self.n_strata)
        budgets = allocate(np.bincount(bins, minlength=self.n_strata), stratum.n_keep)
        # Draw the first rows of each bin, in random order.
        by_bin = np.argsort(bins, kind="stable")
        starts = np.searchsorted(bins[by_bin], bins[by_bin])
        is_drawn = np.empty(len(others), dtype=bool)
        is_drawn[by_bin] = np.arange(len(others)) - starts < budgets[bins[by_bin]]
        return np.concatenate([others[is_drawn], others[~is_drawn], hardest])


def difficulty_bins(scores: Floats, n_bins: int) -> np.ndarray:
    """Return the position of each score's bin, for ``n_bins`` bins of equal width."""
    low, high = scores.min(), scores.max()
    inner = np.linspace(low, high, n_bins + 1)[1:-1]
    return np.searchsorted(inner, scores, side="right")


def allocate(sizes: np.ndarray, n_draws: int) -> np.ndarray:
    """Return how many rows to draw from each bin: as equal as the bins' sizes allow."""
    budgets = np.zeros_like(sizes)
    for n_before, position in enumerate(np.argsort(sizes, kind="stable")):
        equal_part = (n_draws - budgets.sum()) // (len(sizes) - n_before)
        budgets[position] = min(sizes[position], equal_part)
    return budgets
