"""Gradient norms early in training, by hand and against autograd."""

from __future__ import annotations

import numpy as np

from sklearn_prune.baselines import GraNdPruner
from tests.baselines.scripted import kept, scripted


def test_the_gradient_norm_is_that_of_residual_times_that_of_features():
    net, X, y = scripted([[0.9, 0.6, 0.2, 0.7]], [0, 0, 1, 1])
    pruner = GraNdPruner(net, prune_ratio=0.5, n_epochs=1, n_networks=1)
    assert kept(pruner, X, y) == [1, 2]
    np.testing.assert_allclose(pruner.scores_, np.sqrt(2) * np.array([0.1, 0.4, 0.8, 0.3]))


def test_a_row_twice_as_long_has_another_gradient():
    net, X, y = scripted([[0.9, 0.6, 0.2, 0.7]], [0, 0, 1, 1])
    X[0] *= 2
    pruner = GraNdPruner(net, n_epochs=1, n_networks=1).fit(X, y)
    # Its logit doubles from log 9 to log 81, and its features are of length 2.
    np.testing.assert_allclose(pruner.scores_[0], 2 * np.sqrt(2) / 82)


def test_a_regression_has_gradients_too():
    X, y = np.arange(6.0)[:, None], np.array([0.5, 1, 2, 3, 4, 50])
    pruner = GraNdPruner(prune_ratio=0.5, n_epochs=1, n_networks=1, random_state=0).fit(X, y)
    assert pruner.support_[5]
