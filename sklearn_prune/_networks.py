"""The networks that influences are taken on: trained, frozen, at checkpoints, or linear."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array
from skorch import NeuralNetBinaryClassifier
from torch.utils.data import Dataset

from ._job import TrainingJob, members, unfrozen
from ._progress import part_done, telling
from ._validation import Kind
from .influence import (
    Checkpoints,
    NetworkGradients,
    fit_network,
    linear_network,
    network_codes,
    target_kind,
)

__all__ = ["Member", "check_networks", "default_network", "fitted_members", "kind_of_target"]


@dataclass(frozen=True, eq=False)
class Member:
    """A fitted network and the rows as it takes them.

    Attributes
    ----------
    network : skorch net
        Fitted.
    X : ndarray, csr_array, dict or Dataset
        What it is run on.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Codes of its outputs, or numbers.
    layers : "last", "all" or list of str
        Whose parameters are matched.
    is_linear : bool
        Whether it is the linear network that stands in for None, whose last layer is yet to be
        fitted.
    is_checkpoint : bool
        Whether it is there for its influences alone: a network on the way, or one on
        ``features``.
    """

    network: Any
    X: Any
    y: NDArray[Any]
    layers: str | Sequence[str] = "last"
    is_linear: bool = False
    is_checkpoint: bool = False


def fitted_members(job: TrainingJob) -> list[Member]:
    """Train the networks of a job, and return all that influences are to be taken on.

    Of each network its checkpoints come first; a linear one on ``features`` comes last.
    """
    # Before anything is trained, since they may turn out not to fit.
    extra: list[Member] = []
    if job.features is not None:
        X = feature_rows(job.features, job.X, len(job.y))
        network = default_network(X, job.y, job.classes, job.sample_weight)
        extra = [Member(network, X, job.y, is_linear=True, is_checkpoint=True)]
    # Equal networks are trained apart: each has a seed of its own.
    fitted = (_fitted(job, one, job.seed + i) for i, one in enumerate(job.estimators))
    return [*chain.from_iterable(fitted), *extra]


def _fitted(job: TrainingJob, estimator: Any, seed: int) -> list[Member]:
    if estimator is None:
        network = default_network(job.X, job.y, job.classes, job.sample_weight)
        return [Member(network, job.X, job.y, is_linear=True)]
    if isinstance(estimator, FrozenEstimator):
        network, y = fit_network(estimator, job.X, job.y), job.y
        if job.classes is not None:
            y = network_codes(network, job.X, y, job.classes)
        return [Member(network, job.X, y, job.layers)]
    _check_labels(job)
    checkpoints = Checkpoints(estimator.max_epochs, job.n_checkpoints)
    try_reading = None if job.layers == "last" else partial(_first_gradients, job.layers)

    def on_epoch_end(net: Any) -> None:
        part_done("epoch")
        checkpoints(net)

    network = fit_network(
        estimator,
        job.X,
        job.y,
        random_state=seed,
        on_epoch_end=on_epoch_end,
        try_reading=try_reading,
    )
    n_missing = job.n_checkpoints - 1 - len(checkpoints.networks)
    if n_missing:
        warnings.warn(
            f"training ended after {len(network.history)} of {estimator.max_epochs} epochs, so "
            f"{n_missing} of n_checkpoints={job.n_checkpoints} never came; lower max_epochs to "
            "space them over fewer.",
            UserWarning,
            stacklevel=2,
        )
    earlier = [
        Member(net, job.X, job.y, job.layers, is_checkpoint=True) for net in checkpoints.networks
    ]
    return [*earlier, Member(network, job.X, job.y, job.layers)]


def _first_gradients(
    layers: str | Sequence[str], network: Any, X: Any, y: NDArray[Any]
) -> torch.Tensor:
    """Return the gradients of the first rows in these layers, to see that they can be taken."""
    # A trial is no part of the training, whose epochs are counted.
    with telling(lambda part: None):
        _, gradients = next(NetworkGradients(network, X, y, layers=layers).per_sample())
    return gradients


def _check_labels(job: TrainingJob) -> None:
    """Raise where a dataset would hand a network labels that are not the codes of its outputs."""
    if job.classes is None or not isinstance(job.X, Dataset):
        return
    if not np.array_equal(job.classes, np.arange(len(job.classes)).astype(object)):
        raise ValueError(
            f"a dataset gives its labels to the network as they are, so they must be the codes 0 "
            f"to {len(job.classes) - 1}; they are {job.classes[:10].tolist()}. Encode them, or "
            "give X and y as arrays."
        )


def default_network(
    X: Any, y: NDArray[Any], classes: NDArray[Any] | None, sample_weight: Any = None
) -> Any:
    """Return the linear network that stands in where none is given, its weights zero."""
    if isinstance(X, Mapping | Dataset):
        raise ValueError(
            "estimator=None is a linear model on the columns of one table, and X is a "
            f"{type(X).__name__}; give a network, or X as an array."
        )
    kind: Literal["multiclass", "binary", "regression"] = "regression"
    if classes is not None:
        kind = "binary" if len(classes) <= 2 else "multiclass"
    return linear_network(kind, X, y, sample_weight)


def feature_rows(features: Any, X: Any, n_samples: int) -> Any:
    """Return features, or what they make of X, as a checked table with a row for each row of X.

    Raises
    ------
    ValueError
        When they are no finite numbers, or of another number of rows.
    """
    made = callable(features)
    table = features(X) if made else features
    table = check_array(
        table, accept_sparse="csr", dtype=[np.float32, np.float64], input_name="features"
    )
    if table.shape[0] != n_samples:
        remedy = (
            "Return a row for each."
            if made
            else "Give those of the rows that are fitted, or, where rows are split, a function."
        )
        raise ValueError(
            f"features must have a row for each of the {n_samples} rows of X, in their order; "
            f"they have {table.shape[0]}. {remedy}"
        )
    # The linear network takes what a pruner's own rows are checked to be.
    return table.tocsr() if issparse(table) else table


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
