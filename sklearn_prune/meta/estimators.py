"""Estimators that fit a model on the rows that a pruner keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, ClassVar, Self

from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
    is_classifier,
)
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._compat import HasMethods, fit_context
from .._types import Array, Constraints, Estimator, Floats, Metadata, Params, Rows, Targets
from ..base import BasePruner, deployable, refitting
from ..data import Kind, check_params, prune_params, record_columns
from .given_pruner import (
    GIVEN_PRUNER,
    FittedPruner,
    GivenPrunerMixin,
    fit_given,
    input_tags,
    noting_columns,
    pruner_of,
    reads_numbers_only,
)
from .rescaling import RESCALE_TYPES, Rescale, check_rules, rescaled
from .sample_weight import fit_weighted, gives_weights, weight_argument


def _estimator_has(method: str) -> Callable[[PruningMixin], bool]:
    def check(self: PruningMixin) -> bool:
        # The estimator's own AttributeError is the most informative.
        getattr(getattr(self, "estimator_", self._model()), method)
        return True

    return check


def _delegated(method: Callable[..., Any]) -> Any:
    """Return a method that calls the one of the same name of ``estimator_``."""

    @available_if(_estimator_has(method.__name__))
    @wraps(method)
    def delegating(self: PruningMixin, X: Rows, **params: Metadata) -> Any:
        return self._delegate(method.__name__, X, **params)

    return delegating


class PruningMixin(GivenPrunerMixin, MetaEstimatorMixin):
    """Base class of estimators that prune the rows they are fitted on.

    A subclass has the parameters ``estimator``, ``pruner`` and ``rescale``. Its ``fit`` sets
    ``estimator_``, to which the other methods delegate.
    """

    estimator: Estimator
    rescale: Rescale
    estimator_: Estimator
    pruner_: BasePruner
    encoder_: Estimator

    # Methods that pass their metadata to the estimator.
    _routed: ClassVar[tuple[str, ...]] = (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
    )

    @property
    def _kind(self) -> Kind:
        return "classification" if is_classifier(self) else "regression"

    def _model(self) -> Estimator:
        """Return the estimator, unfitted."""
        return self.estimator

    def _pruner(self) -> BasePruner:
        """Return the pruner itself, unfitted."""
        return pruner_of(self._given_pruner())

    def _fit_pruner(self, X: Rows, y: Targets, params: Params, **changed: Any) -> FittedPruner:
        """Fit a clone of the pruner with some parameters changed."""
        given = clone(self._given_pruner())
        pruner_of(given).set_params(**changed)
        has_default = not reads_numbers_only(self._model())
        return fit_given(given, X, y, self._kind, params, has_default=has_default)

    def _fit_on_kept(
        self, X: Rows, y: Targets, for_pruner: Params, for_estimator: Params, **changed: Any
    ) -> None:
        """Fit a clone of the pruner, and a clone of the estimator on the rows it keeps."""
        fitted = self._fit_pruner(X, y, for_pruner, **changed)
        self.pruner_, self.encoder_ = fitted.pruner, fitted.encoder
        weights = getattr(self.pruner_, "sample_weight_", None)
        share = len(self.pruner_.sample_indices_) / len(self.pruner_.support_)
        self.estimator_ = self._fit_estimator(
            X, y, for_estimator, self.pruner_.prune, share, weights
        )

    def _check_weights(self) -> None:
        """Raise if the pruner returns weights and the estimator takes none."""
        if gives_weights(self._pruner()):
            weight_argument(self._model())

    def _fit_estimator(
        self,
        X: Rows,
        y: Targets,
        params: Params,
        take: Callable[[Rows], Rows],
        share: float,
        weights: Floats | None = None,
    ) -> Estimator:
        """Fit a clone of the estimator on what ``take`` takes out of each container.

        It is rescaled for the ``share`` of the rows that these are, and weighted by any
        ``weights``.
        """
        model = rescaled(clone(self._model()), self.rescale, share)
        params = prune_params(X, params, take)
        with noting_columns(X):
            return fit_weighted(model, take(X), take(y), params, weights)

    def _sort_params(self, fit_params: Params) -> tuple[Params, Params]:
        """Return the ``fit`` parameters of the pruner, and those of the estimator."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **fit_params)
            return routed.pruner.fit, routed.estimator.fit
        pruner = self._pruner()
        for_pruner = {
            name: value for name, value in fit_params.items() if has_fit_parameter(pruner, name)
        }
        shared = for_pruner.keys() - {"sample_weight"}
        return for_pruner, {n: v for n, v in fit_params.items() if n not in shared}

    def _delegate(self, method: str, *data: Rows, **params: Metadata) -> Any:
        check_is_fitted(self, "estimator_")
        if params and get_config()["enable_metadata_routing"]:
            params = process_routing(self, method, **params).estimator[method]
        return getattr(self.estimator_, method)(*data, **params)

    @_delegated
    def predict(self, X: Rows, **params: Metadata) -> Targets:
        """Predict a label or number for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; none is pruned.
        **params : dict
            Passed to ``estimator_.predict``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            What ``estimator_`` predicts.
        """

    @_delegated
    def predict_proba(self, X: Rows, **params: Metadata) -> Rows:
        """Predict the probability of each class for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; none is pruned.
        **params : dict
            Passed to ``estimator_.predict_proba``.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """

    @_delegated
    def predict_log_proba(self, X: Rows, **params: Metadata) -> Rows:
        """Predict the logarithm of each class's probability for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; none is pruned.
        **params : dict
            Passed to ``estimator_.predict_log_proba``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """

    @_delegated
    def decision_function(self, X: Rows, **params: Metadata) -> Rows:
        """Compute the score of each class for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; none is pruned.
        **params : dict
            Passed to ``estimator_.decision_function``.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            In the order of ``classes_``.
        """

    @property
    def classes_(self) -> Array:
        """The labels, sorted. Only of a classifier."""
        return self.estimator_.classes_

    @property
    def deployable_(self) -> Estimator:
        """``estimator_`` without pruners, which knows nothing of the rows dropped.

        Loading it needs neither this package nor torch, unless ``estimator_`` does.
        """
        check_is_fitted(self, "estimator_")
        return deployable(self.estimator_)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return where metadata goes: in `fit` to pruner and estimator, else to the estimator.

        Returns
        -------
        routing : MetadataRouter
            As :func:`sklearn.utils.metadata_routing.process_routing` takes it.
        """
        fit = MethodMapping().add(caller="fit", callee="fit")
        methods = MethodMapping().add(caller="fit", callee="fit")
        for method in self._routed:
            methods.add(caller=method, callee=method)
        return (
            MetadataRouter(owner=self)
            .add(pruner=self._given_pruner(), method_mapping=fit)
            .add(estimator=self._model(), method_mapping=methods)
        )

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: what both pruner and estimator support."""
        tags: Tags = super().__sklearn_tags__()
        pruner, estimator = get_tags(self._pruner()), get_tags(self._model())
        of_pruner = input_tags(self._given_pruner())
        for name in ("sparse", "allow_nan", "three_d_array", "string", "categorical"):
            both = getattr(of_pruner, name) and getattr(estimator.input_tags, name)
            setattr(tags.input_tags, name, both)
        tags.input_tags.positive_only = estimator.input_tags.positive_only
        tags.target_tags.positive_only = estimator.target_tags.positive_only
        tags.non_deterministic = estimator.non_deterministic
        if estimator.regressor_tags is not None:
            tags.regressor_tags = estimator.regressor_tags
            outputs = pruner.target_tags.multi_output and estimator.target_tags.multi_output
            tags.target_tags.multi_output = outputs
        if estimator.classifier_tags is not None:
            # Pruners read labels from one column alone.
            tags.classifier_tags = replace(estimator.classifier_tags, multi_label=False)
        return tags


class PrunedEstimator(PruningMixin):
    """Base class of `PrunedClassifier` and `PrunedRegressor`."""

    _parameter_constraints: ClassVar[Constraints] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "pruner": GIVEN_PRUNER,
        "rescale": RESCALE_TYPES,
    }
    _routed = (*PruningMixin._routed, "score")

    def __init__(
        self,
        estimator: Estimator,
        pruner: Estimator = None,
        *,
        rescale: Rescale = None,
    ) -> None:
        self.estimator = estimator
        self.pruner = pruner
        self.rescale = rescale

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Rows, y: Targets, **fit_params: Metadata) -> Self:
        """Choose the rows to keep, and fit the estimator on them.

        Parameters
        ----------
        X : {array-like, data frame, sparse matrix} of shape (n_samples, n_features)
            Training rows. A Dask collection is for estimators that take one, such as
            `lightgbm.DaskLGBMClassifier` or `xgboost.dask.DaskXGBClassifier`: they get the kept
            rows as collections.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        **fit_params : dict
            Parameters of the pruner's ``fit`` (``groups``, ``must_keep``, ``target_kind``, ...) go
            to the pruner. All others, and also ``sample_weight``, go to the estimator. They are
            pruned if their name says that they have one entry per row (``sample_weight``,
            ``init_score``). ``X_val``, ``y_val``, ``eval_set`` and the like are passed on unpruned,
            whatever their length. Any other parameter with as many entries as X has rows is
            refused. With metadata routing enabled, each goes where it is requested, and is pruned
            if it has one entry per row.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        ValueError
            If the pruner or the estimator refuses the data, if a parameter may or may not belong to
            the rows, if the pruner returns weights and the estimator takes none, or if ``rescale``
            names no parameter of the estimator.
        """
        self._check_weights()
        check_rules(self.estimator, self.rescale)
        for_pruner, for_estimator = self._sort_params(fit_params)
        check_params(X, for_estimator)
        with refitting(self):
            self._fit_on_kept(X, y, for_pruner, for_estimator)
            record_columns(self, X, reset=True)
        return self

    @available_if(_estimator_has("score"))
    def score(self, X: Rows, y: Targets = None, **params: Metadata) -> float:
        """Score the predictions for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; none is pruned.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Label or number of each row.
        **params : dict
            Passed to ``estimator_.score``.

        Returns
        -------
        score : float
            Usually the accuracy of a classifier, or R² of a regressor.
        """
        return self._delegate("score", X, y, **params)


class PrunedClassifier(PrunedEstimator, ClassifierMixin, BaseEstimator):
    """Fit a classifier on the rows that a pruner keeps.

    ``estimator_ = clone(estimator).fit(X[s], y[s])``, where ``s = pruner_.support_`` and
    ``pruner_ = clone(pruner).fit(X, y)``. All other methods delegate to ``estimator_``.
    scikit-learn's own ``Pipeline`` cannot drop rows of y; with this estimator as its last step, it
    does not have to.

    Parameters
    ----------
    estimator : classifier
        A clone is fitted on the kept rows.
    pruner : pruner, pipeline that ends in one, or None, default=None
        A clone chooses the rows. The steps of a pipeline encode the rows for the pruner alone; see
        the notes. None means ``InfluencePruner()``, whose parameters can be set too, as
        ``pruner__prune_ratio`` for example.
    rescale : "auto", dict or None, default=None
        How parameters of ``estimator`` depend on the share of rows kept, as in
        :class:`~sklearn_prune.model_selection.PrunedSearchCV`. "auto" divides C of linear models
        and multiplies alpha by it, where scikit-learn sets them against a sum of losses. None fits
        ``estimator`` as it is.

    Attributes
    ----------
    pruner_ : pruner
        Fitted on all rows; ``pruner_.get_support()`` is the mask of kept rows.
    encoder_ : transformer or None
        What encoded the rows for ``pruner_``; None if it read them as they are.
    estimator_ : classifier
        Fitted on the kept rows.
    deployable_ : classifier
        ``estimator_`` without pruners. To be saved where only predictions are needed, since
        ``pruner_`` holds what it computed for every training row.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names. Only if all names are strings.

    See Also
    --------
    PrunedRegressor : The same for regressors.
    sklearn_prune.model_selection.PruneRatioSearchCV : Finds the largest ratio that keeps the score.
    sklearn_prune.model_selection.PrunedSearchCV : Searches on few rows, and refits on all.
    sklearn_prune.data.ColumnsEncoder : Encodes any table for a pruner.

    Notes
    -----
    **The pruner may read other columns than the estimator**, which gets the kept rows of X and y
    as they are, with their types. Numbers reach the pruner as they are. A table with text, dates,
    categories or missing values is encoded for it: by the steps of the pipeline that is given as
    ``pruner``, else by a `ColumnsEncoder`. Three kinds have no default encoder: pruners with a
    network of their own, which was made for certain columns; rows that are no table, such as texts;
    and estimators of scikit-learn that refuse such tables themselves. Reference rows are encoded as
    X is. A function as the pruner's ``features`` gets X and reference rows as they are. If the
    estimator fails, a note on its error names the columns that are not numeric.

    A penalty that is set against a sum of losses, such as ``C`` of `LogisticRegression`, is
    stronger on fewer rows. ``rescale="auto"`` compensates for that. Without it, ``estimator_`` is
    penalised more than the model of all rows that the pruner matched. Values that a search within
    ``estimator`` tries stay as they are; `PrunedSearchCV` rescales them.

    With ``reweight=True``, the ``fit`` of ``estimator`` gets the pruner's ``sample_weight_``,
    multiplied by any ``sample_weight`` given to this ``fit``.

    ``fit`` takes ``sample_weight`` as one of ``**fit_params``. Meta-estimators that look for it in
    the signature (bagging with weights, `AdaBoostClassifier`) need metadata routing enabled.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_prune import InfluencePruner, PrunedClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pruner = InfluencePruner(prune_ratio=0.8, damping=1e-2, random_state=0)
    >>> model = make_pipeline(StandardScaler(), PrunedClassifier(LogisticRegression(), pruner))
    >>> bool(cross_val_score(model, X, y).mean() > 0.95)
    True

    A model with native categories gets the table as it is, and the pruner numbers:

    >>> import pandas as pd
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> table = pd.DataFrame({"size": ["S", "M", "L", None] * 20, "age": [*range(79), None]})
    >>> table = table.astype({"size": "category"})
    >>> boosting = HistGradientBoostingClassifier(categorical_features="from_dtype")
    >>> pruned = PrunedClassifier(boosting, pruner).fit(table, table["size"] == "S")
    >>> pruned.encoder_, pruned.pruner_.n_features_in_, pruned.estimator_.n_features_in_
    (ColumnsEncoder(), 6, 2)
    """


class PrunedRegressor(PrunedEstimator, RegressorMixin, BaseEstimator):
    """Fit a regressor on the rows that a pruner keeps.

    ``estimator_ = clone(estimator).fit(X[s], y[s])``, where ``s = pruner_.support_`` and
    ``pruner_ = clone(pruner).fit(X, y)``. All other methods delegate to ``estimator_``.

    Parameters
    ----------
    estimator : regressor
        A clone is fitted on the kept rows.
    pruner : pruner, pipeline that ends in one, or None, default=None
        A clone chooses the rows. The steps of a pipeline encode the rows for the pruner alone. None
        means ``InfluencePruner()``. It reads y as numbers, even if all are whole.
    rescale : "auto", dict or None, default=None
        As in `PrunedClassifier`.

    Attributes
    ----------
    pruner_ : pruner
        Fitted on all rows; ``pruner_.get_support()`` is the mask of kept rows.
    encoder_ : transformer or None
        What encoded the rows for ``pruner_``; None if it read them as they are.
    estimator_ : regressor
        Fitted on the kept rows.
    deployable_ : regressor
        ``estimator_`` without pruners. To be saved where only predictions are needed, since
        ``pruner_`` holds what it computed for every training row.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names. Only if all names are strings.

    See Also
    --------
    PrunedClassifier : The same for classifiers; its notes hold here as well.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_prune import InfluencePruner, PrunedRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> pruner = InfluencePruner(prune_ratio=0.8, random_state=0)
    >>> model = PrunedRegressor(Ridge(alpha=0.01), pruner).fit(X, y)
    >>> len(model.pruner_.get_support(indices=True)), len(X)
    (88, 442)
    >>> model.score(X, y) > 0.48
    True
    """
