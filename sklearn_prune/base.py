"""What every pruner shares: a mask of rows, and three ways to use it."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset

from ._compat import fit_context, owner_that_keeps_rows, visual_block
from .data import (
    Kind,
    Target,
    TargetKind,
    check_rows,
    check_target,
    dataset_targets,
    fingerprint,
    is_dict,
    n_rows,
    take_rows,
)

__all__ = ["BasePruner"]

# By the owner; what it is called, and the pruner.
_REFUSALS = {
    "sklearn.Pipeline": (
        "scikit-learn's {} drops no rows of y, so a pruner can only be its last step; {} is "
        "followed by others. Use sklearn_prune.Pipeline, or a PrunedClassifier or PrunedRegressor "
        "as the last step."
    ),
    "imblearn.Pipeline": (
        "imbalanced-learn's {} drops rows only by steps that have fit_resample, and {} has none. "
        "Wrap it: sklearn_prune.meta.PruningSampler(pruner)."
    ),
    "sklearn.ColumnTransformer": (
        "{} puts what its transformers return side by side, row by row, and {} drops rows. Put it "
        "before or behind, as a step of a sklearn_prune.Pipeline."
    ),
    "sklearn.TransformedTargetRegressor": (
        "{} needs a transformed target for each row, and {} drops rows. Give a PrunedRegressor as "
        "its regressor."
    ),
}


class BasePruner(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Base class of estimators that choose which training rows to keep.

    A subclass writes one hook, ``_select_rows(X, y, **fit_params)``, which returns a boolean
    mask of shape (n_samples,), True where a row is kept. It may set fitted attributes of its
    own. Everything else is here.

    Attributes
    ----------
    support_ : ndarray of shape (n_samples,)
        True where a training row is kept.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only where y holds classes.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names that are strings.

    Notes
    -----
    ``fit`` works on an unfitted copy and hands its state over in one step at the end. Whatever
    ends it early, an error or a Ctrl-C, leaves the estimator as it was.

    ``transform`` keeps the container it is given. ``set_output`` is honoured nevertheless: a
    pipeline sets it on every step, and one step without it breaks all of them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_prune.base import BasePruner
    >>> class EveryOther(BasePruner):
    ...     def _select_rows(self, X, y):
    ...         return np.arange(len(X)) % 2 == 0
    >>> X, y = np.arange(8.0).reshape(4, 2), np.array(["a", "b", "a", "b"])
    >>> pruner = EveryOther().fit(X, y)
    >>> pruner.prune(y)
    array(['a', 'a'], dtype='<U1')
    >>> pruner.transform(X)
    array([[0., 1.],
           [4., 5.]])
    >>> pruner.transform(X[:1])
    array([[0., 1.]])
    """

    _parameter_constraints: dict[str, list[Any]] = {}

    support_: NDArray[np.bool_]
    sample_indices_: NDArray[np.intp]
    classes_: NDArray[Any]

    # What a meta-estimator, which knows, says y is.
    _assumed_kind: Kind | None = None

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Choose the rows to keep.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), dict or Dataset
            Training rows; a dict holds arrays of n_samples rows each.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Target of each row. None takes those of a torch dataset, in one pass over it.
        **fit_params : dict
            What the pruner's own ``fit`` names.

        Returns
        -------
        self : estimator
            Fitted.
        """
        return self._fit(X, y, **fit_params)

    def _fit(self, X: Any, y: Any, *, target_kind: TargetKind = "auto", **fit_params: Any) -> Self:
        owner = owner_that_keeps_rows(self)
        if owner is not None:
            refusal = _REFUSALS.get(owner, _REFUSALS["sklearn.ColumnTransformer"])
            raise TypeError(refusal.format(owner.partition(".")[2], type(self).__name__))
        staged = self._unfitted_copy()
        rows = check_rows(staged, X, reset=True)
        if y is None and isinstance(rows, Dataset):
            y = dataset_targets(rows)
        target = staged._check_target(y, n_rows(rows), target_kind)
        if target is not None and target.classes is not None:
            staged.classes_ = target.classes
        support = staged._select_rows(rows, None if target is None else target.values, **fit_params)
        staged.support_ = np.asarray(support, dtype=bool)
        staged.sample_indices_ = np.flatnonzero(staged.support_)
        staged._fingerprint_ = fingerprint(rows)
        # One assignment, so that no interrupt can leave half a state.
        self.__dict__ = staged.__dict__
        return self

    def _unfitted_copy(self) -> Self:
        """Return a pruner with the same parameters and settings, without what fit has set."""
        staged = object.__new__(type(self))
        staged.__dict__.update(
            (name, value) for name, value in vars(self).items() if not name.endswith("_")
        )
        return staged

    def _check_target(self, y: Any, n_samples: int, target_kind: TargetKind) -> Target | None:
        if y is None and not self.__sklearn_tags__().target_tags.required:
            return None
        return check_target(self, y, n_samples, self._kind_of_target(y, target_kind))

    def _kind_of_target(self, y: Any, said: TargetKind) -> Kind | None:
        """Return what y is to the user, the network or a meta-estimator; None leaves it to y."""
        said = getattr(self, "target_kind", said)
        known = self._target_kind(y)
        if said == "auto":
            return known or self._assumed_kind
        if known is not None and known != said:
            raise ValueError(
                f"target_kind={said!r} and to the network y is a {known} target; set "
                "target_kind='auto', or give a network of the other kind."
            )
        return said

    def _target_kind(self, y: Any) -> Kind | None:
        """Return what y is; None leaves it to a meta-estimator, and then to y itself."""
        return None

    def _select_rows(self, X: Any, y: NDArray[Any] | None, **fit_params: Any) -> NDArray[np.bool_]:
        """Return the mask of rows to keep.

        Parameters
        ----------
        X : ndarray or csr_array of shape (n_samples, n_features)
            Validated rows.
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
            Positions in ``classes_``, or float64 for regression.
        **fit_params : dict
            What was given to ``fit``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _select_rows(X, y)")

    def get_support(self, indices: bool = False) -> NDArray[Any]:
        """Return which training rows are kept.

        Parameters
        ----------
        indices : bool, default=False
            Return positions instead of a mask.

        Returns
        -------
        support : ndarray
            Boolean mask of shape (n_samples,), or ascending positions of shape (n_kept,).
        """
        check_is_fitted(self)
        return self.sample_indices_ if indices else self.support_

    def transform(self, X: Any) -> Any:
        """Return the kept rows of the training data, and any other rows unchanged.

        Training rows are recognised by content: values, order and shape. The container and its
        number type do not matter as long as the numbers are the same. A torch dataset is
        recognised by being the very object that was given to ``fit``, and not after unpickling:
        its rows may be drawn anew each time they are read. `prune` takes any.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), dict or Dataset
            Training rows or others.

        Returns
        -------
        X : same type
            The kept rows of the training data, or X itself. A list comes back as an array, as
            from every transformer; of a torch dataset comes a `torch.utils.data.Subset`, and of
            an array on disk (h5py, zarr) an array.
        """
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        container = X if hasattr(X, "shape") or is_dict(X) else rows
        if self.was_fitted_on(rows):
            return take_rows(container, self.sample_indices_)
        # set_output renames columns in place, which must not reach the caller's frame.
        return copy.copy(container) if hasattr(container, "columns") else container

    def was_fitted_on(self, rows: Any) -> bool:
        """Whether validated rows are those of ``fit``, as `transform` recognises them."""
        return n_rows(rows) == len(self.support_) and fingerprint(rows) == self._fingerprint_

    def prune(self, *containers: Any) -> Any:
        """Return the kept rows of containers that are aligned with the training rows.

        Parameters
        ----------
        *containers : array-like, sparse matrix, data frame, series, list, dict, Dataset or None
            Each with as many rows as the training data; None is handed back.

        Returns
        -------
        pruned : same type, or tuple
            Each in its own type, index and column types intact. One container comes back as
            itself, several as a tuple.

        Raises
        ------
        ValueError
            When a container has another number of rows.
        """
        check_is_fitted(self)
        if not containers:
            raise ValueError("prune needs at least one container; none was given. Use prune(X, y).")
        pruned = tuple(self._prune_one(position, c) for position, c in enumerate(containers))
        return pruned[0] if len(pruned) == 1 else pruned

    def _prune_one(self, position: int, container: Any) -> Any:
        if container is None:
            return None
        n_found, n_expected = n_rows(container), len(self.support_)
        if n_found != n_expected:
            raise ValueError(
                f"prune needs containers aligned with the {n_expected} training rows; argument "
                f"{position} has {n_found}. Give the rows that were given to fit, in their order."
            )
        return take_rows(container, self.sample_indices_)

    def _sk_visual_block_(self) -> Any:
        if not hasattr(self, "support_"):
            return visual_block(self, None)
        n_kept, n_samples = len(self.sample_indices_), len(self.support_)
        return visual_block(self, f"{n_kept:,} of {n_samples:,} rows kept")

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: sparse input is fine, and the rows keep their type."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
