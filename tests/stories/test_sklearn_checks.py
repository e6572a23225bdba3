"""scikit-learn's own checks of an estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sklearn_prune import InfluencePruner, PrunedClassifier, PrunedRegressor, baselines
from sklearn_prune.model_selection import PrunedSearchCV, PruneRatioSearchCV
from sklearn_prune.pipeline import make_pipeline
from tests.expected_failures import PRUNERS, expected_failures


@parametrize_with_checks(
    [InfluencePruner(random_state=0)],
    expected_failed_checks=expected_failures,
)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


def checks_without_pruning() -> Iterator[object]:
    for estimator, check in estimator_checks_generator(InfluencePruner(prune_ratio=0.0)):
        name = getattr(check, "func", check).__name__
        if name in PRUNERS:
            yield pytest.param(estimator, check, id=name)


@pytest.mark.parametrize(("estimator", "check"), list(checks_without_pruning()))
def test_nothing_else_fails_in_those_checks(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


def public_estimators() -> list[BaseEstimator]:
    model = LogisticRegression()
    return [
        InfluencePruner(),
        *(getattr(baselines, name)() for name in baselines.__all__),
        PrunedClassifier(model),
        PrunedRegressor(Ridge()),
        PruneRatioSearchCV(model),
        PrunedSearchCV(GridSearchCV(model, {})),
        make_pipeline(InfluencePruner(), model),
    ]


@pytest.mark.parametrize("estimator", public_estimators(), ids=lambda e: type(e).__name__)
def test_each_expected_failure_is_a_check_of_that_estimator_and_has_a_reason(estimator) -> None:
    checks = {
        getattr(check, "func", check).__name__
        for _, check in estimator_checks_generator(estimator, legacy=True)
    }
    for name, reason in expected_failures(estimator).items():
        assert name in checks
        assert len(reason.split()) > 3
