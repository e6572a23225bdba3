"""Matching the scikit-learn model that is trained on the rows kept, end to end."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from skorch import NeuralNetClassifier

from sklearn_prune import InfluencePruner, PrunedClassifier
from sklearn_prune.baselines import KMeansPruner
from sklearn_prune.influence import limits
from sklearn_prune.inspection import retraining_check

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
WEIGHT = np.random.default_rng(0).uniform(0.5, 30, len(Y))
OPTIONS = {"prune_ratio": 0.7, "random_state": 0, "time_limit": 10}
EXACT = {"solver": "newton-cholesky", "tol": 1e-12}


def fitted(estimator, rows=X, y=Y, *, fit_params=None, **options):
    return InfluencePruner(estimator, **(OPTIONS | options)).fit(rows, y, **(fit_params or {}))


def logits(pruner, rows=X):
    return pruner.estimator_.forward(rows).numpy()


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_the_head_is_the_fitted_model(weight):
    model = LogisticRegression(C=0.3, class_weight="balanced", **EXACT)
    pruner = fitted(model, fit_params={"sample_weight": weight})
    model.fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(logits(pruner), model.decision_function(X), rtol=1e-5, atol=1e-5)


def test_the_certificate_speaks_of_the_model_with_the_same_penalty_for_each_row():
    pruner = fitted(LogisticRegression(C=0.3, **EXACT))
    kept = pruner.get_support()
    on_all = LogisticRegression(C=0.3, **EXACT).fit(X, Y)
    on_kept = LogisticRegression(C=0.3 / kept.mean(), **EXACT).fit(X[kept], Y[kept])
    # ½ Δθᵀ H Δθ, with Δθ seen through the outputs.
    step = on_kept.decision_function(X) - on_all.decision_function(X)
    curvature = np.prod(on_all.predict_proba(X), axis=1)
    penalty = np.sum((on_kept.coef_ - on_all.coef_) ** 2) / (0.3 * len(X))
    change = (np.mean(curvature * step**2) + penalty) / 2
    assert pruner.certificate_.actual_change == pytest.approx(change, rel=1e-4)


def test_the_retraining_check_takes_a_model():
    pruner = fitted(make_pipeline(StandardScaler(), LogisticRegression()))
    check = retraining_check(pruner, X, Y, X_test=X[::2], y_test=Y[::2])
    assert check.test_gap.is_within_proven_bound
    assert check.loss_change.observed == pytest.approx(pruner.certificate_.actual_change)


def test_a_matched_regression_is_the_fitted_one():
    rows, y = load_diabetes(return_X_y=True)
    pruner = fitted(Ridge(alpha=0.1), rows, y, fit_params={"sample_weight": WEIGHT[: len(y)]})
    model = Ridge(alpha=0.1).fit(rows, y, sample_weight=WEIGHT[: len(y)])
    np.testing.assert_allclose(logits(pruner, rows).ravel(), model.predict(rows), rtol=1e-5)


def test_more_columns_than_rows_can_be_matched(monkeypatch):
    monkeypatch.setattr(limits, "DENSE_PARAMS", 100)
    rng = np.random.default_rng(0)
    rows, y = rng.standard_normal((60, 200)), np.arange(60) % 2
    model = LogisticRegression(C=1e-3, **(EXACT | {"solver": "lbfgs"}))
    pruner = fitted(model, rows, y)
    assert pruner.certificate_.curvature == "kronecker"
    expected = model.fit(rows, y).decision_function(rows)
    np.testing.assert_allclose(logits(pruner, rows), expected, atol=1e-4)


def test_both_places_take_the_model_and_a_grid_its_penalty():
    rows, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000)
    pruned = PrunedClassifier(model, InfluencePruner(model, **OPTIONS))
    grid = {"pruner__estimator__C": [0.01, 1.0], "estimator__C": [1.0]}
    search = GridSearchCV(pruned, grid, cv=2).fit(rows, y)
    assert search.best_score_ > 0.8
    first, second = (
        clone(pruned).set_params(pruner__estimator__C=C).fit(rows, y).pruner_ for C in (0.01, 1.0)
    )
    assert first.influence_.objective.damping == pytest.approx(100 / len(y))
    assert second.influence_.objective.damping == pytest.approx(1 / len(y))


def test_the_memory_tells_penalties_apart_and_ignores_earlier_fits(tmp_path):
    def stages(model, **params):
        pruner = fitted(model, X[:150, :5], Y[:150], memory=str(tmp_path), **params)
        return dict(pruner.certificate_.seconds)

    model = LogisticRegression(C=0.3)
    assert "head" in stages(model)
    # No network is trained, so that no seed matters to it.
    assert "head" not in stages(LogisticRegression(C=0.3).fit(X, Y), random_state=None)
    assert "head" in stages(LogisticRegression(C=0.4))
    assert "head" in stages(model, fit_params={"sample_weight": np.full(150, 2.0)})
    assert "head" in stages(model, fit_params={"sample_weight": np.full(150, 3.0)})


def test_reference_rows_are_what_the_model_is_fitted_on():
    model = LogisticRegression(C=10, class_weight="balanced", **EXACT)
    reference = {"X_ref": X[:200], "y_ref": Y[:200]}
    pruner = fitted(model, X[200:], Y[200:], fit_params=reference)
    damping = pruner.certificate_.reference_damping
    expected = clone(model).set_params(C=1 / (damping * 200)).fit(X[:200], Y[:200])
    np.testing.assert_allclose(logits(pruner), expected.decision_function(X), atol=1e-3)
    assert round(np.log10(damping * 200 * 10), 6) in range(5)


def test_a_model_stands_beside_a_network():
    net = NeuralNetClassifier(
        torch.nn.Linear(5, 2), criterion=torch.nn.CrossEntropyLoss, max_epochs=1, verbose=0
    )
    rows, y = X[:150, :5].astype(np.float32), Y[:150]
    pruner = fitted([net, LogisticRegression(C=0.3)], rows, y, damping=0.1)
    network, model = pruner.influence_.influences
    assert network.objective.damping == 0.1
    assert model.objective.damping == pytest.approx(1 / (0.3 * len(y)))
    with pytest.raises(ValueError, match="the criterion of network 1 has different class weights"):
        fitted([net, LogisticRegression(class_weight="balanced")], rows, y)


def test_a_damping_beside_a_models_own_penalty_is_refused():
    with pytest.raises(ValueError, match="damping=0.1 acts on networks.*set its C or alpha"):
        fitted(LogisticRegression(), damping=0.1)


@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(), Lasso(), LogisticRegressionCV(), PCA(), "linear", 1],
)
def test_other_estimators_are_refused_with_the_list_of_those_supported(estimator):
    message = r"must be a skorch network .*None.*LogisticRegression, Ridge, LinearRegression, SGD"
    with pytest.raises(ValueError, match=message):
        fitted(estimator)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(l1_ratio=0.5, solver="saga"), "l1_ratio is 0.5 .*use a squared one"),
        (LogisticRegression(solver="liblinear"), "3 classes cannot .*use the default solver"),
        (LinearSVC(), "loss='squared_hinge' cannot .*margin; use LogisticRegression"),
        (SGDClassifier(), "loss='hinge' cannot .*use loss='log_loss'"),
        (SGDClassifier(loss="log_loss"), "3 classes cannot .*use LogisticRegression"),
        (SGDClassifier(loss="log_loss", penalty="l1"), "l1_ratio is 1 .*use a squared one"),
        (Ridge(positive=True), "positive=True .*use positive=False"),
        (LinearRegression(positive=True), "positive=True .*use positive=False"),
        (Ridge(alpha=[1.0, 2.0]), "alpha=.*use one number"),
        (make_pipeline(PCA(), LogisticRegression()), r"step PCA\(\) does more .*before the pruner"),
        (make_pipeline(MinMaxScaler(clip=True), LogisticRegression()), "does more than to shift"),
        (FrozenEstimator(LogisticRegression()), "give it without FrozenEstimator"),
    ],
)
def test_what_cannot_be_matched_of_a_model_says_what_to_do(model, message):
    rows, y = load_iris(return_X_y=True)
    y = y.astype(float) + 0.5 if "Regression" not in str(model) and str(model)[0] == "R" else y
    with pytest.raises(ValueError, match=message):
        fitted(model, rows, y)


def test_a_model_has_one_layer_and_takes_one_table():
    with pytest.raises(ValueError, match=r"estimator=LogisticRegression\(\) has only one"):
        fitted(LogisticRegression(), layers="all")
    with pytest.raises(ValueError, match="takes the columns of one table, and X is a dict"):
        fitted(LogisticRegression(), {"x": X})
    with pytest.raises(ValueError, match="dim 3"):
        fitted(LogisticRegression(), X[:, None])


def test_a_baseline_that_needs_a_network_refuses_a_model():
    with pytest.raises(ValueError, match="must be a skorch network"):
        KMeansPruner(LogisticRegression()).fit(X, Y)


def test_scalers_keep_quiet_about_column_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(make_pipeline(StandardScaler(), LogisticRegression()), frame)
