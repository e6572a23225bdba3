"""Methods that solve `benchmarks.influence_jobs`: this package, by hand, and peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from sklearn_prune.influence import (
    DenseNetworkCurvature,
    HeadInfluence,
    HeadObjective,
    IterativeHessian,
    LayerCurvature,
    NetworkGradients,
)
from sklearn_prune.networks import read_head

from . import influence_peers as peers
from .influence_jobs import DAMPING, ByHand, Job, by_hand
from .influence_lissa import largest_eigenvalue, lissa

LISSA_DEPTH = 500


@dataclass(frozen=True)
class Method:
    """A way to the changes of a job; see `peers.Peer`."""

    solve: Callable[[Job], np.ndarray]
    matrix: str = "Gauss-Newton"
    on_rows: bool = False


def ours(job: Job) -> np.ndarray:
    if not job.last_layer_only:
        return network_changes(job, "dense")
    head = read_head(job.net, job.X, job.y)
    objective = HeadObjective(head.design, head.targets, head.loss, DAMPING, n_outputs=10)
    influence = HeadInfluence(objective.stationary_at(head.theta), head.theta)
    sums = influence.curvature.solve(influence.gradient_sum(job.groups.T))
    return sums.T / influence.weight_sum


def network_changes(job: Job, curvature: Any) -> np.ndarray:
    """Only the changes are asked for, so no coordinates of rows are made."""
    gradients = NetworkGradients(job.net, job.X, job.y, layers=job.layers)
    W = job.groups - job.groups.mean(axis=1, keepdims=True)
    sums = gradients.weighted_sum(torch.as_tensor(W.T))
    if curvature == "dense":
        solved = DenseNetworkCurvature(gradients, DAMPING).solve(sums)
    else:
        near = LayerCurvature(gradients, DAMPING)
        solved = IterativeHessian(partial(_damped_product, gradients), near.solve, 1e-8).solve(sums)
    return (solved.T / gradients.weight_sum).numpy()


def _damped_product(gradients: NetworkGradients, V: torch.Tensor) -> torch.Tensor:
    return gradients.gauss_newton_product(V) + DAMPING * V


def by_lissa(job: Job) -> np.ndarray:
    net, n = ByHand(job), len(job.X)
    depth = min(LISSA_DEPTH, n)
    few = np.arange(min(n, 5_000))
    # Batches may have a larger eigenvalue than all rows together.
    scale = 2 * largest_eigenvalue(partial(_on, net, few), len(net.theta), n) + DAMPING
    solution = lissa(net.product, net.group_sums(), n, damping=DAMPING, scale=scale, depth=depth)
    return (solution / n).T.numpy()


def _on(net: ByHand, few: np.ndarray, rows: np.ndarray, V: torch.Tensor) -> torch.Tensor:
    return net.product(few, V)


def methods(job: Job) -> dict[str, Method]:
    by_name = {"ours": Method(ours)}
    if not job.last_layer_only:
        by_name["ours, CG"] = Method(partial(network_changes, curvature="kronecker"))
    by_name |= {"torch.func by hand": Method(by_hand), "LiSSA": Method(by_lissa)}
    for peer in peers.installed():
        by_name[peer.name] = Method(peer.solve, peer.matrix, peer.on_rows)
    return by_name
