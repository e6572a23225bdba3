"""The estimators that prune what they are fitted on, and the places they have to work in."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

from sklearn_prune import InfluencePruner, PrunedClassifier, PrunedRegressor
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import RandomPruner
from tests.conftest import ThirdOut

N = 60


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what its fit was given."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **others: Any) -> Recorder:
        self.X_, self.y_, self.sample_weight_, self.others_ = X, y, sample_weight, others
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


class WeightedThirdOut(BasePruner):
    """Drops every third row, and keeps the weights it was given."""

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, groups: Any = None) -> Any:
        return self._fit(X, y, sample_weight=sample_weight, groups=groups)

    def _select_rows(self, X: Any, y: Any, *, sample_weight: Any, groups: Any) -> Any:
        self.weights_, self.groups_ = sample_weight, groups
        return np.arange(X.shape[0]) % 3 != 2


KEPT = np.flatnonzero(np.arange(N) % 3 != 2)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(N, 4, random_state=0)
    return X, np.array(["no", "yes"])[y]


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_it_is_what_pruning_and_fitting_by_hand_give(data):
    X, y = data
    model = PrunedClassifier(LogisticRegression(), RandomPruner(random_state=0)).fit(X, y)
    X_small, y_small = RandomPruner(random_state=0).fit(X, y).prune(X, y)
    by_hand = LogisticRegression().fit(X_small, y_small)
    np.testing.assert_array_equal(model.predict(X), by_hand.predict(X))
    np.testing.assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))
    np.testing.assert_array_equal(model.predict_log_proba(X), by_hand.predict_log_proba(X))
    np.testing.assert_array_equal(model.decision_function(X), by_hand.decision_function(X))
    assert model.score(X, y) == by_hand.score(X, y)


def test_labels_are_those_of_y(data):
    model = PrunedClassifier(LogisticRegression(), ThirdOut()).fit(*data)
    assert model.classes_.tolist() == ["no", "yes"]
    assert set(model.predict(data[0])) == {"no", "yes"}


def test_the_default_pruner_goes_by_influence(data):
    model = PrunedClassifier(LogisticRegression()).fit(*data)
    assert isinstance(model.pruner_, InfluencePruner)
    assert model.pruner_.support_.sum() == 0.6 * N


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_reach_the_estimator_as_frames(frame, data):
    X, y = data
    table = frame({f"c{j}": X[:, j] for j in range(4)})
    model = PrunedClassifier(Recorder(), ThirdOut()).fit(table, y)
    assert type(model.estimator_.X_) is frame
    np.testing.assert_array_equal(model.estimator_.X_.to_numpy(), X[KEPT])
    assert model.feature_names_in_.tolist() == ["c0", "c1", "c2", "c3"]
    assert model.n_features_in_ == 4


def test_a_series_reaches_the_estimator_as_a_series(data):
    X, y = data
    series = pd.Series(y, name="answer")
    model = PrunedClassifier(Recorder(), ThirdOut()).fit(X, series)
    pd.testing.assert_series_equal(model.estimator_.y_, series.iloc[KEPT])


def test_sparse_rows_stay_sparse(data):
    X, y = data
    model = PrunedClassifier(Recorder(), ThirdOut()).fit(sp.csc_array(X), y)
    assert model.estimator_.X_.format == "csc"
    np.testing.assert_array_equal(model.estimator_.X_.toarray(), X[KEPT])


def test_names_are_forgotten_when_the_next_rows_have_none(data):
    X, y = data
    model = PrunedClassifier(LogisticRegression(), ThirdOut())
    assert not hasattr(model, "n_features_in_")
    assert hasattr(model.fit(pd.DataFrame(X).add_prefix("c"), y), "feature_names_in_")
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_weights_are_pruned_for_the_estimator_and_whole_for_the_pruner(data):
    weights = np.arange(1.0, N + 1)
    model = PrunedClassifier(Recorder(), WeightedThirdOut()).fit(*data, sample_weight=weights)
    np.testing.assert_array_equal(model.estimator_.sample_weight_, weights[KEPT])
    np.testing.assert_array_equal(model.pruner_.weights_, weights)


def test_what_the_pruner_names_goes_to_it_and_the_rest_to_the_estimator(data):
    groups, offset = np.arange(N) % 2, list(range(N))
    model = PrunedClassifier(Recorder(), WeightedThirdOut())
    model.fit(*data, groups=groups, offset=offset, flag=True)
    np.testing.assert_array_equal(model.pruner_.groups_, groups)
    assert model.estimator_.others_ == {"offset": KEPT.tolist(), "flag": True}


def test_weights_that_the_estimator_does_not_take_are_not_lost_in_silence(data):
    model = PrunedClassifier(KNeighborsClassifier(), WeightedThirdOut())
    with pytest.raises(TypeError, match="sample_weight"):
        model.fit(*data, sample_weight=np.ones(N))


def test_rows_that_influences_must_keep_are_kept(data):
    must_keep = np.arange(N) < 10
    pruner = InfluencePruner(prune_ratio=0.8, random_state=0)
    model = PrunedClassifier(LogisticRegression(), pruner).fit(*data, must_keep=must_keep)
    assert model.pruner_.support_[must_keep].all()


@pytest.mark.usefixtures("routing")
def test_routed_metadata_goes_where_it_was_requested(data):
    weights = np.arange(1.0, N + 1)
    pruner = WeightedThirdOut().set_fit_request(groups="cohort", sample_weight=False)
    model = PrunedClassifier(Recorder().set_fit_request(sample_weight=True), pruner)
    outer = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
    outer.fit(*data, sample_weight=weights, cohort=np.arange(N) % 2)
    fitted = outer[-1]
    np.testing.assert_array_equal(fitted.estimator_.sample_weight_, weights[KEPT])
    np.testing.assert_array_equal(fitted.pruner_.groups_, np.arange(N) % 2)
    assert fitted.pruner_.weights_ is None


@pytest.mark.usefixtures("routing")
def test_routed_weights_reach_the_score(data):
    X, y = data
    inner = LogisticRegression().set_score_request(sample_weight=True)
    model = PrunedClassifier(inner.set_fit_request(sample_weight=False), ThirdOut()).fit(X, y)
    weights = np.where(model.predict(X) == y, 0.0, 1.0)
    assert model.score(X, y, sample_weight=weights) == 0


def test_only_methods_of_the_estimator_are_there(data):
    model = PrunedClassifier(LinearSVC(), ThirdOut())
    assert hasattr(model, "decision_function") and not hasattr(model, "predict_proba")
    assert not hasattr(PrunedRegressor(Ridge(), ThirdOut()), "decision_function")
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'"):
        model.fit(*data).predict_proba(data[0])


def test_before_fit_it_says_so(data):
    with pytest.raises(NotFittedError):
        PrunedClassifier(LogisticRegression()).predict(data[0])


def test_given_objects_are_left_alone(data):
    pruner, estimator = RandomPruner(random_state=0), LogisticRegression()
    PrunedClassifier(estimator, pruner).fit(*data)
    assert not hasattr(pruner, "support_") and not hasattr(estimator, "coef_")


def test_a_failed_fit_leaves_the_last_one(data):
    X, y = data
    model = PrunedClassifier(LogisticRegression(), ThirdOut()).fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 1, np.nan, X), y)
    np.testing.assert_array_equal(model.predict(X), before)
    assert len(model.pruner_.support_) == N


@pytest.mark.parametrize("parameters", [{"pruner": StandardScaler()}, {"estimator": "logistic"}])
def test_parameters_of_another_kind_are_refused(parameters, data):
    model = PrunedClassifier(LogisticRegression()).set_params(**parameters)
    with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter"):
        model.fit(*data)


def test_clones_and_pickles_predict_the_same(data):
    X, y = data
    model = PrunedClassifier(LogisticRegression(), RandomPruner(random_state=0)).fit(X, y)
    again = clone(model)
    assert not hasattr(again, "estimator_")
    for other in (pickle.loads(pickle.dumps(model)), again.fit(X, y)):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


def test_a_network_prunes_for_another_estimator(iris, make_net):
    X, y = iris[0].astype("float32"), iris[1]
    pruner = InfluencePruner(make_net(), prune_ratio=0.5, damping=1e-2, random_state=0)
    model = PrunedClassifier(KNeighborsClassifier(), pruner).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.pruner_.support_.sum() == 75


def test_its_picture_shows_pruner_and_estimator(data):
    html = PrunedClassifier(LogisticRegression(), RandomPruner()).fit(*data)._repr_html_()
    assert "RandomPruner" in html and "LogisticRegression" in html


def test_tags_are_those_that_both_have():
    tags = get_tags(PrunedClassifier(LogisticRegression(), RandomPruner())).input_tags
    assert tags.sparse and not tags.allow_nan
    tags = get_tags(PrunedClassifier(HistGradientBoostingClassifier(), RandomPruner())).input_tags
    assert tags.allow_nan and not tags.sparse


def test_missing_values_pass_a_pruner_and_an_estimator_that_take_them(data):
    X, y = data
    X = np.where(X > 1, np.nan, X)
    model = PrunedClassifier(HistGradientBoostingClassifier(max_iter=2), RandomPruner())
    assert len(model.fit(X, y).predict(X)) == N


def test_a_classifier_reads_many_whole_numbers_as_classes():
    y = np.repeat(np.arange(30), 3)
    X = np.random.default_rng(0).normal(size=(90, 2))
    model = PrunedClassifier(KNeighborsClassifier(1), InfluencePruner(random_state=0)).fit(X, y)
    assert model.pruner_.classes_.tolist() == model.classes_.tolist() == list(range(30))


def test_a_regressor_reads_few_whole_numbers_as_numbers():
    X = np.random.default_rng(0).normal(size=(80, 2))
    y = np.clip(np.round(X @ [1, 2]), -2, 2).astype(int)
    model = PrunedRegressor(Ridge(), InfluencePruner(random_state=0)).fit(X, y)
    assert not hasattr(model.pruner_, "classes_")
    assert not hasattr(model, "classes_")


def test_several_outputs_are_pruned_together():
    X, Y = make_regression(80, 3, n_targets=2, noise=1.0, random_state=0)
    model = PrunedRegressor(LinearRegression(), InfluencePruner(random_state=0)).fit(X, Y)
    assert model.predict(X).shape == (80, 2)
    assert model.score(X, Y) > 0.99
    assert get_tags(model).target_tags.multi_output


PRUNERS = pytest.mark.parametrize("pruner", [InfluencePruner(random_state=0), RandomPruner()])


@PRUNERS
def test_inside_a_pipeline_and_cross_validation(pruner, data):
    model = make_pipeline(StandardScaler(), PrunedClassifier(LogisticRegression(), pruner))
    assert cross_val_score(model, *data, cv=3, error_score="raise").mean() > 0.7


@PRUNERS
def test_inside_a_calibrated_classifier(pruner, data):
    model = CalibratedClassifierCV(PrunedClassifier(LinearSVC(), pruner), cv=3).fit(*data)
    np.testing.assert_allclose(model.predict_proba(data[0]).sum(axis=1), 1)


@PRUNERS
def test_inside_a_bag(pruner, data):
    model = PrunedClassifier(LogisticRegression(), pruner)
    bag = BaggingClassifier(model, n_estimators=3, random_state=0).fit(*data)
    assert bag.score(*data) > 0.7
    assert {len(member.pruner_.support_) for member in bag.estimators_} == {N}


@PRUNERS
def test_inside_multi_output_wrappers(pruner, data):
    X, y = data
    labels = np.c_[y, np.where(X[:, 0] > 0, "up", "down")]
    model = MultiOutputClassifier(PrunedClassifier(LogisticRegression(), pruner)).fit(X, labels)
    assert set(model.predict(X)[:, 1]) == {"up", "down"}
    numbers = MultiOutputRegressor(PrunedRegressor(Ridge(), pruner)).fit(X, X[:, :2] * 2)
    assert numbers.predict(X).shape == (N, 2)


def test_a_grid_search_finds_ratio_and_pruner(data):
    model = PrunedClassifier(LogisticRegression(), RandomPruner(random_state=0))
    ratios = GridSearchCV(model, {"pruner__prune_ratio": [0.0, 0.9]}, cv=3).fit(*data)
    assert ratios.best_params_ == {"pruner__prune_ratio": 0.0}
    grid = {"pruner": [InfluencePruner(random_state=0), RandomPruner(random_state=0), None]}
    pruners = GridSearchCV(model, grid, cv=3, error_score="raise").fit(*data)
    assert len(pruners.cv_results_["mean_test_score"]) == 3
