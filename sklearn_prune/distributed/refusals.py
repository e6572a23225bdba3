"""What a fit on one machine can do and one on partitions cannot, and the errors that say so."""

from __future__ import annotations

from collections.abc import Mapping

from sklearn.frozen import FrozenEstimator

from .._types import Metadata
from ..data import is_collection
from ..matching import Network, members, unfrozen
from ..networks import is_linear_model

# Parameters that a fit on partitions has no use for, their defaults, and what to do.
_FIXED = {
    "features": (None, "make them columns of X"),
    "layers": ("last", "leave it out"),
    "memory": (None, "leave it out, or persist X"),
}
# Arguments of fit that it has no use for beside reference rows.
_BESIDE_REFERENCE = ("groups", "sample_cost")


def require_partition_wise(params: Mapping[str, Metadata], given: Mapping[str, Metadata]) -> None:
    """Raise ValueError if a pruner is asked for what a fit on partitions cannot do.

    Parameters
    ----------
    params : dict
        Parameters of an `InfluencePruner`.
    given : dict
        Further arguments of its ``fit``.
    """
    if params["prune_ratio"] == "auto" and given.get("sample_cost") is not None:
        raise ValueError(
            "sample_cost beside prune_ratio='auto' needs all rows in memory, and X is a Dask "
            "collection; leave it out, to drop as many rows as the tolerance allows, give "
            "prune_ratio a number, or give X.compute() and y.compute()."
        )
    for name, (default, remedy) in _FIXED.items():
        if params[name] is not default and params[name] != default:
            raise ValueError(
                f"{name}={params[name]!r} needs all rows in memory, and X is a Dask collection; "
                f"{remedy}, or give X.compute() and y.compute()."
            )
    for name in _BESIDE_REFERENCE:
        if given.get("X_ref") is not None and given.get(name) is not None:
            raise ValueError(
                f"{name} beside X_ref needs all rows in memory, and X is a Dask collection; leave "
                "out one of the two, or give X.compute() and y.compute()."
            )
    for name in ("X_ref", "y_ref"):
        if is_collection(given.get(name)):
            raise ValueError(
                f"reference rows are few and must be in memory, and {name} is a Dask collection; "
                f"give {name}.compute()."
            )
    require_frozen(params["estimator"])


def require_frozen(estimator: Network) -> None:
    """Raise ValueError unless the estimator is None or a single trained network."""
    if estimator is None:
        return
    networks = members(estimator)
    if len(networks) != 1 or networks[0] is not estimator:
        raise ValueError(
            f"a Dask collection is matched by one network; estimator holds {len(networks)}. Give "
            "one of them in a FrozenEstimator."
        )
    if is_linear_model(estimator):
        raise ValueError(
            f"estimator={estimator} needs all rows in memory, and X is a Dask collection; leave it "
            "out, for the linear model that Newton steps fit partition by partition."
        )
    if not isinstance(estimator, FrozenEstimator) or not hasattr(unfrozen(estimator), "module_"):
        raise ValueError(
            "a network is not trained on a Dask collection; train it, for example on a sample of "
            "the rows, and give FrozenEstimator(network)."
        )
