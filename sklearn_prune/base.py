"""Base class of all pruners: a mask of training rows, and three ways to use it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, Self, get_args

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from torch.utils.data import Dataset

from ._compat import fit_context, output_container, owner_that_keeps_rows, visual_block
from ._types import Array, Constraints, Estimator, Integers, Mask, Metadata, Rows, Targets
from .data import (
    Kind,
    Target,
    TargetKind,
    check_rows,
    check_target,
    dataset_targets,
    fingerprint,
    is_collection,
    is_dict,
    n_rows,
    take_rows,
    two_rows_like,
)

__all__ = ["BasePruner", "deployable", "fit_pruner", "refitting"]

# For package and name of each owner; the placeholders are its name and the pruner's.
_REFUSALS = {
    ("sklearn", "Pipeline"): (
        "scikit-learn's {} cannot drop rows of y, so a pruner can only be its last step; {} is "
        "followed by others. Use sklearn_prune.Pipeline, or make a PrunedClassifier or "
        "PrunedRegressor the last step."
    ),
    ("imblearn", "Pipeline"): (
        "imbalanced-learn's {} drops rows only in steps that have fit_resample, and {} has none. "
        "Wrap it: sklearn_prune.meta.PruningSampler(pruner)."
    ),
    ("sklearn", "ColumnTransformer"): (
        "{} concatenates its transformers' outputs row by row, and {} drops rows. Use the pruner "
        "before or after it, as a step of a sklearn_prune.Pipeline."
    ),
    ("sklearn", "TransformedTargetRegressor"): (
        "{} needs a transformed target for each row, and {} drops rows. Use a PrunedRegressor as "
        "its regressor."
    ),
}


class KeptPartitions(Protocol):
    """The rows kept of a Dask collection; see `sklearn_prune.distributed.KeptRows`."""

    @property
    def support(self) -> Rows:
        """A Dask array of bool of shape (n_samples,)."""

    @property
    def indices(self) -> Integers:
        """Positions of the rows kept, ascending."""

    def take(self, container: Rows) -> Rows:
        """Return the rows kept of an aligned container, in its type."""


class BasePruner(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Base class of estimators that choose which training rows to keep.

    A subclass defines one hook, ``_select_rows(X, y, **fit_params)``, which returns a boolean mask
    of shape (n_samples,), True for each row to keep. The hook may set fitted attributes.

    Attributes
    ----------
    support_ : ndarray or dask array of shape (n_samples,)
        True where a training row is kept; a Dask array if X is a Dask collection.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only if y holds classes.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names. Only if all names are strings.

    Notes
    -----
    If an error or Ctrl-C ends ``fit`` early, the estimator is left as it was before.

    ``transform`` returns the container type that it is given, unless ``set_output`` asks for
    another.

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

    _parameter_constraints: Constraints = {}

    support_: Mask
    sample_indices_: Integers
    classes_: Array

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Rows,
        y: Targets = None,
        *,
        target_kind: TargetKind = "auto",
        **fit_params: Metadata,
    ) -> Self:
        """Choose the rows to keep.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), dict or Dataset
            Training rows. Each array of a dict holds n_samples rows. Some pruners also read the
            partitions of a Dask array or data frame.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Target of each row. None reads the targets of a torch dataset, in one pass over it.
        target_kind : {"auto", "classification", "regression"}, default="auto"
            Whether y holds classes or numbers. "auto" follows the network, then the pipeline or
            meta-estimator that the pruner is in, then y itself.
        **fit_params : dict
            Passed to ``_select_rows``.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        TypeError
            If the pruner is part of an estimator that needs every row back, such as a
            `sklearn.pipeline.Pipeline` in which other steps follow.
        ValueError
            If X or y is malformed, or y is not of the given kind.
        """
        return self._fit(X, y, target_kind=target_kind, **fit_params)

    def _fit(
        self, X: Rows, y: Targets, *, target_kind: TargetKind = "auto", **fit_params: Metadata
    ) -> Self:
        owner = owner_that_keeps_rows(self)
        if owner is not None:
            refusal = _REFUSALS.get(owner[:2], _REFUSALS["sklearn", "ColumnTransformer"])
            pruner = type(self).__name__
            name = f"its step {owner.step!r}, {pruner}," if owner.step else pruner
            raise TypeError(refusal.format(owner.name, name))
        with refitting(self):
            if is_collection(X):
                kind = self._requested_kind(y, target_kind)
                self._keep_partitions(X, self._select_partitions(X, y, kind, **fit_params))
                return self
            rows = self._checked_rows(X, reset=True)
            y = targets_of(rows, y)
            target = self._check_target(y, n_rows(rows), target_kind)
            self._note_classes(target)
            values = None if target is None else target.values
            self.support_ = np.asarray(self._select_rows(rows, values, **fit_params), dtype=bool)
            self.sample_indices_ = np.flatnonzero(self.support_)
            self._fingerprint_ = fingerprint(rows)
        return self

    def _note_classes(self, target: Target | None) -> None:
        """Set ``classes_``, where the target holds classes."""
        if target is not None and target.classes is not None:
            self.classes_ = target.classes

    def _keep_partitions(self, X: Rows, kept: KeptPartitions) -> None:
        """Set what `fit` promises, of the rows kept of a Dask collection."""
        self._kept_partitions_ = kept
        self.support_, self.sample_indices_ = kept.support, kept.indices
        self._fingerprint_ = fingerprint(X)

    def _checked_rows(self, X: Rows, *, reset: bool) -> Rows:
        """Return X as ``_select_rows`` takes it; set ``n_features_in_`` if ``reset``."""
        return check_rows(self, X, reset=reset)

    def _check_target(self, y: Targets, n_samples: int, target_kind: TargetKind) -> Target | None:
        kind = self._requested_kind(y, target_kind)
        if y is None and not self.__sklearn_tags__().target_tags.required:
            return None
        return check_target(self, y, n_samples, kind)

    def _requested_kind(self, y: Targets, target_kind: TargetKind) -> Kind | None:
        """Return what user and network say that y holds; None leaves it to y."""
        if target_kind not in get_args(TargetKind):
            raise ValueError(
                f"target_kind must be one of {', '.join(map(repr, get_args(TargetKind)))}; it is "
                f"{target_kind!r}."
            )
        kind = self._target_kind(y)
        if target_kind != "auto":
            if kind not in (None, target_kind):
                raise ValueError(
                    f"target_kind={target_kind!r}, but the network takes y as a {kind} target; "
                    f"set target_kind='auto', or give a network for {target_kind}."
                )
            kind = target_kind
        return kind

    def _target_kind(self, y: Targets) -> Kind | None:
        """Return whether the pruner's network takes y as classes or numbers; None if unknown."""
        return None

    def _select_rows(self, X: Rows, y: Array | None, **fit_params: Metadata) -> Mask:
        """Return the mask of rows to keep.

        Parameters
        ----------
        X : ndarray or csr_array of shape (n_samples, n_features)
            Validated rows.
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
            Positions in ``classes_`` (int64), or numbers (float64).
        **fit_params : dict
            Further arguments of ``fit``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _select_rows(X, y)")

    def _select_partitions(
        self, X: Rows, y: Targets, kind: Kind | None, **fit_params: Metadata
    ) -> KeptPartitions:
        """Return the rows to keep of a Dask collection; see `sklearn_prune.distributed`.

        Parameters
        ----------
        X : dask array or data frame of shape (n_samples, n_features)
            Rows, not checked yet.
        y : dask array or series, array-like, or None
            Target, as given to ``fit``.
        kind : {"classification", "regression"} or None
            What y holds; None infers it.
        **fit_params : dict
            Further arguments of ``fit``.
        """
        raise ValueError(
            f"{type(self).__name__} needs all rows in memory, and X is a Dask collection. Give "
            "X.compute() and y.compute(), or use InfluencePruner, RandomPruner or "
            "DistributionPruner, which read it partition by partition."
        )

    def set_params(self, **params: Estimator) -> Self:
        """Set parameters; ``estimator__...`` are those of the network given as ``estimator``.

        Parameters
        ----------
        **params : dict
            Values by name, as in scikit-learn's other estimators.

        Returns
        -------
        self : estimator
            With these parameters.

        Raises
        ------
        ValueError
            If a parameter does not exist, or is one of a network and there is not just one.
        """
        nested = [name for name in params if name.startswith("estimator__")]
        network = params.get("estimator", getattr(self, "estimator", self))
        if nested and not hasattr(network, "set_params"):
            raise ValueError(
                f"{nested[0]} needs a single network or estimator to set it on; estimator is "
                f"{network!r}. Give one as estimator."
            )
        return super().set_params(**params)

    def get_support(self, indices: bool = False) -> Array:
        """Return which training rows are kept.

        Parameters
        ----------
        indices : bool, default=False
            Return positions instead of a mask.

        Returns
        -------
        support : ndarray
            Boolean mask of shape (n_samples,), or ascending positions of shape (n_kept,). Of a Dask
            collection, the mask is a Dask array with its partitions.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the pruner is not fitted.
        """
        check_is_fitted(self)
        return self.sample_indices_ if indices else self.support_

    def transform(self, X: Rows) -> Rows:
        """Return the kept rows of the training data, and any other rows unchanged.

        Training rows are recognised by their values, order and shape, in any container and number
        type. A torch dataset may return different rows each time, so only the very object that was
        given to ``fit`` is recognised, and none after unpickling; ``prune`` takes any dataset. A
        Dask collection is recognised by how it is computed, not by its values, so that rows in
        memory are never its rows; the kept ones are a collection, computed when asked for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), dict or Dataset
            Training rows or others.

        Returns
        -------
        X : same type
            The kept rows of the training data, or X itself. Lists and arrays on disk (h5py, zarr)
            become an ndarray, and the kept rows of a torch dataset a `torch.utils.data.Subset`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the pruner is not fitted.
        ValueError
            If X is malformed, or its columns are not those seen in ``fit``; or if X is a Dask
            collection and ``set_output`` asks for another container.
        """
        check_is_fitted(self)
        if is_collection(X):
            if output_container(self) != "default":
                raise ValueError(
                    "transform of a Dask collection returns one, and set_output asks for "
                    f"{output_container(self)!r}, for which all rows would be computed. Call "
                    "set_output(transform='default'), or give X.compute()."
                )
            self._checked_rows(two_rows_like(X), reset=False)
            is_known = fingerprint(X) == self._fingerprint_
            return self._kept_partitions_.take(X) if is_known else X
        rows = self._checked_rows(X, reset=False)
        container = X if hasattr(X, "shape") or is_dict(X) else rows
        if self.was_fitted_on(rows):
            return take_rows(container, self.sample_indices_)
        # set_output renames columns in place, so it gets a copy.
        return copy.copy(container) if hasattr(container, "columns") else container

    def was_fitted_on(self, rows: Rows) -> bool:
        """Whether ``rows``, from `check_rows`, are the training rows; see `transform`."""
        return n_rows(rows) == len(self.support_) and fingerprint(rows) == self._fingerprint_

    def prune(self, *containers: Rows) -> Rows:
        """Return the kept rows of containers that are aligned with the training rows.

        Parameters
        ----------
        *containers : array-like, sparse matrix, data frame, series, list, dict, Dataset or None
            Each with one row for each training row. None stays None.

        Returns
        -------
        pruned : same type, or tuple
            The kept rows in the container's own type, with its index and column types; a tuple if
            several containers are given. Those of a Dask collection have known chunk sizes and no
            empty partitions, and are computed when asked for.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the pruner is not fitted.
        ValueError
            If no container is given, one has another number of rows, or one is a Dask collection
            and the pruner was fitted in memory.
        """
        check_is_fitted(self)
        if not containers:
            raise ValueError("prune needs at least one container; none was given. Use prune(X, y).")
        if hasattr(self, "_kept_partitions_"):
            taken = tuple(map(self._kept_partitions_.take, containers))
            return taken[0] if len(taken) == 1 else taken
        n_samples = len(self.support_)
        for position, container in enumerate(containers):
            if is_collection(container):
                raise ValueError(
                    f"prune takes rows in memory if the pruner was fitted on such; argument "
                    f"{position} is a Dask collection. Give its compute(), or fit the pruner on a "
                    "collection."
                )
            if container is not None and n_rows(container) != n_samples:
                raise ValueError(
                    f"prune needs containers aligned with the {n_samples} training rows; argument "
                    f"{position} has {n_rows(container)}. Give one row for each row given to fit, "
                    "in the same order."
                )
        pruned = tuple(
            None if container is None else take_rows(container, self.sample_indices_)
            for container in containers
        )
        return pruned[0] if len(pruned) == 1 else pruned

    def _sk_visual_block_(self) -> object:
        caption = None
        if hasattr(self, "support_"):
            caption = f"{len(self.sample_indices_):,} of {len(self.support_):,} rows kept"
        return visual_block(self, caption)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: sparse input is fine, and the rows keep their type."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@contextmanager
def refitting(estimator: BaseEstimator) -> Iterator[None]:
    """Remove what an earlier ``fit`` set; on any error, restore everything."""
    state = vars(estimator)
    before = state.copy()
    for name in before:
        if name.endswith("_"):
            del state[name]
    try:
        yield
    except BaseException:
        state.clear()
        state.update(before)
        raise


def fit_pruner(
    pruner: BasePruner,
    X: Rows,
    y: Targets,
    kind: Kind | None,
    fit_params: Mapping[str, Metadata],
) -> BasePruner:
    """Fit a pruner for an estimator that takes y as ``kind`` (None: unknown).

    The user's ``target_kind`` and the pruner's network take precedence. A pruner whose ``fit`` has
    no ``target_kind`` decides by itself.
    """
    y = targets_of(X, y)
    is_open = fit_params.get("target_kind", "auto") == "auto" and pruner._target_kind(y) is None
    if kind is not None and is_open and has_fit_parameter(pruner, "target_kind"):
        fit_params = {**fit_params, "target_kind": kind}
    return pruner.fit(X, y, **fit_params)


def deployable(estimator: Estimator) -> Estimator:
    """Return a fitted estimator without pruners; pipelines among its steps lose theirs as well."""
    # Only scikit-learn's own class, since a subclass may do more than its steps.
    if type(estimator) is not PlainPipeline:
        return getattr(estimator, "deployable_", estimator)
    return PlainPipeline(
        [
            (name, deployable(step))
            for name, step in estimator.steps
            if not isinstance(step, BasePruner)
        ]
    )


def targets_of(X: Rows, y: Targets) -> Targets:
    return dataset_targets(X) if y is None and isinstance(X, Dataset) else y
