"""The search on few rows whose winner is refitted on all."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import check_scoring, get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.model_selection import PrunedSearchCV
from tests.conftest import ThirdOut
from tests.expected_failures import expected_failures

GRID = {"C": [0.01, 0.1, 1.0]}
LINEAR = SVC(kernel="linear")
ALL_ROWS = RandomPruner(0.0)


@parametrize_with_checks(
    [
        PrunedSearchCV(
            GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
            RandomPruner(0.2, random_state=0),
        ),
        PrunedSearchCV(
            GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2),
            RandomPruner(0.2, random_state=0),
            refit="kept",
        ),
    ],
    expected_failed_checks=expected_failures,
)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


class Right(BasePruner):
    """Keeps the rows on the right, and weights them if asked: another share in each fold."""

    def __init__(self, at: float = 0.5, reweight: bool = False) -> None:
        self.at = at
        self.reweight = reweight

    def _select_rows(self, X: Any, y: Any) -> Any:
        kept = X[:, 0] > self.at
        if self.reweight:
            self.sample_weight_ = 1 + np.arange(kept.sum()) / 10
        return kept


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(120, 4, flip_y=0.2, random_state=0)


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def scores_of(search: Any) -> np.ndarray:
    names = [f"split{k}_test_score" for k in range(search.n_splits_)]
    return np.array([search.cv_results_[name] for name in names])


def by_hand(X, y, model, pruner, cv, settings, weighted=False) -> np.ndarray:
    """Scores of shape (n_folds, n_settings) by a plain loop; C is divided by the share kept."""
    scores = []
    for train, test in cv.split(X, y):
        fitted = clone(pruner).fit(X[train], y[train])
        kept = train[fitted.support_]
        fit_params = {"sample_weight": fitted.sample_weight_} if weighted else {}
        scores.append(
            [
                clone(model)
                .set_params(C=setting * len(train) / len(kept))
                .fit(X[kept], y[kept], **fit_params)
                .score(X[test], y[test])
                for setting in settings
            ]
        )
    return np.array(scores)


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_a_loop_written_by_hand(noisy, weighted):
    cv = KFold(4, shuffle=True, random_state=1)
    pruner = Right(reweight=weighted)
    search = PrunedSearchCV(GridSearchCV(LINEAR, GRID, cv=cv), pruner).fit(*noisy)
    assert len({fold.share for fold in search.folds_}) > 1
    expected = by_hand(*noisy, LINEAR, pruner, cv, GRID["C"], weighted)
    np.testing.assert_allclose(scores_of(search), expected)
    assert search.best_params_ == {"C": GRID["C"][expected.mean(axis=0).argmax()]}
    assert search.best_score_ == pytest.approx(expected.mean(axis=0).max())


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(LogisticRegression(), GRID, cv=KFold(3, shuffle=True, random_state=0)),
        GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__gamma": [0.1, 1.0]}, cv=3),
        RandomizedSearchCV(SVC(), {"C": loguniform(0.1, 10)}, n_iter=4, cv=3, random_state=0),
        HalvingGridSearchCV(
            RandomForestClassifier(random_state=0),
            {"max_depth": [1, 2, 3, 4]},
            resource="n_estimators",
            max_resources=9,
            cv=3,
        ),
    ],
    ids=["grid", "pipeline", "randomized", "halving"],
)
def test_where_all_rows_are_kept_it_is_the_search_itself(search, noisy):
    ours, own = PrunedSearchCV(search, ALL_ROWS).fit(*noisy), clone(search).fit(*noisy)
    np.testing.assert_array_equal(scores_of(ours), scores_of(own))
    assert ours.cv_results_["params"] == own.cv_results_["params"]
    assert ours.best_params_ == own.best_params_
    assert ours.best_index_ == own.best_index_ and ours.best_score_ == own.best_score_
    np.testing.assert_array_equal(ours.predict(noisy[0]), own.predict(noisy[0]))
    assert ours.score(*noisy) == own.score(*noisy)


class TriesInTurn(BaseEstimator):
    """A search of another package: with the contract, and without tables of results."""

    def __init__(self, estimator, values, cv=None, scoring=None, refit=True) -> None:
        self.estimator = estimator
        self.values = values
        self.cv = cv
        self.scoring = scoring
        self.refit = refit

    def fit(self, X: Any, y: Any, **params: Any) -> TriesInTurn:
        assert not self.refit
        self.scorer_ = check_scoring(self.estimator, self.scoring)
        options = {"cv": self.cv, "scoring": self.scoring, "params": params}
        means = [
            cross_val_score(clone(self.estimator).set_params(C=C), X, y, **options).mean()
            for C in self.values
        ]
        self.best_index_ = int(np.argmax(means))
        self.best_params_ = {"C": self.values[self.best_index_]}
        self.best_score_ = means[self.best_index_]
        return self


def test_a_search_of_another_package(noisy):
    cv = KFold(4)
    search = PrunedSearchCV(TriesInTurn(SVC(), GRID["C"], cv=cv), Right()).fit(*noisy)
    grid = PrunedSearchCV(GridSearchCV(SVC(), GRID, cv=cv), Right()).fit(*noisy)
    assert search.best_params_ == grid.best_params_
    assert search.best_score_ == pytest.approx(grid.best_score_)
    assert search.score(*noisy) == grid.score(*noisy)
    assert not hasattr(search, "cv_results_") and search.pruning_report_.refit_ratio is None


def test_no_row_that_is_scored_is_pruned_or_trained_on(noisy):
    X, y = noisy
    n_scored = []

    def counting(estimator, X_scored, y_scored):
        n_scored.append(len(X_scored))
        return estimator.score(X_scored, y_scored)

    cv = KFold(4)
    grid = GridSearchCV(LogisticRegression(), GRID, cv=cv, scoring=counting)
    search = PrunedSearchCV(grid, ThirdOut()).fit(X, y)
    assert n_scored == [30] * 12
    for fold, (train, test) in zip(search.folds_, cv.split(X), strict=True):
        np.testing.assert_array_equal(fold.test, test)
        np.testing.assert_array_equal(fold.kept, train[np.arange(len(train)) % 3 != 2])


def test_folds_are_pruned_once_however_many_settings_there_are(noisy, monkeypatch):
    fits = []
    select = ThirdOut._select_rows
    monkeypatch.setattr(
        ThirdOut, "_select_rows", lambda self, X, y: (fits.append(len(X)), select(self, X, y))[1]
    )
    grid = GridSearchCV(LogisticRegression(), {"C": np.logspace(-3, 3, 7)}, cv=3)
    PrunedSearchCV(grid, ThirdOut()).fit(*noisy)
    assert fits == [80] * 3


def test_folds_that_change_with_each_call_are_drawn_once(noisy):
    grid = GridSearchCV(LogisticRegression(), GRID, cv=ShuffleSplit(3, random_state=None))
    search = PrunedSearchCV(grid, ThirdOut()).fit(*noisy)
    for fold in search.folds_:
        assert not set(fold.kept) & set(fold.test)


def test_the_winner_is_refitted_on_all_rows_with_the_values_of_the_grid(noisy):
    search = PrunedSearchCV(GridSearchCV(SVC(), {"C": [0.5]}, cv=3), Right()).fit(*noisy)
    assert search.best_estimator_.get_params() == SVC(C=0.5).get_params()
    expected = SVC(C=0.5).fit(*noisy).decision_function(noisy[0])
    np.testing.assert_array_equal(search.decision_function(noisy[0]), expected)
    assert not hasattr(search, "pruner_")


def test_or_on_kept_rows_with_rescaled_values(noisy):
    X, y = noisy
    search = PrunedSearchCV(
        GridSearchCV(LINEAR, {"C": [0.5]}, cv=3), Right(reweight=True), refit="kept"
    ).fit(X, y)
    kept = X[:, 0] > 0.5
    np.testing.assert_array_equal(search.pruner_.get_support(), kept)
    model = clone(LINEAR).set_params(C=0.5 / kept.mean())
    expected = model.fit(X[kept], y[kept], search.pruner_.sample_weight_)
    np.testing.assert_array_equal(search.decision_function(X), expected.decision_function(X))
    assert search.best_params_ == {"C": 0.5}


def test_nothing_of_an_earlier_fit_is_left(noisy):
    search = PrunedSearchCV(GridSearchCV(SVC(), GRID, cv=3), ThirdOut(), refit="kept").fit(*noisy)
    search.set_params(refit="all").fit(*noisy)
    assert not hasattr(search, "pruner_")
    search.set_params(search__refit=False).fit(*noisy)
    assert not hasattr(search, "best_estimator_") and search.best_params_["C"] in GRID["C"]
    with pytest.raises(NotFittedError):
        search.predict(noisy[0])


class TestRescaling:
    def test_candidates_of_several_kinds_have_each_its_own_rule(self):
        X, y = load_diabetes(return_X_y=True)
        pipe = make_pipeline(StandardScaler(), Ridge())
        grid = {"ridge": [Ridge(), DecisionTreeRegressor(random_state=0), Ridge(3.0)]}
        search = PrunedSearchCV(
            GridSearchCV(pipe, grid, cv=3), ThirdOut(), rescale={"ridge__alpha": "proportional"}
        ).fit(X, y)
        auto = clone(search).set_params(rescale="auto").fit(X, y)
        np.testing.assert_array_equal(scores_of(search), scores_of(auto))

    def test_a_function_gets_the_value_and_the_share(self, noisy):
        seen = []

        def rule(value, share):
            seen.append((value, share))
            return max(1, round(value * share))

        grid = GridSearchCV(DecisionTreeClassifier(), {"min_samples_leaf": [30]}, cv=2)
        search = PrunedSearchCV(
            grid, RandomPruner(0.9), refit="kept", rescale={"min_samples_leaf": rule}
        ).fit(*noisy)
        assert seen == [(30, pytest.approx(0.1))] * 3
        assert search.best_estimator_.min_samples_leaf == 3
        assert search.best_params_ == {"min_samples_leaf": 30}

    def test_none_leaves_values_as_they_are(self, noisy):
        grid = GridSearchCV(SVC(), {"C": [0.5]}, cv=2)
        search = PrunedSearchCV(grid, ThirdOut(), refit="kept", rescale=None).fit(*noisy)
        assert search.best_estimator_.C == 0.5

    @pytest.mark.parametrize(
        ("rescale", "message"),
        [
            ({"svc__C": "inverse"}, "names 'svc__C', which is no parameter"),
            ({"C": "half"}, "must be 'inverse', 'proportional' or a function"),
        ],
    )
    def test_a_rule_must_be_known(self, rescale, message, noisy):
        with pytest.raises(ValueError, match=message):
            PrunedSearchCV(GridSearchCV(SVC(), GRID), ThirdOut(), rescale=rescale).fit(*noisy)


class TestTheWinner:
    SCORING = ("accuracy", "neg_log_loss")

    @pytest.mark.parametrize("metric", SCORING)
    def test_is_by_the_metric_that_the_search_names(self, metric, noisy):
        grid = GridSearchCV(LogisticRegression(), GRID, scoring=self.SCORING, refit=metric, cv=3)
        search, own = PrunedSearchCV(grid, ALL_ROWS).fit(*noisy), clone(grid).fit(*noisy)
        assert search.best_index_ == own.best_index_
        assert search.best_score_ == own.best_score_
        assert search.score(*noisy) == own.score(*noisy)

    def test_is_by_a_metric_of_any_name(self, noisy):
        scoring = {"score": "accuracy", "other": "neg_log_loss"}
        grid = GridSearchCV(LogisticRegression(), GRID, scoring=scoring, refit="score", cv=3)
        search, own = PrunedSearchCV(grid, ALL_ROWS).fit(*noisy), clone(grid).fit(*noisy)
        assert search.best_params_ == own.best_params_

    def test_is_by_the_metric_of_a_callable_that_returns_several(self, noisy):
        def scoring(estimator, X, y):
            return {"a": estimator.score(X, y), "b": -estimator.C}

        grid = GridSearchCV(LogisticRegression(), GRID, scoring=scoring, refit="b", cv=3)
        search = PrunedSearchCV(grid, ALL_ROWS).fit(*noisy)
        assert search.best_params_ == {"C": 0.01}
        assert search.score(*noisy) == -0.01
        with pytest.raises(ValueError, match="names none of them"):
            search.set_params(search__refit=True).fit(*noisy)

    def test_is_by_a_callable(self, noisy):
        grid = GridSearchCV(LogisticRegression(), GRID, refit=lambda results: 1, cv=3)
        search = PrunedSearchCV(grid, ThirdOut()).fit(*noisy)
        assert search.best_params_ == {"C": 0.1} and search.best_estimator_.C == 0.1
        assert not hasattr(search, "best_score_")
        with pytest.raises(ValueError, match=r"index in \[0, 3\); it returned 3"):
            search.set_params(search__refit=lambda results: 3).fit(*noisy)

    def test_is_unknown_where_no_metric_is_named(self, noisy):
        grid = GridSearchCV(LogisticRegression(), GRID, scoring=self.SCORING, refit=False, cv=3)
        search = PrunedSearchCV(grid, ThirdOut()).fit(*noisy)
        assert not hasattr(search, "best_params_")
        assert "rank_test_neg_log_loss" in search.cv_results_
        with pytest.raises(ValueError, match="set refit to one of 'accuracy', 'neg_log_loss'"):
            search.set_params(search__refit=True).fit(*noisy)

    def test_scores_on_other_rows_only_by_a_named_metric(self, noisy):
        grid = GridSearchCV(
            LogisticRegression(), GRID, scoring=self.SCORING, refit=lambda results: 0, cv=3
        )
        search = PrunedSearchCV(grid, ThirdOut()).fit(*noisy)
        with pytest.raises(ValueError, match="names none to score by"):
            search.score(*noisy)


class TestFinalists:
    @pytest.mark.parametrize(
        "search",
        [
            GridSearchCV(SVC(), {**GRID, "gamma": [0.1, 1.0]}, cv=KFold(3), scoring="f1"),
            GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1.0]}, cv=3),
            GridSearchCV(SVC(), {"kernel": [RBF(0.5), RBF(2.0)]}, cv=3, refit=False),
            RandomizedSearchCV(SVC(), {"C": loguniform(0.1, 10)}, n_iter=4, cv=3, random_state=0),
            GridSearchCV(
                SVC(), GRID, cv=3, scoring=("accuracy", "f1"), refit="f1", return_train_score=True
            ),
        ],
        ids=["grid", "pipeline", "objects", "randomized", "metrics"],
    )
    def test_all_settings_find_what_the_search_itself_finds(self, search, noisy):
        pruner, own = Right(reweight=True), clone(search).fit(*noisy)
        ours = PrunedSearchCV(search, pruner, n_finalists=9).fit(*noisy)
        assert ours.finalists_.cv_results_.keys() == own.cv_results_.keys()
        for name in own.cv_results_:
            if "_test_" in name or "_train_" in name:
                np.testing.assert_array_equal(
                    ours.finalists_.cv_results_[name], own.cv_results_[name]
                )
        assert ours.best_index_ == own.best_index_
        assert str(ours.best_params_) == str(own.best_params_)
        if search.refit:
            assert ours.best_score_ == own.best_score_
            np.testing.assert_array_equal(ours.predict(noisy[0]), own.predict(noisy[0]))

    def test_are_the_settings_that_are_best_on_the_kept_rows(self, noisy):
        X, y = noisy
        Cs = [1e-3, 0.03, 0.1, 0.3, 1.0, 10.0]
        grid = GridSearchCV(LINEAR, {"C": Cs}, cv=KFold(3))
        search = PrunedSearchCV(grid, Right(), n_finalists=3).fit(X, y)
        on_kept = by_hand(X, y, LINEAR, Right(), KFold(3), Cs).mean(axis=0)
        np.testing.assert_allclose(search.cv_results_["mean_test_score"], on_kept)
        finalists = [setting["C"] for setting in search.finalists_.cv_results_["params"]]
        assert min(on_kept[[Cs.index(C) for C in finalists]]) >= np.sort(on_kept)[-3]
        on_all = by_hand(X, y, LINEAR, ALL_ROWS, KFold(3), finalists).mean(axis=0)
        assert search.best_params_ == {"C": finalists[on_all.argmax()]}
        assert search.best_score_ == pytest.approx(on_all.max())
        assert Cs[search.best_index_] == search.best_params_["C"] == search.best_estimator_.C

    def test_of_a_halving_search_come_from_its_last_iteration(self, noisy):
        forest = RandomForestClassifier(random_state=0)
        halving = HalvingGridSearchCV(
            forest, {"max_depth": [1, 2, 3, 4, 5]}, resource="n_estimators", max_resources=9, cv=3
        )
        search = PrunedSearchCV(halving, Right(), n_finalists=9).fit(*noisy)
        results = search.cv_results_
        last = np.flatnonzero(results["iter"] == results["iter"].max())
        expected = [results["params"][position] for position in last]
        assert search.finalists_.cv_results_["params"] == expected and 1 < len(expected) < 5
        assert search.best_params_ == results["params"][search.best_index_]

    @pytest.mark.parametrize("routed", [False, True])
    def test_are_scored_with_the_metadata_of_a_grid_search(self, routed, noisy):
        X, y = noisy
        params = {
            "groups": np.arange(120) % 4,
            "sample_weight": np.random.default_rng(0).uniform(size=120),
        }
        with sklearn.config_context(enable_metadata_routing=routed):
            model, scorer = LogisticRegression(), get_scorer("accuracy")
            if routed:
                model.set_fit_request(sample_weight=True)
                scorer.set_score_request(sample_weight=True)
            grid = GridSearchCV(model, GRID, cv=GroupKFold(4), scoring=scorer)
            ours = PrunedSearchCV(grid, ThirdOut(), n_finalists=3).fit(X, y, **params)
            own = grid.fit(X, y, **params)
        np.testing.assert_allclose(scores_of(ours.finalists_), scores_of(own))

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
    def test_that_fail_do_not_win(self, noisy):
        grid = GridSearchCV(SVC(), {"C": [-1.0, 1.0]}, cv=2)
        with pytest.warns(UserWarning, match="non-finite"):
            search = PrunedSearchCV(grid, ThirdOut(), n_finalists=2).fit(*noisy)
        assert search.best_params_ == {"C": 1.0}

    def test_are_reported_and_forgotten_by_a_fit_without_them(self, noisy):
        grid = GridSearchCV(SVC(), GRID, cv=3)
        search = PrunedSearchCV(grid, ThirdOut(), n_finalists=2).fit(*noisy)
        assert search.pruning_report_.finalists_seconds > 0
        search.set_params(n_finalists=1).fit(*noisy)
        assert search.pruning_report_.finalists_seconds is None
        assert not hasattr(search, "finalists_")

    @pytest.mark.parametrize(
        ("search", "message"),
        [
            (GridSearchCV(SVC(), GRID, refit=lambda results: 0), "callable search.refit chooses"),
            (GridSearchCV(SVC(), GRID, scoring=["f1"], refit=False), "set refit to one of 'f1'"),
            (
                GridSearchCV(SVC(), GRID, scoring=lambda model, X, y: {"a": 0.0}, refit=False),
                "set refit to one of 'a'",
            ),
            (TriesInTurn(SVC(), GRID["C"]), "search keeps no ranks"),
        ],
    )
    def test_need_an_order_of_the_settings(self, search, message, noisy):
        with pytest.raises(ValueError, match=f"n_finalists=2 needs an order.*{message}"):
            PrunedSearchCV(search, ThirdOut(), n_finalists=2).fit(*noisy)

    def test_need_an_order_of_known_metrics_before_the_search(self, noisy, monkeypatch):
        monkeypatch.setattr(ThirdOut, "fit", None)
        search = GridSearchCV(SVC(), GRID, scoring=["f1"], refit=False)
        with pytest.raises(ValueError, match="n_finalists=2 needs an order"):
            PrunedSearchCV(search, ThirdOut(), n_finalists=2).fit(*noisy)


class TestMetadata:
    @pytest.mark.parametrize("scoring", [None, "accuracy"])
    def test_without_routing_it_goes_where_a_grid_search_has_it_go(self, scoring, noisy):
        X, y = noisy
        params = {
            "groups": np.arange(120) % 4,
            "sample_weight": np.random.default_rng(0).uniform(size=120),
        }
        grid = GridSearchCV(LogisticRegression(), GRID, cv=GroupKFold(4), scoring=scoring)
        ours, own = PrunedSearchCV(grid, ALL_ROWS).fit(X, y, **params), grid.fit(X, y, **params)
        np.testing.assert_allclose(scores_of(ours), scores_of(own))
        np.testing.assert_allclose(ours.predict_proba(X), own.predict_proba(X))

    @pytest.mark.usefixtures("routing")
    @pytest.mark.parametrize("named", [True, "importance"])
    @pytest.mark.parametrize("scoring", [None, "accuracy"])
    def test_with_routing_too(self, scoring, named, noisy):
        X, y = noisy
        weights = np.random.default_rng(0).uniform(size=120)
        model = LogisticRegression().set_fit_request(sample_weight=named)
        model.set_score_request(sample_weight=True)
        if scoring:
            scoring = get_scorer(scoring).set_score_request(sample_weight=True)
        grid = GridSearchCV(model, GRID, cv=GroupKFold(4), scoring=scoring)
        params = {"groups": np.arange(120) % 4, "sample_weight": weights}
        if named == "importance":
            params["importance"] = weights[::-1].copy()
        ours, own = PrunedSearchCV(grid, ALL_ROWS).fit(X, y, **params), grid.fit(X, y, **params)
        np.testing.assert_allclose(scores_of(ours), scores_of(own))
        np.testing.assert_allclose(ours.predict_proba(X), own.predict_proba(X))
        scored = ours.score(X, y, sample_weight=weights)
        assert scored == own.score(X, y, sample_weight=weights)

    @pytest.mark.usefixtures("routing")
    def test_the_pruners_weights_need_a_request_of_the_estimator(self, noisy):
        grid = GridSearchCV(clone(LINEAR).set_fit_request(sample_weight=True), GRID, cv=KFold(4))
        search = PrunedSearchCV(grid, Right(reweight=True)).fit(*noisy)
        expected = by_hand(*noisy, LINEAR, Right(reweight=True), KFold(4), GRID["C"], weighted=True)
        np.testing.assert_allclose(scores_of(search), expected)

    def test_weights_given_and_the_pruners_are_multiplied_in_fits_but_not_in_scores(self, noisy):
        X, y = noisy
        given = np.random.default_rng(0).uniform(0.5, 1.5, size=120)
        cv = KFold(3)
        search = PrunedSearchCV(
            GridSearchCV(LINEAR, {"C": [1.0]}, cv=cv, scoring="accuracy"), Right(reweight=True)
        ).fit(X, y, sample_weight=given)
        for k, (train, test) in enumerate(cv.split(X)):
            kept = train[X[train, 0] > 0.5]
            weights = given[kept] * (1 + np.arange(len(kept)) / 10)
            model = clone(LINEAR).set_params(C=len(train) / len(kept))
            model.fit(X[kept], y[kept], weights)
            expected = model.score(X[test], y[test], given[test])
            assert search.cv_results_[f"split{k}_test_score"][0] == pytest.approx(expected)

    def test_weights_that_no_estimator_takes_are_refused(self, noisy):
        grid = GridSearchCV(KMeans(), {"n_clusters": [2]})
        grid.estimator.fit = lambda X, y=None: None
        with pytest.raises(ValueError, match="takes no sample_weight"):
            PrunedSearchCV(grid, Right(reweight=True)).fit(*noisy)


def test_the_report_counts_rows_and_seconds(noisy):
    grid = GridSearchCV(SVC(), GRID, cv=4)
    report = PrunedSearchCV(grid, ThirdOut()).fit(*noisy).pruning_report_
    assert report.n_train == (90,) * 4 and report.n_kept == (60,) * 4
    assert len(report.prune_seconds) == 4 and min(report.prune_seconds) > 0
    assert report.search_seconds > report.best_fit_seconds > 0
    assert report.refit_ratio == report.refit_seconds / report.best_fit_seconds
    assert report.refit_prune_seconds is None
    kept = PrunedSearchCV(grid, ThirdOut(), refit="kept").fit(*noisy).pruning_report_
    assert kept.refit_prune_seconds > 0
    only_searched = PrunedSearchCV(grid.set_params(refit=False), ThirdOut()).fit(*noisy)
    assert only_searched.pruning_report_.refit_ratio is None


def test_frames_and_text_labels(noisy):
    X, y = pd.DataFrame(noisy[0], columns=list("abcd")), pd.Series(noisy[1]).map({0: "n", 1: "y"})
    X.index = y.index = [f"row {i}" for i in range(len(X))]
    search = PrunedSearchCV(GridSearchCV(SVC(), GRID, cv=3), ThirdOut()).fit(X, y)
    plain = PrunedSearchCV(GridSearchCV(SVC(), GRID, cv=3), ThirdOut()).fit(*noisy)
    np.testing.assert_array_equal(scores_of(search), scores_of(plain))
    assert search.classes_.tolist() == ["n", "y"]
    assert search.feature_names_in_.tolist() == list("abcd") and search.n_features_in_ == 4


def test_folds_may_be_masks(noisy):
    train = np.arange(120) < 80
    search = PrunedSearchCV(GridSearchCV(SVC(), GRID, cv=[(train, ~train)]), ThirdOut())
    fold = search.fit(*noisy).folds_[0]
    assert fold.train.tolist() == list(range(80)) and fold.test.tolist() == list(range(80, 120))


def test_rows_without_targets(noisy):
    grid = GridSearchCV(KMeans(n_init=1, random_state=0), {"n_clusters": [1, 4]}, cv=3)
    search = PrunedSearchCV(grid, RandomPruner(0.5, random_state=0)).fit(noisy[0])
    assert search.best_params_ == {"n_clusters": 4}
    assert set(search.predict(noisy[0])) == {0, 1, 2, 3}


def test_several_jobs_find_the_same(noisy):
    grid = GridSearchCV(LogisticRegression(), GRID, cv=3)
    one = PrunedSearchCV(grid, RandomPruner(0.5, random_state=0)).fit(*noisy)
    two = clone(one).set_params(search__n_jobs=2).fit(*noisy)
    np.testing.assert_array_equal(scores_of(one), scores_of(two))


def test_it_is_what_its_estimator_is():
    assert is_classifier(PrunedSearchCV(GridSearchCV(SVC(), GRID)))
    assert is_regressor(PrunedSearchCV(GridSearchCV(Ridge(), {"alpha": [1]})))
    assert hasattr(PrunedSearchCV(GridSearchCV(LogisticRegression(), GRID)), "predict_proba")
    assert not hasattr(PrunedSearchCV(GridSearchCV(Ridge(), {"alpha": [1]})), "predict_proba")


def test_parameters_are_nested(noisy):
    search = PrunedSearchCV(GridSearchCV(SVC(), {"gamma": [0.1]}, cv=3), RandomPruner(0.5))
    search.set_params(search__estimator__C=7.0, pruner__prune_ratio=0.75).fit(*noisy)
    assert search.best_estimator_.C == 7
    assert search.pruning_report_.n_kept == (20,) * 3


def test_clones_and_pickles(noisy):
    search = PrunedSearchCV(GridSearchCV(SVC(), GRID, cv=3), ThirdOut()).fit(*noisy)
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(again.predict(noisy[0]), search.predict(noisy[0]))
    np.testing.assert_array_equal(scores_of(again), scores_of(search))
    assert not hasattr(clone(search), "best_params_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_fits_that_fail_are_the_searchs_to_judge(noisy):
    grid = GridSearchCV(SVC(), {"C": [-1.0, 1.0]}, cv=2)
    with pytest.warns(UserWarning, match="non-finite"):
        search = PrunedSearchCV(grid, ThirdOut()).fit(*noisy)
    assert search.best_params_ == {"C": 1.0}
    with pytest.raises(ValueError, match="'C' parameter of SVC"):
        search.set_params(search__error_score="raise").fit(*noisy)


class TestWhatIsImpossible:
    def test_an_estimator_that_is_no_search(self, noisy):
        with pytest.raises(ValueError, match="lacks cv, estimator, refit, scoring"):
            PrunedSearchCV(SVC(), ThirdOut()).fit(*noisy)

    def test_halving_that_draws_rows(self, noisy):
        with pytest.raises(ValueError, match="undoes the pruner's choice. Set resource to"):
            PrunedSearchCV(HalvingGridSearchCV(SVC(), GRID), ThirdOut()).fit(*noisy)

    def test_a_kernel_between_rows(self, noisy):
        X, y = noisy
        grid = GridSearchCV(SVC(kernel="precomputed"), GRID)
        with pytest.raises(ValueError, match="Give it the rows themselves"):
            PrunedSearchCV(grid, ThirdOut()).fit(X @ X.T, y)


@pytest.mark.parametrize(
    "broken", [{"pruner": RandomPruner(0.999)}, {"search__param_grid": {"C": [-1.0]}}]
)
@pytest.mark.filterwarnings("ignore:.*fits failed")
def test_a_fit_that_fails_leaves_the_search_as_it_was(broken, noisy):
    search = PrunedSearchCV(GridSearchCV(LogisticRegression(), GRID, cv=2), ALL_ROWS).fit(*noisy)
    predicted = search.predict(noisy[0])
    before = dict(vars(search.set_params(**broken)))
    with pytest.raises(ValueError):
        search.fit(*noisy)
    assert vars(search).keys() == before.keys()
    assert all(vars(search)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(search.predict(noisy[0]), predicted)


def test_fitting_again_forgets_what_the_new_fit_does_not_set(noisy):
    search = PrunedSearchCV(GridSearchCV(LogisticRegression(), GRID, cv=2), ALL_ROWS).fit(*noisy)
    search.set_params(search__refit=False).fit(*noisy)
    assert not hasattr(search, "estimator_")
