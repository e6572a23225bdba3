"""What all searches share: folds, scorers, and where metadata goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn import get_config
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from .._types import Estimator, Metadata, Params, Rows, Targets
from ..meta import PruningMixin


@dataclass(frozen=True)
class RoutedParams:
    """The metadata of ``fit``, by recipient."""

    pruner: Params
    estimator: Params
    splitter: Params


class SearchMixin(PruningMixin):
    """Base class of searches that prune the rows they train on."""

    # One scorer, or one for each metric.
    scorer_: Any

    def _search(self) -> Any:
        """Return what has the parameters ``estimator``, ``cv`` and ``scoring``."""
        return self

    def _model(self) -> Estimator:
        return self._search().estimator

    def _scorer(self) -> Callable[..., Any]:
        return check_scoring(self._model(), scoring=self._search().scoring)

    def _splitter(self, y: Targets = None) -> Any:
        return check_cv(self._search().cv, y, classifier=is_classifier(self._model()))

    def _route(self, fit_params: Params) -> RoutedParams:
        pruner, estimator = self._sort_params(fit_params)
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **fit_params)
            return RoutedParams(pruner, estimator, routed.splitter.split)
        estimator.pop("groups", None)
        return RoutedParams(pruner, estimator, {"groups": fit_params.get("groups")})

    def score(self, X: Rows, y: Targets = None, **params: Metadata) -> float:
        """Score the predictions for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; none is pruned.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Label or number of each row.
        **params : dict
            Passed to the scorer.

        Returns
        -------
        score : float
            As computed by ``scorer_``; of several metrics, the one that the winner is chosen by.
        """
        check_is_fitted(self, "estimator_")
        if params and get_config()["enable_metadata_routing"]:
            params = process_routing(self, "score", **params).scorer.score
        return self._score(X, y, params)

    def _score(self, X: Rows, y: Targets, params: Params) -> float:
        return self.scorer_(self.estimator_, X, y, **params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return where metadata goes: to pruner, estimator, splitter and scorer.

        Returns
        -------
        routing : MetadataRouter
            As :func:`sklearn.utils.metadata_routing.process_routing` takes it.
        """
        scored = MethodMapping().add(caller="fit", callee="score")
        return (
            super()
            .get_metadata_routing()
            .add(
                splitter=self._splitter(),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(scorer=self._scorer(), method_mapping=scored.add(caller="score", callee="score"))
        )

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: it is a classifier or regressor as its estimator is."""
        tags: Tags = super().__sklearn_tags__()
        tags.estimator_type = get_tags(self._model()).estimator_type
        needed = (self._pruner(), self._model())
        tags.target_tags.required = any(get_tags(part).target_tags.required for part in needed)
        return tags
