"""Pipelines within pipelines, in searches and ensembles, on tables, and without this package."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_union
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_prune import (
    InfluencePruner,
    Pipeline,
    PrunedClassifier,
    PrunedRegressor,
    make_pipeline,
)
from sklearn_prune.base import BasePruner
from tests.expected_failures import expected_failures


class EveryOther(BasePruner):
    """Keeps the rows at even positions."""

    def _select_rows(self, X: Any, y: Any) -> Any:
        return np.arange(X.shape[0]) % 2 == 0


class FirstHalf(BasePruner):
    """Keeps as many rows, and others."""

    def _select_rows(self, X: Any, y: Any) -> Any:
        return np.arange(X.shape[0]) < X.shape[0] // 2


# --- a pipeline in something else, something else in a pipeline


def test_a_plain_pipeline_may_be_any_step_of_ours(iris):
    X, y = iris
    head = make_plain_pipeline(StandardScaler(), PCA(3))
    tail = make_plain_pipeline(StandardScaler(), LogisticRegression())
    pipe = make_pipeline(head, EveryOther(), tail).fit(X, y)
    by_hand = clone(tail).fit(clone(head).fit_transform(X)[::2], y[::2])
    assert_allclose(pipe[-1][-1].coef_, by_hand[-1].coef_)


def test_ours_within_a_plain_pipeline_keeps_its_rows_and_prunes_for_its_own_steps(iris):
    X, y = iris
    inner = make_pipeline(EveryOther(), StandardScaler())
    outer = make_plain_pipeline(inner, LogisticRegression()).fit(X, y)
    assert_allclose(inner[-1].mean_, X[::2].mean(axis=0))
    everything = LogisticRegression().fit(inner.transform(X), y)
    assert_allclose(outer[-1].coef_, everything.coef_)
    last = make_plain_pipeline(StandardScaler(), make_pipeline(EveryOther(), SVC())).fit(X, y)
    assert last.predict(X).shape == (150,)


def test_ours_within_ours_prunes_at_both_levels(iris):
    X, y = iris
    inner = make_pipeline(EveryOther(), StandardScaler())
    pipe = make_pipeline(inner, EveryOther(), make_pipeline(EveryOther(), SVC())).fit(X, y)
    supports = [inner[0], pipe[1], pipe[2][0]]
    assert [len(pruner.support_) for pruner in supports] == [150, 150, 75]
    assert pipe.predict(X).shape == (150,)


def test_metadata_reaches_a_pipeline_within(iris):
    X, y = iris
    weight = np.linspace(1, 2, 150)
    inner = make_pipeline(EveryOther(), LogisticRegression())
    pipe = make_pipeline(EveryOther(), inner)
    pipe.fit(X, y, pipeline__logisticregression__sample_weight=weight)
    by_hand = LogisticRegression().fit(X[::4], y[::4], sample_weight=weight[::4])
    assert_allclose(inner[-1].coef_, by_hand.coef_)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = make_pipeline(
            EveryOther(),
            make_pipeline(EveryOther(), LogisticRegression().set_fit_request(sample_weight=True)),
        ).fit(X, y, sample_weight=weight)
    assert_allclose(routed[-1][-1].coef_, by_hand.coef_)


def test_fed_by_a_column_transformer_that_holds_one_of_ours(iris):
    X, y = iris
    left = make_pipeline(EveryOther(), StandardScaler())
    columns = ColumnTransformer([("left", left, [0, 1]), ("right", "passthrough", [2, 3])])
    pipe = make_pipeline(columns, EveryOther(), SVC()).fit(X, y)
    assert pipe[0].transform(X).shape == (150, 4)
    fitted = pipe[0].named_transformers_["left"][-1]
    assert_allclose(fitted.mean_, X[::2, :2].mean(axis=0))
    assert pipe[-1].shape_fit_ == (75, 4)


def test_in_a_feature_union(iris):
    X, y = iris
    union = FeatureUnion([("a", make_pipeline(EveryOther(), PCA(1))), ("b", PCA(2))])
    assert union.fit_transform(X, y).shape == (150, 3)


def test_in_a_voting_classifier(iris):
    X, y = iris
    ours = make_pipeline(StandardScaler(), EveryOther(), SVC())
    vote = VotingClassifier([("ours", ours), ("plain", SVC())]).fit(X, y)
    assert vote.named_estimators_["ours"][-1].shape_fit_ == (75, 4)
    assert vote.named_estimators_["plain"].shape_fit_ == (150, 4)
    assert vote.predict(X).shape == (150,)


def test_in_one_classifier_for_each_class(iris):
    X, y = iris
    rest = OneVsRestClassifier(make_pipeline(EveryOther(), SVC())).fit(X, y)
    assert [each[-1].shape_fit_ for each in rest.estimators_] == [(75, 4)] * 3


def test_in_a_regressor_that_transforms_its_target():
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.exp(X[:, 0])
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    inner = make_pipeline(pruner, LinearRegression())
    outer = TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp).fit(X, y)
    assert_allclose(outer.predict(X), y)
    assert outer.regressor_[0].support_.sum() == 20


def test_cross_validation_predicts_rows_that_no_pruner_saw(iris):
    X, y = iris
    pipe = make_pipeline(StandardScaler(), EveryOther(), LogisticRegression())
    assert np.mean(cross_val_predict(pipe, X, y, cv=3) == y) > 0.9


# --- a bare pruner in scikit-learn's own pipeline


@pytest.mark.parametrize(
    "pipe",
    [
        make_plain_pipeline(StandardScaler(), EveryOther(), SVC()),
        make_plain_pipeline(EveryOther(), SVC()),
        make_plain_pipeline(make_plain_pipeline(StandardScaler(), EveryOther()), SVC()),
        make_plain_pipeline(StandardScaler(), make_plain_pipeline(EveryOther(), SVC())),
        make_pipeline(make_plain_pipeline(StandardScaler(), EveryOther()), SVC()),
        make_pipeline(EveryOther(), make_plain_pipeline(EveryOther(), SVC())),
        make_pipeline(make_plain_pipeline(EveryOther(), PCA(1)), EveryOther(), SVC()),
        GridSearchCV(
            make_plain_pipeline(EveryOther(), SVC()), {"svc__C": [1]}, error_score="raise"
        ),
    ],
    ids=lambda pipe: type(pipe).__module__.partition(".")[0],
)
def test_a_pruner_whose_pipeline_drops_no_rows_of_y_names_the_remedy(iris, pipe):
    remedy = r", EveryOther, is followed .* Use sklearn_prune\.Pipeline, or make a PrunedClassifier"
    with pytest.raises(TypeError, match=remedy):
        clone(pipe).fit(*iris)


def test_the_remedy_is_named_with_memory_too(iris, tmp_path):
    pipe = make_plain_pipeline(EveryOther(), SVC(), memory=str(tmp_path))
    with pytest.raises(TypeError, match=r"sklearn_prune\.Pipeline"):
        pipe.fit(*iris)


def test_the_refusal_names_no_step_but_the_pruners_own(iris):
    columns = ColumnTransformer([("pruner", EveryOther(), [0, 1])])
    with pytest.raises(
        TypeError, match="^ColumnTransformer .* its step 'pruner', EveryOther, drops"
    ):
        make_plain_pipeline(columns, SVC()).fit(*iris)
    named = PlainPipeline([("first", StandardScaler()), ("few", EveryOther()), ("last", SVC())])
    with pytest.raises(TypeError, match="its step 'few', EveryOther, is followed"):
        named.fit(*iris)


def beside(transformer):
    return ColumnTransformer([("plain", StandardScaler(), [0, 1]), ("pruner", transformer, [2, 3])])


ROW_KEEPERS = {
    "one in a column transformer": lambda: ColumnTransformer([("pruner", EveryOther(), [0, 1])]),
    "beside another": lambda: beside(EveryOther()),
    "two of them": lambda: ColumnTransformer(
        [("first", EveryOther(), [0, 1]), ("second", FirstHalf(), [2, 3])]
    ),
    "at the end of a pipeline": lambda: beside(make_plain_pipeline(PCA(1), EveryOther())),
    "in other processes": lambda: beside(EveryOther()).set_params(n_jobs=2),
    "in a union": lambda: make_union(PCA(1), EveryOther()),
    "alone in a union": lambda: make_union(EveryOther()),
    "in a union in a pruning pipeline": lambda: make_pipeline(make_union(EveryOther()), SVC()),
    "for the target": lambda: TransformedTargetRegressor(
        LinearRegression(), transformer=EveryOther(), check_inverse=False
    ),
    "in a grid": lambda: GridSearchCV(
        make_plain_pipeline(beside(EveryOther()), SVC()), {"svc__C": [1.0]}, error_score="raise"
    ),
}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (name, method)
        for name, make in ROW_KEEPERS.items()
        for method in ("fit", "fit_transform")
        # Starting other processes takes seconds, so once is enough.
        if hasattr(make(), method) and (name, method) != ("in other processes", "fit_transform")
    ],
)
def test_where_every_row_must_come_back_a_pruner_is_refused_in_words(iris, name, method):
    owner = ROW_KEEPERS[name]()
    with pytest.raises(
        TypeError, match=r"drops rows\. (Use the pruner before|Use a PrunedRegressor)"
    ):
        getattr(owner, method)(*iris)


def test_pipelines_that_prune_are_fine_where_every_row_must_come_back(iris):
    X, y = iris
    inner = make_pipeline(StandardScaler(), EveryOther(), PCA(1))
    assert beside(inner).fit_transform(X, y).shape == (150, 3)
    assert make_union(PCA(1), inner).fit_transform(X, y).shape == (150, 2)
    target = TransformedTargetRegressor(
        PrunedRegressor(LinearRegression(), EveryOther()), func=np.log1p, inverse_func=np.expm1
    )
    assert target.fit(X, y).predict(X).shape == (150,)


def test_a_pruner_may_end_plain_pipelines_of_transformers(iris):
    X, y = iris
    inner = make_plain_pipeline(StandardScaler(), EveryOther())
    assert inner.fit_transform(X, y).shape == (75, 4)
    outer = make_plain_pipeline(PCA(2), clone(inner))
    assert outer.fit_transform(X, y).shape == (75, 2)
    assert outer.transform(X[:7]).shape == (7, 2)


def test_a_pruner_that_was_refused_can_be_fitted_afterwards(iris):
    pruner = EveryOther()
    with pytest.raises((TypeError, ValueError)):
        make_plain_pipeline(pruner, SVC()).fit(*iris)
    assert pruner.fit(*iris).support_.sum() == 75


# --- the deployable pipeline

# A finder, as entries of None in sys.modules would mislead scipy, which looks for torch there.
BLIND_LOADER = """
import pickle, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "skorch", "sklearn_prune"}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
with open(sys.argv[1], "rb") as file:
    pipe, X = pickle.load(file)
print(type(pipe).__module__, *pipe.predict(X))
"""


def load_blindly(pipe_and_rows: tuple[Any, Any], folder: Path) -> list[str]:
    path = folder / "deployable.pkl"
    path.write_bytes(pickle.dumps(pipe_and_rows))
    command = [sys.executable, "-c", BLIND_LOADER, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.split()


def test_the_deployable_pipeline_needs_neither_torch_nor_this_package(iris, tmp_path):
    X, y = iris[0], np.array(["setosa", "versicolor", "virginica"])[iris[1]]
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    inner = make_plain_pipeline(PCA(3), make_pipeline(EveryOther(), StandardScaler()))
    pipe = make_pipeline(StandardScaler(), pruner, inner, LogisticRegression()).fit(X, y)
    assert load_blindly((pipe.deployable_, X), tmp_path) == ["sklearn.pipeline", *pipe.predict(X)]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        load_blindly((pipe, X), tmp_path)
    assert "sklearn_prune is blocked" in caught.value.stderr


def test_the_deployable_pipeline_shares_the_fitted_steps(iris):
    pipe = make_pipeline(StandardScaler(), EveryOther(), SVC(), memory=None, verbose=True)
    deployable = pipe.fit(*iris).deployable_
    assert type(deployable) is PlainPipeline
    assert [name for name, _ in deployable.steps] == ["standardscaler", "svc"]
    assert deployable[0] is pipe[0] and deployable[-1] is pipe[-1]


def test_the_deployable_of_a_pruned_classifier_leaves_the_training_rows_behind(iris, tmp_path):
    inner = make_pipeline(StandardScaler(), EveryOther(), LogisticRegression())
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    model = PrunedClassifier(make_plain_pipeline(PCA(3), inner), pruner).fit(*iris)
    predicted = [*map(str, model.predict(iris[0]))]
    assert load_blindly((model.deployable_, iris[0]), tmp_path) == ["sklearn.pipeline", *predicted]
    assert len(pickle.dumps(model)) > 10 * len(pickle.dumps(model.deployable_))


def test_a_pruned_classifier_among_the_steps_is_replaced_by_its_own_model(iris):
    model = PrunedClassifier(LogisticRegression(), EveryOther())
    pipe = make_pipeline(StandardScaler(), model).fit(*iris)
    assert pipe.deployable_[-1] is pipe[-1].estimator_


def test_only_what_is_fitted_is_deployable():
    assert not hasattr(make_pipeline(EveryOther(), SVC()), "deployable_")
    assert not hasattr(PrunedClassifier(SVC(), EveryOther()), "deployable_")


# --- the story: a table with text and holes


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    n_rows = 240
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows).astype(float),
            "hours": rng.normal(40, 10, n_rows),
            "job": rng.choice(["clerk", "cook", "driver"], n_rows),
            "town": pd.Categorical(rng.choice(["Lyon", "Oslo"], n_rows)),
        },
        index=pd.RangeIndex(1000, 1000 + n_rows),
    )
    rich = frame["age"] / 20 + (frame["job"] == "clerk") * 2 + rng.normal(0, 0.5, n_rows) > 3
    frame.loc[rng.random(n_rows) < 0.1, "age"] = np.nan
    frame.loc[rng.random(n_rows) < 0.1, "job"] = np.nan
    return frame, pd.Series(np.where(rich, "rich", "poor"), index=frame.index, name="income")


@pytest.fixture
def columns() -> ColumnTransformer:
    text = make_plain_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    numbers = make_plain_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer(
        [("numbers", numbers, ["age", "hours"]), ("text", text, ["job", "town"])],
        sparse_threshold=0,
    )


@pytest.mark.parametrize(
    "classifier",
    [
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        LogisticRegression(),
        SVC(random_state=0),
        KNeighborsClassifier(),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_a_table_is_pruned_searched_scored_and_deployed(table, columns, classifier):
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0)
    pipe = Pipeline([("columns", columns), ("prune", pruner), ("classify", classifier)])
    X, X_test, y, y_test = train_test_split(*table, random_state=0)

    search = GridSearchCV(pipe, {"prune__prune_ratio": [0.25, 0.5]}, cv=2).fit(X, y)

    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    best = search.best_estimator_
    n_kept = len(X) - round(search.best_params_["prune__prune_ratio"] * len(X))
    assert best["prune"].support_.sum() == n_kept
    # Better by a good deal than the larger class alone.
    assert search.score(X_test, y_test) > y_test.value_counts(normalize=True).max() + 0.15
    assert_array_equal(best.deployable_.predict(X_test), search.predict(X_test))
    assert len(best.predict(X)) == len(X)


# --- scikit-learn's own checks


class FifthOut(BasePruner):
    """Leaves a row of every class in the small data of the checks."""

    def _select_rows(self, X: Any, y: Any) -> Any:
        return np.arange(X.shape[0]) % 5 != 4


@parametrize_with_checks(
    [make_pipeline(StandardScaler(), FifthOut(), LogisticRegression())],
    expected_failed_checks=expected_failures,
)
def test_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)
