"""The search for the largest ratio that keeps the score."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_prune import InfluencePruner
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import KCenterPruner, RandomPruner
from sklearn_prune.model_selection import PruneRatioSearchCV
from tests.conftest import ThirdOut
from tests.expected_failures import expected_failures


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@parametrize_with_checks(
    [
        PruneRatioSearchCV(LogisticRegression(), RandomPruner(random_state=0), ratios=[0.5], cv=2),
        PruneRatioSearchCV(Ridge(), RandomPruner(random_state=0), ratios=[0.1, 0.5], cv=2),
        # Unlike RandomPruner, it needs y, and is cheap; `test_meta_checks` has InfluencePruner.
        PruneRatioSearchCV(Ridge(), KCenterPruner(random_state=0), ratios=[0.1, 0.5], cv=2),
    ],
    expected_failed_checks=expected_failures,
)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


class Scripted(DummyClassifier):
    """Scores by how many rows it was trained on and by the fold, whatever the rows are."""

    def __init__(self, losses: dict[int, list[float]] | None = None) -> None:
        super().__init__()
        self.losses = losses

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Scripted:
        self.n_rows_, self.sample_weight_ = len(X), sample_weight
        return super().fit(X, y)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        fold = int(X[0, 0])
        return 0.9 + fold / 100 - self.losses.get(self.n_rows_, [0.0] * 4)[fold]


def scripted_search(losses: dict[float, list[float]], **options: Any) -> PruneRatioSearchCV:
    """Search on 80 rows in 4 folds: 60 train, of which a ratio r leaves 60 (1 - r)."""
    by_rows = {round(60 * (1 - ratio)): loss for ratio, loss in losses.items()}
    X, y = np.repeat(np.arange(4.0), 20)[:, None], np.tile([0, 1], 40)
    pruner = RandomPruner(random_state=0)
    search = PruneRatioSearchCV(
        Scripted(by_rows), pruner, ratios=list(losses), cv=KFold(4), **options
    )
    return search.fit(X, y)


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return X[order], y[order]


def scores_by_hand(
    estimator: Any, pruner: Any, ratios: list[float], folds: Any, X: Any, y: Any, scoring: str
) -> np.ndarray:
    scores = np.empty((len(folds), len(ratios)))
    for k, (train, test) in enumerate(folds):
        for j, ratio in enumerate(ratios):
            X_kept, y_kept = X[train], y[train]
            if ratio:
                fitted = clone(pruner).set_params(prune_ratio=ratio).fit(X_kept, y_kept)
                X_kept, y_kept = fitted.prune(X_kept, y_kept)
            model = clone(estimator).fit(X_kept, y_kept)
            scores[k, j] = get_scorer(scoring)(model, X[test], y[test])
    return scores


@pytest.mark.parametrize(
    "pruner", [RandomPruner(random_state=0), InfluencePruner(damping=1e-2, random_state=0)]
)
def test_scores_are_those_of_a_loop_written_by_hand(pruner, iris):
    X, y = iris
    ratios, model = [0.0, 0.5, 0.8], LogisticRegression(max_iter=500)
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    search = PruneRatioSearchCV(
        model, pruner, ratios=ratios[1:], cv=cv, scoring="neg_log_loss", tolerance=0.02
    ).fit(X, y)
    folds = list(cv.split(X, y))
    scores = scores_by_hand(model, pruner, ratios, folds, X, y, "neg_log_loss")
    found = np.array([search.cv_results_[f"split{k}_test_score"] for k in range(3)])
    np.testing.assert_allclose(found, scores, rtol=1e-6)
    results = search.cv_results_
    np.testing.assert_allclose(results["mean_test_score"], scores.mean(axis=0))
    np.testing.assert_allclose(results["std_test_score"], scores.std(axis=0))
    loss = scores[:, :1] - scores
    np.testing.assert_allclose(results["mean_difference"], -loss.mean(axis=0))
    np.testing.assert_allclose(
        results["se_difference"], loss.std(axis=0, ddof=1) / np.sqrt(3), atol=1e-12
    )
    assert search.best_prune_ratio_ == max(np.array(ratios)[loss.mean(axis=0) <= 0.02])


def test_a_regressor_is_searched_with():
    X, y = load_diabetes(return_X_y=True)
    y = y / 100
    pruner = RandomPruner(random_state=0)
    search = PruneRatioSearchCV(Ridge(0.01), pruner, ratios=[0.3, 0.95], tolerance=0.03).fit(X, y)
    scores = scores_by_hand(
        Ridge(0.01), pruner, [0.0, 0.3, 0.95], list(KFold(5).split(X)), X, y, "r2"
    )
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], scores.mean(axis=0))
    assert search.best_prune_ratio_ == 0.3


def test_full_data_are_always_in_the_comparison(iris):
    search = PruneRatioSearchCV(LogisticRegression(max_iter=500), RandomPruner(), ratios=[0.5])
    search.fit(*iris)
    assert search.cv_results_["prune_ratio"].tolist() == [0.0, 0.5]
    plain = cross_val_score(LogisticRegression(max_iter=500), *iris)
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(plain.mean())


def test_ratios_are_sorted_and_taken_once():
    search = scripted_search({0.5: [0.0] * 4, 0.2: [0.0] * 4}).set_params(ratios=[0.5, 0.2, 0.5, 0])
    X, y = np.repeat(np.arange(4.0), 20)[:, None], np.tile([0, 1], 40)
    assert search.fit(X, y).cv_results_["prune_ratio"].tolist() == [0.0, 0.2, 0.5]


def test_the_largest_ratio_within_the_tolerance_wins_though_a_smaller_one_is_beyond():
    losses = {0.2: [0.02] * 4, 0.5: [0.004] * 4, 0.8: [0.1] * 4}
    search = scripted_search(losses, tolerance=0.005)
    assert search.best_prune_ratio_ == 0.5
    assert search.cv_results_["within_tolerance"].tolist() == [True, False, True, False]
    assert search.best_index_ == 2
    assert search.best_score_ == pytest.approx(0.911)


def test_a_loss_equal_to_the_tolerance_is_within_it():
    assert scripted_search({0.5: [0.01] * 4}, tolerance=0.01).best_prune_ratio_ == 0.5
    assert scripted_search({0.5: [0.01] * 4}, tolerance=0.0099).best_prune_ratio_ == 0.0


def test_better_than_full_data_is_within_every_tolerance():
    assert scripted_search({0.5: [-0.01] * 4}, tolerance=0.0).best_prune_ratio_ == 0.5


def test_one_standard_error_is_that_of_the_paired_loss():
    # Means 0.02; standard errors 0.0183 and 0.0216: the scores themselves spread less.
    losses = {0.5: [0.07, 0.0, 0.0, 0.01], 0.8: [0.08, 0.02, -0.02, 0.0]}
    search = scripted_search(losses, tolerance="one_se")
    spread = np.std([0.08, 0.02, -0.02, 0.0], ddof=1) / 2
    assert search.cv_results_["se_difference"][2] == pytest.approx(spread)
    assert search.cv_results_["within_tolerance"].tolist() == [True, False, True]


def test_what_folds_share_cancels_in_the_standard_error():
    search = scripted_search({0.5: [0.001] * 4}, tolerance="one_se")
    assert search.cv_results_["std_test_score"][1] > 0.01
    assert search.best_prune_ratio_ == 0.0


def test_one_standard_error_needs_two_folds(iris):
    search = PruneRatioSearchCV(LogisticRegression(), tolerance="one_se", cv=ShuffleSplit(1))
    with pytest.raises(ValueError, match="needs at least two folds; cv gives 1"):
        search.fit(*iris)


def test_one_fold_has_no_standard_error_and_is_enough_for_a_number(iris):
    cv = ShuffleSplit(1, random_state=0)
    search = PruneRatioSearchCV(
        LogisticRegression(max_iter=500), RandomPruner(random_state=0), ratios=[0.5], cv=cv
    ).fit(*iris)
    assert np.isnan(search.cv_results_["se_difference"]).all()
    assert search.n_splits_ == 1


def test_it_is_refitted_on_the_rows_that_the_ratio_keeps():
    search = scripted_search({0.5: [0.0] * 4})
    assert search.pruner_.prune_ratio == 0.5
    assert search.estimator_.n_rows_ == 40


def test_it_is_refitted_on_all_rows_where_none_can_go():
    search = scripted_search({0.5: [0.5] * 4})
    assert search.pruner_.prune_ratio == 0
    assert search.pruner_.get_support().sum() == search.estimator_.n_rows_
    assert search.estimator_.n_rows_ == 80
    assert search.n_features_in_ == 1


def test_without_refit_it_only_searches():
    search = scripted_search({0.5: [0.0] * 4}).set_params(refit=False)
    search.fit(np.repeat(np.arange(4.0), 20)[:, None], np.tile([0, 1], 40))
    assert search.best_prune_ratio_ == 0.5
    with pytest.raises(NotFittedError):
        search.predict(np.zeros((2, 1)))
    with pytest.raises(NotFittedError):
        search.score(np.zeros((2, 1)), [0, 1])


def test_a_pruner_that_can_select_again_is_fitted_once_a_fold(iris, monkeypatch):
    fits = []

    def fit(self: Any, *args: Any, **params: Any) -> Any:
        fits.append(len(args[0]))
        return original(self, *args, **params)

    original = InfluencePruner.fit
    monkeypatch.setattr(InfluencePruner, "fit", fit)
    pruner = InfluencePruner(damping=1e-2, random_state=0)
    PruneRatioSearchCV(
        LogisticRegression(max_iter=500), pruner, ratios=[0.3, 0.5, 0.7], cv=3, refit=False
    ).fit(*iris)
    assert fits == [100] * 3


def test_several_jobs_find_the_same(iris):
    search = PruneRatioSearchCV(
        LogisticRegression(max_iter=500), RandomPruner(random_state=0), ratios=[0.5], cv=2
    )
    one = search.fit(*iris).cv_results_
    two = clone(search).set_params(n_jobs=2).fit(*iris).cv_results_
    np.testing.assert_array_equal(one["mean_test_score"], two["mean_test_score"])


def test_the_score_is_by_the_scorer(iris):
    search = PruneRatioSearchCV(
        LogisticRegression(max_iter=500), RandomPruner(random_state=0), scoring="neg_log_loss"
    ).fit(*iris)
    assert search.score(*iris) < 0
    assert search.score(*iris) == get_scorer("neg_log_loss")(search.estimator_, *iris)


def test_it_is_what_its_estimator_is(iris):
    assert is_classifier(PruneRatioSearchCV(LogisticRegression()))
    assert is_regressor(PruneRatioSearchCV(Ridge()))
    search = PruneRatioSearchCV(LinearSVC(), RandomPruner(random_state=0), ratios=[0.2]).fit(*iris)
    assert hasattr(search, "decision_function") and not hasattr(search, "predict_proba")
    assert search.classes_.tolist() == [0, 1, 2]


def test_frames_and_text_labels(iris):
    X, y = iris
    frame, labels = pd.DataFrame(X).add_prefix("c"), pd.Series(y).map({0: "a", 1: "b", 2: "c"})
    pruner = RandomPruner(random_state=0)
    search = PruneRatioSearchCV(LogisticRegression(max_iter=500), pruner).fit(frame, labels)
    assert search.feature_names_in_.tolist() == ["c0", "c1", "c2", "c3"]
    assert search.classes_.tolist() == ["a", "b", "c"]
    assert search.estimator_.feature_names_in_.tolist() == ["c0", "c1", "c2", "c3"]


def test_results_make_a_table():
    table = pd.DataFrame(scripted_search({0.5: [0.0] * 4, 0.8: [0.1] * 4}).cv_results_)
    assert table["rank_test_score"].tolist() == [1, 1, 3]
    assert table["params"][1] == {"prune_ratio": 0.5}


def test_clones_and_pickles(iris):
    search = PruneRatioSearchCV(LogisticRegression(max_iter=500), RandomPruner(random_state=0))
    search.fit(*iris)
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(again.predict(iris[0]), search.predict(iris[0]))
    assert not hasattr(clone(search), "best_prune_ratio_")


def test_verbose_prints_a_line_a_ratio(capsys):
    scripted_search({0.5: [0.1] * 4}, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "prune_ratio=0: score 0.9150, +0.0000 to full data, within the tolerance",
        "prune_ratio=0.5: score 0.8150, -0.1000 to full data, beyond the tolerance",
    ]


def test_weights_are_cut_to_the_fold_and_pruned():
    X, y = np.repeat(np.arange(4.0), 20)[:, None], np.tile([0, 1], 40)
    search = scripted_search({0.5: [0.0] * 4})
    search.fit(X, y, sample_weight=np.arange(80.0))
    np.testing.assert_array_equal(
        search.estimator_.sample_weight_, np.flatnonzero(search.pruner_.support_)
    )


class TestWhatIsImpossible:
    def test_a_ratio_that_leaves_too_few_rows_is_passed_over(self, iris):
        search = PruneRatioSearchCV(
            LogisticRegression(max_iter=500), RandomPruner(random_state=0), ratios=[0.5, 0.99]
        )
        with pytest.warns(FitFailedWarning, match="0.99 is skipped, as it fails in 5 of 5 "):
            search.fit(*iris)
        assert np.isnan(search.cv_results_["mean_test_score"][2])
        assert search.cv_results_["rank_test_score"][2] == 3
        assert search.best_prune_ratio_ <= 0.5

    def test_that_none_is_possible_is_an_error(self, iris):
        search = PruneRatioSearchCV(LogisticRegression(), RandomPruner(), ratios=[0.99])
        with pytest.raises(ValueError, match="lower it to 0.97 or less"):
            search.fit(*iris)

    @pytest.mark.parametrize(
        ("ratios", "message"),
        [
            ([0.5, 1.0], r"in \[0, 1\); 1 is not\. "),
            ([-0.1], "-0.1 is not"),
            ([np.nan], "nan is not"),
            ([], "a list of numbers"),
            ([[0.5]], "a list of numbers"),
            (["half"], "a list of numbers"),
        ],
    )
    def test_ratios_are_shares(self, ratios, message, iris):
        with pytest.raises(ValueError, match=message):
            PruneRatioSearchCV(LogisticRegression(), RandomPruner(), ratios=ratios).fit(*iris)

    def test_a_pruner_without_a_ratio(self, iris):
        with pytest.raises(ValueError, match="the parameter prune_ratio; ThirdOut has none"):
            PruneRatioSearchCV(LogisticRegression(), ThirdOut()).fit(*iris)

    def test_an_estimator_that_predicts_neither_classes_nor_numbers(self, iris):
        with pytest.raises(ValueError, match="a classifier or a regressor"):
            PruneRatioSearchCV(KMeans()).fit(*iris)

    @pytest.mark.parametrize("tolerance", [-0.1, "two_se"])
    def test_another_tolerance(self, tolerance, iris):
        with pytest.raises(ValueError, match="The 'tolerance' parameter"):
            PruneRatioSearchCV(LogisticRegression(), tolerance=tolerance).fit(*iris)


class NamesGroups(BasePruner):
    """Drops nothing, and keeps the groups it was given."""

    def __init__(self, prune_ratio: float = 0.0) -> None:
        self.prune_ratio = prune_ratio

    def fit(self, X: Any, y: Any = None, *, groups: Any = None) -> NamesGroups:
        return self._fit(X, y, groups=groups)

    def _select_rows(self, X: Any, y: Any, *, groups: Any) -> Any:
        self.groups_ = groups
        return np.ones(X.shape[0], dtype=bool)


class TestMetadata:
    @pytest.fixture
    def routing(self) -> Iterator[None]:
        with sklearn.config_context(enable_metadata_routing=True):
            yield

    def test_without_routing_groups_are_the_pruners(self):
        X, y = make_classification(40, 4, random_state=0)
        search = PruneRatioSearchCV(LogisticRegression(), NamesGroups(), ratios=[0.5], cv=2)
        assert len(search.fit(X, y, groups=np.arange(40)).pruner_.groups_) == 40

    @pytest.mark.parametrize("pruner", [NamesGroups(), RandomPruner(random_state=0)])
    def test_without_routing_groups_and_weights_go_where_a_grid_search_has_them_go(self, pruner):
        X, y = make_classification(40, 4, flip_y=0.3, random_state=0)
        params = {
            "groups": np.arange(40) % 4,
            "sample_weight": np.random.default_rng(0).uniform(size=40),
        }
        options = {"cv": GroupKFold(4), "scoring": "accuracy"}
        search = PruneRatioSearchCV(LogisticRegression(), pruner, ratios=[0.5], **options)
        search.fit(X, y, **params)
        grid = GridSearchCV(LogisticRegression(), {"C": [1.0]}, **options).fit(X, y, **params)
        for k in range(4):
            name = f"split{k}_test_score"
            assert search.cv_results_[name][0] == pytest.approx(grid.cv_results_[name][0])

    def test_a_scorer_that_takes_no_weights_is_warned_of(self):
        def unweighted(estimator, X, y):
            return estimator.score(X, y)

        X, y = make_classification(40, 4, random_state=0)
        search = PruneRatioSearchCV(
            LogisticRegression(), RandomPruner(random_state=0), ratios=[0.5], scoring=unweighted
        )
        with pytest.warns(UserWarning, match="takes no sample_weight"):
            search.fit(X, y, sample_weight=np.ones(40))

    @pytest.mark.usefixtures("routing")
    def test_routed_groups_reach_the_folds_and_weights_the_scorer(self):
        X, y = make_classification(40, 4, flip_y=0.3, random_state=0)
        groups, weights = np.arange(40) % 4, np.random.default_rng(0).uniform(size=40)
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        model = LogisticRegression().set_fit_request(sample_weight=False)
        search = PruneRatioSearchCV(
            model, RandomPruner(random_state=0), ratios=[0.5], cv=GroupKFold(4), scoring=scorer
        )
        search.fit(X, y, groups=groups, sample_weight=weights)
        expected = [
            np.average(
                clone(model).fit(X[train], y[train]).predict(X[test]) == y[test],
                weights=weights[test],
            )
            for train, test in GroupKFold(4).split(X, y, groups)
        ]
        assert search.cv_results_["mean_test_score"][0] == pytest.approx(np.mean(expected))
        right = search.predict(X) == y
        found = search.score(X, y, sample_weight=weights)
        assert found == pytest.approx(np.average(right, weights=weights))
