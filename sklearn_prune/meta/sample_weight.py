"""Passing the weights of the kept rows to the estimator that is trained on them."""

from __future__ import annotations

import inspect

import numpy as np
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object, process_routing
from sklearn.utils.validation import has_fit_parameter

from .._types import Estimator, Floats, Params, Rows, Targets
from ..base import BasePruner


def gives_weights(pruner: BasePruner | None) -> bool:
    """Whether the pruner returns weights for the kept rows."""
    return bool(getattr(pruner, "reweight", False))


def weight_argument(estimator: Estimator) -> str:
    """Return the name of the argument of ``fit`` that takes a weight for each row.

    Without metadata routing, this is the prefixed argument of the last step for a pipeline, and the
    argument of its estimator for a meta-estimator with ``fit(X, y, **params)``.

    Raises
    ------
    ValueError
        If the estimator takes no weights.
    """
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if get_config()["enable_metadata_routing"]:
        if get_routing_for_object(estimator).consumes("fit", ["sample_weight"]):
            # Raises scikit-learn's own error if another step does not set its request.
            process_routing(estimator, "fit", sample_weight=np.ones(1))
            return "sample_weight"
    elif isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return f"{name}__{weight_argument(last)}"
    elif hasattr(estimator, "estimator") and _takes_anything(estimator):
        return weight_argument(estimator.estimator)
    raise ValueError(
        f"reweight=True weights each kept row, and {estimator!r} takes no sample_weight in fit "
        "(or, with metadata routing enabled, does not request it). Use an estimator that does, or "
        "set reweight=False."
    )


def requested_weight(estimator: Estimator) -> str:
    """Return the name under which a step requests weights for `fit`.

    Raises
    ------
    ValueError
        If it does not request any.
    """
    routing = get_routing_for_object(estimator)
    name: str | bool | None = "sample_weight"
    if isinstance(routing, MetadataRequest):
        name = routing.fit.requests.get("sample_weight")
        name = "sample_weight" if name is True else name
    if isinstance(name, str) and routing.consumes("fit", [name]):
        return name
    raise ValueError(
        f"reweight=True weights each kept row, and {estimator!r} does not request sample_weight. "
        "Call set_fit_request(sample_weight=True) on it, or set reweight=False."
    )


def _takes_anything(estimator: Estimator) -> bool:
    parameters = inspect.signature(estimator.fit).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def weighted(params: Params, argument: str, weights: Floats | None) -> Params:
    """Return the ``fit`` parameters with the weights, multiplied by those already given."""
    if weights is None:
        return params
    given = params.get(argument)
    return {**params, argument: weights if given is None else weights * np.asarray(given)}


def fit_weighted(
    estimator: Estimator, X: Rows, y: Targets, params: Params, weights: Floats | None
) -> Estimator:
    """Fit an estimator on kept rows, with the pruner's weights if there are any."""
    if weights is not None:
        params = weighted(params, weight_argument(estimator), weights)
    return estimator.fit(X, y, **params)
