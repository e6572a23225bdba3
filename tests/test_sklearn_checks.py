"""scikit-learn's own checks of an estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sklearn_prune import InfluencePruner

# What pruning breaks by nature: scikit-learn asks that a transformer return a row for each row.
FEWER_ROWS = "transform returns fewer rows than the training data has"
EXPECTED_FAILURES = {
    "check_transformer_general": FEWER_ROWS,
    "check_transformer_data_not_an_array": FEWER_ROWS,
    "check_methods_sample_order_invariance": "training rows in another order are not pruned",
    "check_methods_subset_invariance": "a batch of the training rows is not pruned",
}


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    return EXPECTED_FAILURES


@parametrize_with_checks(
    [InfluencePruner(random_state=0)],
    expected_failed_checks=expected_failures,
)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


def checks_without_pruning() -> Iterator[object]:
    for estimator, check in estimator_checks_generator(InfluencePruner(prune_ratio=0.0)):
        name = getattr(check, "func", check).__name__
        if name in EXPECTED_FAILURES:
            yield pytest.param(estimator, check, id=name)


@pytest.mark.parametrize(("estimator", "check"), list(checks_without_pruning()))
def test_nothing_else_fails_in_those_checks(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)
