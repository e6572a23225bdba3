"""What networks must be for what is asked, found before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetBinaryClassifier
from torch.utils.data import Dataset

from ..data import Kind
from ..networks import target_kind
from .job import members, unfrozen

__all__ = ["check_aim", "check_ensemble", "check_networks", "check_reference", "kind_of_target"]


def check_ensemble(estimator: Any, classes: NDArray[Any] | None) -> None:
    """Raise ValueError where a fitted ensemble's networks know other classes than y holds.

    They were trained on positions among the ensemble's classes, which only it can tell.
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


def check_networks(
    estimators: Sequence[Any],
    n_classes: int,
    *,
    refit: bool,
    layers: str | Sequence[str],
    n_checkpoints: int,
) -> None:
    """Raise ValueError where the networks cannot be what classes and options ask for."""
    for estimator in estimators:
        _check_network(estimator, n_classes, refit, layers)
    epochs = [
        (one.max_epochs, one.callbacks)
        for one in estimators
        if hasattr(one, "max_epochs") and not isinstance(one, FrozenEstimator)
    ]
    if n_checkpoints == 1:
        return
    if not epochs:
        raise ValueError(
            f"n_checkpoints={n_checkpoints} looks at a network while it is trained, and none is "
            "trained here; set n_checkpoints=1, or give your own checkpoints as a list of "
            "FrozenEstimator."
        )
    for n_epochs, callbacks in epochs:
        if n_epochs < n_checkpoints:
            raise ValueError(
                f"n_checkpoints={n_checkpoints} needs as many epochs; the network is trained for "
                f"{n_epochs}. Lower n_checkpoints, or train for more."
            )
        if callbacks == "disable":
            raise ValueError(
                f"n_checkpoints={n_checkpoints} are taken by a callback, and "
                'callbacks="disable" allows none. Set callbacks=None, or n_checkpoints=1.'
            )


def check_reference(
    X: Any,
    X_ref: Any,
    y_ref: Any,
    *,
    refit: bool,
    layers: str | Sequence[str],
    features: Any,
    tolerance: float | None,
) -> None:
    """Raise ValueError where reference rows do not go with each other or with what is asked for."""
    for missing, given in (("y_ref", "X_ref"), ("X_ref", "y_ref")):
        if (y_ref if missing == "y_ref" else X_ref) is None:
            raise ValueError(
                f"reference rows need both X_ref and y_ref; {missing} is missing. Give it, or "
                f"leave out {given}."
            )
    if isinstance(X, Dataset) or isinstance(X_ref, Dataset):
        raise ValueError(
            "reference rows need X and X_ref as arrays, and one of them is a torch Dataset; give "
            "its rows as arrays."
        )
    if not refit:
        raise ValueError(
            "refit=False takes the last layer as it was trained, and reference rows are there to "
            "fit it; set refit=True (hidden layers of a frozen network stay as they are), or leave "
            "out X_ref."
        )
    if layers != "last":
        raise ValueError(
            f"layers={layers!r} takes further layers as they were trained, and only the last is "
            "fitted on reference rows; set layers='last', or leave out X_ref."
        )
    if features is not None and not callable(features):
        raise ValueError(
            "features is an array of the rows of X, and reference rows have features as well; give "
            "a function that makes them of any rows."
        )
    check_aim(tolerance)


def check_aim(tolerance: float | None) -> None:
    """Raise ValueError where a tolerance is asked for beside reference rows."""
    if tolerance is not None:
        raise ValueError(
            f"tolerance={tolerance} bounds how far dropping rows moves the head of all rows, which "
            "is not the one that reference rows aim at; set tolerance=None and give prune_ratio."
        )


def _check_network(
    estimator: Any, n_classes: int, refit: bool, layers: str | Sequence[str]
) -> None:
    if estimator is None and not refit:
        raise ValueError(
            "refit=False takes the last layer of a trained network, and estimator is None; "
            "give a network or set refit=True."
        )
    if estimator is None and layers != "last":
        raise ValueError(
            f"layers={layers!r} chooses among a network's layers, and estimator is None, "
            "which has one; give a network or set layers='last'."
        )
    if isinstance(unfrozen(estimator), NeuralNetBinaryClassifier) and n_classes > 2:
        raise ValueError(
            f"NeuralNetBinaryClassifier takes two classes; y has {n_classes}. Use a "
            "NeuralNetClassifier with as many outputs."
        )


def kind_of_target(estimator: Any, y: Any) -> Kind | None:
    """Return what y is to the network, or to each of several; None, without one, leaves it to y."""
    networks = [unfrozen(one) for one in members(estimator) if one is not None]
    kinds = {target_kind(network, y) for network in networks} - {None}
    if len(kinds) > 1:
        raise ValueError(
            f"networks that are matched together must agree on what y is; to these it is "
            f"{' and '.join(sorted(map(str, kinds)))}. Give networks of one kind."
        )
    return kinds.pop() if kinds else None
