"""The pruner reads an encoding of the rows, and the model the rows themselves."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils import get_tags

import sklearn_prune
from sklearn_prune import InfluencePruner, PrunedClassifier, PrunedRegressor
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import HerdingPruner, RandomPruner
from sklearn_prune.data import ColumnsEncoder
from sklearn_prune.meta import PruningSampler
from sklearn_prune.model_selection import PrunedSearchCV, PruneRatioSearchCV

N = 80
Y = np.arange(N) % 2


class Reader(BasePruner):
    """Keeps the rows at even positions, and what it was given."""

    def __init__(self, prune_ratio: float = 0.5, features: Any = None) -> None:
        self.prune_ratio = prune_ratio
        self.features = features

    def fit(
        self, X: Any, y: Any = None, *, groups: Any = None, X_ref: Any = None, target_kind: Any = ""
    ) -> Any:
        return self._fit(X, y, groups=groups, X_ref=X_ref, kind=target_kind or None)

    def _select_rows(self, X: Any, y: Any, **given: Any) -> Any:
        features = self.features(X) if self.features else None
        self.given_ = {"X": X, "features": features, **given}
        return np.arange(X.shape[0]) % 2 == 0


class Model(ClassifierMixin, BaseEstimator):
    """Keeps what its fit was given."""

    def fit(self, X: Any, y: Any) -> Model:
        self.X_, self.classes_ = X, np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


@pytest.fixture
def table() -> pd.DataFrame:
    """Categories, text, dates and gaps."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(np.arange(N) % 7 == 0, np.nan, rng.normal(size=N)),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], N)),
            "city": rng.choice(np.array(["Bern", "Oslo", None], dtype=object), N),
            "born": pd.date_range("2026-01-01", periods=N),
        }
    )


@pytest.fixture
def native(table: pd.DataFrame) -> pd.DataFrame:
    """What boosting with native categories takes."""
    return table.drop(columns="born").astype({"city": "category"})


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


NATIVE = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=2)


# --- the default encoder


def test_the_model_gets_the_kept_rows_as_they_are(table):
    model = PrunedClassifier(Model(), Reader()).fit(table, Y)
    pd.testing.assert_frame_equal(model.estimator_.X_, table.iloc[::2])


def test_the_pruner_reads_what_the_default_encoder_makes_of_a_table(table):
    model = PrunedClassifier(Model(), Reader()).fit(table, Y)
    expected = ColumnsEncoder().fit_transform(table)
    np.testing.assert_array_equal(model.pruner_.given_["X"], expected)
    np.testing.assert_array_equal(model.encoder_.transform(table), expected)


@pytest.mark.parametrize(
    "numbers",
    [
        np.random.default_rng(0).normal(size=(N, 2)),
        pd.DataFrame({"a": np.arange(N), "b": np.arange(N) % 2 == 0}),
        pd.DataFrame({"a": np.arange(N) / 2.0}, dtype=object),
        csr_array(np.eye(N)),
    ],
    ids=["array", "frame", "objects", "sparse"],
)
def test_numbers_reach_the_pruner_as_they_are(numbers):
    model = PrunedClassifier(Model(), Reader()).fit(numbers, Y)
    seen = model.pruner_.given_["X"]
    assert model.encoder_ is None
    dense = seen.toarray() if issparse(seen) else seen
    expected = numbers.toarray() if issparse(numbers) else np.asarray(numbers, dtype=float)
    np.testing.assert_array_equal(dense, expected)


@pytest.mark.parametrize(
    "X",
    [
        np.where(np.eye(N, 3), np.nan, 1.0),
        np.where(np.eye(N, 3), np.inf, 1.0),
        np.ma.masked_less(np.random.default_rng(0).normal(size=(N, 2)), 0),
        pd.DataFrame({"a": pd.array([None, *range(1, N)], dtype="Int64")}),
        pd.DataFrame({"a": pd.Categorical(np.arange(N) % 3)}),
        pl.DataFrame({"a": ["x", "y"] * (N // 2), "b": list(range(N))}),
        pl.DataFrame({"a": ["x", "y"] * (N // 2)}, schema={"a": pl.Categorical}),
        [["x", 1.0], ["y", None]] * (N // 2),
        [[datetime.date(2026, 1, 1 + i % 28)] for i in range(N)],
        np.array([["x", "1"], ["y", "2"]] * (N // 2)),
    ],
    ids=[
        *("gaps", "infinite", "masked", "nullable", "codes", "polars", "polars categories"),
        *("lists", "dates", "strings"),
    ],
)
def test_any_table_that_is_not_of_numbers_is_encoded(X):
    model = PrunedClassifier(Model(), Reader()).fit(X, Y)
    assert isinstance(model.encoder_, ColumnsEncoder)
    assert np.isfinite(model.pruner_.given_["X"]).all()


def test_masked_cells_are_missing_and_not_numbers():
    X = np.ma.masked_equal(np.c_[np.arange(N) % 3, np.arange(N)], 0)
    model = PrunedClassifier(Model(), Reader()).fit(X, Y)
    as_gaps = ColumnsEncoder().fit_transform(X.astype(float).filled(np.nan))
    np.testing.assert_array_equal(model.pruner_.given_["X"], as_gaps)


def test_boosting_with_native_categories_is_pruned_by_influence(native):
    y = native["size"] == "S"
    pruner = InfluencePruner(prune_ratio=0.2, random_state=0)
    model = PrunedClassifier(clone(NATIVE).set_params(max_iter=20), pruner).fit(native, y)
    assert model.estimator_.is_categorical_.tolist() == [False, True, True]
    assert model.pruner_.support_.sum() == 0.8 * N
    assert model.score(native, y) == 1


def test_lightgbm_reads_its_categories(native):
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=2, min_child_samples=1, verbose=-1)
    pruned = PrunedClassifier(model, HerdingPruner(prune_ratio=0.5, random_state=0)).fit(native, Y)
    assert len(pruned.predict(native)) == N
    assert pruned.estimator_.booster_.pandas_categorical == [["L", "M", "S"], ["Bern", "Oslo"]]


def test_xgboost_reads_its_categories(native):
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True)
    pruned = PrunedClassifier(model, HerdingPruner(prune_ratio=0.5, random_state=0)).fit(native, Y)
    assert len(pruned.predict(native)) == N
    assert pruned.estimator_.get_booster().feature_types == ["float", "c", "c"]


def test_a_regressor_reads_any_table(native):
    model = HistGradientBoostingRegressor(categorical_features="from_dtype", max_iter=2)
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    pruned = PrunedRegressor(model, pruner).fit(native, np.arange(N) / N)
    assert pruned.pruner_.support_.sum() == N // 2
    assert not hasattr(pruned.pruner_, "classes_")


def test_columns_are_those_of_the_table_and_not_of_its_encoding(table):
    model = PrunedClassifier(Model(), Reader())
    assert not hasattr(model, "n_features_in_")
    model.fit(table, Y)
    assert model.n_features_in_ == 4
    assert model.feature_names_in_.tolist() == list(table.columns)


def test_a_scikit_learn_model_as_the_matched_one_reads_the_encoding(table):
    pruner = InfluencePruner(LogisticRegression(), prune_ratio=0.5, random_state=0)
    assert PrunedClassifier(Model(), pruner).fit(table, Y).pruner_.support_.sum() == N // 2


@pytest.mark.usefixtures("no_training")
def test_a_network_was_made_for_certain_columns_and_gets_no_default(table, make_net):
    model = PrunedClassifier(Model(), InfluencePruner(make_net()))
    with pytest.raises(ValueError, match="column 'size' holds .* takes a pipeline of both as its"):
        model.fit(table[["size", "age"]], Y)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "estimate",
    [
        lambda pruner: PrunedClassifier(LogisticRegression(), pruner),
        lambda pruner: PruneRatioSearchCV(LogisticRegression(), pruner, ratios=[0.5], cv=2),
        lambda pruner: sklearn_prune.make_pipeline(pruner, LogisticRegression()),
    ],
    ids=["classifier", "search", "pipeline"],
)
def test_a_bad_cell_does_not_pass_because_its_row_is_pruned(estimate):
    X = np.random.default_rng(0).normal(size=(N, 2)).astype(object)
    X[1, 1] = "12,5"
    with pytest.raises(ValueError, match="'12,5'"):
        estimate(Reader()).fit(X, Y)
    X[1, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        estimate(Reader()).fit(X.astype(float), Y)


def test_a_composite_model_may_encode_by_itself(table):
    X, y, model = table[["city", "size"]], np.arange(N) // 2 % 2, LogisticRegression()
    for composite in (
        make_pipeline(OneHotEncoder(), model),
        GridSearchCV(make_pipeline(OneHotEncoder(), model), {}, cv=2),
    ):
        assert PrunedClassifier(composite, Reader()).fit(X, y).encoder_ is not None


def test_a_pruner_alone_still_refuses_text_and_names_the_way(table):
    with pytest.raises(ValueError, match="column 'city' holds .*data.ColumnsEncoder"):
        InfluencePruner().fit(table[["city"]], Y)


def test_one_text_for_each_row_needs_a_vectoriser():
    with pytest.raises(ValueError, match="one text for each row. .*TfidfVectorizer; PrunedClass"):
        PrunedClassifier(Model(), Reader()).fit(["a text"] * N, Y)


def test_sparse_gaps_are_still_refused():
    with pytest.raises(ValueError, match="needs finite numbers; X has 1 NaN"):
        PrunedClassifier(Model(), Reader()).fit(csr_array(np.where(np.eye(N), np.nan, 0)[:, :1]), Y)


def test_a_pruner_that_reads_no_rows_is_given_them_as_they_are(table):
    model = PrunedClassifier(Model(), RandomPruner(random_state=0)).fit(table, Y)
    assert model.encoder_ is None
    pd.testing.assert_frame_equal(model.pruner_.transform(table), model.estimator_.X_)


def test_tags_say_that_any_table_will_do_if_the_model_takes_it(make_net):
    def allows_gaps(pruner: Any) -> bool:
        return get_tags(PrunedClassifier(NATIVE, pruner)).input_tags.allow_nan

    assert allows_gaps(InfluencePruner())
    assert allows_gaps(make_pipeline(ColumnsEncoder(), InfluencePruner(make_net())))
    assert not allows_gaps(InfluencePruner(make_net()))
    assert not get_tags(PrunedClassifier(LogisticRegression())).input_tags.allow_nan


# --- a pipeline that ends in a pruner


@pytest.mark.parametrize("make", [make_pipeline, sklearn_prune.make_pipeline])
def test_a_pipeline_encodes_for_its_pruner_alone(make, table):
    given = make(ColumnsEncoder(max_categories=2), StandardScaler(), Reader())
    model = PrunedClassifier(Model(), given).fit(table, Y)
    expected = clone(given[:-1]).fit_transform(table)
    np.testing.assert_array_equal(model.pruner_.given_["X"], expected)
    np.testing.assert_array_equal(model.encoder_.transform(table), expected)
    pd.testing.assert_frame_equal(model.estimator_.X_, table.iloc[::2])


def test_a_pipeline_of_the_pruner_alone_is_the_pruner(table):
    model = PrunedClassifier(Model(), make_pipeline(Reader())).fit(table, Y)
    assert isinstance(model.encoder_, ColumnsEncoder)
    assert isinstance(model.pruner_, Reader)


def test_an_encoder_may_read_the_target(table):
    given = make_pipeline(TargetEncoder(random_state=0), Reader())
    model = PrunedClassifier(Model(), given).fit(table[["city"]].fillna(""), Y)
    assert model.pruner_.given_["X"].shape == (N, 1)


def test_texts_are_pruned_behind_a_vectoriser():
    texts = [f"word{i % 5} word{i % 3}" for i in range(N)]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    pruned = PrunedClassifier(model, make_pipeline(TfidfVectorizer(), pruner)).fit(texts, Y)
    assert pruned.pruner_.support_.sum() == N // 2
    assert len(pruned.predict(texts)) == N
    assert not hasattr(pruned, "n_features_in_")


def test_what_was_given_is_left_alone_and_parameters_are_nested(table):
    given = make_pipeline(ColumnsEncoder(), Reader())
    model = PrunedClassifier(Model(), given)
    again = pickle.loads(pickle.dumps(clone(model).fit(table, Y)))
    assert again.predict(table).tolist() == [0] * N
    assert not hasattr(given[0], "kinds_") and not hasattr(given[-1], "support_")
    model.set_params(pruner__reader__prune_ratio=0.25, pruner__columnsencoder__max_categories=3)
    assert given[-1].prune_ratio == 0.25 and given[0].max_categories == 3


@pytest.mark.parametrize(
    "estimator",
    [
        PrunedClassifier(LogisticRegression()),
        PruningSampler(),
        PruneRatioSearchCV(LogisticRegression()),
        PrunedSearchCV(GridSearchCV(LogisticRegression(), {})),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_parameter_of_the_default_pruner_can_be_set(estimator):
    changed = clone(estimator).set_params(pruner__prune_ratio=0.5)
    assert isinstance(changed.pruner, InfluencePruner)
    assert changed.pruner.prune_ratio == 0.5
    others = clone(estimator).set_params(pruner=RandomPruner(), pruner__prune_ratio=0.7)
    assert repr(others.pruner) == "RandomPruner(prune_ratio=0.7)"
    with pytest.raises(ValueError, match="'ratio' for estimator InfluencePruner"):
        clone(estimator).set_params(pruner__ratio=0.5)
    assert estimator.pruner is None


def test_a_grid_varies_the_ratio_of_the_default_pruner():
    X = np.random.default_rng(0).normal(size=(N, 3))
    grid = {"pruner": [None, RandomPruner(random_state=0)], "pruner__prune_ratio": [0.2, 0.5]}
    search = GridSearchCV(PrunedClassifier(LogisticRegression()), grid, cv=2, error_score="raise")
    search.fit(X, Y)
    assert search.cv_results_["param_pruner__prune_ratio"].tolist() == [0.2, 0.5] * 2


def test_parameters_of_fit_are_those_of_the_pruner(table):
    groups = np.arange(N) % 4
    model = PrunedClassifier(Model(), make_pipeline(ColumnsEncoder(), Reader()))
    seen = model.fit(table, Y, groups=groups).pruner_.given_["groups"]
    np.testing.assert_array_equal(seen, groups)


class Weighted(TransformerMixin, BaseEstimator):
    """Keeps the weights that its fit was given."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Weighted:
        self.weights_ = sample_weight
        return self

    def transform(self, X: Any) -> Any:
        return np.zeros((len(X), 1))


@pytest.mark.usefixtures("routing")
def test_routed_metadata_reaches_encoders_and_pruner(table):
    weights, groups = np.arange(N), np.arange(N) % 4
    given = make_pipeline(
        Weighted().set_fit_request(sample_weight=True), Reader().set_fit_request(groups="cohort")
    )
    model = PrunedClassifier(Model(), given).fit(table, Y, sample_weight=weights, cohort=groups)
    np.testing.assert_array_equal(model.encoder_[0].weights_, weights)
    np.testing.assert_array_equal(model.pruner_.given_["groups"], groups)


@pytest.mark.usefixtures("routing")
def test_routed_metadata_reaches_a_pruner_that_is_the_only_step(table):
    groups = np.arange(N) % 4
    given = make_pipeline(Reader().set_fit_request(groups="cohort"))
    model = PrunedClassifier(Model(), given).fit(table, Y, cohort=groups)
    np.testing.assert_array_equal(model.pruner_.given_["groups"], groups)


@pytest.mark.parametrize("given", [make_pipeline(ColumnsEncoder()), PlainPipeline([])])
def test_a_pipeline_must_end_in_a_pruner(given, table):
    with pytest.raises(ValueError, match="pruner must be a pruner, or a pipeline that ends in one"):
        PrunedClassifier(Model(), given).fit(table, Y)


def test_steps_that_drop_rows_are_refused():
    drop = FunctionTransformer(lambda X: X[1:])
    with pytest.raises(ValueError, match=f"each of the {N} rows; they return {N - 1}"):
        PrunedClassifier(Model(), make_pipeline(drop, Reader())).fit(np.ones((N, 1)), Y)


@pytest.mark.parametrize("given", [RandomPruner(), Reader()], ids=["random", "encoded"])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_an_error_of_the_model_notes_the_columns_that_are_not_of_numbers(given, in_pipeline):
    dated = pd.DataFrame({"born": pd.date_range("2026-01-01", periods=N), "age": range(N)})
    boosting = HistGradientBoostingClassifier(max_iter=2)
    with pytest.raises(TypeError, match="promoted") as failure:
        if in_pipeline:
            sklearn_prune.make_pipeline(given, boosting).fit(dated, Y)
        PrunedClassifier(boosting, given).fit(dated, Y)
    (note,) = failure.value.__notes__
    assert "'born' (moment). " in note and "age" not in note
    assert "make_pipeline(sklearn_prune.data.ColumnsEncoder(), estimator)" in note


def test_a_note_names_the_first_of_many_columns():
    texts = pd.DataFrame({f"text_{i}": list("ab") * (N // 2) for i in range(9)})
    with pytest.raises(ValueError, match="convert") as failure:
        PrunedClassifier(HistGradientBoostingClassifier(max_iter=2), Reader()).fit(texts, Y)
    (note,) = failure.value.__notes__
    assert "'text_4' (category) and 4 more. " in note
    assert "text_5" not in note


def test_an_error_of_a_model_of_numbers_has_no_note():
    with pytest.raises(ValueError, match="max_iter") as failure:
        model = HistGradientBoostingClassifier(max_iter=-1)
        PrunedClassifier(model, Reader()).fit(np.arange(2.0 * N).reshape(N, 2), Y)
    assert not hasattr(failure.value, "__notes__")


# --- features and reference rows


def sizes(X: pd.DataFrame) -> np.ndarray:
    return X["size"].cat.codes.to_numpy()[:, None].astype(float)


@pytest.mark.parametrize("encoder", [None, ColumnsEncoder()])
def test_a_function_as_features_gets_the_rows_as_they_are(encoder, table):
    pruner = Reader(features=sizes)
    given = pruner if encoder is None else make_pipeline(encoder, pruner)
    fitted = PrunedClassifier(Model(), given).fit(table, Y).pruner_
    np.testing.assert_array_equal(fitted.given_["features"], sizes(table))
    assert fitted.features is sizes


@pytest.mark.parametrize("steps", [[], [StandardScaler()]], ids=["as it is", "scaled"])
def test_a_function_as_features_gets_a_frame_of_numbers_as_it_is(steps):
    frame = pd.DataFrame({"a": range(N), "b": range(N)})
    given = make_pipeline(*steps, Reader(features=lambda X: X["b"]))
    fitted = PrunedClassifier(Model(), given).fit(frame, Y).pruner_
    pd.testing.assert_series_equal(fitted.given_["features"], frame["b"])


def test_a_failed_fit_leaves_the_features_of_a_step_as_they_were(table):
    pipe = sklearn_prune.make_pipeline(Reader(features=sizes), NATIVE)
    with pytest.raises(TypeError, match="nonsense"):
        pipe.fit(table, Y, reader__nonsense=1)
    assert pipe[0].features is sizes


def test_influences_of_features_are_matched(table):
    pruner = InfluencePruner(features=sizes, prune_ratio=0.5, random_state=0)
    model = PrunedClassifier(Model(), pruner).fit(table, Y)
    assert len(model.pruner_.influence_.influences) == 2


def test_a_function_as_features_gets_reference_rows_as_they_are(table):
    seen = []
    pruner = InfluencePruner(
        features=lambda X: seen.append(X) or sizes(X), prune_ratio=0.5, random_state=0
    )
    reference = {"X_ref": table.iloc[:40], "y_ref": Y[:40]}
    PrunedClassifier(Model(), pruner).fit(table, Y, **reference)
    assert len(seen) == 2
    pd.testing.assert_frame_equal(seen[0], table)
    pd.testing.assert_frame_equal(seen[1], table.iloc[:40])


def test_influences_of_features_are_remembered(table, tmp_path, request):
    memory = str(tmp_path)
    pruner = InfluencePruner(features=sizes, prune_ratio=0.5, random_state=0, memory=memory)
    first = PrunedClassifier(Model(), pruner).fit(table, Y).pruner_
    request.getfixturevalue("no_training")
    again = PrunedClassifier(Model(), pruner).fit(table, Y).pruner_
    np.testing.assert_array_equal(again.support_, first.support_)


@pytest.mark.parametrize("encoder", [None, ColumnsEncoder()])
def test_reference_rows_are_encoded_as_the_rows_are(encoder, table):
    given = Reader() if encoder is None else make_pipeline(encoder, Reader())
    model = PrunedClassifier(Model(), given).fit(table, Y, X_ref=table.iloc[:9])
    expected = ColumnsEncoder().fit(table).transform(table.iloc[:9])
    np.testing.assert_array_equal(model.pruner_.given_["X_ref"], expected)


# --- everywhere that a pruner is given


def test_a_pipeline_prunes_a_table_for_the_steps_after_it(table):
    pipe = sklearn_prune.make_pipeline(Reader(), Model()).fit(table, Y)
    pd.testing.assert_frame_equal(pipe[-1].X_, table.iloc[::2])
    assert np.isfinite(pipe[0].given_["X"]).all()


def test_a_pipeline_has_the_columns_of_the_table(native):
    pipe = sklearn_prune.make_pipeline(Reader(), NATIVE).fit(native, Y)
    assert pipe.n_features_in_ == 3
    assert pipe.feature_names_in_.tolist() == list(native.columns)


def test_a_pipeline_without_recording_steps_has_the_pruners_columns():
    assert (
        sklearn_prune.make_pipeline(Reader(), Model()).fit(np.ones((N, 3)), Y).n_features_in_ == 3
    )


def test_the_sampler_returns_the_table_as_it_is(table):
    for given in (Reader(), make_pipeline(ColumnsEncoder(), Reader())):
        sampler = PruningSampler(given)
        X_kept, y_kept = sampler.fit_resample(table, Y)
        pd.testing.assert_frame_equal(X_kept, table.iloc[::2])
        assert len(y_kept) == N // 2 and sampler.encoder_ is not None


GIVEN = pytest.mark.parametrize(
    "given",
    [
        RandomPruner(random_state=0),
        HerdingPruner(random_state=0),
        make_pipeline(ColumnsEncoder(), HerdingPruner(random_state=0)),
    ],
    ids=["random", "default encoder", "pipeline"],
)


@GIVEN
def test_a_search_for_the_ratio_reads_any_table(given, native):
    search = PruneRatioSearchCV(NATIVE, given, ratios=[0.5], tolerance=1.0, cv=2).fit(native, Y)
    assert search.best_prune_ratio_ == 0.5
    assert search.pruner_.support_.sum() == N // 2
    assert search.n_features_in_ == 3


@GIVEN
def test_a_search_on_kept_rows_reads_any_table(given, native):
    grid = GridSearchCV(NATIVE, {"max_depth": [1, 2]}, cv=2)
    search = PrunedSearchCV(grid, given, refit="kept").fit(native, Y)
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert search.pruner_.support_.sum() == len(search.pruner_.support_) * 0.6


@GIVEN
def test_cross_validation_encodes_each_fold_by_itself(given, native):
    model = PrunedClassifier(NATIVE, given)
    scores = cross_val_score(model, native, Y, cv=2, error_score="raise")
    assert len(scores) == 2
