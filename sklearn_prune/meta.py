"""Estimators that prune their training rows themselves, and work wherever estimators do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
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

from ._compat import HasMethods, fit_context
from ._influence_pruner import InfluencePruner
from ._sample_weight import gives_weights, weight_argument, weighted
from .base import BasePruner
from .data import Kind, check_params, take_params, take_rows

__all__ = ["PrunedClassifier", "PrunedRegressor", "PruningSampler"]


def _estimator_has(method: str) -> Callable[[Any], bool]:
    def check(self: Any) -> bool:
        # The AttributeError of the estimator itself says most.
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class PruningMixin(MetaEstimatorMixin):
    """What estimators that prune share.

    They have the parameters ``estimator`` and ``pruner``, and in ``fit`` they set ``estimator_``,
    fitted on the rows kept, which does everything else for them.
    """

    estimator: Any
    pruner: BasePruner | None
    estimator_: Any

    # Methods whose metadata go to the estimator.
    _delegated: ClassVar[tuple[str, ...]] = (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "score",
    )

    @property
    def _kind(self) -> Kind:
        return "classification" if is_classifier(self) else "regression"

    def _pruner(self) -> BasePruner:
        return InfluencePruner() if self.pruner is None else self.pruner

    def _fit_pruner(self, X: Any, y: Any, params: dict[str, Any], **settings: Any) -> BasePruner:
        """Fit a clone of the pruner that knows what y is, with other settings where given."""
        pruner = clone(self._pruner()).set_params(**settings)
        pruner._assumed_kind = self._kind
        return pruner.fit(X, y, **params)

    def _check_weights(self) -> None:
        """Raise where the pruner gives weights that the estimator does not take."""
        if gives_weights(self._pruner()):
            weight_argument(self.estimator)

    def _fit_estimator(
        self,
        X: Any,
        y: Any,
        params: dict[str, Any],
        rows: NDArray[np.intp],
        weights: NDArray[np.float64] | None = None,
    ) -> Any:
        """Fit a clone of the estimator on some rows, which weigh as much where that is given."""
        params = take_params(X, params, rows)
        if weights is not None:
            params = weighted(params, weight_argument(self.estimator), weights)
        return clone(self.estimator).fit(take_rows(X, rows), take_rows(y, rows), **params)

    def _sort_params(self, fit_params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the pruner gets, and what the estimator gets."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **fit_params)
            return routed.pruner.fit, routed.estimator.fit
        pruner = self._pruner()
        named = {n: v for n, v in fit_params.items() if has_fit_parameter(pruner, n)}
        others = {n: v for n, v in fit_params.items() if n not in named or n == "sample_weight"}
        return named, others

    def _delegate(self, method: str, *data: Any, **params: Any) -> Any:
        check_is_fitted(self, "estimator_")
        if params and get_config()["enable_metadata_routing"]:
            params = process_routing(self, method, **params).estimator[method]
        return getattr(self.estimator_, method)(*data, **params)

    @available_if(_estimator_has("predict"))
    def predict(self, X: Any, **params: Any) -> Any:
        """Return what ``estimator_.predict`` returns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        **params : dict
            Handed on to the estimator.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Label or number of each row.
        """
        return self._delegate("predict", X, **params)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any, **params: Any) -> Any:
        """Return what ``estimator_.predict_proba`` returns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        **params : dict
            Handed on to the estimator.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probability of each class, in the order of ``classes_``.
        """
        return self._delegate("predict_proba", X, **params)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any, **params: Any) -> Any:
        """Return what ``estimator_.predict_log_proba`` returns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        **params : dict
            Handed on to the estimator.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Logarithm of each probability, in the order of ``classes_``.
        """
        return self._delegate("predict_log_proba", X, **params)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any, **params: Any) -> Any:
        """Return what ``estimator_.decision_function`` returns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        **params : dict
            Handed on to the estimator.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Score of each class, in the order of ``classes_``.
        """
        return self._delegate("decision_function", X, **params)

    @available_if(_estimator_has("score"))
    def score(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Return what ``estimator_.score`` returns; none of these rows is pruned.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Label or number of each row.
        **params : dict
            Handed on to the estimator.

        Returns
        -------
        score : float
            The accuracy of most classifiers, R² of most regressors.
        """
        return self._delegate("score", X, y, **params)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted; only of a classifier."""
        return self.estimator_.classes_

    def get_metadata_routing(self) -> MetadataRouter:
        """Return where metadata goes: in `fit` to the pruner and the estimator, else to the latter.

        Returns
        -------
        routing : MetadataRouter
            What :func:`sklearn.utils.metadata_routing.process_routing` reads.
        """
        fit = MethodMapping().add(caller="fit", callee="fit")
        methods = MethodMapping().add(caller="fit", callee="fit")
        for method in self._delegated:
            methods.add(caller=method, callee=method)
        return (
            MetadataRouter(owner=self)
            .add(pruner=self._pruner(), method_mapping=fit)
            .add(estimator=self.estimator, method_mapping=methods)
        )

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: what both the pruner and the estimator can do."""
        tags: Tags = super().__sklearn_tags__()
        pruner, estimator = get_tags(self._pruner()), get_tags(self.estimator)
        for name in ("sparse", "allow_nan", "three_d_array"):
            both = getattr(pruner.input_tags, name) and getattr(estimator.input_tags, name)
            setattr(tags.input_tags, name, both)
        tags.input_tags.positive_only = estimator.input_tags.positive_only
        tags.target_tags.positive_only = estimator.target_tags.positive_only
        tags.non_deterministic = estimator.non_deterministic
        if estimator.regressor_tags is not None:
            tags.regressor_tags = estimator.regressor_tags
            outputs = pruner.target_tags.multi_output and estimator.target_tags.multi_output
            tags.target_tags.multi_output = outputs
        if estimator.classifier_tags is not None:
            # A pruner reads the labels of one column.
            tags.classifier_tags = replace(estimator.classifier_tags, multi_label=False)
        return tags


class PrunedEstimator(PruningMixin):
    """What `PrunedClassifier` and `PrunedRegressor` share."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "pruner": [BasePruner, None],
    }

    pruner_: BasePruner

    def __init__(self, estimator: Any, pruner: BasePruner | None = None) -> None:
        self.estimator = estimator
        self.pruner = pruner

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Choose the rows to keep, and fit the estimator on them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        **fit_params : dict
            What the pruner's ``fit`` names (``groups``, ``must_keep``, ...) goes to the pruner.
            ``sample_weight`` and whatever the pruner does not name goes to the estimator, pruned
            where its name says that it has one entry a row (``sample_weight``, ``init_score``).
            ``X_val``, ``y_val``, ``eval_set`` and their like are handed on whole, whatever their
            length; what has as many entries as X and another name is refused. With metadata routing
            enabled, each goes where it was requested, and is pruned if it has one entry a row.

        Returns
        -------
        self : estimator
            Fitted.
        """
        self._check_weights()
        for_pruner, for_estimator = self._sort_params(fit_params)
        check_params(X, for_estimator)
        pruner = self._fit_pruner(X, y, for_pruner)
        estimator = self._fit_estimator(
            X, y, for_estimator, pruner.sample_indices_, getattr(pruner, "sample_weight_", None)
        )
        # Together and last, so that no error leaves half a state.
        self.pruner_, self.estimator_ = pruner, estimator
        return self

    @property
    def n_features_in_(self) -> int:
        """Number of columns seen in `fit`."""
        return self.pruner_.n_features_in_

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """Names of the columns seen in `fit`, where all are strings."""
        return self.pruner_.feature_names_in_


class PrunedClassifier(PrunedEstimator, ClassifierMixin, BaseEstimator):
    """Fit a classifier on the rows that a pruner keeps.

    ``estimator_ = clone(estimator).fit(X[s], y[s])``, where ``s = pruner_.support_`` and
    ``pruner_ = clone(pruner).fit(X, y)``. Everything else is up to ``estimator_``. scikit-learn's
    own ``Pipeline`` cannot drop rows of y; with this as its last step it need not.

    Parameters
    ----------
    estimator : classifier
        A clone of it is fitted on the rows kept.
    pruner : pruner or None, default=None
        A clone of it chooses the rows. None is ``InfluencePruner()``.

    Attributes
    ----------
    pruner_ : pruner
        Fitted on all rows: ``pruner_.get_support()`` are those kept.
    estimator_ : classifier
        Fitted on the rows kept.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names that are strings.

    See Also
    --------
    PrunedRegressor : The same for numbers.
    sklearn_prune.model_selection.PruneRatioSearchCV : Finds the largest ratio that keeps the score.

    Notes
    -----
    The pruner sees X as it comes, so text must be encoded in a step before; a scaler may be inside
    ``estimator`` as well as before it. X and y reach the estimator in the types they came in.

    A penalty set against a sum of losses (``C`` of `LogisticRegression`) weighs more on fewer rows:
    take it times the share that is kept (C divided by it).

    With ``reweight=True``, the estimator's ``fit`` gets the pruner's ``sample_weight_`` times the
    ``sample_weight`` that is given to this one's.

    Weights are given to `fit` by name. Meta-estimators that hand them on only to a signature that
    has them (bagging with weights, `AdaBoostClassifier`) do so if metadata routing is enabled.

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
    """


class PrunedRegressor(PrunedEstimator, RegressorMixin, BaseEstimator):
    """Fit a regressor on the rows that a pruner keeps.

    ``estimator_ = clone(estimator).fit(X[s], y[s])``, where ``s = pruner_.support_`` and
    ``pruner_ = clone(pruner).fit(X, y)``. Everything else is up to ``estimator_``.

    Parameters
    ----------
    estimator : regressor
        A clone of it is fitted on the rows kept.
    pruner : pruner or None, default=None
        A clone of it chooses the rows. None is ``InfluencePruner()``. It reads y as numbers, also
        where they are whole.

    Attributes
    ----------
    pruner_ : pruner
        Fitted on all rows: ``pruner_.get_support()`` are those kept.
    estimator_ : regressor
        Fitted on the rows kept.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names that are strings.

    See Also
    --------
    PrunedClassifier : The same for classes; its notes hold here as well.

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


class PruningSampler(BaseEstimator):
    """Put a pruner into a pipeline of imbalanced-learn.

    ``fit_resample(X, y) = (X[s], y[s])``, where ``s = pruner_.support_`` and
    ``pruner_ = clone(pruner).fit(X, y)``. That pipeline wants steps with either ``transform`` or
    ``fit_resample``, and calls the latter only to fit: so rows are pruned in training alone.

    Parameters
    ----------
    pruner : pruner or None, default=None
        A clone of it chooses the rows. None is ``InfluencePruner()``.

    Attributes
    ----------
    pruner_ : pruner
        Fitted on the rows that came in.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows among them, ascending.
    sample_weight_ : ndarray of shape (n_kept,)
        Their weights. Only of a pruner with ``reweight``. That pipeline hands on none, so give them
        to the estimator yourself.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_prune.baselines import RandomPruner
    >>> from sklearn_prune.meta import PruningSampler
    >>> X, y = np.zeros((100, 2)), np.repeat(["a", "b"], 50)
    >>> X_small, y_small = PruningSampler(RandomPruner(0.9)).fit_resample(X, y)
    >>> y_small
    array(['a', 'a', 'a', 'a', 'a', 'b', 'b', 'b', 'b', 'b'], dtype='<U1')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"pruner": [BasePruner, None]}

    # To imbalanced-learn: it balances nothing, and has no sampling_strategy to be set.
    _sampling_type: ClassVar[str] = "bypass"

    def __init__(self, pruner: BasePruner | None = None) -> None:
        self.pruner = pruner

    @fit_context(prefer_skip_nested_validation=False)
    def fit_resample(self, X: Any, y: Any, **fit_params: Any) -> tuple[Any, Any]:
        """Choose the rows to keep, and return them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        **fit_params : dict
            What the pruner's ``fit`` names.

        Returns
        -------
        X_kept, y_kept : same types
            The rows kept and their targets.
        """
        pruner = clone(InfluencePruner() if self.pruner is None else self.pruner)
        self.pruner_ = pruner.fit(X, y, **fit_params)
        self.sample_indices_ = pruner.sample_indices_
        # Those of an earlier fit are of other rows.
        self.__dict__.pop("sample_weight_", None)
        if gives_weights(pruner):
            self.sample_weight_ = pruner.sample_weight_
        return pruner.prune(X, y)
