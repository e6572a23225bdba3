"""Penalties set against a sum of losses, for fits on a part of the rows.

A sum of losses over a share s of the rows is about s times that over all rows. So a factor of the
sum, such as C, is divided by s, and a factor of the penalty, such as Ridge's alpha, is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import HuberRegressor, LogisticRegression, Ridge, RidgeClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from .._sample_weight import fit_weighted
from .._types import Array, Estimator, Floats, Metadata, Params, Rows, Targets

__all__ = ["OnKeptRows", "Rescale", "Rule", "check_rules", "rescaled"]

# "inverse" divides by the share of rows kept, "proportional" multiplies; or f(value, share).
Rule: TypeAlias = Literal["inverse", "proportional"] | Callable[[Any, float], Any]
Rescale: TypeAlias = Literal["auto"] | Mapping[str, Rule] | None

_DEFAULTS: dict[tuple[type, ...], tuple[str, Rule]] = {
    (LogisticRegression, LinearSVC, LinearSVR, SVC, SVR): ("C", "inverse"),
    (Ridge, RidgeClassifier, KernelRidge, HuberRegressor): ("alpha", "proportional"),
    (HistGradientBoostingClassifier, HistGradientBoostingRegressor): (
        "l2_regularization",
        "proportional",
    ),
}


def default_rules(estimator: Estimator) -> dict[str, Rule]:
    """Return the rules of scikit-learn's estimators in ``estimator``, by nested name."""
    rules: dict[str, Rule] = {}
    for path, owner in {"": estimator, **estimator.get_params()}.items():
        prefix = f"{path}__" if path else ""
        for classes, (name, rule) in _DEFAULTS.items():
            if isinstance(owner, classes):
                rules[prefix + name] = rule
        # Other solvers set alpha against a batch, whose size stays.
        if isinstance(owner, MLPClassifier | MLPRegressor) and owner.solver == "lbfgs":
            rules[f"{prefix}alpha"] = "proportional"
    return rules


def check_rules(estimator: Estimator, rescale: Rescale) -> None:
    """Raise ValueError if a rule is none, or is for a parameter that ``estimator`` lacks."""
    if not isinstance(rescale, Mapping):
        return
    params = estimator.get_params()
    for name, rule in rescale.items():
        if name not in params:
            raise ValueError(
                f"rescale names {name!r}, which is no parameter of {estimator!r}; use a name of "
                "its get_params()."
            )
        if rule not in ("inverse", "proportional") and not callable(rule):
            raise ValueError(
                f"rescale[{name!r}] must be 'inverse', 'proportional' or a function of value and "
                f"share; it is {rule!r}."
            )


def rescaled(estimator: Estimator, rescale: Rescale, share: float) -> Estimator:
    """Set the penalties of ``estimator`` for a share of the rows, and return it.

    Parameters
    ----------
    estimator : estimator
        Its values are for all rows. Changed in place.
    rescale : "auto", dict or None
        As in `PrunedSearchCV`. Names that the estimator lacks are passed over, since a search may
        replace a step by another.
    share : float in (0, 1]
        Rows kept, as a share of all.
    """
    rules = default_rules(estimator) if rescale == "auto" else dict(rescale or {})
    values = estimator.get_params()
    changed = {n: _rescaled(values[n], rule, share) for n, rule in rules.items() if n in values}
    return estimator.set_params(**changed)


def _rescaled(value: Any, rule: Rule, share: float) -> float | Array | Any:
    if callable(rule):
        return rule(value, share)
    factor = 1 / share if rule == "inverse" else share
    return value * factor if isinstance(value, Real) else np.asarray(value) * factor


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
