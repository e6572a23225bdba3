"""DUALPruner: keeps rows that are hard and uncertain early in training."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.stats import beta

from .._compat import Interval
from .._types import Estimator, Floats, Integers, RandomState
from ._dynamics import record_epochs
from ._scored import ScoredPruner, ScoringJob, Stratum

# The authors' choices: the Beta distribution's concentration, and how many rows set its centre.
_CONCENTRATION = 15
_N_ANCHORS = 10


class DUALPruner(ScoredPruner):
    r"""Keep rows that are hard and uncertain early in training, and easier ones at high ratios.

    Let :math:`p_{ti}` be the probability of row i's true class after epoch t of T, and
    :math:`\bar p_{ki}` and :math:`\sigma_{ki}` its mean and standard deviation (with J - 1 in the
    denominator) over the J epochs that start with k. The score is

    .. math:: \mathrm{DUAL}_i = \frac{1}{T - J + 1} \sum_{k=1}^{T-J+1} (1 - \bar p_{ki}) \,
        \sigma_{ki}

    Rows are drawn without replacement in proportion to :math:`\varphi_r(\bar p_i) \,
    \mathrm{DUAL}_i`. Here :math:`\bar p_i` is the mean over all T epochs, and :math:`\varphi_r` the
    density of a Beta distribution that moves towards easy rows as the ratio r grows:

    .. math:: \beta = 15 \, (1 - \mu) (1 - r^{c_D}), \qquad \alpha = 16 - \beta

    where :math:`\mu` is the mean of :math:`\bar p_i` over the rows with the ten highest scores.

    Parameters
    ----------
    estimator : skorch net or None, default=None
        Network whose module ends in a ``torch.nn.Linear``; a clone is trained on all rows. None
        trains a linear model on standardised columns by Adam.
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    n_epochs : int, default=30
        Epochs T; training ends there.
    window : int, default=10
        Epochs J of the mean and the standard deviation.
    c_d : float or None, default=4.0
        Exponent :math:`c_D`. With a smaller one, easy rows are preferred from lower ratios on. None
        keeps the rows with the highest scores, without a draw.
    stratify : bool, default=True
        Keep the same share of each class, as `InfluencePruner` does. False lets all rows compete,
        as in the paper, but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training and the draw.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        DUAL score of each row.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    Costs one training of ``n_epochs`` and one more forward pass per epoch. With ``stratify``,
    :math:`\mu` is taken within each class.

    References
    ----------
    Cho et al., "Lightweight Dataset Pruning without Full Training via Example Difficulty and
    Prediction Uncertainty", ICML 2025, arXiv:2502.06905.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import DUALPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = DUALPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "n_epochs": [Interval(Integral, 2, None, closed="left")],
        "window": [Interval(Integral, 2, None, closed="left")],
        "c_d": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        n_epochs: int = 30,
        window: int = 10,
        c_d: float | None = 4.0,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.n_epochs = n_epochs
        self.window = window
        self.c_d = c_d

    def _score(self, job: ScoringJob) -> Floats:
        p = record_epochs(
            job,
            lambda epoch: epoch.target_probability,
            n_epochs=self.n_epochs,
            at_least=self.window,
        )
        self._mean_probability_ = p.mean(axis=0)
        return dual_scores(p, self.window)

    def _rank(self, stratum: Stratum, rng: np.random.RandomState) -> Integers:
        ranked = super()._rank(stratum, rng)
        if self.c_d is None:
            return ranked
        log_density = beta_log_density(self._mean_probability_[ranked], self.prune_ratio, self.c_d)
        with np.errstate(divide="ignore"):
            log_weight = np.log(self.scores_[ranked]) + log_density
        # Gumbel noise turns the ranking into a draw without replacement.
        noisy = log_weight + rng.gumbel(size=len(ranked))
        return ranked[np.argsort(-noisy, kind="stable")]


def dual_scores(p: Floats, window: int) -> Floats:
    """Return the mean of ``(1 - mean) * std`` over all windows; p is (n_epochs, n_samples)."""
    windows = (p[k : k + window] for k in range(len(p) - window + 1))
    terms = [(1 - part.mean(axis=0)) * part.std(axis=0, ddof=1) for part in windows]
    return np.mean(terms, axis=0)


def beta_log_density(p_mean: Floats, prune_ratio: float, c_d: float) -> Floats:
    """Return the log-density of the Beta distribution, for rows by descending score."""
    b = _CONCENTRATION * (1 - p_mean[:_N_ANCHORS].mean()) * (1 - prune_ratio**c_d)
    # If all anchors are certain, b is 0, which defines no distribution.
    b = max(b, 1e-3)
    return beta.logpdf(np.clip(p_mean, 1e-6, 1 - 1e-6), _CONCENTRATION + 1 - b, b)
