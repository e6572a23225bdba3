"""The downstream models, trained from scratch on kept rows and tuned on training rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from .data import Split

# Of the network whose training dynamics are recorded, and of the downstream MLP.
N_EPOCHS = 30
DAMPINGS = (1e-5, 1e-4, 1e-3, 1e-2)
# Training rows used for tuning.
TUNING_ROWS = 5_000
# Of the kernel SVM: rows for tuning, for the median distance, and at most for training.
KERNEL_TUNING_ROWS = 2_500
MEDIAN_ROWS = 1_000
KERNEL_ROWS = 10_000
KERNEL_PENALTIES = (1.0, 10.0)


@dataclass(frozen=True)
class Tuned:
    """Hyperparameters of a data set, chosen on training rows only.

    gamma, kernel_penalty : of the kernel SVM, where a benchmark trains one.
    """

    damping: float
    penalty: float
    n_neighbors: int
    gamma: float = 1.0
    kernel_penalty: float = 1.0


def tune(split: Split) -> Tuned:
    """Choose the hyperparameters that every pruner and model gets, by cross-validation."""
    part = split.subset(TUNING_ROWS)
    X, y = part.X_train, part.y_train
    cls = LinearSVC if split.is_classification else LinearSVR
    svm = GridSearchCV(cls(random_state=0, max_iter=2000), {"C": [0.01, 0.1, 1.0]}, cv=3)
    near = KNeighborsClassifier() if split.is_classification else KNeighborsRegressor()
    near = GridSearchCV(near, {"n_neighbors": [1, 5, 15]}, cv=3)
    gamma = median_gamma(split)
    return Tuned(
        tune_damping(split),
        svm.fit(X, y).best_params_["C"],
        near.fit(X, y).best_params_["n_neighbors"],
        gamma,
        tune_kernel_penalty(split, gamma),
    )


def median_gamma(split: Split) -> float:
    """Return 1 / (median squared distance between training rows)."""
    rows = split.subset(MEDIAN_ROWS).X_train
    return float(1 / np.median(pdist(rows, "sqeuclidean")))


def tune_kernel_penalty(split: Split, gamma: float) -> float:
    """Choose the penalty of the kernel SVM by cross-validation on training rows."""
    part = split.subset(KERNEL_TUNING_ROWS)

    def score(penalty: float) -> float:
        model = kernel_svm(split, gamma, penalty)
        return float(cross_val_score(model, part.X_train, part.y_train, cv=3).mean())

    return max(KERNEL_PENALTIES, key=score)


def tune_damping(split: Split) -> float:
    """Choose the damping of the head by cross-validation on training rows."""
    part = split.subset(TUNING_ROWS)
    n_rows = int(len(part.y_train) * 2 / 3)

    def score(damping: float) -> float:
        model = head(split, damping, n_rows)
        return float(cross_val_score(model, part.X_train, part.y_train, cv=3).mean())

    return max(DAMPINGS, key=score)


def head(split: Split, damping: float, n_rows: int) -> BaseEstimator:
    """Return the linear model that the pruner matches, with the same damping of the mean loss."""
    if split.is_classification:
        return LogisticRegression(C=1 / (n_rows * damping), tol=1e-5, max_iter=2000)
    return Ridge(alpha=n_rows * damping / 2)


def kernel_svm(split: Split, gamma: float, penalty: float) -> BaseEstimator:
    """Return the RBF SVM; it standardises regression targets, since its margin is absolute."""
    # In MB; holds the whole kernel matrix.
    options = {"gamma": gamma, "C": penalty, "cache_size": 500}
    if split.is_classification:
        return SVC(**options)
    return TransformedTargetRegressor(SVR(**options), transformer=StandardScaler())


def model_of(name: str, split: Split, tuned: Tuned, n_rows: int, seed: int) -> BaseEstimator:
    """Return the downstream model for so many training rows."""
    classes = split.is_classification
    if name == "head":
        return head(split, tuned.damping, n_rows)
    if name == "svm":
        cls = LinearSVC if classes else LinearSVR
        return cls(C=tuned.penalty, random_state=seed, max_iter=2000)
    if name == "boosting":
        return (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
            min_samples_leaf=max(1, min(20, n_rows // 20)), random_state=seed
        )
    if name == "neighbours":
        cls = KNeighborsClassifier if classes else KNeighborsRegressor
        return cls(min(tuned.n_neighbors, n_rows))
    if name == "forest":
        cls = RandomForestClassifier if classes else RandomForestRegressor
        return cls(n_estimators=100, n_jobs=1, random_state=seed)
    if name == "kernel-svm":
        return kernel_svm(split, tuned.gamma, tuned.kernel_penalty)
    n_epochs = N_EPOCHS
    if name == "mlp-steps":
        n_epochs = round(N_EPOCHS * len(split.y_train) / n_rows)
    return (MLPClassifier if classes else MLPRegressor)(
        hidden_layer_sizes=(64,),
        batch_size=min(128, n_rows),
        max_iter=n_epochs,
        n_iter_no_change=n_epochs + 1,
        random_state=seed,
    )


def score_of(name: str, split: Split, tuned: Tuned, rows: np.ndarray, seed: int) -> float:
    """Train the downstream model on these rows from scratch; return its test score."""
    model = model_of(name, split, tuned, len(rows), seed)
    part = replace(split, X_train=split.X_train[rows], y_train=split.y_train[rows])
    if name == "kernel-svm":
        part = part.subset(KERNEL_ROWS, seed)
    fit(model, part.X_train, part.y_train)
    return float(model.score(split.X_test, split.y_test))


def fit(model: Any, X: np.ndarray, y: np.ndarray, **weights: np.ndarray) -> Any:
    """Fit a model; ignore convergence warnings, since some train for a fixed time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **weights)
