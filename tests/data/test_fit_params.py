"""Arguments of fit are cut with the rows by what they are, never by their length alone."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification

from sklearn_prune import Pipeline, PrunedClassifier, make_pipeline
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.data import check_params, take_params
from sklearn_prune.model_selection import PruneRatioSearchCV

X, Y = make_classification(200, 5, random_state=0)
KEPT = np.arange(0, 40, 3)

OTHER_ROWS = [
    "X_val",
    "y_val",
    "Xval",
    "sample_weight_val",
    "X_valid",
    "valid_sets",
    "validation_data",
    "eval_set",
    "evals",
    "eval_sample_weight",
    "sample_weight_eval_set",
    "X_test",
    "y_test",
    "X_dev",
    "X_calibration",
    "coef_init",
    "intercept_init",
    "feature_weights",
]
OWN_ROWS = [
    "sample_weight",
    "groups",
    "must_keep",
    "sample_cost",
    "sensitive_features",
    "base_margin",
    "init_score",
    "qid",
    "sample_domain",
    "weights",
]
UNKNOWN = ["evaluator_id", "testimony", "aligned", "example_weightings"]


@given(
    name=st.sampled_from(OTHER_ROWS),
    prefix=st.sampled_from(["", "model__", "outer__model__"]),
    n_other=st.integers(1, 60),
    container=st.sampled_from([np.asarray, list, pd.Series]),
)
def test_what_speaks_of_other_rows_stays_whole_at_any_length(name, prefix, n_other, container):
    value = container(np.arange(n_other))
    assert take_params(np.zeros((40, 2)), {prefix + name: value}, KEPT)[prefix + name] is value


@pytest.mark.parametrize("name", OWN_ROWS)
@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
def test_what_has_an_entry_a_row_is_cut(name, container):
    cut = take_params(np.zeros((40, 2)), {name: container(np.arange(40))}, KEPT)[name]
    assert list(cut) == KEPT.tolist()


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_nothing_speaks_for_is_refused_where_it_may_belong_to_the_rows(name):
    rows, value = np.zeros((40, 2)), np.arange(40)
    message = rf"model__{name} has 40 entries, as many as X has rows.*set_fit_request\({name}=True"
    with pytest.raises(ValueError, match=message):
        check_params(rows, {f"model__{name}": value})
    with pytest.raises(ValueError, match=message):
        take_params(rows, {f"model__{name}": value}, KEPT)


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("value", [np.arange(39), list(range(41)), 7, None, "four", {"a": 1}])
def test_what_cannot_belong_to_the_rows_stays_whole(name, value):
    assert take_params(np.zeros((40, 2)), {name: value}, KEPT)[name] is value


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_was_requested_is_cut_where_it_has_an_entry_a_row(name):
    with sklearn.config_context(enable_metadata_routing=True):
        cut = take_params(np.zeros((40, 2)), {name: np.arange(40)}, KEPT)[name]
    assert list(cut) == KEPT.tolist()


class Untrained(RandomPruner):
    def fit(self, X, y=None, **params):
        raise AssertionError("the pruner is fitted")


def test_the_refusal_comes_before_anything_is_trained():
    recorder, pruner = Recorder(), Untrained(prune_ratio=0.9)
    for model, name in (
        (PrunedClassifier(recorder, pruner), "aligned"),
        (PruneRatioSearchCV(recorder, pruner, ratios=[0.9]), "aligned"),
        (Pipeline([("prune", pruner), ("model", recorder)]), "model__aligned"),
    ):
        with pytest.raises(ValueError, match=f"{name} has 200 entries"):
            model.fit(X, Y, **{name: Y})


@pytest.mark.parametrize("name", ["sample_weight", "groups", "model__sample_weight"])
def test_weights_of_another_length_are_refused(name):
    short = name.rpartition("__")[2]
    with pytest.raises(
        ValueError, match=f"{short} must have one entry for each row of X; it has 14.* 40"
    ):
        take_params(np.zeros((40, 2)), {name: np.ones(len(KEPT))}, KEPT)


class Recorder(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, **others):
        self.classes_ = np.unique(y)
        self.lengths_ = {name: len(value) for name, value in others.items()} | {"X": len(X)}
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.mark.parametrize("n_val", [99, 100, 101, 10])
def test_a_validation_set_of_any_length_is_handed_on_whole(n_val):
    recorder = Recorder()
    given = {
        "X_val": X[100 : 100 + n_val],
        "y_val": Y[100 : 100 + n_val],
        "sample_weight_val": np.ones(len(X[100 : 100 + n_val])),
        "sample_weight": np.ones(100),
    }
    n_val = len(given["X_val"])
    expected = {"X_val": n_val, "y_val": n_val, "sample_weight_val": n_val, "X": 10}
    expected["sample_weight"] = 10
    pruner = RandomPruner(prune_ratio=0.9, random_state=0)
    model = PrunedClassifier(recorder, pruner).fit(X[:100], Y[:100], **given)
    assert model.estimator_.lengths_ == expected
    named = {f"recorder__{name}": value for name, value in given.items()}
    pipe = make_pipeline(pruner, recorder).fit(X[:100], Y[:100], **named)
    assert pipe[-1].lengths_ == expected
    search = PruneRatioSearchCV(recorder, pruner, ratios=[0.9], tolerance=1.0, cv=2)
    assert search.fit(X[:100], Y[:100], **given).estimator_.lengths_ == expected


class TakesValidation(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, X_val=None):
        self.classes_, self.n_val_ = np.unique(y), len(X_val)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_a_routed_validation_set_is_handed_on_whole():
    with sklearn.config_context(enable_metadata_routing=True):
        inner = TakesValidation().set_fit_request(X_val=True)
        for model in (
            PrunedClassifier(inner, RandomPruner(0.9)),
            Pipeline([("prune", RandomPruner(0.9)), ("model", inner)]),
        ):
            fitted = model.fit(X[:100], Y[:100], X_val=X[100:])
            last = fitted[-1] if isinstance(fitted, Pipeline) else fitted.estimator_
            assert last.n_val_ == 100


def test_what_a_step_calls_a_validation_set_is_one_by_any_other_name():
    with sklearn.config_context(enable_metadata_routing=True):
        inner = TakesValidation().set_fit_request(X_val="more_rows")
        pipe = Pipeline([("prune", RandomPruner(0.9)), ("model", inner)])
        assert pipe.fit(X[:100], Y[:100], more_rows=X[100:])[-1].n_val_ == 100
