"""Heads on small data, and their objective written once more in torch."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch.nn import functional

from sklearn_prune.influence import (
    BinaryCrossEntropy,
    HeadObjective,
    SoftmaxCrossEntropy,
    SquaredError,
    linear_network,
    read_head,
)

LOSSES = {
    "softmax": SoftmaxCrossEntropy(),
    "one logit": BinaryCrossEntropy(),
    "three logits": BinaryCrossEntropy(),
    "one target": SquaredError(),
    "three targets": SquaredError(),
}
N_OUTPUTS = {
    "softmax": 4,
    "one logit": 1,
    "three logits": 3,
    "one target": 1,
    "three targets": 3,
}


def random_objective(name, *, n=40, d=5, weighted=False, damping=0.05, seed=0):
    """Return an objective on random rows, and a random theta."""
    rng = np.random.default_rng(seed)
    n_outputs = N_OUTPUTS[name]
    design = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    if name == "softmax":
        targets = rng.integers(n_outputs, size=n)
    elif "logit" in name:
        targets = rng.integers(2, size=(n, n_outputs)).astype(float)
    else:
        targets = rng.standard_normal((n, n_outputs))
    sample_weight = rng.uniform(0.2, 3, n) if weighted else None
    objective = HeadObjective(
        design, targets, LOSSES[name], damping, sample_weight, n_outputs=n_outputs
    )
    return objective, rng.standard_normal(objective.shape)


def torch_loss(name, logits, target):
    """Return the criterion's own value for one sample."""
    if name == "softmax":
        return functional.cross_entropy(logits, target)
    if "logit" in name:
        return functional.binary_cross_entropy_with_logits(logits, target)
    return functional.mse_loss(logits, target)


def torch_objective(name, objective):
    """Return the objective as a function of the parameter vector, for torch.func."""
    design = torch.as_tensor(objective.design)
    targets = torch.as_tensor(objective.targets)
    weights = torch.as_tensor(objective.sample_weight)

    def value(theta):
        logits = design @ theta.reshape(objective.shape).T
        losses = torch.func.vmap(lambda f, y: torch_loss(name, f, y))(logits, targets)
        penalty = objective.damping / 2 * (theta**2).sum()
        return (weights * losses).sum() / weights.sum() + penalty

    return value


DATASETS = {
    "digits": ("multiclass", load_digits),
    "breast cancer": ("binary", load_breast_cancer),
    "diabetes": ("regression", load_diabetes),
}


def dataset_objective(name, damping=1e-3):
    """Return the objective of the default linear network on bundled data."""
    kind, load = DATASETS[name]
    X, y = load(return_X_y=True)
    head = read_head(linear_network(kind, X, y), X, y)
    return HeadObjective(head.design, head.targets, head.loss, damping)
