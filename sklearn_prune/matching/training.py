"""From checked rows to influences: network, head, influence; once, where a memory keeps them."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_memory

from ..influence import (
    Coordinates,
    HeadFit,
    HeadInfluence,
    HeadObjective,
    Influence,
    NetworkGradients,
    NetworkInfluence,
    StackedInfluence,
    head_coordinates,
    head_influence,
    influences_of,
    refit_head,
    stacked_coordinates,
    warn_if_not_convex,
)
from ..networks import read_head, write_head
from ..utils import serial_blas
from .allocation import Priorities, row_priorities
from .certificate import StageClock, single_row_changes
from .distribution import DistributionEmbedding, embed_distribution, embed_nonlinear_head
from .feature_maps import Table
from .job import TrainingJob
from .reference import Aim, ReferenceHead, aim_at_reference, fit_reference_head
from .trained_members import Member, fitted_members, on_training_rows, product_of


@dataclass(frozen=True)
class TrainedHead:
    """What a `TrainingJob` results in.

    Attributes
    ----------
    networks : tuple of skorch net or None
        Each fitted network of the job; None for a frozen one, which the job has.
    head_fit : HeadFit
        The parameters that influences are taken at, and how they were found: of several networks,
        one after the other, the worst gradient norm and the most steps.
    influence : HeadInfluence, NetworkInfluence or StackedInfluence
        The influences of all rows.
    coordinates : Coordinates
        What of them the selection matches.
    balance : tuple of DistributionEmbedding
        What is held beside the influences: the distribution, and a nonlinear head; nothing where
        the rows are no table of numbers.
    priorities : Priorities or None
        Which rows other models learn most from; None where the rows are no table.
    row_changes : ndarray of shape (n_samples,)
        First-order change for dropping each row alone, in the unit of the norm.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights in the objective: the job's times those that the criterion gives to classes; None
        where all are 1.
    aim : Aim or None
        What reference rows say of the training rows; None where there are none.
    """

    networks: tuple[Any, ...]
    head_fit: HeadFit
    influence: Influence
    coordinates: Coordinates
    balance: tuple[DistributionEmbedding, ...]
    priorities: Priorities | None
    row_changes: NDArray[np.float64]
    sample_weight: NDArray[np.float64] | None
    aim: Aim | None = None


@dataclass(frozen=True)
class _Head:
    """One network's head: its objective on the training rows, and what it was fitted by."""

    objective: HeadObjective
    fit: HeadFit
    reference: ReferenceHead | None = None


@dataclass(frozen=True)
class _Held:
    """What stands beside the influences in a `TrainedHead`."""

    balance: tuple[DistributionEmbedding, ...]
    priorities: Priorities | None = None
    aim: Aim | None = None


@dataclass(frozen=True)
class _Matched:
    """One network's share of a `TrainedHead`."""

    head_fit: HeadFit
    influence: Influence
    coordinates: Coordinates


def train(job: TrainingJob, clock: StageClock) -> TrainedHead:
    """Fit the networks, refit their heads and take the influences there."""
    with clock.stage("network", job.n_epochs):
        members = fitted_members(job.at_reference())
    heads: list[_Head | None] = [None] * len(members)
    if any(member.layers == "last" for member in members):
        with clock.stage("head"):
            heads = [_fit_head(job, one) if one.layers == "last" else None for one in members]
    with clock.stage("influence", n_parts=None):
        matched = [
            _chosen_layers(job, member, clock) if head is None else _last_layer(job, head)
            for member, head in zip(members, heads, strict=True)
        ]
        whole = _stacked(matched, [member.unit for member in members])
        row_changes = single_row_changes(whole.influence)
    with clock.stage("distribution"), serial_blas():
        fitted = [head for head in heads if head is not None]
        held = _held_beside(job, fitted, whole.influence.sample_weight)
    for one in matched:
        clock.say(_description(one))
    weights = whole.influence.sample_weight
    final = (member.network for member in members if not member.is_checkpoint)
    return TrainedHead(
        networks=tuple(
            None if isinstance(given, FrozenEstimator) else network
            for given, network in zip(job.estimators, final, strict=True)
        ),
        head_fit=whole.head_fit,
        influence=whole.influence,
        coordinates=whole.coordinates,
        balance=held.balance,
        priorities=held.priorities,
        row_changes=row_changes,
        sample_weight=weights if (weights != 1).any() else None,
        aim=held.aim,
    )


def _fit_head(job: TrainingJob, member: Member) -> _Head:
    if job.reference is not None:
        return _fit_head_at_reference(job, member)
    objective, theta = _read_objective(job, member, job.damping)
    if not (job.refit or member.is_linear):
        # As it was trained, the head need not be stationary; the tilt makes it so.
        norm = float(np.linalg.norm(objective.gradient(theta)))
        return _Head(objective.stationary_at(theta), HeadFit(theta, norm, 0, False))
    head_fit = refit_head(objective, theta)
    if member.is_linear:
        write_head(member.network, head_fit.theta)
    return _Head(objective, head_fit)


def _fit_head_at_reference(job: TrainingJob, member: Member) -> _Head:
    """Fit the head on the reference rows, and return it with its objective on the training rows."""
    at_reference = job.at_reference()
    objective, theta = _read_objective(at_reference, member, job.damping)
    is_labels = job.classes is not None
    head = fit_reference_head(objective, theta, at_reference.y, is_labels=is_labels)
    if member.is_linear:
        write_head(member.network, head.fit.theta)
    damping = head.objective.damping
    objective, _ = _read_objective(job, on_training_rows(member, job), damping)
    return _Head(objective, head.fit, head)


def _read_objective(
    job: TrainingJob, member: Member, damping: float
) -> tuple[HeadObjective, NDArray[np.float64]]:
    """Return the objective of a network's head on the job's rows, and its parameters."""
    head = read_head(member.network, member.X, member.y)
    objective = HeadObjective(
        head.design,
        head.targets,
        head.loss,
        damping,
        product_of(job.sample_weight, product_of(head.sample_weight, member.class_weight)),
        n_outputs=len(head.theta),
    )
    return objective, head.theta


def _last_layer(job: TrainingJob, head: _Head) -> _Matched:
    reference = None if head.reference is None else head.reference.objective
    influence = head_influence(
        head.objective, head.fit.theta, job.norm, job.curvature, reference=reference
    )
    return _Matched(head.fit, influence, head_coordinates(influence, job.n_components))


def _chosen_layers(job: TrainingJob, member: Member, clock: StageClock) -> _Matched:
    gradients = NetworkGradients(
        member.network,
        member.X,
        member.y,
        layers=member.layers,
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
    theta = gradients.flatten(gradients.parameters).double().cpu().numpy()
    # The network is taken as it was trained: its parameters are not refitted.
    head_fit = HeadFit(theta, influence.gradient_norm, 0, False)
    return _Matched(head_fit, influence, influence.coordinates)


def _stacked(matched: Sequence[_Matched], units: Sequence[float]) -> _Matched:
    """Return what several networks are matched by together; a single one stays as it is."""
    if len(matched) == 1:
        return matched[0]
    fits = [one.head_fit for one in matched]
    influence = StackedInfluence([one.influence for one in matched], units)
    return _Matched(
        HeadFit(
            np.concatenate([fit.theta.ravel() for fit in fits]),
            max(fit.gradient_norm for fit in fits),
            max(fit.n_iter for fit in fits),
            all(fit.converged for fit in fits),
        ),
        influence,
        stacked_coordinates(influence, [one.coordinates for one in matched]),
    )


def _held_beside(
    job: TrainingJob, heads: Sequence[_Head], sample_weight: NDArray[np.float64]
) -> _Held:
    """Return what is held beside the influences; nothing where the rows are no table.

    With reference rows the distribution is the one that they aim at, and what they say of the
    training rows stands in the place of priorities.
    """
    designs = _embedded(job, [head.objective.design for head in heads])
    is_labels = job.classes is not None
    references = [head.reference for head in heads if head.reference is not None]
    if references:
        at_reference = job.at_reference()
        others = _embedded(at_reference, [head.objective.design for head in references])
        aim, aimed = aim_at_reference(
            [head.objective for head in heads],
            references,
            list(zip(designs, others, strict=True)),
            job.y,
            at_reference.y,
            is_labels=is_labels,
        )
        return _Held(aimed, aim=aim)
    if not designs:
        return _Held(())
    table = Table(designs, sample_weight)
    balance = (
        embed_distribution(table, job.y, sample_weight, is_labels=is_labels),
        embed_nonlinear_head(table, job.y, sample_weight, is_labels=is_labels),
    )
    priorities = row_priorities(table, job.y, sample_weight, is_labels=is_labels)
    return _Held(balance, priorities)


def _embedded(job: TrainingJob, designs: list[Any]) -> list[Any]:
    """Return the tables whose distribution is to be held, of which there may be none.

    What enters the heads; of fixed ``features`` these alone, since no training moves them; and
    where no last layer is matched, the rows themselves, if they are a table.
    """
    if job.features is not None:
        return designs[-1:]
    if designs or not isinstance(job.X, np.ndarray):
        return designs
    return [job.X.reshape(len(job.X), -1)]


def _description(one: _Matched) -> str:
    return (
        f"{one.influence.curvature_name} curvature of {one.influence.shape[1]:,} parameters, "
        f"{one.coordinates.Z.shape[1]:,} coordinates"
    )


def train_once(job: TrainingJob, memory: Any, clock: StageClock) -> TrainedHead:
    """Return what `train` does, from the memory where it was trained before.

    Parameters
    ----------
    job : TrainingJob
        What to train.
    memory : str, object with the joblib.Memory interface or None
        Where results are kept; None keeps nothing. What cannot be kept or read is warned of, and
        trained.
    clock : StageClock
        Gets the stages that are run, and "memory" for the time spent with it.
    """
    trained = _kept_or_trained(job, memory, clock)
    # Not inside: what the memory has is not warned of again.
    for influence in influences_of(trained.influence):
        if isinstance(influence, HeadInfluence):
            warn_if_not_convex(influence.objective, influence.theta)
    return trained


def _kept_or_trained(job: TrainingJob, memory: Any, clock: StageClock) -> TrainedHead:
    try:
        memory = check_memory(memory)
    except OSError as error:
        _warn_of_memory(f"its folder cannot be used: {error}")
        return train(job, clock)
    if getattr(memory, "location", "unknown") is None:
        return train(job, clock)
    start = time.perf_counter()
    try:
        key = job.key()
    except Exception as error:
        warnings.warn(
            f"memory keeps only networks and features that it can pickle and whose source it can "
            f"read, and these are none: {error}. They are computed each time; define classes and "
            "functions at the top level of a module.",
            UserWarning,
            stacklevel=3,
        )
        return train(job, clock)
    done: list[TrainedHead] = []
    try:
        train_keyed = memory.cache(_train_keyed, ignore=["job", "clock", "done"])
        trained = train_keyed(key, job, clock, done)
    except OSError as error:
        _warn_of_memory(f"its folder cannot be used: {error}")
        # What was trained before the folder failed is not lost.
        return done[0] if done else train(job, clock)
    finally:
        if done:
            _remove_half_written(train_keyed)
    if not isinstance(trained, TrainedHead):
        _warn_of_memory(f"a file of it holds a {type(trained).__name__} that is no result")
        return train(job, clock)
    in_stages = sum(seconds for _, seconds in clock.seconds)
    clock.add("memory", time.perf_counter() - start - in_stages)
    return trained


def _train_keyed(
    key: str, job: TrainingJob, clock: StageClock, done: list[TrainedHead]
) -> TrainedHead:
    """Train, and note what was; the key is all that the memory looks at."""
    done.append(train(job, clock))
    return done[0]


def _remove_half_written(train_keyed: Any) -> None:
    """Remove the files that this thread began to write to a joblib memory and did not end."""
    store = getattr(train_keyed, "store_backend", None)
    if store is None or not hasattr(train_keyed, "func_id"):
        return
    # joblib names them so, and renames what is whole.
    half_written = f"*/*.*.*-{os.getpid()}-{id(threading.current_thread())}"
    for path in (Path(store.location) / train_keyed.func_id).glob(half_written):
        path.unlink(missing_ok=True)


def _warn_of_memory(fault: str) -> None:
    warnings.warn(
        f"memory keeps nothing of this fit, as {fault}. Give another folder, or empty this one.",
        UserWarning,
        stacklevel=4,
    )
