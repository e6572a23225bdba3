"""DUAL scores by hand, and what the draw prefers."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta

from sklearn_prune.baselines import DUALPruner
from sklearn_prune.baselines._dual import beta_log_density
from sklearn_prune.baselines._scored import Stratum
from tests.baselines.scripted import kept, scripted

P_OWN = [[0.5, 0.1, 0.8, 0.4], [0.5, 0.3, 0.6, 0.6], [0.5, 0.1, 0.6, 0.8]]
SETTINGS = {"n_epochs": 3, "window": 2}


def test_uncertainty_is_weighted_by_difficulty():
    net, X, y = scripted(P_OWN, [0, 0, 1, 1])
    pruner = DUALPruner(net, prune_ratio=0.5, c_d=None, **SETTINGS)
    assert kept(pruner, X, y) == [1, 3]
    # (1 - mean) |a - b| / sqrt 2 in each window of two.
    by_hand = [0, (0.8 * 0.2 + 0.8 * 0.2) / 2, (0.3 * 0.2 + 0) / 2, (0.5 * 0.2 + 0.3 * 0.2) / 2]
    np.testing.assert_allclose(pruner.scores_, np.array(by_hand) / np.sqrt(2), atol=1e-12)


def test_only_the_first_epochs_count():
    net, X, y = scripted([*P_OWN, [0.1, 0.9, 0.1, 0.1]], [0, 0, 1, 1])
    first = DUALPruner(net, c_d=None, **SETTINGS).fit(X, y).scores_
    net, X, y = scripted(P_OWN, [0, 0, 1, 1])
    np.testing.assert_array_equal(first, DUALPruner(net, c_d=None, **SETTINGS).fit(X, y).scores_)


def test_the_beta_distribution_is_the_papers():
    # The ten anchors have the mean 0.2: b = 15 * 0.8 * (1 - 0.5^4) = 11.25.
    p_mean = np.r_[np.full(10, 0.2), 0.7, 0.9]
    expected = beta(16 - 11.25, 11.25).logpdf(p_mean)
    np.testing.assert_allclose(beta_log_density(p_mean, 0.5, 4.0), expected)


def test_the_more_go_the_easier_are_those_that_stay():
    p_mean = np.r_[np.full(10, 0.2), 0.3, 0.9]
    ease = [np.diff(beta_log_density(p_mean, r, 4.0)[-2:])[0] for r in (0.1, 0.5, 0.9, 0.99)]
    assert ease == sorted(ease)
    assert ease[0] < 0 < ease[-1]


def test_certain_rows_have_a_finite_density():
    assert np.isfinite(beta_log_density(np.array([1.0, 1.0, 0.0]), 0.9, 4.0)).all()


def test_rows_are_drawn_in_proportion():
    net, X, y = scripted(P_OWN, [0, 0, 1, 1])
    pruner = DUALPruner(net, prune_ratio=0.5, random_state=0, **SETTINGS).fit(X, y)
    stratum = [2, 3]
    order = sorted(stratum, key=lambda row: -pruner.scores_[row])
    density = np.exp(beta_log_density(np.mean(P_OWN, axis=0)[order], 0.5, 4.0))
    weight = density * pruner.scores_[order]
    share, n_seeds = weight[0] / weight.sum(), 400
    draws = [
        pruner._rank(Stratum(np.array(stratum), 1), np.random.RandomState(seed))[0] == order[0]
        for seed in range(n_seeds)
    ]
    # Four standard deviations of a binomial share.
    assert abs(np.mean(draws) - share) < 4 * np.sqrt(share * (1 - share) / n_seeds)


def test_a_row_without_score_is_drawn_last():
    net, X, y = scripted(P_OWN, [0, 0, 1, 1])
    for seed in range(5):
        pruner = DUALPruner(net, prune_ratio=0.5, random_state=seed, **SETTINGS)
        assert 1 in kept(pruner, X, y)
