"""scikit-learn's own checks of the estimators that prune; none may fail."""

from __future__ import annotations

from collections.abc import Callable

from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.meta import PrunedClassifier, PrunedRegressor
from tests.expected_failures import expected_failures


@parametrize_with_checks(
    [
        # Without the distribution, the integer programs of few rows take a third of the time.
        PrunedClassifier(
            LogisticRegression(), InfluencePruner(distribution_weight=0.0, random_state=0)
        ),
        PrunedClassifier(LogisticRegression(), RandomPruner(random_state=0)),
        # At the default ratio, two checks spend half a minute on integer programs.
        PrunedRegressor(
            Ridge(), InfluencePruner(prune_ratio=0.1, distribution_weight=0.0, random_state=0)
        ),
        PrunedRegressor(Ridge(), RandomPruner(random_state=0)),
    ],
    expected_failed_checks=expected_failures,
)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)
