"""Heads on small data, and their objective written once more in torch."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import nn

from sklearn_prune.influence import HeadObjective
from sklearn_prune.losses import (
    BinaryCrossEntropy,
    Huber,
    Poisson,
    SoftmaxCrossEntropy,
    SquaredError,
    TorchLoss,
)
from sklearn_prune.networks import linear_network, read_head

CLASS_WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
POS_WEIGHT = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)


class SquaredMargin(nn.Module):
    """Mean over rows of ``sum_k max(0, 3 + f_k - f_y)^2``: curved where a margin is violated."""

    def forward(self, outputs, target):
        chosen = outputs.gather(1, target[:, None])
        return (3 + outputs - chosen).clamp(min=0).square().sum(dim=1).mean()


# Each loss with the criterion of torch that it stands for, and the outputs and targets it takes.
CRITERIA = {
    "softmax": (nn.CrossEntropyLoss(), 4, "codes"),
    "smoothed softmax": (nn.CrossEntropyLoss(label_smoothing=0.2), 4, "codes"),
    "weighted smoothed softmax": (
        nn.CrossEntropyLoss(CLASS_WEIGHT, label_smoothing=0.2),
        4,
        "codes",
    ),
    "one logit": (nn.BCEWithLogitsLoss(), 1, "binary"),
    "three logits": (nn.BCEWithLogitsLoss(), 3, "binary"),
    "weighted logits": (
        nn.BCEWithLogitsLoss(weight=POS_WEIGHT.flip(0), pos_weight=POS_WEIGHT, reduction="sum"),
        3,
        "binary",
    ),
    "one target": (nn.MSELoss(), 1, "real"),
    "three targets": (nn.MSELoss(), 3, "real"),
    "summed targets": (nn.MSELoss(reduction="sum"), 3, "real"),
    "huber": (nn.HuberLoss(delta=0.7), 3, "real"),
    "smooth absolute": (nn.SmoothL1Loss(beta=0.6), 1, "real"),
    "poisson": (nn.PoissonNLLLoss(), 1, "counts"),
    "full poisson": (nn.PoissonNLLLoss(full=True), 3, "counts"),
    "torch softmax": (nn.CrossEntropyLoss(label_smoothing=0.1), 3, "codes"),
    "torch margin": (SquaredMargin(), 3, "codes"),
}
LOSSES = {
    "softmax": SoftmaxCrossEntropy(),
    "smoothed softmax": SoftmaxCrossEntropy(0.2),
    "weighted smoothed softmax": SoftmaxCrossEntropy(0.2, tuple(CLASS_WEIGHT.tolist())),
    "one logit": BinaryCrossEntropy(),
    "three logits": BinaryCrossEntropy(),
    "weighted logits": BinaryCrossEntropy(
        "sum", tuple(POS_WEIGHT.tolist()), tuple(POS_WEIGHT.flip(0).tolist())
    ),
    "one target": SquaredError(),
    "three targets": SquaredError(),
    "summed targets": SquaredError("sum"),
    "huber": Huber(delta=0.7),
    "smooth absolute": Huber(delta=0.6, scale=1 / 0.6),
    "poisson": Poisson(),
    "full poisson": Poisson(full=True),
    "torch softmax": TorchLoss(CRITERIA["torch softmax"][0]),
    "torch margin": TorchLoss(CRITERIA["torch margin"][0]),
}
N_OUTPUTS = {name: n_outputs for name, (_, n_outputs, _) in CRITERIA.items()}


def random_targets(kind, n, n_outputs, rng):
    """Return targets that a criterion takes."""
    if kind == "codes":
        return rng.integers(n_outputs, size=n)
    if kind == "binary":
        return rng.integers(2, size=(n, n_outputs)).astype(float)
    if kind == "counts":
        return rng.poisson(2.0, size=(n, n_outputs)).astype(float)
    return rng.standard_normal((n, n_outputs))


def random_objective(name, *, n=40, d=5, weighted=False, damping=0.05, seed=0):
    """Return an objective on random rows, and a random theta."""
    rng = np.random.default_rng(seed)
    _, n_outputs, kind = CRITERIA[name]
    design = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    targets = random_targets(kind, n, n_outputs, rng)
    sample_weight = rng.uniform(0.2, 3, n) if weighted else None
    objective = HeadObjective(
        design, targets, LOSSES[name], damping, sample_weight, n_outputs=n_outputs
    )
    return objective, rng.standard_normal(objective.shape)


def dense_coordinates(objective, theta, norm):
    """Return Z, by loops over the formula."""
    residual = objective.sample_weight[:, None] * objective.residual(theta)
    gradients = np.array(
        [np.outer(r, a).ravel() for r, a in zip(residual, objective.design, strict=True)]
    )
    mean = gradients.sum(axis=0) / objective.weight_sum
    gradients -= objective.sample_weight[:, None] * mean
    H = objective.hessian(theta)
    factor = np.linalg.cholesky(H) if norm == "loss" else H
    return np.linalg.solve(factor, gradients.T).T / objective.weight_sum


def dense_kronecker(objective, theta):
    """Return ``mean C (x) mean a a^T + damping I``, by loops over the rows."""
    n_outputs = objective.n_outputs
    weights = objective.sample_weight / objective.weight_sum
    hessians = objective.output_hessians(theta)
    S = np.array(
        [[weights @ hessians.entry(j, k) for k in range(n_outputs)] for j in range(n_outputs)]
    )
    A = sum(w * np.outer(a, a) for w, a in zip(weights, objective.design, strict=True))
    return np.kron(S, A) + objective.damping * np.eye(objective.n_params)


def torch_loss(name, outputs, target):
    """Return the criterion's own value for one sample.

    A mean over one row divides its class weight away.
    """
    return CRITERIA[name][0](outputs[None], target[None])


def torch_objective(name, objective):
    """Return the objective as a function of the parameter vector, for torch.func."""
    design = torch.as_tensor(objective.design)
    targets = torch.as_tensor(objective.targets)
    weights = torch.as_tensor(objective.sample_weight)

    def value(theta):
        outputs = design @ theta.reshape(objective.shape).T
        # vmap refuses the value of a weighted and smoothed cross-entropy.
        rows = zip(outputs, targets, strict=True)
        losses = torch.stack([torch_loss(name, f, y) for f, y in rows])
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


def matrices(hessians, n_outputs):
    """Return output Hessians as an array of shape (n, n_outputs, n_outputs)."""
    entries = [[hessians.entry(j, k) for k in range(n_outputs)] for j in range(n_outputs)]
    return np.moveaxis(np.array(entries), 2, 0)
