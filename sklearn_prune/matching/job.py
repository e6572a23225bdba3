"""All that network, head and influences depend on, under one key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ..data import StoredRows, digest, fingerprint
from .certificate import Norm

__all__ = ["Reference", "TrainingJob", "members", "unfrozen"]

# A clone that is fitted has its own.
_OVERRIDDEN = {"verbose"}
# What training leaves on a network and reading it does not use.
_TRACES = {"callbacks_", "history_", "optimizer_", "virtual_params_"}


def members(estimator: Any) -> list[Any]:
    """Return the networks of a list or an ensemble; a single network (or None) as a list of one.

    An ensemble is a `FrozenEstimator` around one that has been fitted (its ``estimators_``), or
    has its members in ``estimators``, by name as in `sklearn.ensemble.VotingClassifier`.

    Raises
    ------
    ValueError
        When there are none, or those of an ensemble cannot be taken.
    """
    ensemble = unfrozen(estimator)
    if hasattr(ensemble, "estimators_") or hasattr(ensemble, "estimators"):
        found = _members_of(ensemble, is_frozen=ensemble is not estimator)
    else:
        found = list(estimator) if isinstance(estimator, list | tuple) else [estimator]
    if not found:
        raise ValueError("estimator holds no network; give one, a list of some, or None.")
    return found


def _members_of(ensemble: Any, *, is_frozen: bool) -> list[Any]:
    if is_frozen:
        check_is_fitted(ensemble)
        n_features = getattr(ensemble, "n_features_in_", None)
        if any(len(columns) != n_features for columns in _columns_of(ensemble)):
            raise ValueError(
                f"the networks of the {type(ensemble).__name__} were trained on some of the "
                f"{n_features} columns each, and influences are taken on all; set max_features=1.0."
            )
        return [FrozenEstimator(one) for one in ensemble.estimators_]
    if not hasattr(ensemble, "estimators"):
        raise ValueError(
            f"estimator is a {type(ensemble).__name__} that is fitted; wrap it in FrozenEstimator, "
            "and its networks are taken as they are."
        )
    return [one for _, one in ensemble.estimators if not isinstance(one, str)]


def _columns_of(ensemble: Any) -> Sequence[Any]:
    return getattr(ensemble, "estimators_features_", ())


def unfrozen(estimator: Any) -> Any:
    """Return the network inside a FrozenEstimator, and anything else as it is."""
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


@dataclass(frozen=True, eq=False, repr=False)
class Reference:
    """Rows to aim at.

    Attributes
    ----------
    X : ndarray, csr_array or dict
        Checked rows.
    y : ndarray of shape (n_reference,) or (n_reference, n_outputs)
        Positions in the classes of the training rows, or numbers.
    """

    X: Any
    y: NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class TrainingJob:
    """What `InfluencePruner` was asked to take influences of.

    Attributes
    ----------
    estimators : sequence of skorch net, FrozenEstimator or None
        The networks whose influences are matched together.
    X : ndarray or csr_array of shape (n_samples, n_features, ...)
        Checked rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Positions in ``classes``, or numbers for a regression.
    classes : ndarray of shape (n_classes,) or None
        The labels, sorted; None for regression.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights in the head's objective.
    norm, damping, refit
        As in `InfluencePruner`.
    seed : int
        Seeds the training of the networks.
    features, n_checkpoints, layers, curvature, n_components
        As in `InfluencePruner`.
    reference : Reference or None
        Rows that networks and heads are fitted on instead.
    """

    estimators: Sequence[Any]
    X: Any
    y: NDArray[Any]
    classes: NDArray[Any] | None
    sample_weight: NDArray[np.float64] | None
    norm: Norm
    damping: float
    refit: bool
    seed: int
    features: Any = None
    n_checkpoints: int = 1
    layers: str | Sequence[str] = "last"
    curvature: str = "auto"
    n_components: int | Literal["auto"] = "auto"
    reference: Reference | None = None

    def at_reference(self) -> TrainingJob:
        """Return the same job on the reference rows; itself where there are none."""
        if self.reference is None:
            return self
        X, y = self.reference.X, self.reference.y
        return replace(self, X=X, y=y, sample_weight=None, reference=None)

    @property
    def n_epochs(self) -> int:
        """How many epochs are trained at most, of all networks."""
        return sum(
            getattr(one, "max_epochs", 0)
            for one in self.estimators
            if not isinstance(one, FrozenEstimator)
        )

    def key(self) -> str:
        """Return a digest of all that the result depends on."""
        # Only the training of a network draws numbers, and only a frozen one has seen labels.
        frozen = [isinstance(one, FrozenEstimator) for one in self.estimators]
        trains = any(
            one is not None and not is_frozen
            for one, is_frozen in zip(self.estimators, frozen, strict=True)
        )
        seed = self.seed if trains else None
        classes = self.classes if any(frozen) else None
        n_classes = 0 if self.classes is None else len(self.classes)
        layers = self.layers if isinstance(self.layers, str) else tuple(self.layers)
        options = (self.norm, float(self.damping), bool(self.refit), seed, self.n_checkpoints)
        parameters = (layers, self.curvature, self.n_components)
        data: tuple[Any, ...]
        data = (_hashable(self.X), self.y, classes, n_classes, self.sample_weight)
        if self.reference is not None:
            data = (*data, _hashable(self.reference.X), self.reference.y)
        states = [_network_state(one) for one in self.estimators]
        return digest(states, *data, _hashable(self.features), *options, *parameters)


def _hashable(rows: Any) -> Any:
    """Return what is the same for equal rows; a function or a dataset is what it is."""
    if isinstance(rows, StoredRows | Mapping):
        arrays = rows.values() if isinstance(rows, Mapping) else [rows]
        return fingerprint(rows), [str(array.dtype) for array in arrays]
    if issparse(rows):
        return rows.format, rows.shape, rows.data, rows.indices, rows.indptr
    # A copy is laid out otherwise than a slice.
    return np.ascontiguousarray(rows) if isinstance(rows, np.ndarray) else rows


def _network_state(estimator: Any) -> Any:
    if estimator is None:
        return None
    net, is_frozen = unfrozen(estimator), isinstance(estimator, FrozenEstimator)
    values, left_out = (
        (vars(net), _TRACES) if is_frozen else (net.get_params(deep=False), _OVERRIDDEN)
    )
    state = {name: value for name, value in values.items() if name not in left_out}
    state["dtype"] = str(torch.get_default_dtype())
    # Apart: networks may share skorch's default, and clones of them do not.
    state["train_split"] = digest(values["train_split"])
    return type(net), is_frozen, sorted(state.items(), key=lambda item: item[0])
