"""Random rows: right in number, and in nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from tests.expected_failures import expected_failures


@parametrize_with_checks([RandomPruner()], expected_failed_checks=expected_failures)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


@pytest.mark.parametrize("stratify", [True, False])
@given(
    ratio=st.floats(0, 0.9),
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    seed=st.integers(0, 99),
)
def test_exactly_the_asked_rows_go_and_no_class_vanishes(stratify, ratio, sizes, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = np.zeros((len(y), 1))
    n_drop = int(np.ceil(ratio * len(y) - 0.5))
    pruner = RandomPruner(ratio, stratify=stratify, random_state=seed)
    if len(y) - n_drop < len(sizes):
        with pytest.raises(ValueError, match=f"rows? for {len(sizes)} classes; "):
            pruner.fit(X, y)
        return
    pruner.fit(X, y)
    assert len(y) - pruner.support_.sum() == n_drop
    assert set(y[pruner.support_]) == set(y)


def test_each_class_keeps_as_many_rows_as_with_influences_to_within_one(iris):
    X, y = iris
    X, y = X[:120], y[:120]
    options = {"prune_ratio": 0.47, "random_state": 0}
    chosen = InfluencePruner(damping=1e-2, **options).fit(X, y)
    drawn = RandomPruner(**options).fit(X, y)
    counts = [np.bincount(y[pruner.support_]) for pruner in (drawn, chosen)]
    assert counts[0].sum() == counts[1].sum()
    # Influences round a share down or up.
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_without_strata_the_class_shares_vary():
    y = np.repeat([0, 1], 50)
    X = np.zeros((100, 1))
    kept = {
        int(y[RandomPruner(0.5, stratify=False, random_state=seed).fit(X, y).support_].sum())
        for seed in range(10)
    }
    assert len(kept) > 2


@pytest.mark.parametrize("stratify", [True, False])
def test_every_row_stays_about_equally_often(stratify):
    X, y = np.zeros((40, 1)), np.repeat([0, 1], 20)
    times = sum(
        RandomPruner(0.5, stratify=stratify, random_state=seed).fit(X, y).support_.astype(int)
        for seed in range(200)
    )
    # Four standard deviations of a binomial count on either side.
    assert times.min() > 71 and times.max() < 129


@pytest.mark.parametrize("y", [None, np.linspace(0, 1, 10), np.ones((10, 2)) / 3])
def test_targets_without_classes_are_drawn_from_at_large(y):
    pruner = RandomPruner(0.3, random_state=0).fit(np.zeros((10, 1)), y)
    assert pruner.support_.sum() == 7
    assert not hasattr(pruner, "classes_")


def test_the_seed_decides(iris):
    X, y = iris
    first, again, other = (RandomPruner(random_state=s).fit(X, y).support_ for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_missing_values_do_not_matter():
    X = np.array([[np.nan], [1.0], [np.inf], [2.0]])
    assert RandomPruner(0.5, random_state=0).fit(X).transform(X).shape == (2, 1)


@pytest.mark.parametrize("name", ["must_keep", "nonsense"])
def test_an_argument_that_it_does_not_take_is_refused(name, iris):
    X, y = iris
    with pytest.raises(TypeError, match=f"takes only X, y and target_kind, not {name}. Leave it"):
        RandomPruner(0.5).fit(X, y, **{name: np.ones(len(y), dtype=bool)})
