"""What a search fits: its estimator, told which share of the rows it gets."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from .._types import Estimator, Floats, Metadata, Params, Rows, Targets
from ..meta import Rescale, fit_weighted, rescaled


class OnKeptRows(MetaEstimatorMixin, BaseEstimator):
    """Stand for ``estimator`` in a search whose training rows are a part of all.

    The search sets parameters and reads methods as if it held ``estimator`` itself. ``fit`` is told
    the share that the rows are, and rescales the penalties by it.

    Parameters
    ----------
    estimator : estimator
        Its parameters are for all rows.
    rescale : "auto", dict or None
        As in `PrunedSearchCV`.

    Attributes
    ----------
    estimator_ : estimator
        Fitted on the kept rows, with rescaled parameters.
    """

    # scikit-learn's way to request metadata for a class.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"kept_share": True, "kept_weight": True}

    estimator_: Estimator

    def __init__(self, estimator: Estimator, rescale: Rescale = "auto") -> None:
        self.estimator = estimator
        self.rescale = rescale

    def fit(
        self,
        X: Rows,
        y: Targets = None,
        *,
        kept_share: Floats,
        kept_weight: Floats | None = None,
        **params: Metadata,
    ) -> Self:
        """Fit the estimator on kept rows.

        Parameters
        ----------
        X : array-like of shape (n_kept, n_features)
            Kept rows.
        y : array-like of shape (n_kept,), default=None
            Their targets.
        kept_share : ndarray of shape (n_kept,)
            The share of its fold's rows that are kept, the same for all rows.
        kept_weight : ndarray of shape (n_kept,), default=None
            The pruner's weights.
        **params : dict
            Passed to ``estimator.fit``.
        """
        if params and get_config()["enable_metadata_routing"]:
            params = process_routing(self, "fit", **params).estimator.fit
        model = rescaled(clone(self.estimator), self.rescale, float(kept_share[0]))
        self.estimator_ = fit_weighted(model, X, y, params, kept_weight)
        return self

    def get_params(self, deep: bool = True) -> Params:
        """Return the parameters; if ``deep``, by the names that `set_params` takes."""
        return self.estimator.get_params() if deep else super().get_params(deep=False)

    def set_params(self, **params: Any) -> Self:
        """Set parameters of ``estimator``."""
        self.estimator.set_params(**params)
        return self

    def __getattr__(self, name: str) -> Any:
        # Without this guard, unpickling would ask for the estimator before there is one.
        if name.startswith("_") or name in ("estimator", "estimator_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(vars(self).get("estimator_", self.estimator), name)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return where the metadata of ``fit`` goes: here, and to the estimator."""
        fit = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=fit)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags of the estimator."""
        return get_tags(self.estimator)
