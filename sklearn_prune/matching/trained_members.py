"""The networks that influences are computed on: trained, frozen, checkpoints, or linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array
from skorch import NeuralNet
from torch.utils.data import Dataset

from .._types import Array, Floats, Rows
from ..data import refuse_dates
from ..influence import NetworkGradients
from ..networks import (
    Checkpoints,
    class_weights,
    fit_network,
    is_linear_model,
    linear_network,
    model_network,
    network_codes,
    network_kind,
    read_criterion,
    try_network,
)
from ..utils import own_random_state, part_done, telling, warn_user
from .given_networks import Network, n_checkpoints, unfrozen
from .job import Features, Layers, TrainingJob


@dataclass(frozen=True, eq=False)
class Member:
    """A fitted network, and the rows in the form that it takes.

    Attributes
    ----------
    network : skorch net
        Fitted.
    X : ndarray, csr_array, dict or Dataset
        Its input.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Codes of its outputs, or numbers.
    layers : "last", "all" or list of str
        Layers that are matched.
    is_linear : bool
        Whether it is a linear network of this package, whose last layer is yet to be fitted.
    is_extra : bool
        Whether it is no network of the user's: a checkpoint, or the linear network on ``features``.
    class_weight : ndarray of shape (n_samples,) or None
        For a linear network, the row weights that its model or the criteria of the other networks
        imply.
    model : scikit-learn model or None
        The linear model that the network stands for.
    damping : float or None
        The damping that this model implies; None is the job's.
    """

    network: NeuralNet
    X: Rows
    y: Array
    layers: Layers = "last"
    is_linear: bool = False
    is_extra: bool = False
    class_weight: Floats | None = None
    model: Network = None
    damping: float | None = None

    @property
    def unit(self) -> float:
        """Factor that converts the network's loss to the unit of y.

        It is the variance of the target for a linear network, whose loss is that of the
        standardised target, and 1 for others.
        """
        return float((self.network.module_.target_scale**2).mean()) if self.is_linear else 1.0


def fitted_members(job: TrainingJob) -> list[Member]:
    """Train the networks of a job, and return every network to compute influences on.

    The checkpoints of a network come before it; the linear network on ``features`` comes last.
    """
    class_weight = _common_class_weight(job)
    # Checked first, so that incompatible inputs fail before anything is trained.
    on_features: list[Member] = []
    if job.features is not None:
        X = feature_rows(job.features, job.X, len(job.y))
        on_features = [replace(_linear(job, X, class_weight), is_extra=True)]
    to_train = [network for network in job.estimators if _is_trained_here(network)]
    if to_train:
        _check_labels(job)
    if len(job.estimators) > 1:
        for network in to_train:
            try_network(unfrozen(network), job.X, job.y, _reading(job))
    fitted: list[Member] = []
    for position, network in enumerate(job.estimators):
        if network is None:
            fitted.append(_linear(job, job.X, class_weight))
        elif is_linear_model(network):
            fitted.append(_of_model(job, network))
        elif isinstance(network, FrozenEstimator):
            fitted.append(_frozen(job, network))
        else:
            # Each network has a different seed, so that equal networks are trained differently.
            fitted += _trained(job, network, job.seed + position)
    _warn_of_equal_networks(fitted)
    return [*fitted, *on_features]


def on_training_rows(member: Member, job: TrainingJob) -> Member:
    """Return a member that was fitted on the job's reference rows, with the training rows."""
    assert job.reference is not None
    X, y, class_weight = job.X, job.y, member.class_weight
    if member.X is not job.reference.X:
        X = feature_rows(job.features, job.X, len(job.y))
    if member.y is not job.reference.y:
        assert job.classes is not None
        y = network_codes(member.network, X, y, job.classes)
    if member.model is not None:
        class_weight = _model_weight(job, member.model)
    elif class_weight is not None:
        class_weight = _common_class_weight(job)
    return replace(member, X=X, y=y, class_weight=class_weight)


def _is_trained_here(network: Network) -> bool:
    return not (network is None or isinstance(network, FrozenEstimator) or is_linear_model(network))


def _common_class_weight(job: TrainingJob) -> Floats | None:
    """Return the row weights that the networks' criteria imply; None if there are none.

    Raises
    ------
    ValueError
        If they differ between networks.
    """
    given = [network for network in job.estimators if network is not None]
    if not given or (len(job.estimators) == 1 and job.features is None):
        return None
    weights = []
    for network in given:
        if is_linear_model(network):
            weights.append(_model_weight(job, network))
            continue
        if _is_trained_here(network):
            # Initial weights must not be drawn from the user's generator.
            with own_random_state():
                net, y = clone(unfrozen(network)).initialize(), job.y
        else:
            frozen = _frozen(job, network)
            net, y = frozen.network, frozen.y
        weights.append(read_criterion(net, y).sample_weight)
    ones = np.ones(len(job.y))
    first = ones if weights[0] is None else weights[0]
    for position, other in enumerate(weights):
        if not np.array_equal(first, ones if other is None else other):
            raise ValueError(
                "networks that are matched together must weight rows equally; the criterion of "
                f"network {position} has different class weights from that of network 0. Give all "
                "networks the same class weights."
            )
    return weights[0]


def _linear(job: TrainingJob, X: Rows, class_weight: Floats | None) -> Member:
    weight = product_of(job.sample_weight, class_weight)
    network = default_network(X, job.y, job.classes, weight)
    return Member(network, X, job.y, is_linear=True, class_weight=class_weight)


def _of_model(job: TrainingJob, model: Network) -> Member:
    class_weight = _model_weight(job, model)
    weight = product_of(job.sample_weight, class_weight)
    matched = model_network(model, job.X, job.y, job.classes, weight, weight_unit=job.weight_unit)
    return Member(
        matched.network,
        job.X,
        job.y,
        is_linear=True,
        class_weight=class_weight,
        model=model,
        damping=matched.damping,
    )


def _model_weight(job: TrainingJob, model: Network) -> Floats | None:
    return class_weights(model, job.y, job.classes, job.sample_weight)


def _frozen(job: TrainingJob, estimator: FrozenEstimator) -> Member:
    network, y = fit_network(estimator, job.X, job.y), job.y
    if job.classes is not None:
        y = network_codes(network, job.X, y, job.classes)
    return Member(network, job.X, y, job.layers)


def _trained(job: TrainingJob, given: Network, seed: int) -> list[Member]:
    net, number = unfrozen(given), n_checkpoints(given)
    moments = Checkpoints(net.max_epochs, number)

    def on_epoch_end(net: NeuralNet) -> None:
        part_done("epoch")
        moments(net)

    network = fit_network(
        net,
        job.X,
        job.y,
        random_state=seed,
        on_epoch_end=on_epoch_end,
        try_reading=_reading(job),
    )
    n_missing = number - 1 - len(moments.networks)
    if n_missing:
        warn_user(
            f"training ended after {len(network.history)} of {net.max_epochs} epochs, so "
            f"{n_missing} of {number} checkpoints were not reached; lower max_epochs to space "
            "them over fewer epochs.",
        )
    earlier = [Member(net, job.X, job.y, job.layers, is_extra=True) for net in moments.networks]
    return [*earlier, Member(network, job.X, job.y, job.layers)]


def _warn_of_equal_networks(fitted: Sequence[Member]) -> None:
    """Warn if two networks are equal, since the second adds nothing."""
    states = [
        [tensor.cpu() for tensor in member.network.module_.state_dict().values()]
        for member in fitted
        if not member.is_linear
    ]
    for i, state in enumerate(states):
        for j, other in enumerate(states[:i]):
            if len(state) == len(other) and all(map(_are_equal, state, other)):
                warn_user(
                    f"networks {j} and {i} have the same parameters, so matching both adds "
                    "nothing. To give each network its own random start, pass the module's class, "
                    "not an instance.",
                )
                return


def _are_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


Reading: TypeAlias = Callable[[NeuralNet, Rows, Array], torch.Tensor]


def _reading(job: TrainingJob) -> Reading | None:
    """Return how a network is tried before it is trained; None tries its last layer."""
    return None if job.layers == "last" else partial(_first_gradients, job.layers)


def _first_gradients(layers: Layers, network: NeuralNet, X: Rows, y: Array) -> torch.Tensor:
    """Return the gradients of the first rows in these layers, to see that they can be taken."""
    # Reports nothing, since a trial is not one of the training's epochs.
    with telling(lambda part: None):
        _, gradients = next(NetworkGradients(network, X, y, layers=layers).per_sample())
    return gradients


def _check_labels(job: TrainingJob) -> None:
    """Raise if a dataset gives the network labels that are not the codes of its outputs."""
    if job.classes is None or not isinstance(job.X, Dataset):
        return
    if not np.array_equal(job.classes, np.arange(len(job.classes)).astype(object)):
        raise ValueError(
            "the network gets a dataset's labels unchanged, so they must be the codes 0 to "
            f"{len(job.classes) - 1}; they are {job.classes[:10].tolist()}. Encode them, or give X "
            "and y as arrays."
        )


def default_network(
    X: Rows, y: Array, classes: Array | None, sample_weight: Floats | None = None
) -> NeuralNet:
    """Return the linear network that is used if the user gives none; its weights are zero."""
    if isinstance(X, Mapping | Dataset):
        raise ValueError(
            "estimator=None is a linear model on the columns of one table, and X is a "
            f"{type(X).__name__}; give a network, or X as an array."
        )
    return linear_network(network_kind(classes), X, y, sample_weight)


def feature_rows(features: Features, X: Rows, n_samples: int) -> Rows:
    """Return ``features``, or ``features(X)``, as a checked table with one row for each of X.

    Raises
    ------
    ValueError
        If they are not finite numbers, or have another number of rows.
    """
    is_function = callable(features)
    table = features(X) if callable(features) else features
    refuse_dates("features", table)
    table = check_array(
        table, accept_sparse="csr", dtype=[np.float32, np.float64], input_name="features"
    )
    if table.shape[0] != n_samples:
        remedy = (
            "Return one row for each row of X."
            if is_function
            else "Give the features of the rows in X. If rows are split, as in cross-validation, "
            "give a function."
        )
        raise ValueError(
            f"features must have a row for each of the {n_samples} rows of X, in their order; "
            f"they have {table.shape[0]}. {remedy}"
        )
    return table


def product_of(first: Floats | None, second: Floats | None) -> Floats | None:
    """Return the product of two weights of each row; None means that all are 1."""
    if first is None or second is None:
        return second if first is None else first
    return first * second
