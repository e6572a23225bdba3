"""How well three forecasts predict retraining without random groups of rows.

For each data set and share of rows, random groups are dropped and the change of the head,
``1/2 D^T H D`` with H on all rows, is forecast

- to first order: the Hessian of all rows and the size factor, what the selection makes small;
- with the kept rows' Hessian: one Newton step on the kept rows;
- with two Newton steps on the kept rows;

and compared with the head that is really refitted on the kept rows, from zero. Reported are the
median relative error and Pearson's correlation over the groups.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_prune.influence import HeadInfluence, HeadObjective, refit_head
from sklearn_prune.losses import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError

from ._common import Figure

SHARES = (0.01, 0.1, 0.4)
N_GROUPS = 50
DAMPING = 1e-3
FORECASTS = ("first_order", "kept_hessian", "two_steps")


def objectives() -> dict[str, HeadObjective]:
    """Softmax, logistic and squared-error heads on scaled columns with an intercept."""

    def design(X: np.ndarray) -> np.ndarray:
        return np.c_[StandardScaler().fit_transform(X), np.ones(len(X))]

    X, y = load_digits(return_X_y=True)
    digits = HeadObjective(design(X), y, SoftmaxCrossEntropy(), DAMPING)
    X, y = load_breast_cancer(return_X_y=True)
    cancer = HeadObjective(design(X), y[:, None].astype(float), BinaryCrossEntropy(), DAMPING)
    X, y = load_diabetes(return_X_y=True)
    scaled = StandardScaler().fit_transform(y[:, None])
    diabetes = HeadObjective(design(X), scaled, SquaredError(), DAMPING)
    return {"digits": digits, "breast_cancer": cancer, "diabetes": diabetes}


def newton(objective: HeadObjective, theta: np.ndarray) -> np.ndarray:
    """Return ``-H^-1 gradient``, both of this objective at `theta`, of theta's shape."""
    step = np.linalg.solve(objective.hessian(theta), objective.gradient(theta).ravel())
    return -step.reshape(theta.shape)


def changes(influence: HeadInfluence, drop: np.ndarray) -> dict[str, float]:
    """The change that each forecast predicts for dropping these rows, and the observed one."""
    theta, kept = influence.theta, influence.objective.subset(~drop)
    one_step = newton(kept, theta)
    moves = {
        "first_order": influence.first_order_step(drop),
        "kept_hessian": one_step,
        "two_steps": one_step + newton(kept, theta + one_step),
        "observed": refit_head(kept).theta - theta,
    }
    return {name: influence.measure(move.ravel()) for name, move in moves.items()}


def figures(args: argparse.Namespace) -> Iterator[Figure]:
    n_groups = min(N_GROUPS, args.subset) if args.subset else N_GROUPS
    for name, objective in objectives().items():
        influence = HeadInfluence(objective, refit_head(objective).theta)
        for share in SHARES:
            rng = np.random.default_rng(0)
            n_drop = max(1, round(share * objective.n_samples))
            groups = []
            for _ in range(n_groups):
                drop = np.zeros(objective.n_samples, dtype=bool)
                drop[rng.choice(objective.n_samples, n_drop, replace=False)] = True
                groups.append(changes(influence, drop))
            observed = np.array([group["observed"] for group in groups])
            for forecast in FORECASTS:
                predicted = np.array([group[forecast] for group in groups])
                error = float(np.median(np.abs(predicted - observed) / observed))
                correlation = float(np.corrcoef(predicted, observed)[0, 1])
                yield Figure(name, forecast, share, 0, "median_relative_error", error)
                yield Figure(name, forecast, share, 0, "correlation", correlation)
