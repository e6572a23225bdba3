"""What the selection solver is measured on: rows of real jobs, and Gaussian ones."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune.influence import HeadInfluence, HeadObjective, head_influence, refit_head
from sklearn_prune.networks import linear_network, read_head
from sklearn_prune.selection import SelectionProblem

from .data import Split, load

PRUNE_RATIO = 0.9
DAMPING = {"adult": 1e-4, "digits": 1e-3, "cifar10": 1e-3}
GAUSSIAN_ROWS, GAUSSIAN_COORDINATES = 50_000, (16, 64, 128)
JOBS = (*DAMPING, *(f"gaussian{k}" for k in GAUSSIAN_COORDINATES))


@dataclass(frozen=True)
class Job:
    """Rows Z of shape (n, k), an array or an operator, and the class of each; 90 % go.

    dense : the same rows as a float32 array, for those who need one.
    """

    name: str
    Z: Any
    labels: np.ndarray
    dense: np.ndarray

    @cached_property
    def problem(self) -> SelectionProblem:
        return self.problem_on(self.Z)

    def problem_on(self, Z: Any) -> SelectionProblem:
        n_drop = round(PRUNE_RATIO * len(self.labels))
        return SelectionProblem(Z, n_drop=n_drop, groups=self.labels, quota="proportional")

    @cached_property
    def unit(self) -> float:
        """Mean norm of a row."""
        return mean_row_norm(self.problem)

    def value(self, drop: np.ndarray) -> float:
        """``||Z^T w||`` in mean row norms, recomputed from the set in float64."""
        return self.problem.change(drop) / self.unit

    def random_set(self, seed: int) -> np.ndarray:
        """As many random rows of each class as the problem asks for."""
        rng = np.random.default_rng(seed)
        assert self.problem.n_drop is not None
        drop = np.zeros(len(self.labels), dtype=bool)
        for label, m in enumerate(self.problem.dropped_counts(self.problem.n_drop)):
            drop[rng.choice(np.flatnonzero(self.labels == label), int(m), replace=False)] = True
        return drop


def mean_row_norm(problem: SelectionProblem) -> float:
    coordinates = problem.coordinates
    return float(np.sqrt(coordinates.squared_norms).mean()) * coordinates.scale


def build(name: str, args: argparse.Namespace) -> Job:
    """One of `JOBS`; the influences of real jobs are those of the pruner's refitted head."""
    if name.startswith("gaussian"):
        n = min(args.subset or GAUSSIAN_ROWS, GAUSSIAN_ROWS)
        rng = np.random.default_rng(0)
        Z = rng.standard_normal((n, int(name.removeprefix("gaussian"))), dtype=np.float32)
        return Job(name, Z, np.zeros(n, dtype=np.int64), Z)
    split = load(name, args.data_dir).subset(args.subset)
    X, y = split.X_train, split.y_train.astype(np.int64)
    if name == "cifar10":
        network = embedding_head(split).estimator
    else:
        network = linear_network("binary" if name == "adult" else "multiclass", X, y)
    head = read_head(network, X, y)
    n_outputs = 1 if name == "adult" else int(y.max()) + 1
    objective = HeadObjective(
        head.design, head.targets, head.loss, DAMPING[name], None, n_outputs=n_outputs
    )
    influence = head_influence(objective, refit_head(objective, head.theta).theta, "loss")
    return Job(name, influence.Z, y, dense_rows(influence))


def dense_rows(influence: HeadInfluence, block: int = 2048) -> np.ndarray:
    Z = np.empty(influence.shape, dtype=np.float32)
    for start in range(0, len(Z), block):
        rows = np.arange(start, min(start + block, len(Z)))
        Z[rows] = influence.Z.rows(rows)
    return Z


def embedding_head(split: Split) -> FrozenEstimator:
    """A linear network on the embedding as it is; its weights are refitted from a fixed start."""
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        nn.Linear,
        module__in_features=split.X_train.shape[1],
        module__out_features=int(split.y_train.max()) + 1,
        criterion=nn.CrossEntropyLoss,
        classes=list(range(int(split.y_train.max()) + 1)),
        verbose=0,
    )
    return FrozenEstimator(net.initialize())
