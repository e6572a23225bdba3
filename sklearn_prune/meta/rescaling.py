"""Penalties set against a sum of losses, for fits on a part of the rows.

A sum of losses over a share s of the rows is about s times that over all rows. So a factor of the
sum, such as C, is divided by s, and a factor of the penalty, such as Ridge's alpha, is multiplied.
That keeps the penalty against the mean loss, which is right for models of a fixed size.

A kernel machine has a coefficient for each row, and follows finer detail the more rows there are.
Its best penalty against the mean loss falls with n: as 1 / n, which is a constant C, for the
fastest rates with Gaussian kernels (Eberts and Steinwart, "Optimal regression rates for SVMs using
Gaussian kernels", Electronic Journal of Statistics 7, 2013). So kernel machines stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import HuberRegressor, LogisticRegression, Ridge, RidgeClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from .._compat import StrOptions
from .._types import Array, Estimator

# "inverse" divides by the share of rows kept, "proportional" multiplies; or f(value, share).
Rule: TypeAlias = Literal["inverse", "proportional"] | Callable[[Any, float], Any]
Rescale: TypeAlias = Literal["auto"] | Mapping[str, Rule] | None
# For scikit-learn's check of parameters.
RESCALE_TYPES = [StrOptions({"auto"}), dict, None]

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
        is_kernel_machine = getattr(owner, "kernel", "linear") != "linear"
        for classes, (name, rule) in _DEFAULTS.items():
            if isinstance(owner, classes) and not is_kernel_machine:
                rules[prefix + name] = rule
        # Other solvers set alpha against a batch, whose size stays.
        if isinstance(owner, MLPClassifier | MLPRegressor) and owner.solver == "lbfgs":
            rules[f"{prefix}alpha"] = "proportional"
    return rules


def check_rules(estimator: Estimator, rescale: Rescale) -> None:
    """Raise ValueError if a rule is malformed, or for a parameter that ``estimator`` lacks."""
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
    if rescale is None:
        return estimator
    rules = default_rules(estimator) if rescale == "auto" else dict(rescale)
    values = estimator.get_params()
    changed = {n: _rescaled(values[n], rule, share) for n, rule in rules.items() if n in values}
    return estimator.set_params(**changed)


def _rescaled(value: Any, rule: Rule, share: float) -> float | Array | Any:
    if callable(rule):
        return rule(value, share)
    factor = 1 / share if rule == "inverse" else share
    return value * factor if isinstance(value, Real) else np.asarray(value) * factor
