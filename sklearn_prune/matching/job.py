"""Everything that networks, heads and influences depend on, with a key for caching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from .._types import Array, Floats, Rows
from ..data import StoredRows, digest, fingerprint
from ..influence import Norm
from ..networks import is_linear_model
from .given_networks import Network, n_checkpoints, unfrozen

# A table, or a function that computes one from rows.
Features: TypeAlias = Rows | Callable[[Rows], Rows] | None
# "last", "all", or patterns of parameter names.
Layers: TypeAlias = str | Sequence[str]

# Parameters of a network to train that its clone replaces.
_OVERRIDDEN = {"verbose"}
# Attributes that training leaves on a network and that reading it does not use.
_TRACES = {"callbacks_", "history_", "optimizer_", "virtual_params_"}


@dataclass(frozen=True, eq=False, repr=False)
class Reference:
    """Reference rows.

    Attributes
    ----------
    X : ndarray, csr_array or dict
        Checked rows.
    y : ndarray of shape (n_reference,) or (n_reference, n_outputs)
        Positions in the classes of the training rows, or numbers.
    """

    X: Rows
    y: Array


@dataclass(frozen=True, eq=False, repr=False)
class TrainingJob:
    """What to train and to compute influences on.

    Attributes
    ----------
    estimators : sequence of skorch net, FrozenEstimator, Checkpointed, linear model or None
        The networks whose influences are matched together.
    X : ndarray or csr_array of shape (n_samples, n_features, ...), dict or Dataset
        Checked rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Positions in ``classes``, or numbers for a regression.
    classes : ndarray of shape (n_classes,) or None
        The labels, sorted; None for regression.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights in the head's objective.
    norm
        As in `InfluencePruner`.
    damping : float
        Of all heads but those of scikit-learn's models, which bring their own.
    seed : int
        Seeds the training of the networks.
    features, layers
        As in `InfluencePruner`.
    weight_unit : float
        What the weights were divided by, so that their mean is 1. A scikit-learn model sets its
        penalty against their sum.
    reference : Reference or None
        Rows that networks and heads are fitted on, instead of X and y; None means X and y.
    """

    estimators: Sequence[Network]
    X: Rows
    y: Array
    classes: Array | None
    sample_weight: Floats | None
    norm: Norm
    damping: float
    seed: int
    features: Features = None
    layers: Layers = "last"
    weight_unit: float = 1.0
    reference: Reference | None = None

    def at_reference(self) -> TrainingJob:
        """Return the same job on the reference rows; itself where there are none."""
        if self.reference is None:
            return self
        X, y = self.reference.X, self.reference.y
        return replace(self, X=X, y=y, sample_weight=None, weight_unit=1.0, reference=None)

    @property
    def is_labels(self) -> bool:
        """Whether y holds class codes."""
        return self.classes is not None

    @property
    def n_epochs(self) -> int:
        """Number of epochs that all networks together train, at most."""
        return sum(
            getattr(unfrozen(network), "max_epochs", 0)
            for network in self.estimators
            if not isinstance(network, FrozenEstimator)
        )

    def key(self) -> str:
        """Return a digest of everything that the result depends on."""
        # Only training a network draws numbers. Only a frozen network has seen labels, and only a
        # scikit-learn model may have a class_weight that names them.
        is_frozen = [isinstance(network, FrozenEstimator) for network in self.estimators]
        trains = any(
            not (network is None or frozen or is_linear_model(network))
            for network, frozen in zip(self.estimators, is_frozen, strict=True)
        )
        has_model = any(map(is_linear_model, self.estimators))
        reference = None
        if self.reference is not None:
            reference = _hashable(self.reference.X), self.reference.y
        return digest(
            [_network_state(network) for network in self.estimators],
            _hashable(self.X),
            self.y,
            self.classes if any(is_frozen) or has_model else None,
            0 if self.classes is None else len(self.classes),
            self.sample_weight,
            self.weight_unit if has_model else None,
            reference,
            _hashable(self.features),
            self.norm,
            float(self.damping),
            self.seed if trains else None,
            self.layers if isinstance(self.layers, str) else tuple(self.layers),
        )


def _hashable(rows: Rows) -> object:
    """Return an object with equal digests for equal rows; functions and datasets as they are."""
    if isinstance(rows, StoredRows | Mapping):
        arrays = rows.values() if isinstance(rows, Mapping) else [rows]
        return fingerprint(rows), [str(array.dtype) for array in arrays]
    if issparse(rows):
        return rows.format, rows.shape, rows.data, rows.indices, rows.indptr
    # The memory layout of a slice is not that of its copy.
    return np.ascontiguousarray(rows) if isinstance(rows, np.ndarray) else rows


def _network_state(network: Network) -> object:
    if network is None:
        return None
    if is_linear_model(network):
        # What an earlier fit left on it does not count.
        return type(network), clone(network)
    net, is_frozen = unfrozen(network), isinstance(network, FrozenEstimator)
    values, left_out = (
        (vars(net), _TRACES) if is_frozen else (net.get_params(deep=False), _OVERRIDDEN)
    )
    state = {name: value for name, value in values.items() if name not in left_out}
    state["dtype"] = str(torch.get_default_dtype())
    # By value, since networks may share skorch's default object, and their clones do not.
    state["train_split"] = digest(values["train_split"])
    named = sorted(state.items(), key=lambda item: item[0])
    return type(net), is_frozen, n_checkpoints(network), named
