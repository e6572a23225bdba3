"""From checked rows to what is matched: train networks, fit heads, compute influences; cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from joblib import Memory
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet

from .._types import Floats, Rows
from ..influence import (
    HeadFit,
    HeadInfluence,
    HeadObjective,
    NetworkGradients,
    NetworkInfluence,
    head_coordinates,
    head_influence,
    influences_of,
    refit_head,
    stack_influences,
    stacked_coordinates,
    warn_if_not_convex,
)
from ..networks import read_head, write_head
from ..utils import map_threads, serial_blas, warn_user
from .allocation import row_priorities
from .clock import StageClock
from .distribution import embed_distribution, embed_nonlinear_head
from .feature_maps import Table
from .job import TrainingJob
from .matched import Matched
from .memory import recalled, usable_memory
from .reference import ReferenceHead, aim_at_reference, fit_reference_head
from .trained_members import Member, fitted_members, on_training_rows, product_of
from .units import single_row_changes


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """The result of a `TrainingJob`.

    Attributes
    ----------
    networks : tuple of skorch net or None
        Each fitted network of the job; None for a frozen one, which the job already holds.
    matched : Matched
        What the kept rows are to match.
    row_changes : ndarray of shape (n_samples,)
        First-order change from dropping each row alone, in the unit of the norm.
    key : str or None
        A digest of the job, if a memory keeps this result.
    """

    networks: tuple[NeuralNet | None, ...]
    matched: Matched
    row_changes: Floats
    key: str | None = None


@dataclass(frozen=True)
class _Head:
    """A network's head: its objective on the training rows, and its fit on these or others."""

    objective: HeadObjective
    fit: HeadFit
    reference: ReferenceHead | None = None


def train_once(
    job: TrainingJob,
    memory: str | Memory | None,
    clock: StageClock,
    *,
    with_priorities: bool = True,
) -> Trained:
    """Fit the networks, refit their heads and compute influences, or load all that from a memory.

    Parameters
    ----------
    job : TrainingJob
        What to train.
    memory : str, object with the joblib.Memory interface or None
        Where results are cached; None caches nothing. If the memory cannot store or load a result,
        a warning says so and the job is trained.
    clock : StageClock
        Times the stages that are run, and the memory as a stage of its own.
    with_priorities : bool, default=True
        Whether to compute the priorities of rows now; they can be computed later as well.

    Warns
    -----
    UserWarning
        If the memory cannot be used.
    NonConvexLossWarning
        If the loss of a head is not convex.
    """
    store = usable_memory(memory)
    key = None if store is None else _key_of(job)
    if store is None or key is None:
        trained = train(job, clock, with_priorities)
    else:
        compute = partial(train, job, clock, with_priorities)
        trained, is_usable = recalled(store, key, compute, Trained, clock)
        trained = replace(trained, key=key if is_usable else None)
    # Outside the cached call, so that a cache hit warns as well.
    for influence in influences_of(trained.matched.influence):
        if isinstance(influence, HeadInfluence):
            warn_if_not_convex(influence.objective, influence.theta)
    return trained


def _key_of(job: TrainingJob) -> str | None:
    """Return the job's key; None, with a warning, if its networks or features have none."""
    try:
        return job.key()
    # Pickling a user's object may raise anything.
    except Exception as error:
        warn_user(
            "memory caches only networks and features that can be pickled and whose source can be "
            f"read: {error}. This fit is not cached; define classes and functions at the top "
            "level of a module.",
        )
        return None


def train(job: TrainingJob, clock: StageClock, with_priorities: bool = True) -> Trained:
    """Fit the networks, refit their heads and compute the influences."""
    with clock.stage("network", job.n_epochs):
        members = fitted_members(job.at_reference())
    heads: list[_Head | None] = [None] * len(members)
    if any(member.layers == "last" for member in members):
        with clock.stage("head"):
            heads = [
                _fit_head(job, member) if member.layers == "last" else None for member in members
            ]
    with clock.stage("influence", n_parts=None):
        parts = [
            _chosen_layers(job, member, clock) if head is None else _last_layer(job, head)
            for member, head in zip(members, heads, strict=True)
        ]
        matched = _stacked(parts, [member.unit for member in members])
        row_changes = single_row_changes(matched.influence)
    with clock.stage("distribution"), serial_blas():
        fitted_heads = [head for head in heads if head is not None]
        matched = _with_distribution(matched, job, fitted_heads, with_priorities)
    for part in parts:
        clock.say(
            f"{part.influence.curvature_name} curvature of {part.influence.shape[1]:,} "
            f"parameters, {part.coordinates.Z.shape[1]:,} coordinates"
        )
    given = (member.network for member in members if not member.is_extra)
    networks = tuple(
        None if isinstance(estimator, FrozenEstimator) else network
        for estimator, network in zip(job.estimators, given, strict=True)
    )
    return Trained(networks, matched, row_changes)


def _fit_head(job: TrainingJob, member: Member) -> _Head:
    """Fit the head on the training rows, or on the reference rows if there are any."""
    fitted_on = job.at_reference()
    damping = job.damping if member.damping is None else member.damping
    objective, theta = _read_objective(fitted_on, member, damping)
    reference = None
    if job.reference is None:
        head_fit = refit_head(objective, theta)
    else:
        reference = fit_reference_head(objective, theta, fitted_on.y, is_labels=job.is_labels)
        head_fit = reference.fit
    if member.is_linear:
        write_head(member.network, head_fit.theta)
    if reference is not None:
        damping = reference.objective.damping
        objective, _ = _read_objective(job, on_training_rows(member, job), damping)
    return _Head(objective, head_fit, reference)


def _read_objective(
    job: TrainingJob, member: Member, damping: float
) -> tuple[HeadObjective, Floats]:
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


def _last_layer(job: TrainingJob, head: _Head) -> Matched:
    reference = None if head.reference is None else head.reference.objective
    influence = head_influence(head.objective, head.fit.theta, job.norm, reference=reference)
    return Matched(
        job.y,
        job.is_labels,
        influence,
        head_coordinates(influence),
        head.fit.gradient_norm,
        head.fit.n_iter,
    )


def _chosen_layers(job: TrainingJob, member: Member, clock: StageClock) -> Matched:
    """Compute influences on a network as it was trained, without refitting any parameters."""
    gradients = NetworkGradients(
        member.network,
        member.X,
        member.y,
        layers=member.layers,
        sample_weight=job.sample_weight,
        verbose=clock.verbose,
    )
    influence = NetworkInfluence(gradients, job.damping, job.norm)
    return Matched(
        job.y, job.is_labels, influence, influence.coordinates, influence.gradient_norm, n_iter=0
    )


def _stacked(parts: Sequence[Matched], units: Sequence[float]) -> Matched:
    """Return what is matched for several networks together; that of a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    influence = stack_influences([part.influence for part in parts], units)
    return replace(
        parts[0],
        influence=influence,
        coordinates=stacked_coordinates(influence, [part.coordinates for part in parts]),
        gradient_norm=max(part.gradient_norm for part in parts),
        n_iter=max(part.n_iter for part in parts),
    )


def _with_distribution(
    matched: Matched, job: TrainingJob, heads: Sequence[_Head], with_priorities: bool
) -> Matched:
    """Return the same with the distribution that is matched beside the influences.

    With reference rows, it aims at their target distribution, and there are no priorities.
    """
    designs = _embedded(job, [head.objective.design for head in heads])
    references = [head.reference for head in heads if head.reference is not None]
    if references:
        at_reference = job.at_reference()
        others = _embedded(at_reference, [head.objective.design for head in references])
        aim = aim_at_reference(
            [head.objective for head in heads],
            references,
            list(zip(designs, others, strict=True)),
            job.y,
            at_reference.y,
            is_labels=job.is_labels,
        )
        return replace(matched, balance=aim.balance, aim=aim)
    if not designs:
        return matched
    weights = matched.influence.sample_weight
    table = Table(designs, weights)
    # The longest comes first, so that two threads finish at about the same time.
    parts: list[Callable[..., Any]] = [row_priorities, embed_nonlinear_head, embed_distribution]
    *priorities, nonlinear, distribution = map_threads(
        lambda part: part(table, job.y, weights, is_labels=job.is_labels),
        parts if with_priorities else parts[1:],
    )
    return replace(
        matched,
        balance=(distribution, nonlinear),
        table=table,
        priorities=priorities[0] if with_priorities else None,
    )


def _embedded(job: TrainingJob, designs: list[Floats]) -> list[Rows]:
    """Return the tables whose distribution is matched; none if there are no columns of numbers.

    These are the ``features`` alone if given, since no training changes them; else the inputs of
    the heads; and if no last layer is matched, the rows themselves, if they are an array.
    """
    if job.features is not None:
        return designs[-1:]
    if designs or not isinstance(job.X, np.ndarray):
        return designs
    return [job.X.reshape(len(job.X), -1)]
