"""RandomPruner: which rows stay is left to chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Tags, check_random_state

from ..data import n_rows
from ._scored import RatioPruner, keep_first


class RandomPruner(RatioPruner):
    r"""Keep rows drawn at random.

    Of ``n`` rows, ``n_drop = prune_ratio * n`` (rounded to the nearest whole number, a half
    downward) go. Stratified, class c loses ``n_drop * n_c / n`` of its ``n_c`` rows, rounded so
    that the counts sum to ``n_drop``: the number that `InfluencePruner` drops under its default
    quota, to within a row, so that the two differ in nothing but the choice.

    Parameters
    ----------
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    stratify : bool, default=True
        Draw within each class. False draws from all rows alike, except that each class keeps
        one. Without classes (a regression target, or no y) both are the same.
    random_state : int, RandomState instance or None, default=None
        Seeds the draw.

    Attributes
    ----------
    support_ : ndarray of shape (n_samples,)
        True where a training row is kept.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only where y holds classes.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names that are strings.

    See Also
    --------
    sklearn_prune.InfluencePruner : Chooses the rows by what dropping them together costs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune.baselines import RandomPruner
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = RandomPruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> X_small, y_small = pruner.prune(X, y)
    >>> X_small.shape
    (30, 4)
    >>> [int((y_small == label).sum()) for label in pruner.classes_]
    [10, 10, 10]
    """

    def __init__(
        self,
        prune_ratio: float = 0.4,
        *,
        stratify: bool = True,
        random_state: Any = None,
    ) -> None:
        self.prune_ratio = prune_ratio
        self.stratify = stratify
        self.random_state = random_state

    def _select_rows(self, X: Any, y: NDArray[Any] | None, **fit_params: Any) -> NDArray[np.bool_]:
        """Draw the rows to keep."""
        self._labels_ = self.classes_[y] if hasattr(self, "classes_") else None
        self._order_ = check_random_state(self.random_state).permutation(n_rows(X))
        return self._choose()

    def _choose(self) -> NDArray[np.bool_]:
        strata, order = self._strata(len(self._order_)), self._order_
        # The first that are drawn go.
        ranked = [order[np.isin(order, stratum.rows)][::-1] for stratum in strata]
        return keep_first(strata, ranked, self._labels_)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: missing values are fine, and so are several targets."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags
