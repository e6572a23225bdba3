"""Scores by hand, rows that no network saw, and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator

from sklearn_prune.baselines import UncertaintyPruner
from tests.baselines.scripted import scripted

P_OWN = [0.5, 0.9, 0.1, 0.99, 0.5, 0.9, 0.1, 0.99]


def test_the_score_is_largest_if_unsure_and_smallest_if_the_label_is_contradicted():
    net, X, y = scripted([P_OWN], [0, 0, 0, 0, 1, 1, 1, 1])
    pruner = UncertaintyPruner(net, random_state=0).fit(X, y)
    q = 0.98 * np.array(P_OWN) + 0.01
    np.testing.assert_allclose(pruner.scores_, q * 2 * q * (1 - q), rtol=1e-6)


def test_rows_are_judged_by_networks_that_did_not_see_them():
    # Each row has a column of its own, so nothing is known of a row that was not seen.
    y = np.arange(40) % 2
    scores = UncertaintyPruner(random_state=0).fit(np.eye(40), y).scores_
    np.testing.assert_allclose(scores, 0.25, atol=0.1)


@pytest.mark.parametrize("n_folds", [2, 40])
def test_any_number_of_folds_will_do(n_folds):
    y = np.arange(12) % 3
    X = y[:, None] + np.linspace(0, 0.1, 12)[:, None]
    assert UncertaintyPruner(n_folds=n_folds, random_state=0).fit(X, y).get_support().sum() == 7


def test_rows_are_drawn_in_proportion_to_their_scores():
    y = np.repeat([0, 1], 100)
    net, X, y = scripted([np.tile([0.5, 0.95], 100)], y)
    pruner = UncertaintyPruner(net, prune_ratio=0.7, random_state=0).fit(X, y)
    unsure, sure = pruner.scores_[:2]
    counts = pruner.get_support().reshape(100, 2).sum(axis=0)
    expected = 60 * np.array([unsure, sure]) / (unsure + sure)
    # A draw of its own for each row would have a standard deviation of 3.
    np.testing.assert_allclose(counts, expected, atol=6)


def test_fewer_than_half_of_the_wrong_labels_are_kept():
    X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.5)
    is_wrong = np.random.default_rng(0).random(300) < 0.2
    y = np.where(is_wrong, (y + 1) % 3, y)
    kept = UncertaintyPruner(prune_ratio=0.6, random_state=0).fit(X, y).get_support()
    assert is_wrong[kept].mean() < is_wrong.mean() / 2


def test_a_frozen_network_is_refused(iris, make_net):
    X, y = iris
    net = make_net().fit(X.astype(np.float32), y)
    with pytest.raises(ValueError, match="a FrozenEstimator is not trained"):
        UncertaintyPruner(FrozenEstimator(net)).fit(X, y)


def test_which_row_of_a_class_that_was_not_drawn_is_kept_does_not_depend_on_its_position():
    y = np.repeat([0, 1], [5, 35])
    net, X, y = scripted([np.where(y == 0, 0.001, 0.5)], y)
    kept = set()
    for seed in range(12):
        pruner = UncertaintyPruner(net, prune_ratio=0.9, stratify=False, random_state=seed)
        support = pruner.fit(X, y).get_support()
        assert support.sum() == 4 and support[:5].any()
        kept |= set(np.flatnonzero(support[:5]))
    assert len(kept) > 2
