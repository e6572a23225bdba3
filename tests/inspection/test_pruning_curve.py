"""Curves of cross-validated scores."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, make_scorer
from sklearn.model_selection import ShuffleSplit, StratifiedKFold, cross_val_score

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import PruningCurveDisplay


def test_curves_are_means_and_bands_of_cross_validated_scores(iris):
    model = LogisticRegression(max_iter=500)
    pruners = {"random": RandomPruner(random_state=0), "ours": InfluencePruner(random_state=0)}
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    display = PruningCurveDisplay.from_estimator(
        model, *iris, pruners=pruners, ratios=[0.5, 0.9], cv=cv, scoring="neg_log_loss"
    )
    full = cross_val_score(model, *iris, cv=cv, scoring="neg_log_loss")
    for name, line, band in zip(pruners, display.lines_, display.fill_between_, strict=True):
        scores = display.test_scores[name]
        np.testing.assert_allclose(scores[0], full)
        np.testing.assert_array_equal(line.get_xdata(), [0, 0.5, 0.9])
        np.testing.assert_allclose(line.get_ydata(), scores.mean(axis=1))
        edges = np.r_[(scores.mean(axis=1) - scores.std(axis=1)).min(), scores.mean(axis=1).max()]
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(edges[0])
        assert heights.max() >= edges[1]
    assert display.ax_.get_ylabel() == "neg log loss"


def test_all_pruners_meet_the_same_folds(iris):
    pruners = {"a": RandomPruner(random_state=0), "b": RandomPruner(random_state=0)}
    display = PruningCurveDisplay.from_estimator(
        LogisticRegression(max_iter=500), *iris, pruners=pruners, ratios=[0.9], cv=ShuffleSplit(2)
    )
    np.testing.assert_array_equal(display.test_scores["a"], display.test_scores["b"])


def test_influences_are_compared_with_random_rows_where_nothing_else_is_asked_for(iris):
    model = LogisticRegression(max_iter=500)
    display = PruningCurveDisplay.from_estimator(model, *iris, ratios=[0.5], cv=2)
    assert list(display.test_scores) == ["influence", "random"]


def test_a_ratio_that_is_impossible_is_left_out_of_the_curve(iris):
    with pytest.warns(FitFailedWarning, match="prune_ratio=0.99 is skipped"):
        display = PruningCurveDisplay.from_estimator(
            LogisticRegression(max_iter=500),
            *iris,
            pruners={"random": RandomPruner(random_state=0)},
            ratios=[0.5, 0.99],
        )
    assert display.prune_ratios["random"].tolist() == [0, 0.5]


class Accuracy:
    def __call__(self, estimator, X, y):
        return estimator.score(X, y)


def half(estimator, X, y, share=0.5):
    return share * estimator.score(X, y)


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        (None, "score"),
        ("neg_log_loss", "neg log loss"),
        (half, "half"),
        (partial(half, share=0.1), "half"),
        (Accuracy(), "Accuracy"),
        (
            make_scorer(balanced_accuracy_score, adjusted=True),
            "make_scorer(balanced_accuracy_score, response_method='predict', adjusted=True)",
        ),
    ],
)
def test_the_axis_is_named_after_any_scoring(scoring, name, iris):
    display = PruningCurveDisplay.from_estimator(
        LogisticRegression(max_iter=500),
        *iris,
        pruners={"random": RandomPruner(random_state=0)},
        ratios=[0.5],
        cv=2,
        scoring=scoring,
    )
    assert display.ax_.get_ylabel() == name
