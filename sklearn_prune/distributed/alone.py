"""A collection of one partition, whose rows are chosen as those of one machine are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import BaseEstimator, clone

from .._types import Array, Estimator, Metadata
from ..data import Kind
from .collection import Block
from .first_pass import FirstPass


def fitted_alone(
    first: FirstPass, pruner: BaseEstimator, *attributes: str, **others: Metadata
) -> list[Any] | None:
    """Fit a clone of the pruner where a single partition has rows, on the worker that holds it.

    Parameters
    ----------
    first : FirstPass
        What the partitions hold.
    pruner : BasePruner
        What to fit.
    *attributes : str
        Fitted attributes to return.
    **others : dict
        Arguments of ``fit`` that do not belong to the rows.

    Returns
    -------
    values : list or None
        One for each attribute, None for one that is not set; None if several partitions have rows.
    """
    if len(first.partitioned.positions) > 1:
        return None
    target = first.target
    kind, classes = (None, None) if target is None else (target.kind, target.classes)
    (values,) = first.partitioned.compute(
        _fit, clone(pruner), kind, classes, first.group_names, attributes, others
    )
    return values


def _fit(
    block: Block,
    pruner: Estimator,
    kind: Kind | None,
    classes: Array | None,
    group_names: Array | None,
    attributes: Sequence[str],
    others: Mapping[str, Metadata],
) -> list[Any]:
    y = block.y if classes is None or block.y is None else classes[block.y]
    given: dict[str, Any] = {
        **others,
        "sample_weight": block.sample_weight,
        "sample_priority": block.priority,
        "sample_cost": block.cost,
    }
    if group_names is not None:
        given["groups"] = group_names[block.groups]
    for name in ("must_keep", "must_drop"):
        mask = getattr(block, name)
        given[name] = mask if mask.any() else None
    params = {name: value for name, value in given.items() if value is not None}
    fitted = pruner.fit(block.X, y, target_kind=kind or "auto", **params)
    return [getattr(fitted, name, None) for name in attributes]
