"""GeometricMedianPruner: keeps rows whose mean is the geometric median of all rows."""

from __future__ import annotations

import numpy as np

from .._types import Floats
from ._herding import HerdingPruner

# Weiszfeld's steps shrink by a constant factor; on embeddings, some tens of them are enough.
_MAX_STEPS = 1000
# Length of the last step, and of a distance that counts as none, in mean distances to the centre.
_TOLERANCE, _ZERO = 1e-7, 1e-12


class GeometricMedianPruner(HerdingPruner):
    r"""Keep rows whose mean features are the geometric median of all rows.

    Let :math:`\phi_i` be the network's last-layer input. The geometric median of a class,

    .. math:: m = \arg\min_z \sum_i \| \phi_i - z \|_2

    stays where most rows are, even if just under half of them are moved anywhere. Rows are picked
    one by one. The k-th pick is

    .. math:: \arg\min_i \Big\| m - \frac 1k \Big( \phi_i + \sum_{j \,\text{picked}} \phi_j \Big)
        \Big\|_2

    among the rows not yet picked. The picked rows stay.

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
        Seeds the training.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Number of rows of its class that were picked before each row; for a row that was not picked,
        the number of picks.

    See Also
    --------
    sklearn_prune.base.BasePruner : The other fitted attributes.
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.
    HerdingPruner : Follows the mean instead of the geometric median.

    Notes
    -----
    Costs one training, some tens of passes over the features for the medians, by Weiszfeld's
    algorithm, and ``n_kept`` passes over the features of each class. Without classes, or with
    ``stratify=False``, the median is that of all rows. The paper picks the row with the largest
    inner product with :math:`k m - \sum_{j \,\text{picked}} \phi_j`; if all features have the same
    norm, as its authors make them, these are the same picks. It finds the median on a random part
    of the rows, and picks within batches of them; here both use all rows.

    References
    ----------
    Acharya, Sanghavi, Dimakis and Dhillon, "Geometric Median (GM) Matching for Robust k-Subset
    Selection from Noisy Data", ICML 2025.

    Vardi and Zhang, "The Multivariate L1-Median and Associated Data Depth", PNAS 97, 2000, for
    steps that start at a row.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import GeometricMedianPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = GeometricMedianPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    """

    def _centre(self, features: Floats) -> Floats:
        return geometric_median(features)


def geometric_median(features: Floats) -> Floats:
    """Return the point with the least sum of distances to the rows, of shape (n_features,)."""
    centre: Floats = features.mean(axis=0)
    for _ in range(_MAX_STEPS):
        offsets = features - centre
        distances = np.linalg.norm(offsets, axis=1)
        is_away = distances > _ZERO * distances.mean()
        nearness = 1 / distances[is_away]
        pull = nearness @ offsets[is_away]
        force = float(np.linalg.norm(pull))
        # Each row at the centre holds it with a force of 1.
        n_hold = np.count_nonzero(~is_away)
        if force <= n_hold:
            break
        step = (1 - n_hold / force) * pull / nearness.sum()
        centre = centre + step
        if np.linalg.norm(step) <= _TOLERANCE * distances.mean():
            break
    return centre
