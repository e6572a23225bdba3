"""From checked rows to influences: network, head, influence; once, where a memory keeps them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_memory
from skorch import NeuralNetBinaryClassifier
from torch.utils.data import Dataset

from ._certificate import Norm, StageClock, single_row_changes
from ._digest import digest
from ._progress import part_done
from ._rows import StoredRows
from ._validation import Kind, fingerprint
from .influence import (
    Coordinates,
    CurvatureName,
    Head,
    HeadFit,
    HeadInfluence,
    HeadObjective,
    Influence,
    NetworkGradients,
    NetworkInfluence,
    fit_network,
    head_coordinates,
    head_influence,
    linear_network,
    network_codes,
    read_head,
    refit_head,
    target_kind,
    warn_if_not_convex,
    write_head,
)

# A clone that is fitted has its own.
_OVERRIDDEN = {"train_split", "verbose"}
# What training leaves on a network and reading it does not use.
_TRACES = {"callbacks_", "history_", "optimizer_", "virtual_params_"}


@dataclass(frozen=True, eq=False, repr=False)
class TrainingJob:
    """All that network, head and influences depend on.

    Attributes
    ----------
    estimator : skorch net, FrozenEstimator or None
        As given to the pruner.
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
        Seeds the training of the network.
    layers, curvature, n_components
        As in `InfluencePruner`.
    """

    estimator: Any
    X: Any
    y: NDArray[Any]
    classes: NDArray[Any] | None
    sample_weight: NDArray[np.float64] | None
    norm: Norm
    damping: float
    refit: bool
    seed: int
    layers: str | Sequence[str] = "last"
    curvature: CurvatureName = "auto"
    n_components: int | Literal["auto"] = "auto"

    @property
    def is_frozen(self) -> bool:
        """Whether the network is used as it is."""
        return isinstance(self.estimator, FrozenEstimator)

    @property
    def n_epochs(self) -> int:
        """How many epochs are trained at most."""
        return 0 if self.is_frozen else getattr(self.estimator, "max_epochs", 0)

    def key(self) -> str:
        """Return a digest of all that the result depends on."""
        X = self.X
        if isinstance(X, StoredRows | Mapping):
            arrays = X.values() if isinstance(X, Mapping) else [X]
            X = (fingerprint(X), [str(array.dtype) for array in arrays])
        if issparse(X):
            X = (X.format, X.shape, X.data, X.indices, X.indptr)
        # Only the training of a network draws numbers, and only a frozen one has seen labels.
        seed = None if self.is_frozen or self.estimator is None else self.seed
        classes = self.classes if self.is_frozen else None
        n_classes = self._n_classes
        layers = self.layers if isinstance(self.layers, str) else tuple(self.layers)
        options = (self.norm, float(self.damping), bool(self.refit), seed)
        parameters = (layers, self.curvature, self.n_components)
        data = (X, self.y, classes, n_classes, self.sample_weight)
        return digest(self._network_state(), *data, *options, *parameters)

    @property
    def _n_classes(self) -> int:
        return 0 if self.classes is None else len(self.classes)

    def _network_state(self) -> Any:
        if self.estimator is None:
            return None
        if self.is_frozen:
            net = self.estimator.estimator
            state = {name: value for name, value in vars(net).items() if name not in _TRACES}
        else:
            net = self.estimator
            params = net.get_params(deep=False)
            state = {name: value for name, value in params.items() if name not in _OVERRIDDEN}
        state["dtype"] = str(torch.get_default_dtype())
        return type(net), self.is_frozen, sorted(state.items(), key=lambda item: item[0])


@dataclass(frozen=True)
class TrainedHead:
    """What a `TrainingJob` results in.

    Attributes
    ----------
    network : skorch net or None
        The fitted network; None for a frozen one, which the job has.
    head_fit : HeadFit
        The parameters that influences are taken at, and how they were found.
    influence : HeadInfluence or NetworkInfluence
        The influences of all rows.
    coordinates : Coordinates
        What of them the selection matches.
    row_changes : ndarray of shape (n_samples,)
        First-order change for dropping each row alone, in the unit of the norm.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights in the objective: the job's times those that the criterion gives to classes.
    """

    network: Any
    head_fit: HeadFit
    influence: Influence
    coordinates: Coordinates
    row_changes: NDArray[np.float64]
    sample_weight: NDArray[np.float64] | None


def train(job: TrainingJob, clock: StageClock) -> TrainedHead:
    """Fit the network, refit its head and take the influences there."""
    with clock.stage("network", job.n_epochs):
        network = _fitted_network(job)
    take = _last_layer if job.layers == "last" else _chosen_layers
    taken = take(job, network, clock)
    return replace(taken, network=None if job.is_frozen else network)


def _last_layer(job: TrainingJob, network: Any, clock: StageClock) -> TrainedHead:
    with clock.stage("head"):
        head = read_head(network, job.X, _codes(job, network))
        sample_weight = _product(job.sample_weight, head.sample_weight)
        objective, head_fit = _fit_head(job, network, head, sample_weight)
    with clock.stage("influence"):
        influence = head_influence(objective, head_fit.theta, job.norm, job.curvature)
        coordinates = head_coordinates(influence, job.n_components)
        row_changes = single_row_changes(influence)
    clock.say(_description(influence, coordinates))
    return TrainedHead(network, head_fit, influence, coordinates, row_changes, sample_weight)


def _chosen_layers(job: TrainingJob, network: Any, clock: StageClock) -> TrainedHead:
    with clock.stage("influence", n_parts=None):
        gradients = NetworkGradients(
            network,
            job.X,
            _codes(job, network),
            layers=job.layers,
            sample_weight=job.sample_weight,
            verbose=clock.verbose,
        )
        influence = NetworkInfluence(
            gradients,
            job.damping,
            job.norm,
            curvature=job.curvature,
            n_components=job.n_components,
        )
        row_changes = single_row_changes(influence)
    clock.say(_description(influence, influence.coordinates))
    theta = gradients.flatten(gradients.parameters).double().cpu().numpy()
    # The network is taken as it was trained: its parameters are not refitted.
    head_fit = HeadFit(theta, influence.gradient_norm, 0, False)
    return TrainedHead(
        network, head_fit, influence, influence.coordinates, row_changes, job.sample_weight
    )


def _codes(job: TrainingJob, network: Any) -> NDArray[Any]:
    if job.classes is not None and job.is_frozen:
        return network_codes(network, job.X, job.y, job.classes)
    return job.y


def _description(influence: Influence, coordinates: Coordinates) -> str:
    return (
        f"{influence.curvature_name} curvature of {influence.shape[1]:,} parameters, "
        f"{coordinates.Z.shape[1]:,} coordinates"
    )


def train_once(job: TrainingJob, memory: Any, clock: StageClock) -> TrainedHead:
    """Return what `train` does, from the memory where it was trained before.

    Parameters
    ----------
    job : TrainingJob
        What to train.
    memory : str, object with the joblib.Memory interface or None
        Where results are kept; None keeps nothing.
    clock : StageClock
        Gets the stages that are run, and "memory" for the time spent with it.
    """
    trained = _kept_or_trained(job, check_memory(memory), clock)
    # Not inside: what the memory has is not warned of again.
    if isinstance(trained.influence, HeadInfluence):
        warn_if_not_convex(trained.influence.objective, trained.influence.theta)
    return trained


def _kept_or_trained(job: TrainingJob, memory: Any, clock: StageClock) -> TrainedHead:
    if getattr(memory, "location", "unknown") is None:
        return train(job, clock)
    start = time.perf_counter()
    try:
        key = job.key()
    except Exception as error:
        warnings.warn(
            f"memory keeps only networks that it can pickle and whose source it can read, and this "
            f"is none: {error}. It is trained each time; define its classes and functions at the "
            "top level of a module.",
            UserWarning,
            stacklevel=3,
        )
        return train(job, clock)
    trained: TrainedHead = memory.cache(_train_keyed, ignore=["job", "clock"])(key, job, clock)
    in_stages = sum(seconds for _, seconds in clock.seconds)
    clock.add("memory", time.perf_counter() - start - in_stages)
    return trained


def _train_keyed(key: str, job: TrainingJob, clock: StageClock) -> TrainedHead:
    """Train; the key is all that the memory looks at."""
    return train(job, clock)


def _fitted_network(job: TrainingJob) -> Any:
    if job.estimator is not None:
        _check_labels(job)
        return fit_network(
            job.estimator,
            job.X,
            job.y,
            random_state=job.seed,
            on_epoch_end=lambda net: part_done("epoch"),
        )
    return default_network(job.X, job.y, job.classes, job.sample_weight)


def _check_labels(job: TrainingJob) -> None:
    """Raise where a dataset would hand a network labels that are not the codes of its outputs."""
    if job.is_frozen or job.classes is None or not isinstance(job.X, Dataset):
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


def unfrozen(estimator: Any) -> Any:
    """Return the network inside a FrozenEstimator, and anything else as it is."""
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def check_network(estimator: Any, n_classes: int, refit: bool, layers: str | Sequence[str]) -> None:
    """Raise ValueError where the network cannot be what classes and options ask for."""
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
    """Return what y is to a network; None, without one, leaves that to y."""
    return None if estimator is None else target_kind(unfrozen(estimator), y)


def _product(
    first: NDArray[np.float64] | None, second: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """Return the product of two kinds of weights, None meaning that all are 1."""
    if first is None or second is None:
        return second if first is None else first
    return first * second


def _fit_head(
    job: TrainingJob, network: Any, head: Head, sample_weight: NDArray[np.float64] | None
) -> tuple[HeadObjective, HeadFit]:
    objective = HeadObjective(
        head.design,
        head.targets,
        head.loss,
        job.damping,
        sample_weight,
        n_outputs=len(head.theta),
    )
    if not job.refit:
        # As it was trained, the head need not be stationary; the tilt makes it so.
        norm = float(np.linalg.norm(objective.gradient(head.theta)))
        return objective.stationary_at(head.theta), HeadFit(head.theta, norm, 0, False)
    head_fit = refit_head(objective, head.theta)
    if job.estimator is None:
        write_head(network, head_fit.theta)
    return objective, head_fit
