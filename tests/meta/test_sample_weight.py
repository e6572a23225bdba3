"""Weights of the kept rows reach the final estimator through every door."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_prune import (
    InfluencePruner,
    Pipeline,
    PrunedClassifier,
    PrunedRegressor,
    make_pipeline,
)
from sklearn_prune.meta import PruningSampler, weight_argument, weighted
from sklearn_prune.model_selection import PruneRatioSearchCV

PRUNER = InfluencePruner(prune_ratio=0.8, random_state=0, reweight=True)


class Recording(RegressorMixin, BaseEstimator):
    """Keeps what its ``fit`` was given."""

    def fit(self, X, y, sample_weight=None):
        self.n_rows_, self.weights_ = len(X), sample_weight
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:150], y[:150] + 0.5


@pytest.fixture(scope="module")
def alone(diabetes):
    """The pruner outside of any pipeline."""
    return clone(PRUNER).fit(*diabetes)


@pytest.fixture(scope="module")
def expected(alone):
    return alone.sample_weight_


@pytest.fixture(scope="module")
def kept(alone):
    return alone.sample_indices_


@pytest.fixture
def given(diabetes):
    """Weights for the final step alone."""
    return np.linspace(0.5, 1.5, len(diabetes[1]))


def test_a_pipeline_gives_them_to_its_last_step(diabetes, expected, kept, given):
    pipe = Pipeline([("prune", clone(PRUNER)), ("fit", Recording())]).fit(*diabetes)
    np.testing.assert_array_equal(pipe["fit"].weights_, expected)
    pipe.fit(*diabetes, fit__sample_weight=given)
    np.testing.assert_allclose(pipe["fit"].weights_, expected * given[kept])
    again = pickle.loads(pickle.dumps(pipe))
    np.testing.assert_array_equal(again["prune"].sample_weight_, expected)


def test_a_pipeline_gives_them_to_the_last_step_of_a_pipeline(diabetes, expected):
    last = make_plain_pipeline(StandardScaler(), Recording())
    pipe = Pipeline([("prune", clone(PRUNER)), ("fit", last)]).fit(*diabetes)
    np.testing.assert_array_equal(pipe["fit"][-1].weights_, expected)


def test_a_pipeline_gives_them_by_metadata_routing(diabetes, expected, kept, given):
    with config_context(enable_metadata_routing=True):
        for name in (True, "importance"):
            last = Recording().set_fit_request(sample_weight=name)
            pipe = Pipeline([("prune", clone(PRUNER)), ("fit", last)])
            np.testing.assert_array_equal(pipe.fit(*diabetes)["fit"].weights_, expected)
            metadata = {"sample_weight" if name is True else name: given}
            pipe["prune"].set_fit_request(sample_weight=False)
            pipe.fit(*diabetes, **metadata)
            np.testing.assert_allclose(pipe["fit"].weights_, expected * given[kept])
        pipe = Pipeline([("prune", clone(PRUNER)), ("fit", Recording())])
        with pytest.raises(ValueError, match=r"does not request sample_weight"):
            pipe.fit(*diabetes)
        assert not hasattr(pipe["prune"], "support_")


def test_a_cached_pipeline_gives_them(diabetes, expected, tmp_path):
    for _ in range(2):
        steps = [("prune", clone(PRUNER)), ("fit", Recording())]
        pipe = Pipeline(steps, memory=str(tmp_path)).fit(*diabetes)
        np.testing.assert_array_equal(pipe["fit"].weights_, expected)


def test_of_two_pruners_the_last_step_gets_the_product(diabetes):
    second = clone(PRUNER).set_params(prune_ratio=0.2)
    pipe = Pipeline([("one", clone(PRUNER)), ("two", second), ("fit", Recording())])
    pipe.fit(*diabetes)
    first = pipe["one"].sample_weight_[pipe["two"].sample_indices_]
    np.testing.assert_allclose(pipe["fit"].weights_, first * pipe["two"].sample_weight_)


def test_meta_estimators_give_them(diabetes, expected, given):
    model = PrunedRegressor(Recording(), clone(PRUNER)).fit(*diabetes)
    np.testing.assert_array_equal(model.estimator_.weights_, expected)
    # Without routing the pruner gets the user's weights as well.
    model.fit(*diabetes, sample_weight=given)
    of_pruner = clone(PRUNER).fit(*diabetes, sample_weight=given)
    product = of_pruner.sample_weight_ * given[of_pruner.sample_indices_]
    np.testing.assert_allclose(model.estimator_.weights_, product)
    inside = PrunedRegressor(make_plain_pipeline(StandardScaler(), Recording()), clone(PRUNER))
    np.testing.assert_array_equal(inside.fit(*diabetes).estimator_[-1].weights_, expected)
    search = GridSearchCV(Recording(), {}, cv=2)
    found = PrunedRegressor(search, clone(PRUNER)).fit(*diabetes).estimator_
    np.testing.assert_array_equal(found.best_estimator_.weights_, expected)


def test_meta_estimators_give_them_by_metadata_routing(diabetes, expected, monkeypatch):
    with config_context(enable_metadata_routing=True):
        model = PrunedRegressor(Recording(), clone(PRUNER)).fit(*diabetes)
        np.testing.assert_array_equal(model.estimator_.weights_, expected)
        last = Recording().set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        inside = make_plain_pipeline(scaler, last)
        model = PrunedRegressor(inside, clone(PRUNER)).fit(*diabetes)
        np.testing.assert_array_equal(model.estimator_[-1].weights_, expected)
        silent = make_plain_pipeline(StandardScaler(), Recording())
        with pytest.raises(ValueError, match=r"does not request it"):
            PrunedRegressor(silent, clone(PRUNER)).fit(*diabetes)
        undecided = make_plain_pipeline(StandardScaler(), last)
        monkeypatch.setattr(InfluencePruner, "fit", None)
        with pytest.raises(UnsetMetadataPassedError, match=r"StandardScaler"):
            PrunedRegressor(undecided, clone(PRUNER)).fit(*diabetes)


def test_a_search_trains_every_model_with_them(diabetes):
    X, y = diabetes
    search = PruneRatioSearchCV(
        LinearRegression(), clone(PRUNER), ratios=(0.5, 0.8), tolerance=10.0, cv=2
    ).fit(X, y)
    weights = search.pruner_.sample_weight_
    rows = search.pruner_.sample_indices_
    by_hand = LinearRegression().fit(X[rows], y[rows], sample_weight=weights)
    np.testing.assert_allclose(search.estimator_.coef_, by_hand.coef_)
    # The folds: the ratio of half, whose pruner chooses 0.8 again by `select`.
    train, test = np.arange(len(y) // 2, len(y)), np.arange(len(y) // 2)
    pruner = clone(PRUNER).set_params(prune_ratio=0.5)
    pruner.fit(X[train], y[train], target_kind="regression")
    support = pruner.select(prune_ratio=0.8)
    model = LinearRegression().fit(
        X[train][support], y[train][support], sample_weight=pruner.weigh(support)
    )
    scored = search.cv_results_["split0_test_score"][2]
    assert scored == pytest.approx(model.score(X[test], y[test]))


def test_a_sampler_has_them(diabetes, expected):
    sampler = PruningSampler(clone(PRUNER))
    X_small, _ = sampler.fit_resample(*diabetes)
    np.testing.assert_array_equal(sampler.sample_weight_, expected)
    assert len(X_small) == len(expected)
    sampler.set_params(pruner__reweight=False).fit_resample(*diabetes)
    assert not hasattr(sampler, "sample_weight_")


class NoWeights(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize(
    "model",
    [
        PrunedRegressor(KNeighborsRegressor(), PRUNER),
        PrunedClassifier(NoWeights(), PRUNER),
        PrunedRegressor(make_plain_pipeline(StandardScaler(), KNeighborsRegressor()), PRUNER),
        PrunedRegressor(GridSearchCV(KNeighborsRegressor(), {}), PRUNER),
        PruneRatioSearchCV(KNeighborsRegressor(), PRUNER),
        make_pipeline(PRUNER, KNeighborsRegressor()),
        make_pipeline(PRUNER, "passthrough"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_an_estimator_without_weights_is_an_error_before_training(model, monkeypatch, diabetes):
    monkeypatch.setattr(InfluencePruner, "fit", None)
    with pytest.raises(ValueError, match=r"takes no sample_weight in fit .* set reweight=False"):
        clone(model).fit(*diabetes)


def test_without_reweight_nothing_is_handed_on(diabetes):
    plain = clone(PRUNER).set_params(reweight=False)
    assert PrunedRegressor(Recording(), plain).fit(*diabetes).estimator_.weights_ is None
    assert make_pipeline(plain, Recording()).fit(*diabetes)[-1].weights_ is None
    make_pipeline(plain, KNeighborsRegressor(2)).fit(*diabetes)


def test_arguments_and_products():
    assert weight_argument(LogisticRegression()) == "sample_weight"
    nested = make_plain_pipeline(make_plain_pipeline(LogisticRegression()))
    assert weight_argument(nested) == "pipeline__logisticregression__sample_weight"
    weights = np.array([1.0, 2.0])
    assert weighted({"a": 1}, "w", None) == {"a": 1}
    np.testing.assert_array_equal(weighted({"w": [3, 4]}, "w", weights)["w"], [3, 8])
