"""What a fit on one machine can do and one on partitions cannot, and the errors that say so.

Reference rows are such a thing. A forest on the training rows, corrected by them, finds suspect
labels. These go first in each class, the worst of all partitions where they are too many; and what
it learned decides the shares of classes and the target distribution. So rows would be ranked
before they are counted, and the sums of all partitions would aim at another mean than their own.
"""

from __future__ import annotations

from collections.abc import Mapping

from sklearn.frozen import FrozenEstimator

from .._types import Metadata
from ..matching import Network, members, unfrozen
from ..networks import is_linear_model

# Parameters that a fit on partitions has no use for, their defaults, and what to do.
_FIXED = {
    "features": (None, "make them columns of X"),
    "layers": ("last", "leave it out"),
    "memory": (None, "leave it out, or persist X"),
}
# The same for arguments of fit.
_ARGUMENTS = {
    "X_ref": "since labels that it contradicts are ranked among all rows, leave it out with y_ref",
    "y_ref": "leave it out with X_ref",
}


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
    for name, remedy in _ARGUMENTS.items():
        if given.get(name) is not None:
            raise ValueError(
                f"{name} needs all rows in memory, and X is a Dask collection; {remedy}, or give "
                "X.compute() and y.compute()."
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
