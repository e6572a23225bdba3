"""How the weights of a pruner's rows reach the estimator that is trained on them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.validation import has_fit_parameter

from .base import BasePruner

__all__ = ["gives_weights", "requested_weight", "weight_argument", "weighted"]


def gives_weights(pruner: BasePruner | None) -> bool:
    """Whether the pruner solves for weights of the rows that it keeps."""
    return bool(getattr(pruner, "reweight", False))


def weight_argument(estimator: Any) -> str:
    """Return the argument of ``fit`` by which an estimator takes a weight for each row.

    Of a pipeline it is that of its last step, prefixed, unless metadata routing is enabled; of a
    meta-estimator that takes whatever its estimator takes, that of this one.

    Raises
    ------
    ValueError
        When there is none.
    """
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if get_config()["enable_metadata_routing"]:
        if get_routing_for_object(estimator).consumes("fit", ["sample_weight"]):
            # scikit-learn's own error, where another step says neither yes nor no.
            process_routing(estimator, "fit", sample_weight=np.ones(1))
            return "sample_weight"
    elif isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return f"{name}__{weight_argument(last)}"
    elif hasattr(estimator, "estimator") and _takes_anything(estimator):
        return weight_argument(estimator.estimator)
    raise ValueError(
        f"reweight=True gives each row that is kept a weight, and {estimator!r} takes no "
        "sample_weight in fit (with metadata routing enabled, or does not request it). Use an "
        "estimator that does, or set reweight=False."
    )


def requested_weight(estimator: Any) -> str:
    """Return the name under which a step requests weights in `fit`, by metadata routing.

    Raises
    ------
    ValueError
        When it does not.
    """
    routing = get_routing_for_object(estimator)
    name: Any = "sample_weight"
    if isinstance(routing, MetadataRequest):
        name = routing.fit.requests.get("sample_weight")
        name = "sample_weight" if name is True else name
    if isinstance(name, str) and routing.consumes("fit", [name]):
        return name
    raise ValueError(
        f"reweight=True gives each row that is kept a weight, and {estimator!r} does not request "
        "sample_weight. Call set_fit_request(sample_weight=True) on it, or set reweight=False."
    )


def _takes_anything(estimator: Any) -> bool:
    parameters = inspect.signature(estimator.fit).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def weighted(
    params: dict[str, Any], argument: str, weights: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Return parameters of ``fit`` with the weights, times those that they hold already."""
    if weights is None:
        return params
    given = params.get(argument)
    return {**params, argument: weights if given is None else weights * np.asarray(given)}
