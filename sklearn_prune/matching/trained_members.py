"""The networks that influences are taken on: trained, frozen, at checkpoints, or linear."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array
from torch.utils.data import Dataset

from ..data import refuse_dates
from ..influence import NetworkGradients
from ..networks import (
    Checkpoints,
    fit_network,
    linear_network,
    network_codes,
    read_criterion,
    try_network,
)
from ..utils import own_random_state, part_done, telling
from .job import TrainingJob

__all__ = ["Member", "default_network", "fitted_members", "on_training_rows", "product_of"]


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
    class_weight : ndarray of shape (n_samples,) or None
        Of a linear network, the weights that the criteria of those beside it give to the rows.
    """

    network: Any
    X: Any
    y: NDArray[Any]
    layers: str | Sequence[str] = "last"
    is_linear: bool = False
    is_checkpoint: bool = False
    class_weight: NDArray[np.float64] | None = None

    @property
    def unit(self) -> float:
        """What one unit of the loss is in the unit of y, squared where y holds numbers.

        The linear network's loss is that of the standardised target, other networks' that of y.
        """
        return float((self.network.module_.target_scale**2).mean()) if self.is_linear else 1.0


def fitted_members(job: TrainingJob) -> list[Member]:
    """Train the networks of a job, and return all that influences are to be taken on.

    Of each network its checkpoints come first; a linear one on ``features`` comes last.
    """
    class_weight = _common_class_weight(job)
    # All that may turn out not to fit, before anything is trained.
    extra: list[Member] = []
    if job.features is not None:
        X = feature_rows(job.features, job.X, len(job.y))
        extra = [replace(_linear(job, X, class_weight), is_checkpoint=True)]
    to_train = [one for one in job.estimators if _is_trained_here(one)]
    if to_train:
        _check_labels(job)
    if len(job.estimators) > 1:
        for estimator in to_train:
            try_network(estimator, job.X, job.y, _reading(job))
    found: list[Member] = []
    for i, estimator in enumerate(job.estimators):
        if estimator is None:
            found.append(_linear(job, job.X, class_weight))
        elif isinstance(estimator, FrozenEstimator):
            found.append(_frozen(job, estimator))
        else:
            # Equal networks are trained apart: each has a seed of its own.
            found += _trained(job, estimator, job.seed + i)
    _warn_of_twins(found)
    return [*found, *extra]


def on_training_rows(member: Member, job: TrainingJob) -> Member:
    """Return a network of the job's reference rows, as it takes the training rows."""
    assert job.reference is not None
    X, y, class_weight = job.X, job.y, member.class_weight
    if member.X is not job.reference.X:
        X = feature_rows(job.features, job.X, len(job.y))
    if member.y is not job.reference.y:
        assert job.classes is not None
        y = network_codes(member.network, X, y, job.classes)
    if class_weight is not None:
        class_weight = _common_class_weight(job)
    return replace(member, X=X, y=y, class_weight=class_weight)


def _is_trained_here(estimator: Any) -> bool:
    return not (estimator is None or isinstance(estimator, FrozenEstimator))


def _common_class_weight(job: TrainingJob) -> NDArray[np.float64] | None:
    """Return the weights that the networks' criteria give to the rows; None without any.

    Raises
    ------
    ValueError
        When they are not the same for all networks.
    """
    networks = [one for one in job.estimators if one is not None]
    if not networks or (len(job.estimators) == 1 and job.features is None):
        return None
    weights = []
    for estimator in networks:
        if _is_trained_here(estimator):
            # Its first weights are drawn, which the user's generator must not notice.
            with own_random_state():
                network, y = clone(estimator).initialize(), job.y
        else:
            frozen = _frozen(job, estimator)
            network, y = frozen.network, frozen.y
        weights.append(read_criterion(network, y).sample_weight)
    nothing = np.ones(len(job.y))
    first = nothing if weights[0] is None else weights[0]
    for position, other in enumerate(weights):
        if not np.array_equal(first, nothing if other is None else other):
            raise ValueError(
                "networks whose rows are matched together must weigh them alike, and the class "
                f"weights of the criterion of network {position} are not those of the first; give "
                "all networks the same."
            )
    return weights[0]


def _linear(job: TrainingJob, X: Any, class_weight: NDArray[np.float64] | None) -> Member:
    weight = product_of(job.sample_weight, class_weight)
    network = default_network(X, job.y, job.classes, weight)
    return Member(network, X, job.y, is_linear=True, class_weight=class_weight)


def _frozen(job: TrainingJob, estimator: FrozenEstimator) -> Member:
    network, y = fit_network(estimator, job.X, job.y), job.y
    if job.classes is not None:
        y = network_codes(network, job.X, y, job.classes)
    return Member(network, job.X, y, job.layers)


def _trained(job: TrainingJob, estimator: Any, seed: int) -> list[Member]:
    checkpoints = Checkpoints(estimator.max_epochs, job.n_checkpoints)

    def on_epoch_end(net: Any) -> None:
        part_done("epoch")
        checkpoints(net)

    network = fit_network(
        estimator,
        job.X,
        job.y,
        random_state=seed,
        on_epoch_end=on_epoch_end,
        try_reading=_reading(job),
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


def _warn_of_twins(found: Sequence[Member]) -> None:
    """Warn where training made the same network twice, whose influences add nothing."""
    states = [
        [tensor.cpu() for tensor in member.network.module_.state_dict().values()]
        for member in found
        if not member.is_linear
    ]
    for i, state in enumerate(states):
        for j, other in enumerate(states[:i]):
            if len(state) == len(other) and all(map(_are_equal, state, other)):
                warnings.warn(
                    f"networks {j} and {i} have the same parameters, so that matching both adds "
                    "nothing. A module that is given as an object starts from the same weights "
                    "each time; give its class, with module__ parameters.",
                    UserWarning,
                    stacklevel=3,
                )
                return


def _are_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def _reading(job: TrainingJob) -> Any:
    """Return what a network is tried with before it is trained; None is its last layer."""
    return None if job.layers == "last" else partial(_first_gradients, job.layers)


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
    refuse_dates("features", table)
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
    return table


def product_of(
    first: NDArray[np.float64] | None, second: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """Return the product of two kinds of weights, None meaning that all are 1."""
    if first is None or second is None:
        return second if first is None else first
    return first * second
