"""Checks, before anything is trained, that networks, reference rows and options are compatible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from skorch import NeuralNet, NeuralNetBinaryClassifier
from torch.utils.data import Dataset

from .._types import Array, Rows
from ..data import Kind
from ..networks import (
    UnsupportedNetworkError,
    check_linear_model,
    is_linear_model,
    linear_model_kind,
    target_kind,
)
from .given_networks import Network, Networks, members, unfrozen
from .job import Features, Layers


def check_ensemble(estimator: Networks, classes: Array | None) -> None:
    """Raise ValueError if a fitted ensemble was trained on other classes than y holds.

    Its networks were trained on positions in the ensemble's ``classes_``.
    """
    known = getattr(unfrozen(estimator), "classes_", None)
    if classes is None or known is None or unfrozen(estimator) is estimator:
        return
    is_ensemble = hasattr(unfrozen(estimator), "estimators_")
    if is_ensemble and not np.array_equal(np.asarray(known), np.asarray(classes)):
        raise ValueError(
            f"the ensemble was trained on the classes {np.asarray(known).tolist()}, and y holds "
            f"{np.asarray(classes).tolist()}; give rows of each of its classes, or its networks "
            "as a list."
        )


def check_networks(networks: Sequence[Network], n_classes: int, layers: Layers) -> None:
    """Raise ValueError if a network lacks the layers or outputs that are asked for."""
    for network in networks:
        is_model = is_linear_model(network)
        if (network is None or is_model) and layers != "last":
            raise ValueError(
                f"layers={layers!r} chooses among a network's layers, and estimator={network} has "
                "only one; give a network or set layers='last'."
            )
        if is_model:
            check_linear_model(network, n_classes)
        if isinstance(unfrozen(network), NeuralNetBinaryClassifier) and n_classes > 2:
            raise ValueError(
                f"NeuralNetBinaryClassifier takes two classes; y has {n_classes}. Use a "
                f"NeuralNetClassifier with {n_classes} outputs."
            )


def check_damping(networks: Sequence[Network], features: Features, damping: float | str) -> None:
    """Raise ValueError if a damping is given that nothing is damped by."""
    if damping != "auto" and features is None and all(map(is_linear_model, networks)):
        raise ValueError(
            f"damping={damping} acts on networks, and a scikit-learn model has its own penalty; "
            "set its C or alpha, and leave damping='auto'."
        )


def check_reference(
    X: Rows,
    X_ref: Rows,
    y_ref: ArrayLike | None,
    *,
    layers: Layers,
    features: Features,
    tolerance: float | None,
) -> None:
    """Raise ValueError if reference rows are incomplete, or do not fit the other parameters."""
    for missing, given, value in (("y_ref", "X_ref", y_ref), ("X_ref", "y_ref", X_ref)):
        if value is None:
            raise ValueError(
                f"reference rows need both X_ref and y_ref; {missing} is missing. Give it, or "
                f"leave out {given}."
            )
    if isinstance(X, Dataset) or isinstance(X_ref, Dataset):
        raise ValueError(
            "reference rows need X and X_ref as arrays, and one of them is a torch Dataset; give "
            "its rows as arrays."
        )
    if layers != "last":
        raise ValueError(
            f"reference rows need layers='last', since only the last layer is refitted on them; it "
            f"is {layers!r}. Set layers='last', or leave out X_ref."
        )
    if features is not None and not callable(features):
        raise ValueError(
            "features is an array of the rows of X, and reference rows need features as well; give "
            "a function that computes them for any rows."
        )
    check_aim(tolerance)


def check_aim(tolerance: float | None) -> None:
    """Raise ValueError if a tolerance is given beside reference rows."""
    if tolerance is not None:
        raise ValueError(
            f"tolerance={tolerance} bounds how far dropping rows moves the head of all rows, but "
            "reference rows aim at another head; set tolerance=None and give prune_ratio a number."
        )


def kind_of_target(estimator: Networks, y: ArrayLike | None) -> Kind | None:
    """Return whether the networks take y as classes or numbers; None if either, or none."""
    networks = [network for network in members(estimator) if network is not None]
    kinds = {_kind_of(network, y) for network in networks} - {None}
    if len(kinds) > 1:
        raise ValueError(
            "networks that are matched together must all be for classification or all for "
            f"regression; these are for {' and '.join(sorted(map(str, kinds)))}. Give networks of "
            "one kind."
        )
    return kinds.pop() if kinds else None


def _kind_of(network: Network, y: ArrayLike | None) -> Kind | None:
    net = unfrozen(network)
    if isinstance(net, NeuralNet):
        return target_kind(net, y)
    kind = linear_model_kind(net)
    if net is not network:
        raise UnsupportedNetworkError(
            f"a {type(net).__name__} is fitted by the pruner itself; give it without "
            "FrozenEstimator."
        )
    return kind
