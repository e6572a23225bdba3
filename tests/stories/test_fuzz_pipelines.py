"""Pipelines, searches and meta-estimators over rows, labels and containers of many kinds."""

from __future__ import annotations

import copy
import pickle
import re
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import FitFailedWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sklearn_prune
from sklearn_prune import InfluencePruner, PrunedClassifier, PrunedRegressor, make_pipeline
from sklearn_prune.baselines import (
    DistributionPruner,
    GeometricMedianPruner,
    HerdingPruner,
    KCenterPruner,
    KMeansPruner,
    ModeratePruner,
    RandomPruner,
    ZeroShotCoveragePruner,
)
from sklearn_prune.model_selection import PruneRatioSearchCV
from sklearn_prune.selection.terms import count_of
from tests.stories.fuzzing import fuzz_settings

pytestmark = pytest.mark.fuzz

PRUNERS = {
    "influence": lambda ratio: InfluencePruner(
        prune_ratio=ratio, damping=1e-2, time_limit=600.0, random_state=0
    ),
    "influence, reweighted": lambda ratio: InfluencePruner(
        prune_ratio=ratio, damping=1e-2, time_limit=600.0, random_state=0, reweight=True
    ),
    "random": lambda ratio: RandomPruner(ratio, random_state=0),
    "random, not stratified": lambda ratio: RandomPruner(ratio, stratify=False, random_state=0),
    "centre": lambda ratio: KCenterPruner(prune_ratio=ratio, random_state=0),
    "means": lambda ratio: KMeansPruner(prune_ratio=ratio, random_state=0),
    "herding": lambda ratio: HerdingPruner(prune_ratio=ratio, random_state=0),
    "geometric median": lambda ratio: GeometricMedianPruner(prune_ratio=ratio, random_state=0),
    "zero-shot coverage": lambda ratio: ZeroShotCoveragePruner(prune_ratio=ratio, random_state=0),
    "moderate": lambda ratio: ModeratePruner(prune_ratio=ratio, random_state=0),
    "distribution": lambda ratio: DistributionPruner(prune_ratio=ratio, random_state=0),
}
CLASSIFIERS = {
    "linear": LogisticRegression,
    "ridge": RidgeClassifier,
    "forest": lambda: RandomForestClassifier(3, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=2, random_state=0),
    "neighbours": lambda: KNeighborsClassifier(1),
}
REGRESSORS = {
    "ridge": Ridge,
    "forest": lambda: RandomForestRegressor(3, random_state=0),
    "boosting": lambda: HistGradientBoostingRegressor(max_iter=2, random_state=0),
    "neighbours": lambda: KNeighborsRegressor(1),
}
CLASS_TARGETS = ["words", "codes", "booleans", "sparse codes", "categories", "polars words"]
NUMBER_TARGETS = ["numbers", "whole numbers", "series", "constant"]
CONTAINERS = ["array", "float32", "list", "frame", "mixed frame", "polars", "sparse", "csc"]
DOORS = ["pipeline", "pruned", "grid", "ratio search", "scores", "plain pipeline"]


@dataclass
class Case:
    """What is fitted, and on what; the last column of ``plain`` is the position of a row."""

    model: Any
    door: str
    ratio: float
    X: Any
    y: Any
    fit_params: dict[str, Any]
    is_classifier: bool


def rows_of(draw, rng, n):
    """Return rows in some container, the last column of which numbers them, and its kind."""
    numbers = np.c_[rng.standard_normal((n, draw(st.integers(1, 3)))), np.arange(n)]
    if draw(st.integers(0, 3)) == 0:
        numbers[:, 0] = 7.0
    if draw(st.integers(0, 9)) == 9:
        numbers[rng.random(n) < 0.2, 0] = np.nan
    kind = draw(st.sampled_from(CONTAINERS))
    names = [*(f"x{j}" for j in range(numbers.shape[1] - 1)), "row"]
    if kind in ("frame", "mixed frame"):
        index = rng.permutation(n) if draw(st.booleans()) else None
        X = pd.DataFrame(numbers, columns=names, index=index)
        if kind == "mixed frame":
            words = rng.choice(["red", "green", None], n)
            X.insert(0, "colour", pd.Series(words, index=X.index, dtype="object"))
            X.insert(0, "size", pd.Series(rng.choice(["s", "l"], n), X.index, dtype="category"))
        return X, kind
    made = {
        "array": lambda: numbers,
        "float32": lambda: numbers.astype(np.float32),
        "list": numbers.tolist,
        "polars": lambda: pl.DataFrame(dict(zip(names, numbers.T, strict=True))),
        "sparse": lambda: sp.csr_array(numbers),
        "csc": lambda: sp.csc_matrix(numbers),
    }
    return made[kind](), kind


def target_of(draw, rng, n, *, is_classifier):
    """Return a target in some container."""
    kind = draw(st.sampled_from(CLASS_TARGETS if is_classifier else NUMBER_TARGETS))
    codes = rng.integers(0, draw(st.integers(2, 3)), n)
    codes[:2] = 0, 1
    words = np.array(["no", "yes", "perhaps"])[codes]
    values = rng.standard_normal(n)
    return {
        "words": lambda: words,
        "codes": lambda: codes,
        "booleans": lambda: codes > 0,
        "sparse codes": lambda: codes * 1000 - 7,
        "categories": lambda: pd.Series(words, dtype="category"),
        "polars words": lambda: pl.Series(words),
        "numbers": lambda: values,
        "whole numbers": lambda: np.round(10 * values).astype(int),
        "series": lambda: pd.Series(values, index=rng.permutation(n)),
        "constant": lambda: np.full(n, 3.0),
    }[kind]()


def steps_before(draw, X, kind):
    """Return the steps that make numbers of the rows, if the user thought of them."""
    if kind == "mixed frame" and draw(st.integers(0, 7)):
        numbers = make_plain_pipeline(SimpleImputer(), StandardScaler())
        words = OneHotEncoder(handle_unknown="ignore", sparse_output=draw(st.booleans()))
        columns = [name for name in X.columns if name not in ("size", "colour")]
        return [ColumnTransformer([("n", numbers, columns), ("w", words, ["size", "colour"])])]
    steps = [SimpleImputer()] if draw(st.integers(0, 2)) else []
    scales = draw(st.booleans())
    return [*steps, StandardScaler(with_mean=not sp.issparse(X))] if scales else steps


@st.composite
def cases(draw):
    n, rng = (
        draw(st.one_of(st.integers(3, 12), st.integers(12, 60))),
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
    )
    is_classifier = draw(st.booleans())
    X, kind = rows_of(draw, rng, n)
    y = target_of(draw, rng, n, is_classifier=is_classifier)
    ratio = draw(st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.95] if n > 12 else [0.0, 0.3, 0.5]))
    pruner = PRUNERS[draw(st.sampled_from(list(PRUNERS)))](ratio)
    downstream = CLASSIFIERS if is_classifier else REGRESSORS
    final = downstream[draw(st.sampled_from(list(downstream)))]()
    steps = steps_before(draw, X, kind)
    door = draw(st.sampled_from(DOORS))
    pruned = (PrunedClassifier if is_classifier else PrunedRegressor)(final, pruner)
    fit_params: dict[str, Any] = {}
    if door == "pruned":
        model = make_pipeline(*steps, pruned)
    elif door == "plain pipeline":
        model = make_plain_pipeline(*steps, pruned)
    elif door == "ratio search":
        search = PruneRatioSearchCV(final, pruner, ratios=[0.3, 0.6], cv=2)
        model = make_plain_pipeline(*steps, search)
    else:
        model = make_pipeline(*steps, pruner, final)
    prefix = f"{model.steps[-1][0]}__"
    # Neighbours take none, which is refused in words.
    is_asked = not isinstance(final, KNeighborsClassifier | KNeighborsRegressor)
    if draw(st.integers(0, 2)) == 2 and (is_asked or draw(st.integers(0, 9)) == 9):
        weights = rng.uniform(0, 2, n) if draw(st.integers(0, 3)) else rng.integers(0, 2, n)
        fit_params[f"{prefix}sample_weight"] = weights
    takes_groups = isinstance(pruner, InfluencePruner)
    if draw(st.integers(0, 3)) == 0 and takes_groups and door in ("pipeline", "pruned"):
        owner = prefix if door == "pruned" else f"{model.steps[-2][0]}__"
        fit_params[f"{owner}groups"] = rng.choice(["a", "b"], n)
    if door == "grid":
        name = f"{model.steps[-2][0]}__prune_ratio"
        cv = GroupKFold(2) if draw(st.booleans()) else 2
        model = GridSearchCV(model, {name: [0.2, min(ratio, 0.5)]}, cv=cv, error_score="raise")
        if isinstance(cv, GroupKFold):
            fit_params["groups"] = rng.integers(0, 3, n)
    return Case(model, door, ratio, X, y, fit_params, is_classifier)


OURS, THEIRS = (str(Path(one.__file__).parent) for one in (sklearn_prune, sklearn))


def is_in_words(error):
    """Whether we raise it ourselves, or call something of scikit-learn's that ends in it."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    last = next(file for file in reversed(files) if file.startswith((OURS, THEIRS)))
    return last.startswith(THEIRS) or last == files[-1]


def outcome(call):
    """Return what a call returns; None where it is refused in words by us or by scikit-learn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=RuntimeWarning, module="sklearn_prune")
        # Said in words, of ratios that leave too few rows.
        warnings.simplefilter("ignore", FitFailedWarning)
        try:
            return call()
        except (ValueError, TypeError) as error:
            assert is_in_words(error), error
            return None


def same(a, b):
    return pickle.dumps(a) == pickle.dumps(b)


def pruner_of(model):
    """Return the fitted pruner, wherever it is, and the rows that reach it are numbered by."""
    model = getattr(model, "best_estimator_", model)
    for _, step in model.steps:
        if hasattr(step, "pruner_"):
            return step.pruner_
        if hasattr(step, "support_"):
            return step
    raise AssertionError(model)


class Spy(BaseEstimator):
    """Stands for the last step, and notes the rows it is given."""

    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.weight_ = X, y, sample_weight
        return self


@fuzz_settings(25)
@given(cases())
def test_a_pipeline_ends_in_a_result_or_in_words(case):
    before = copy.deepcopy((case.X, case.y, case.fit_params))
    if case.door == "scores":
        params = {name: value for name, value in case.fit_params.items() if "__" in name}
        scores = outcome(
            lambda: cross_val_score(
                case.model, case.X, case.y, params=params, cv=2, error_score="raise"
            )
        )
        assert scores is None or scores.shape == (2,)
        assert same((case.X, case.y, case.fit_params), before)
        return
    model = outcome(lambda: clone(case.model).fit(case.X, case.y, **case.fit_params))
    assert same((case.X, case.y, case.fit_params), before)
    if model is None:
        return
    check_rows(case, model)
    predicted = outcome(lambda: model.predict(case.X))
    if predicted is None:
        # The rows with a missing value were all dropped.
        assert np.isnan(np.asarray(case.X, dtype=float)).any()
        return
    assert len(predicted) == len(np.asarray(case.y))
    if case.is_classifier:
        assert set(np.asarray(predicted).tolist()) <= set(np.asarray(case.y).tolist())
    again = outcome(lambda: clone(model).fit(case.X, case.y, **case.fit_params))
    np.testing.assert_array_equal(pruner_of(again).support_, pruner_of(model).support_)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(case.X), predicted)
    np.testing.assert_array_equal(pruner_of(loaded).support_, pruner_of(model).support_)


def check_rows(case, model):
    """The pruner keeps as many rows as asked for, and some of each class."""
    pruner, y = pruner_of(model), np.asarray(case.y)
    ratio = pruner.prune_ratio
    assert len(pruner.support_) == len(y)
    assert (~pruner.support_).sum() == count_of(ratio, len(y))
    if case.door in ("pipeline", "pruned", "plain pipeline"):
        assert ratio == case.ratio
    if case.is_classifier:
        assert set(y[pruner.support_].tolist()) == set(y.tolist())


@fuzz_settings(15)
@given(cases())
def test_rows_and_all_that_belongs_to_them_are_cut_together(case):
    if case.door not in ("pipeline", "grid", "scores"):
        return
    steps = getattr(case.model, "estimator", case.model).steps
    pruner = clone(steps[-2][1])
    if sp.issparse(case.X) or re.search("colour", str(getattr(case.X, "columns", ""))):
        return
    n = len(np.asarray(case.y))
    weight = np.arange(n) + 0.5
    model = make_pipeline(pruner, Spy())
    kind = "classification" if case.is_classifier else "regression"
    params = {"spy__sample_weight": weight, f"{model.steps[0][0]}__target_kind": kind}
    if getattr(pruner, "reweight", False):
        pruner.set_params(reweight=False)
    fitted = outcome(lambda: model.fit(case.X, case.y, **params))
    if fitted is None:
        return
    spy, kept = fitted[-1], np.flatnonzero(fitted[0].support_)
    np.testing.assert_array_equal(np.asarray(spy.X_)[:, -1], kept)
    np.testing.assert_array_equal(np.asarray(spy.y_), np.asarray(case.y)[kept])
    np.testing.assert_array_equal(spy.weight_, weight[kept])
    assert type(spy.X_) is type(case.X) or isinstance(case.X, list)
