"""Pipeline: rows go during fit only, and everything aligned with them goes along."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone, is_classifier
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.preprocessing import StandardScaler

from sklearn_prune import InfluencePruner, Pipeline, make_pipeline
from sklearn_prune.base import BasePruner


class EveryOther(BasePruner):
    """Keeps the rows at even positions, and notes what it was given."""

    n_fits = 0

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, groups: Any = None) -> Any:
        type(self).n_fits += 1
        return self._fit(X, y, sample_weight=sample_weight, groups=groups)

    def _select_rows(self, X: Any, y: Any, **fit_params: Any) -> Any:
        self.given_ = {"X": X, "y": y, **fit_params}
        return np.arange(X.shape[0]) % 2 == 0

    def transform(self, X: Any) -> Any:
        raise AssertionError("a pipeline has no use for transform")


class FirstHalf(BasePruner):
    def _select_rows(self, X: Any, y: Any) -> Any:
        return np.arange(X.shape[0]) < X.shape[0] // 2


class Witness(ClassifierMixin, BaseEstimator):
    """Notes what it was fitted on and predicts the first label."""

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        X_val: Any = None,
        note: Any = None,
    ) -> Witness:
        self.given_ = {
            "X": X,
            "y": y,
            "sample_weight": sample_weight,
            "groups": groups,
            "X_val": X_val,
            "note": note,
        }
        self.classes_ = np.unique(np.asarray(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


class Centre(TransformerMixin, BaseEstimator):
    """Subtracts the mean, and counts how often it is asked to."""

    n_transforms = 0

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> Centre:
        self.mean_ = np.average(X, axis=0, weights=sample_weight)
        return self

    def transform(self, X: Any) -> Any:
        type(self).n_transforms += 1
        return X - self.mean_


class OutOfFold(Centre):
    """Like TargetEncoder, gives training rows other values than those it would give new ones."""

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        self.fit(X)
        return X + 100


@pytest.fixture
def X() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 3))


@pytest.fixture
def y(X: np.ndarray) -> np.ndarray:
    return np.where(X[:, 0] > 0, "yes", "no")


@pytest.fixture
def routing() -> Any:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# --- fit


def test_steps_behind_a_pruner_are_fitted_on_the_rows_it_keeps(X, y):
    pipe = make_pipeline(StandardScaler(), EveryOther(), PCA(2), LogisticRegression()).fit(X, y)

    scaled = StandardScaler().fit_transform(X)[::2]
    by_hand = LogisticRegression().fit(PCA(2).fit_transform(scaled), y[::2])
    assert_allclose(pipe[-1].coef_, by_hand.coef_)
    assert_allclose(pipe[0].mean_, X.mean(axis=0))


def test_steps_before_a_pruner_are_fitted_as_scikit_learn_fits_them(X, y):
    pipe = make_pipeline(OutOfFold(), EveryOther(), OutOfFold(), Witness()).fit(X, y)
    assert_array_equal(pipe[1].given_["X"], X + 100)
    assert_allclose(pipe[3].given_["X"], X[::2] + 200)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([EveryOther(), Witness()], slice(0, 40, 2)),
        ([EveryOther(), FirstHalf(), Witness()], slice(0, 20, 2)),
        ([FirstHalf(), Centre(), EveryOther(), Witness()], slice(0, 20, 2)),
        ([EveryOther(), EveryOther(), EveryOther(), Witness()], slice(0, 40, 8)),
    ],
)
def test_pruners_may_stand_anywhere_but_last(X, y, steps, kept):
    pipe = make_pipeline(*map(clone, steps)).fit(X, y)
    assert_array_equal(pipe[-1].given_["y"], y[kept])
    assert len(pipe[-1].given_["X"]) == len(y[kept])


def test_sparse_rows_of_a_vectoriser_stay_sparse():
    texts = ["red apple", "green pear", "red cherry", "green apple"] * 5
    pipe = make_pipeline(TfidfVectorizer(), EveryOther(), Witness()).fit(texts, ["a", "b"] * 10)
    seen = pipe[-1].given_["X"]
    assert issparse(seen) and seen.format == "csr" and seen.shape == (10, 5)
    assert set(pipe[-1].given_["y"]) == {"a"}


def test_the_real_pruner_removes_the_share_it_is_asked_for(iris):
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    pipe = make_pipeline(StandardScaler(), pruner, LogisticRegression()).fit(*iris)
    alone = clone(pruner).fit(StandardScaler().fit_transform(iris[0]), iris[1])
    assert_array_equal(pipe[1].support_, alone.support_)
    assert alone.support_.sum() == 75
    assert pipe.score(*iris) > 0.9


def test_whole_numbers_are_classes_or_numbers_as_the_last_step_takes_them(X):
    counts = np.random.default_rng(0).integers(0, 3, size=40)
    pruner = InfluencePruner(prune_ratio=0.25, random_state=0)
    make_pipeline(pruner, LinearRegression()).fit(X, counts)
    assert not hasattr(pruner, "classes_")
    make_pipeline(pruner, LogisticRegression()).fit(X, counts)
    assert pruner.classes_.tolist() == [0, 1, 2]
    make_pipeline(pruner, LinearRegression()).fit(X, counts)
    assert pruner.fit(X, counts).classes_.tolist() == [0, 1, 2], "alone, it decides by y again"


def test_fit_runs_every_transformer_once_and_no_more(X, y):
    Centre.n_transforms = EveryOther.n_fits = 0
    make_pipeline(Centre(), EveryOther(), Witness()).fit(X, y)
    assert Centre.n_transforms == EveryOther.n_fits == 1


# --- what the user gave, in the shape it was given in


def test_pandas_keeps_index_column_types_and_order(X, y):
    index = pd.Index([f"row {i}" for i in range(40)])
    frame = pd.DataFrame({"b": X[:, 0].astype("float32"), "a": np.arange(40)}, index=index)
    target = pd.Series(pd.Categorical(y), index=index, name="label")
    given = make_pipeline(EveryOther(), Witness()).fit(frame, target)[-1].given_
    pd.testing.assert_frame_equal(given["X"], frame.iloc[::2])
    pd.testing.assert_series_equal(given["y"], target.iloc[::2])


def test_polars_keeps_its_schema(X, y):
    frame = pl.DataFrame({"b": X[:, 0], "a": np.arange(40, dtype="int8")})
    target = pl.Series("label", y.tolist())
    given = make_pipeline(EveryOther(), Witness()).fit(frame, target)[-1].given_
    assert given["X"].equals(frame.gather_every(2)) and given["X"].schema == frame.schema
    assert given["y"].equals(target.gather_every(2))


def test_a_target_of_several_columns_is_pruned_by_rows(X):
    target = np.column_stack([X.sum(axis=1), X[:, 0]])
    pruner = InfluencePruner(prune_ratio=0.25, random_state=0)
    pipe = make_pipeline(StandardScaler(), pruner, LinearRegression()).fit(X, target)
    assert pipe[1].support_.sum() == 30
    assert_allclose(pipe.predict(X), target)


def test_without_a_target_rows_alone_are_pruned(X):
    pipe = make_pipeline(EveryOther(), KMeans(2, random_state=0)).fit(X)
    assert len(pipe[-1].labels_) == 20


# --- metadata


def test_prefixed_metadata_is_pruned_with_the_rows(X, y):
    weight, groups = np.arange(40.0), [f"g{i}" for i in range(40)]
    pipe = make_pipeline(FirstHalf(), EveryOther(), Witness())
    pipe.fit(
        X,
        y,
        everyother__groups=groups,
        witness__sample_weight=weight,
        witness__groups=pd.Series(groups),
    )
    assert pipe[1].given_["groups"] == groups[:20]
    assert_array_equal(pipe[2].given_["sample_weight"], weight[:20:2])
    assert pipe[2].given_["groups"].tolist() == groups[:20:2]


def test_routed_metadata_is_pruned_with_the_rows(X, y, routing):
    weight = np.arange(1.0, 41.0)
    pipe = make_pipeline(
        Centre().set_fit_request(sample_weight=True),
        EveryOther().set_fit_request(sample_weight=True, groups=True),
        Centre().set_fit_request(sample_weight="weight_of_its_own"),
        FirstHalf(),
        Witness().set_fit_request(sample_weight=True, groups=False),
    )
    pipe.fit(X, y, sample_weight=weight, groups=weight, weight_of_its_own=weight**2)
    assert_allclose(pipe[0].mean_, np.average(X, axis=0, weights=weight))
    assert_array_equal(pipe[1].given_["groups"], weight)
    expected = np.average((X - pipe[0].mean_)[::2], axis=0, weights=weight[::2] ** 2)
    assert_allclose(pipe[2].mean_, expected)
    assert_array_equal(pipe[4].given_["sample_weight"], weight[:20:2])
    assert pipe[4].given_["groups"] is None


@pytest.mark.parametrize(
    "whole",
    ["x" * 40, dict.fromkeys(range(40)), set(range(40)), np.ones(39), 7, None],
    ids=["text", "dict", "set", "other length", "number", "none"],
)
def test_metadata_that_is_not_row_aligned_is_handed_on_whole(X, y, whole):
    pipe = make_pipeline(EveryOther(), Witness()).fit(X, y, witness__note=whole)
    assert pipe[-1].given_["note"] is whole


def test_sparse_metadata_is_pruned_too(X, y):
    pipe = make_pipeline(EveryOther(), Witness()).fit(X, y, witness__groups=csr_array(np.eye(40)))
    assert_array_equal(pipe[-1].given_["groups"].toarray(), np.eye(40)[::2])


@pytest.mark.parametrize("name", ["sample_weight", "typo__sample_weight"])
def test_a_parameter_that_names_no_step_is_refused_before_anything_is_fitted(X, y, name):
    EveryOther.n_fits = 0
    remedy = rf"'{name}' names none of .* Write witness__sample_weight="
    with pytest.raises(ValueError, match=remedy):
        make_pipeline(EveryOther(), Witness()).fit(X, y, **{name: np.ones(40)})
    assert EveryOther.n_fits == 0


def test_metadata_nobody_asked_for_is_refused_before_anything_is_fitted(X, y, routing):
    EveryOther.n_fits = 0
    with pytest.raises(TypeError, match="unexpected argument"):
        make_pipeline(EveryOther(), Witness()).fit(X, y, unknown=np.ones(40))
    assert EveryOther.n_fits == 0


@pytest.mark.parametrize("as_tuple", [False, True])
def test_a_validation_set_passes_the_steps_before_its_user_and_is_never_pruned(
    X, y, routing, as_tuple
):
    witness = Witness().set_fit_request(X_val=True)
    pipe = make_pipeline(Centre(), EveryOther(), Centre(), witness, transform_input=["X_val"])
    pipe.fit(X, y, X_val=(X, X + 1) if as_tuple else X)
    expected = X - X.mean(axis=0) - (X - X.mean(axis=0))[::2].mean(axis=0)
    found = pipe[-1].given_["X_val"]
    if as_tuple:
        assert_allclose(found[1], expected + 1)
        found = found[0]
    assert_allclose(found, expected)


def test_a_validation_set_that_is_not_given_is_not_missed(X, y, routing):
    witness = Witness().set_fit_request(X_val=True)
    pipe = make_pipeline(Centre(), EveryOther(), witness, transform_input=["X_val"])
    assert pipe.fit(X, y, X_val=None)[-1].given_["X_val"] is None


def test_transform_input_without_routing_names_the_switch(X, y):
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        make_pipeline(EveryOther(), Witness(), transform_input=["X_val"]).fit(X, y)


# --- after fit the pruner is not there


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_training_rows_are_all_predicted(X, y, method):
    pipe = make_pipeline(StandardScaler(), EveryOther(), LogisticRegression()).fit(X, y)
    expected = getattr(pipe[-1], method)(pipe[0].transform(X))
    assert_array_equal(getattr(pipe, method)(X), expected)


def test_training_rows_are_all_scored(X, y):
    pipe = make_pipeline(StandardScaler(), EveryOther(), LogisticRegression()).fit(X, y)
    weight = np.arange(40.0)
    scaled = pipe[0].transform(X)
    assert pipe.score(X, y) == pipe[-1].score(scaled, y)
    assert pipe.score(X, y, sample_weight=weight) == pipe[-1].score(scaled, y, weight)
    mixture = make_pipeline(EveryOther(), GaussianMixture(random_state=0)).fit(X)
    assert mixture.score_samples(X).shape == (40,)


def test_training_rows_are_all_transformed_and_back(X):
    pipe = make_pipeline(StandardScaler(), EveryOther(), PCA(3)).fit(X)
    Xt = pipe.transform(X)
    assert Xt.shape == (40, 3)
    assert_allclose(pipe.inverse_transform(Xt), X)


def test_the_real_pruner_leaves_its_own_training_rows_alone_at_prediction(iris):
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    pipe = make_pipeline(pruner, LogisticRegression(max_iter=500)).fit(*iris)
    assert pipe.predict(iris[0]).shape == (150,)
    assert pipe[:-1].transform(iris[0]) is iris[0]


def test_a_method_the_last_step_lacks_is_lacking(X, y):
    pipe = make_pipeline(EveryOther(), Witness()).fit(X, y)
    assert not hasattr(pipe, "predict_proba") and not hasattr(pipe, "transform")
    assert not hasattr(pipe, "fit_transform")


def test_an_unfitted_pipeline_says_so(X):
    with pytest.raises(NotFittedError, match="Pipeline instance is not fitted"):
        make_pipeline(EveryOther(), LogisticRegression()).predict(X)


def test_prediction_parameters_reach_the_last_step(X):
    from sklearn.gaussian_process import GaussianProcessRegressor

    pipe = make_pipeline(EveryOther(), GaussianProcessRegressor(alpha=1e-3)).fit(X, X[:, 0])
    mean, std = pipe.predict(X, return_std=True)
    assert mean.shape == std.shape == (40,)


# --- fit_transform and fit_predict


def test_fit_transform_is_fit_then_transform_of_all_rows(X, y):
    pipe = make_pipeline(StandardScaler(), EveryOther(), PCA(2))
    found = clone(pipe).fit_transform(X, y)
    assert found.shape == (40, 2)
    assert_allclose(found, pipe.fit(X, y).transform(X))


def test_fit_predict_is_fit_then_predict_of_all_rows(X):
    pipe = make_pipeline(EveryOther(), KMeans(2, random_state=0))
    assert_array_equal(clone(pipe).fit_predict(X), pipe.fit(X).predict(X))


def test_fit_transform_routes_metadata_to_both(X, y, routing):
    class Shifted(Centre):
        def transform(self, X: Any, shift: Any = 0) -> Any:
            return X - self.mean_ + shift

    last = Shifted().set_fit_request(sample_weight=True).set_transform_request(shift=True)
    weight = np.arange(40.0)
    pruner = EveryOther().set_fit_request(sample_weight=False)
    found = make_pipeline(pruner, last).fit_transform(X, y, sample_weight=weight, shift=5)
    assert_allclose(found, X - np.average(X[::2], axis=0, weights=weight[::2]) + 5)


def test_what_cannot_answer_for_dropped_rows_is_not_offered(X):
    with pytest.raises(AttributeError) as caught:
        make_pipeline(EveryOther(), DBSCAN()).fit_predict(X)
    assert re.search(r"so the last step needs predict; DBSCAN", str(caught.value.__cause__))
    assert not hasattr(make_pipeline(EveryOther(), TSNE()), "fit_transform")


def test_without_a_pruner_everything_is_as_in_scikit_learn(X, y):
    assert_array_equal(make_pipeline(OutOfFold()).fit_transform(X, y), X + 100)
    assert len(make_pipeline("passthrough", DBSCAN()).fit_predict(X)) == 40
    assert hasattr(make_pipeline(StandardScaler(), TSNE()), "fit_transform")


# --- what a pipeline of scikit-learn can do


def test_memory_spares_transformers_and_pruners_a_second_fit(X, y, tmp_path):
    EveryOther.n_fits = 0
    given = [("centre", Centre()), ("prune", EveryOther()), ("last", Witness())]
    first = Pipeline(given, memory=str(tmp_path)).fit(X, y)
    second = Pipeline(given, memory=str(tmp_path)).fit(X, y)
    assert EveryOther.n_fits == 1
    assert_array_equal(second["prune"].support_, first["prune"].support_)
    assert_array_equal(second[-1].given_["X"], first[-1].given_["X"])
    assert not hasattr(given[1][1], "support_"), "a pruner that is cached is fitted as a clone"


def test_memory_does_not_mind_what_follows_the_pruner(X, y, tmp_path):
    EveryOther.n_fits = 0
    make_pipeline(EveryOther(), Witness(), memory=str(tmp_path)).fit(X, y)
    make_pipeline(EveryOther(), Centre(), PCA(2), Witness(), memory=str(tmp_path)).fit(X, y)
    assert EveryOther.n_fits == 1


def test_memory_notices_other_rows_and_other_weights(X, y, tmp_path):
    EveryOther.n_fits = 0
    pipe = make_pipeline(EveryOther(), Witness(), memory=str(tmp_path)).fit(X, y)
    pipe.fit(X + 1, y)
    pipe.fit(X, y, everyother__sample_weight=np.ones(40))
    assert EveryOther.n_fits == 3


def test_memory_serves_the_real_pruner(iris, tmp_path):
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    pipe = make_pipeline(pruner, LogisticRegression(max_iter=500), memory=str(tmp_path))
    certificates = [clone(pipe).fit(*iris)[0].certificate_ for _ in range(2)]
    # Seconds are measured anew by every fit.
    assert certificates[0].seconds == certificates[1].seconds


def test_verbose_counts_the_steps_of_the_whole(X, y, capsys):
    steps = [Centre(), EveryOther(), "passthrough", FirstHalf(), Witness()]
    make_pipeline(*steps, verbose=True).fit(X, y)
    found = re.findall(
        r"\[Pipeline\].*\((step \d of \d)\) Processing (\S+),", capsys.readouterr()[0]
    )
    names = ["centre", "everyother", "passthrough", "firsthalf", "witness"]
    assert found == [(f"step {i + 1} of 5", name) for i, name in enumerate(names)]


def test_a_quiet_pipeline_prints_nothing(X, y, capsys):
    make_pipeline(Centre(), EveryOther(), Witness()).fit(X, y)
    assert capsys.readouterr()[0] == ""


def test_a_slice_shares_the_steps_and_passes_the_pruner_by(X, y):
    pipe = make_pipeline(StandardScaler(), EveryOther(), PCA(2), LogisticRegression()).fit(X, y)
    head = pipe[:2]
    assert type(head) is Pipeline and len(head) == 2 and head[1] is pipe["everyother"]
    assert_allclose(head.transform(X), pipe[0].transform(X))
    assert_allclose(pipe[2:].predict(pipe[:2].transform(X)) == y, pipe.predict(X) == y)
    with pytest.raises(ValueError, match="step of 1"):
        pipe[::2]


@pytest.mark.parametrize(("library", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output_holds_for_rows_that_were_pruned(X, y, library, frame):
    pipe = make_pipeline(StandardScaler(), EveryOther(), PCA(2), Witness())
    pipe.set_output(transform=library).fit(X, y)
    seen = pipe[-1].given_["X"]
    assert isinstance(seen, frame) and seen.shape == (20, 2)
    assert list(seen.columns) == ["pca0", "pca1"]
    assert pipe[:-1].transform(X).shape == (40, 2)


@pytest.mark.parametrize("last", ["passthrough", None])
def test_nothing_may_be_the_last_step(X, y, last):
    pipe = Pipeline([("scale", StandardScaler()), ("prune", EveryOther()), ("last", last)])
    assert_allclose(pipe.fit_transform(X, y), StandardScaler().fit_transform(X))
    assert pipe["prune"].support_.sum() == 20


@pytest.mark.parametrize("nothing", ["passthrough", None])
def test_a_pruner_can_be_switched_off(X, y, nothing):
    pipe = make_pipeline(Centre(), EveryOther(), Witness()).set_params(everyother=nothing)
    assert len(pipe.fit(X, y)[-1].given_["y"]) == 40


def test_parameters_of_a_pruner_are_set_by_its_name():
    pipe = make_pipeline(InfluencePruner(), LogisticRegression())
    pipe.set_params(influencepruner__prune_ratio=0.1)
    assert pipe.get_params()["influencepruner__prune_ratio"] == 0.1


def test_clone_is_unfitted_and_shares_nothing(X, y):
    pipe = make_pipeline(EveryOther(), LogisticRegression(), verbose=False).fit(X, y)
    twin = clone(pipe)
    assert type(twin) is Pipeline and not hasattr(twin[0], "support_")
    assert twin[0] is not pipe[0]


def test_a_pickled_pipeline_predicts_the_same(iris):
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    pipe = make_pipeline(StandardScaler(), pruner, LogisticRegression()).fit(*iris)
    back = pickle.loads(pickle.dumps(pipe))
    assert_array_equal(back.predict_proba(iris[0]), pipe.predict_proba(iris[0]))
    assert_array_equal(back[1].support_, pipe[1].support_)


def test_html_shows_the_pruner_and_once_fitted_its_counts(X, y):
    pipe = make_pipeline(StandardScaler(), EveryOther(), LogisticRegression())
    assert "EveryOther" in pipe._repr_html_() and "rows kept" not in pipe._repr_html_()
    assert "20 of 40 rows kept" in pipe.fit(X, y)._repr_html_()


def test_it_is_what_its_last_step_is(X, y):
    pipe = make_pipeline(StandardScaler(), EveryOther(), LogisticRegression())
    assert is_classifier(pipe)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    pipe.fit(frame, y)
    assert pipe.n_features_in_ == 3 and pipe.classes_.tolist() == ["no", "yes"]
    assert pipe.feature_names_in_.tolist() == ["a", "b", "c"]
    assert pipe[:-1].get_feature_names_out().tolist() == ["a", "b", "c"]


def test_the_list_of_steps_that_was_given_stays_as_it_is(X, y, tmp_path):
    given = [("prune", EveryOther()), ("last", Witness())]
    before = list(given)
    Pipeline(given, memory=str(tmp_path)).fit(X, y)
    assert all(now is then for now, then in zip(given, before, strict=True))


def test_make_pipeline_names_steps_as_scikit_learn_does():
    pipe = make_pipeline(PCA(), EveryOther(), PCA(), Witness(), memory="there", verbose=True)
    assert [name for name, _ in pipe.steps] == ["pca-1", "everyother", "pca-2", "witness"]
    assert (pipe.memory, pipe.verbose) == ("there", True)


@pytest.mark.skipif(
    not hasattr(Pipeline, "set_callbacks"), reason="scikit-learn 1.9 has them first"
)
def test_callbacks_follow_every_part(X, y):
    class Log:
        def __init__(self) -> None:
            self.tasks: list[str] = []

        def setup(self, estimator: Any, context: Any) -> None: ...

        def teardown(self, estimator: Any, context: Any) -> None:
            self.tasks.append("torn down")

        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            self.tasks.append(context.task_name)

        def on_fit_task_end(self, estimator: Any, context: Any) -> None: ...

    log = Log()
    pipe = make_pipeline(Centre(), EveryOther(), Witness())
    pipe.set_callbacks(log).fit(X, y)
    assert log.tasks == ["fit", "fit-centre", "fit-everyother", "fit-witness", "torn down"]


# --- what is refused


def test_a_pruner_as_last_step_is_refused(X, y):
    with pytest.raises(TypeError, match=r"'prune', EveryOther\(\)\. Add an estimator .* after it"):
        Pipeline([("scale", StandardScaler()), ("prune", EveryOther())]).fit(X, y)


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([], ValueError, "empty"),
        ([("a", Centre()), ("b", EveryOther()), ("a", Witness())], ValueError, "not unique"),
        ([("a", Centre()), ("b__c", EveryOther()), ("d", Witness())], ValueError, "__"),
        ([("a", Witness()), ("b", EveryOther()), ("c", Witness())], TypeError, "transformers"),
        ([("a", EveryOther()), ("b", 7)], TypeError, "implement fit"),
    ],
)
def test_steps_are_checked_over_the_whole_before_anything_is_fitted(X, y, steps, error, message):
    EveryOther.n_fits = 0
    with pytest.raises(error, match=message):
        Pipeline(steps).fit(X, y)
    assert EveryOther.n_fits == 0


def test_parameters_are_checked(X, y):
    with pytest.raises(ValueError, match="'verbose' parameter"):
        make_pipeline(EveryOther(), Witness(), verbose="loud").fit(X, y)


def test_it_is_a_pipeline_of_scikit_learn():
    assert isinstance(make_pipeline(EveryOther(), Witness()), PlainPipeline)
