"""From a table with strings and missing values to a deployed model, on real data.

The data are scikit-learn's breast cancer table, made to look like what people have: a column of
text, one of categories, and missing cells.
"""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    train_test_split,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from sklearn_prune import InfluencePruner, Pipeline
from sklearn_prune.baselines import RandomPruner

MODELS = [
    HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5, random_state=0),
    LogisticRegression(max_iter=1000),
    SVC(),
    KNeighborsClassifier(3),
]


@pytest.fixture(scope="module")
def table():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(0)
    X = X.iloc[:, :12].copy()
    X["size"] = pd.cut(X["mean area"], 3, labels=["small", "middle", "large"])
    X["texture"] = np.where(X["mean texture"] > 18, "rough", "smooth").astype(object)
    X.loc[rng.random(len(X)) < 0.1, "texture"] = None
    X = X.mask(rng.random(X.shape) < 0.02)
    return train_test_split(X, y.map({0: "malignant", 1: "benign"}), random_state=0, stratify=y)


def encoder():
    text = make_plain_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    numbers = make_plain_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include=np.number)),
        (text, make_column_selector(dtype_exclude=np.number)),
    )


def pipeline(model, **options):
    pruner = InfluencePruner(damping=1e-2, random_state=0, **options)
    return Pipeline([("encode", encoder()), ("prune", pruner), ("model", model)])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_it_fits_scores_searches_and_deploys(table, model, tmp_path):
    X, X_test, y, y_test = table
    pipe = pipeline(model, memory=str(tmp_path))
    grid = {"prune__prune_ratio": [0.3, 0.6]}
    # OpenMP's threads wait for each other a hundred times as long on a machine that is busy.
    with threadpool_limits(1):
        search = GridSearchCV(pipe, grid, cv=3, return_train_score=True).fit(X, y)
    assert search.score(X_test, y_test) > 0.85
    assert search.best_estimator_["prune"].get_support().sum() < len(X)
    deployed = pickle.loads(pickle.dumps(search.best_estimator_.deployable_))
    np.testing.assert_array_equal(deployed.predict(X_test), search.predict(X_test))
    assert set(deployed.predict(X_test)) == {"benign", "malignant"}


def test_which_pruner_is_searched_too(table):
    X, X_test, y, y_test = table
    pruners = [InfluencePruner(damping=1e-2, random_state=0), RandomPruner(random_state=0)]
    grid = {"prune": [*pruners, "passthrough"]}
    search = GridSearchCV(pipeline(LogisticRegression(max_iter=1000)), grid, cv=3).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.score(X_test, y_test) > 0.9


def test_in_other_processes(table):
    X, _, y, _ = table
    grid = {"prune__norm": ["loss", "parameter"], "prune__distribution_weight": [0.0, 1.0]}
    model = pipeline(LogisticRegression(max_iter=1000))
    scores = [
        GridSearchCV(model, grid, cv=2, n_jobs=n_jobs).fit(X, y).cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("search", [RandomizedSearchCV, HalvingGridSearchCV])
def test_other_searches(table, search):
    X, X_test, y, y_test = table
    options = {"n_iter": 2} if search is RandomizedSearchCV else {"min_resources": 100}
    grid = {"prune__prune_ratio": [0.2, 0.5, 0.7]}
    model = pipeline(LogisticRegression(max_iter=1000))
    found = search(model, grid, cv=2, random_state=0, **options).fit(X, y)
    assert found.score(X_test, y_test) > 0.9
