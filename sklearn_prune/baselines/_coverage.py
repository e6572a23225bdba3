"""CoveragePruner: the hardest rows go, and the others stay at every difficulty alike."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from .._compat import Interval
from ..selection import count_of
from ._dynamics import record_epochs
from ._scored import Floats, Rows, ScoredPruner, ScoringJob, Stratum


class CoveragePruner(ScoredPruner):
    r"""Drop the hardest rows, then keep as many of each difficulty.

    Coverage-centric coreset selection (CCS). How easy a row is, is its area under the margin, the
    mean over all T epochs of what its own class is ahead of the next,

    .. math:: A_i = \frac 1T \sum_t \Big( p_{ti}(y_i) - \max_{k \ne y_i} p_{ti}(k) \Big)

    The share ``cutoff`` with the lowest goes. The others' range of :math:`A_i` is split into
    ``n_strata`` bins of equal width, and from each as many rows are drawn, or all where there are
    fewer.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None is
        a linear model on standardised columns, trained by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    cutoff : float in [0, 1), default=0.1
        Share of the rows, the hardest, that goes first; where fewer rows go, these are the
        hardest of all.
    n_strata : int, default=50
        Bins of difficulty.
    stratify : bool, default=True
        Each class keeps the same share, as from `InfluencePruner`. False lets all
        rows compete, as in the paper, except that each class keeps one.
    random_state : int, RandomState instance or None, default=None
        Seeds the training and the draw.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Area under the margin of each row, between -1 and 1; the lowest are the hardest.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Notes
    -----
    Costs one training, with a forward pass more an epoch. The paper chooses ``cutoff`` for each
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
        estimator: Any = None,
        *,
        prune_ratio: float = 0.4,
        cutoff: float = 0.1,
        n_strata: int = 50,
        stratify: bool = True,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            prune_ratio=prune_ratio,
            stratify=stratify,
            random_state=random_state,
        )
        self.cutoff = cutoff
        self.n_strata = n_strata

    def _score(self, job: ScoringJob) -> Floats:
        margins: Floats = record_epochs(job, lambda epoch: epoch.margin).mean(axis=0)
        return margins

    def _rank(self, stratum: Stratum, rng: np.random.RandomState) -> Rows:
        from_easy = super()._rank(stratum, rng)
        n_rows = len(from_easy)
        n_cut = min(count_of(self.cutoff, n_rows), n_rows - stratum.n_keep)
        others, hardest = np.split(from_easy, [n_rows - n_cut])
        others = rng.permutation(others)
        bins = difficulty_bins(self.scores_[others], self.n_strata)
        budgets = allocate(np.bincount(bins, minlength=self.n_strata), stratum.n_keep)
        # The place of each row among those of its bin, in drawn order.
        by_bin = np.argsort(bins, kind="stable")
        starts = np.searchsorted(bins[by_bin], bins[by_bin])
        is_drawn = np.empty(len(others), dtype=bool)
        is_drawn[by_bin] = np.arange(len(others)) - starts < budgets[bins[by_bin]]
        return np.concatenate([others[is_drawn], others[~is_drawn], hardest])


def difficulty_bins(scores: Floats, n_bins: int) -> np.ndarray:
    """Return which of ``n_bins`` bins of equal width between the extremes each score is in."""
    low, high = scores.min(), scores.max()
    inner = np.linspace(low, high, n_bins + 1)[1:-1]
    return np.searchsorted(inner, scores, side="right")


def allocate(sizes: np.ndarray, n_draws: int) -> np.ndarray:
    """Return how many rows each bin gives: the smallest first, each an equal part of the rest."""
    budgets = np.zeros_like(sizes)
    for n_before, position in enumerate(np.argsort(sizes, kind="stable")):
        equal_part = (n_draws - budgets.sum()) // (len(sizes) - n_before)
        budgets[position] = min(sizes[position], equal_part)
    return budgets
