"""Penalties for a share of the rows, against an exact case: all rows are two copies of the kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    HuberRegressor,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from sklearn_prune import InfluencePruner, PrunedClassifier, PrunedRegressor
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.model_selection import PrunedSearchCV, PruneRatioSearchCV

MLP = {"solver": "lbfgs", "hidden_layer_sizes": (3,), "random_state": 0, "max_iter": 3000}
# Leaves of boosting count rows, which a copy doubles; here they never bind.
BOOSTING = {"min_samples_leaf": 1, "max_iter": 5, "max_leaf_nodes": 4, "l2_regularization": 5.0}


class FirstHalf(BasePruner):
    """Keeps the first half of the rows."""

    def _select_rows(self, X: Any, y: Any) -> Any:
        return np.arange(X.shape[0]) < X.shape[0] // 2


def twice() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(60, 4, flip_y=0.2, random_state=0)
    return np.r_[X, X], np.r_[y, y]


def outputs(model: Any, X: np.ndarray) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)
    return (model.decision_function if is_classifier(model) else model.predict)(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(C=0.05, tol=1e-8),
        LinearSVC(C=0.05, tol=1e-8, max_iter=100_000, random_state=0),
        SVC(C=0.5, kernel="linear", tol=1e-8),
        LinearSVR(C=0.5, loss="squared_epsilon_insensitive", dual=False, tol=1e-10),
        SVR(C=0.5, kernel="linear", tol=1e-8),
        Ridge(alpha=30.0),
        Ridge(alpha=np.array([30.0])),
        RidgeClassifier(alpha=30),
        KernelRidge(alpha=5.0),
        HuberRegressor(alpha=30.0, tol=1e-8, max_iter=1000),
        HistGradientBoostingClassifier(**BOOSTING),
        HistGradientBoostingRegressor(**BOOSTING),
        MLPClassifier(alpha=5.0, tol=1e-9, **MLP),
        MLPRegressor(alpha=5.0, tol=1e-9, **MLP),
        make_pipeline(StandardScaler(), SVC(C=0.5, kernel="linear", tol=1e-8)),
        TransformedTargetRegressor(Ridge(alpha=30.0), transformer=StandardScaler()),
        Lasso(alpha=0.05),
        PoissonRegressor(alpha=1.0, tol=1e-8),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_of_half_of_two_copies_is_the_model_of_both(model):
    X, y = twice()
    search = PrunedSearchCV(GridSearchCV(model, {}, cv=2), FirstHalf(), refit="kept").fit(X, y)
    expected = outputs(clone(model).fit(X, y), X)
    np.testing.assert_allclose(outputs(search.best_estimator_, X), expected, atol=1e-4)


def test_without_rescaling_it_is_another():
    X, y = twice()
    model = LogisticRegression(C=0.05)
    grid = GridSearchCV(model, {}, cv=2)
    search = PrunedSearchCV(grid, FirstHalf(), refit="kept", rescale=None).fit(X, y)
    expected = outputs(model.fit(X, y), X)
    assert np.abs(outputs(search.best_estimator_, X) - expected).max() > 0.01


@pytest.mark.parametrize("model", [MLPClassifier(), MLPRegressor(solver="sgd")])
def test_a_penalty_against_a_batch_stays(model):
    X, y = twice()
    model.set_params(max_iter=1)
    with pytest.warns(match="Maximum iterations"):
        search = PrunedSearchCV(
            GridSearchCV(model, {"alpha": [0.1]}, cv=2), FirstHalf(), refit="kept"
        ).fit(X, y)
    assert search.best_estimator_.alpha == 0.1


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (SVC(C=0.5), "C"),
        (SVR(C=0.5, kernel="poly"), "C"),
        (KernelRidge(alpha=0.5, kernel="rbf"), "alpha"),
    ],
)
def test_the_penalty_of_a_kernel_machine_stays(model, value):
    grid = GridSearchCV(model, {"kernel": [model.kernel]}, cv=2)
    search = PrunedSearchCV(grid, FirstHalf(), refit="kept").fit(*twice())
    assert search.best_estimator_.get_params()[value] == 0.5


@pytest.mark.parametrize(
    ("pruned", "model"),
    [
        (PrunedClassifier, make_pipeline(StandardScaler(), LogisticRegression(C=0.05, tol=1e-8))),
        (PrunedClassifier, SVC(C=0.5, kernel="linear", tol=1e-8)),
        (PrunedRegressor, Ridge(alpha=30.0)),
    ],
)
def test_a_pruned_estimator_of_half_of_two_copies_is_the_model_of_both(pruned, model):
    X, y = twice()
    fitted = pruned(model, FirstHalf(), rescale="auto").fit(X, y)
    np.testing.assert_allclose(outputs(fitted, X), outputs(clone(model).fit(X, y), X), atol=1e-4)
    as_given = outputs(pruned(model, FirstHalf()).fit(X, y), X)
    np.testing.assert_array_equal(as_given, outputs(clone(model).fit(X[:60], y[:60]), X))


def test_a_search_for_the_ratio_rescales_by_each_ratio_and_the_refit_by_the_best():
    X, y = make_classification(400, 4, random_state=0)
    shares = []

    def noted(value: float, share: float) -> float:
        shares.append(share)
        return value / share

    search = PruneRatioSearchCV(
        LogisticRegression(C=0.2),
        RandomPruner(random_state=0),
        ratios=[0.25, 0.5],
        tolerance=1.0,
        cv=2,
        rescale={"C": noted},
    ).fit(X, y)
    assert shares == [1.0, 0.75, 0.5] * 2 + [0.5]
    assert search.estimator_.C == 0.4


def test_rows_that_match_a_model_give_it_anew_if_its_penalty_is_rescaled():
    X, y = make_classification(2000, 5, flip_y=0.1, random_state=0)
    model = LogisticRegression(C=0.003)
    of_all = clone(model).fit(X, y).coef_
    pruner = InfluencePruner(model, prune_ratio=0.9, distribution_weight=0, random_state=0)
    distance = [
        np.linalg.norm(
            PrunedClassifier(model, pruner, rescale=rescale).fit(X, y).estimator_.coef_ - of_all
        )
        for rescale in ("auto", None)
    ]
    assert distance[0] < 0.05 * distance[1]


@pytest.mark.parametrize("pruned", [PrunedClassifier, PruneRatioSearchCV])
def test_a_rule_for_no_parameter_is_refused_before_anything_is_pruned(pruned):
    X, y = twice()
    with pytest.raises(ValueError, match="'svc__C', which is no parameter of SVC"):
        pruned(SVC(), rescale={"svc__C": "inverse"}).fit(X, y)
