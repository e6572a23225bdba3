"""RandomPruner: keeps rows at random."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Tags, check_random_state
from torch.utils.data import Dataset

from .. import distributed
from .._types import Array, Mask, Metadata, RandomState, Rows, Targets
from ..base import KeptPartitions
from ..data import Kind, n_rows, record_columns, require_rows
from ._scored import RatioPruner, keep_first


class RandomPruner(RatioPruner):
    r"""Keep rows at random, whatever they hold.

    Drops ``n_drop = prune_ratio * n`` of ``n`` rows, rounded to the nearest whole number, halves
    down. With ``stratify``, class c loses ``n_drop * n_c / n`` of its ``n_c`` rows, rounded so that
    the counts sum to ``n_drop``. These are the numbers that `InfluencePruner` drops with its
    default quota, to within one row.

    X may be a Dask array or data frame. The draw then depends on the seed and the partitions.

    Parameters
    ----------
    prune_ratio : float in [0, 1), default=0.4
        Share of the rows to *drop*.
    stratify : bool, default=True
        Draw within each class. False draws from all rows, but keeps at least one row of each
        class. Makes no difference without classes (a regression target, or no y).
    random_state : int, RandomState instance or None, default=None
        Seeds the draw.

    Attributes
    ----------
    support_ : ndarray of shape (n_samples,)
        True where a training row is kept.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only if y holds classes.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names. Only if all names are strings.

    See Also
    --------
    sklearn_prune.InfluencePruner : Chooses rows by the joint effect of dropping them.

    Notes
    -----
    X is not read for the draw. It may hold numbers, text, dates, images, missing values or any
    objects that can be pickled, in any container with a length and rows by position. Only
    `transform` compares rows, to recognise those of `fit`. Partitions of a Dask collection are not
    even computed, unless no other way is left to count their rows.

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
        random_state: RandomState = None,
    ) -> None:
        self.prune_ratio = prune_ratio
        self.stratify = stratify
        self.random_state = random_state

    def _checked_rows(self, X: Rows, *, reset: bool) -> Rows:
        """Return numbers checked, so that any container of them is recognised; others as they are.

        Raises
        ------
        TypeError, ValueError
            If X is lazy or a malformed dataset, has fewer than two rows in `fit`, or has other
            columns than in `fit`.
        """
        try:
            return super()._checked_rows(X, reset=reset)
        except (TypeError, ValueError):
            has_length = hasattr(X, "__len__") or hasattr(X, "shape")
            if isinstance(X, Dataset) or not has_length:
                raise
        require_rows(X, reset=reset)
        record_columns(self, X, reset=reset)
        return X

    def _select_rows(self, X: Rows, y: Array | None, **fit_params: Metadata) -> Mask:
        """Draw the rows to keep."""
        self._refuse(fit_params)
        self._labels_ = self.classes_[y] if hasattr(self, "classes_") else None
        self._order_ = check_random_state(self.random_state).permutation(n_rows(X))
        return self._choose()

    def _select_partitions(
        self, X: Rows, y: Targets, kind: Kind | None, **fit_params: Metadata
    ) -> KeptPartitions:
        """Draw the rows to keep of a Dask collection, as many of each class."""
        self._refuse(fit_params)
        first = distributed.first_pass(self, distributed.Partitioned.of(X, y), kind)
        return self._choose_partitions(
            first,
            lambda seed: distributed.drawn_partitions(
                first, self._request(), np.random.default_rng(seed), stratify=self.stratify
            ),
        )

    def _choose(self) -> Mask:
        strata, order = self._strata(len(self._order_)), self._order_
        # The rows drawn first are dropped.
        ranked = [order[np.isin(order, stratum.rows)][::-1] for stratum in strata]
        return keep_first(strata, ranked, self._labels_)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: any rows are fine, and so are several targets."""
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        for name in ("allow_nan", "string", "categorical", "three_d_array"):
            setattr(tags.input_tags, name, True)
        tags.target_tags.multi_output = True
        return tags
