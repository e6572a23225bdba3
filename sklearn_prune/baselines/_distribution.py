"""DistributionPruner: keeps rows that are distributed as all rows are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np

from .. import distributed
from .._types import Floats, Metadata, Rows, Targets
from ..base import KeptPartitions
from ..data import Kind
from ..matching import ENOUGH, Table, embed_distribution
from ..selection import SelectionProblem, solve
from ..utils import serial_blas
from ._scored import JointPruner, ScoringJob, Stratum, penultimate_features


class DistributionPruner(JointPruner):
    r"""Keep rows with the same joint distribution of features and labels as all rows.

    Let :math:`\phi_i` be kernel features of the network's last-layer input (those that
    `InfluencePruner` matches beside the influences), and :math:`t_i` the one-hot class, or
    :math:`[1, y_i]` for a regression. The search minimises

    .. math:: \Big\| \sum_{i \,\text{dropped}} (t_i \otimes \phi_i - \mu) \Big\|_2, \qquad
              \mu = \frac 1n \sum_j t_j \otimes \phi_j

    which is proportional to a maximum mean discrepancy between the kept rows and all rows. Kernel
    herding minimises the same quantity greedily; this pruner uses the search of `InfluencePruner`,
    without the influences.

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
        but keeps at least one row of each class.
    random_state : int, RandomState instance or None, default=None
        Seeds the training and the search.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        1 for rows that the search keeps, 0 for all others.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Matches influences as well as the distribution.
    HerdingPruner : Matches the mean of the features alone, greedily.

    Notes
    -----
    Costs one training and a few passes over the rows. The search has no time limit: it ends after
    a fixed amount of work, so the same seed keeps the same rows on a slow machine too.

    X may be a Dask array or data frame, if the estimator is None or frozen; see `InfluencePruner`.

    References
    ----------
    Chen, Welling and Smola, "Super-Samples from Kernel Herding", UAI 2010.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import DistributionPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = DistributionPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    _needs_classes = False

    def _select_partitions(
        self, X: Rows, y: Targets, kind: Kind | None, **fit_params: Metadata
    ) -> KeptPartitions:
        """Keep rows of a Dask collection by the distribution of all of its rows."""
        self._refuse(fit_params)
        distributed.require_frozen(self.estimator)
        moments = distributed.column_moments if self.estimator is None else None
        first = distributed.first_pass(self, distributed.Partitioned.of(X, y), kind, moments)
        kept = self._choose_partitions(
            first,
            partial(distributed.select_by_distribution, first, self.estimator, self._request()),
        )
        self.scores_ = kept.support.astype(np.float64)
        return kept

    def _read(self, job: ScoringJob) -> None:
        weights = np.ones(len(job.y))
        self._embedding_ = embed_distribution(
            Table([penultimate_features(job)], weights),
            job.y,
            weights,
            is_labels=job.classes is not None,
        )

    def _score_strata(self, strata: Sequence[Stratum]) -> Floats:
        """Return 1 for each row to keep and 0 for the others."""
        n_samples = self._embedding_.shape[0]
        codes = np.zeros(n_samples, dtype=np.int64)
        for code, stratum in enumerate(strata):
            codes[stratum.rows] = code
        n_keep: dict[Hashable, int] = {code: stratum.n_keep for code, stratum in enumerate(strata)}
        problem = SelectionProblem(
            self._embedding_,
            n_drop=n_samples - sum(n_keep.values()),
            groups=codes,
            quota=n_keep,
        )
        with serial_blas():
            selection = solve(problem, time_limit=np.inf, random_state=self._seed_, enough=ENOUGH)
        return (~selection.drop).astype(np.float64)
