"""A pruner and its checks, fitted once for the folder."""

from __future__ import annotations

import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from sklearn_prune import InfluencePruner
from sklearn_prune.inspection import retraining_check

DAMPING = 1e-2


@pytest.fixture(autouse=True)
def _figures():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def cancer():
    return train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)


@pytest.fixture(scope="session")
def cancer_pruner(cancer):
    X, _, y, _ = cancer
    return InfluencePruner(prune_ratio=0.8, damping=DAMPING, random_state=0).fit(X, y)


@pytest.fixture(scope="session")
def cancer_checks(cancer, cancer_pruner):
    X, X_test, y, y_test = cancer
    supports = [cancer_pruner.select(prune_ratio=ratio) for ratio in (0.4, 0.6, 0.8)]
    return [
        retraining_check(cancer_pruner, X, y, X_test=X_test, y_test=y_test, support=support)
        for support in supports
    ]
