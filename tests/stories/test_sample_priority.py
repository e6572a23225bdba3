"""Rows that the user says models learn most from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier

from sklearn_prune import InfluencePruner, PrunedClassifier

X, Y = make_classification(1500, 5, n_redundant=0, flip_y=0.1, random_state=0)
PRIORITY = np.random.default_rng(0).uniform(0.2, 5.0, len(Y))


@pytest.fixture(scope="module")
def pruner():
    return InfluencePruner(prune_ratio=0.6, random_state=0).fit(X, Y, sample_priority=PRIORITY)


def test_rows_of_high_priority_are_kept_more_often_and_the_head_is_held(pruner):
    kept = pruner.get_support()
    thirds = np.argsort(np.argsort(PRIORITY)) * 3 // len(Y)
    shares = [kept[thirds == third].mean() for third in range(3)]
    assert shares[0] < 0.35 < shares[1] < 0.45 < shares[2]
    certificate = pruner.certificate_
    assert certificate.actual_change < 0.2 * certificate.random_actual_change


def test_priorities_count_in_proportion_only(pruner):
    again = InfluencePruner(prune_ratio=0.6, random_state=0)
    again.fit(X, Y, sample_priority=8.0 * PRIORITY)
    assert np.array_equal(again.support_, pruner.support_)


def test_zeros_beside_ones_are_kept_far_less_often():
    priority = (np.random.default_rng(1).random(len(Y)) < 0.5).astype(float)
    kept = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, Y, sample_priority=priority)
    assert priority[kept.get_support()].mean() > 0.65


def test_select_and_search_use_the_priorities_of_fit(pruner):
    kept = pruner.select(prune_ratio=0.8)
    assert PRIORITY[kept].mean() > 1.1 * PRIORITY.mean()
    fitted = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, Y, sample_priority=PRIORITY)
    assert np.array_equal(kept, fitted.support_)


class Named(torch.nn.Module):
    """A network whose rows are a dict of arrays, which are no table to measure distances in."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(5, 2)

    def forward(self, columns):
        return self.head(columns)


def test_they_count_also_where_no_distribution_is_matched():
    net = NeuralNetClassifier(
        Named, criterion=torch.nn.CrossEntropyLoss, max_epochs=3, train_split=None, verbose=0
    )
    pruner = InfluencePruner(net, layers="all", prune_ratio=0.6, random_state=0)
    pruner.fit({"columns": X.astype(np.float32)}, Y, sample_priority=PRIORITY)
    assert pruner.matched_.balance == ()
    assert PRIORITY[pruner.support_].mean() > 1.1 * PRIORITY.mean()


def test_a_mistake_is_reported_before_the_network_is_trained():
    class Untrained(NeuralNetClassifier):
        def fit(self, X, y, **fit_params):
            raise AssertionError("trained")

    net = Untrained(torch.nn.Linear, module__in_features=5, module__out_features=2)
    with pytest.raises(ValueError, match="sample_priority"):
        InfluencePruner(net, distribution_weight=0).fit(
            X.astype(np.float32), Y, sample_priority=PRIORITY
        )


def test_small_priorities_are_raised_to_a_common_limit():
    pruner = InfluencePruner(prune_ratio=0.6, random_state=0)
    for n_zeros in (3, 30):
        priority = np.where(np.arange(len(Y)) % 100 < n_zeros, 0.0, 1.0)
        pruner.fit(X, Y, sample_priority=priority)
        assert np.array_equal(pruner.matched_.priorities.spread, np.maximum(priority, 0.05))
    skewed = np.where(np.arange(len(Y)) % 10 < 3, 1e-6, PRIORITY)
    pruner.fit(X, Y, sample_priority=skewed)
    least = 0.05 * np.median(skewed)
    assert np.array_equal(pruner.matched_.priorities.spread, np.maximum(skewed, least))


def test_meta_estimators_hand_them_to_the_pruner(pruner):
    model = PrunedClassifier(
        LogisticRegression(max_iter=1000), InfluencePruner(prune_ratio=0.6, random_state=0)
    )
    model.fit(X, Y, sample_priority=PRIORITY)
    assert np.array_equal(model.pruner_.support_, pruner.support_)


@pytest.mark.parametrize(
    ("priority", "message"),
    [
        (-PRIORITY, "sample_priority must be 0 or more"),
        (0 * PRIORITY, "more for some rows"),
        (np.where(np.arange(len(Y)) == 7, np.nan, PRIORITY), "sample_priority must not be missing"),
        (PRIORITY[:-1], "sample_priority must have shape"),
        (np.full(len(Y), "high"), "sample_priority must be numbers"),
    ],
)
def test_malformed_priorities_are_refused(priority, message):
    with pytest.raises(ValueError, match=message):
        InfluencePruner().fit(X, Y, sample_priority=priority)


@pytest.mark.parametrize(
    ("params", "fit_params", "named"),
    [
        ({"prune_ratio": "auto", "tolerance": 0.1}, {}, "tolerance=0.1"),
        ({"distribution_weight": 0}, {}, "distribution_weight=0"),
        ({}, {"sample_cost": PRIORITY}, "sample_cost"),
        ({}, {"X_ref": X, "y_ref": Y}, "X_ref"),
    ],
)
def test_what_already_decides_between_sets_excludes_priorities(params, fit_params, named):
    with pytest.raises(ValueError, match=f"sample_priority .* with {named} nothing is kept"):
        InfluencePruner(**params).fit(X, Y, sample_priority=PRIORITY, **fit_params)


def test_select_refuses_a_tolerance_beside_priorities(pruner):
    with pytest.raises(ValueError, match="sample_priority"):
        pruner.select(tolerance=1.0)


def test_an_even_priority_prefers_sparse_regions_alone():
    even = InfluencePruner(prune_ratio=0.6, random_state=0).fit(
        X, Y, sample_priority=np.ones(len(Y))
    )
    distance = even.matched_.priorities.distance
    assert np.array_equal(even.matched_.priorities.odds, distance / distance.mean())
    assert distance[even.support_].mean() > distance.mean()


def test_a_fit_from_memory_keeps_the_priorities_for_select(pruner, tmp_path):
    for _ in range(2):
        cached = InfluencePruner(prune_ratio=0.6, random_state=0, memory=str(tmp_path))
        cached.fit(X, Y, sample_priority=PRIORITY)
        assert np.array_equal(cached.support_, pruner.support_)
        assert np.array_equal(cached.select(prune_ratio=0.8), pruner.select(prune_ratio=0.8))
