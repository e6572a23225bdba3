"""Error norms early in training, computed by hand."""

from __future__ import annotations

import numpy as np

from sklearn_prune.baselines import EL2NPruner
from tests.baselines.scripted import kept, scripted

P_OWN = [[0.5, 0.5, 0.5, 0.5], [0.9, 0.6, 0.2, 0.7], [0.1, 0.9, 0.9, 0.9]]


def test_the_error_after_the_last_epoch_asked_for_counts():
    net, X, y = scripted(P_OWN, [0, 0, 1, 1])
    pruner = EL2NPruner(net, prune_ratio=0.5, n_epochs=2, n_networks=1)
    assert kept(pruner, X, y) == [1, 2]
    # With two classes p - e_y is (1 - p_y) times (1, -1).
    np.testing.assert_allclose(pruner.scores_, np.sqrt(2) * np.array([0.1, 0.4, 0.8, 0.3]))


def test_the_mean_over_networks_depends_less_on_the_seed(iris):
    X, y = iris
    seeds = (0, 1)
    few, many = (
        [EL2NPruner(n_epochs=1, n_networks=n, random_state=s).fit(X, y).scores_ for s in seeds]
        for n in (1, 12)
    )
    assert np.abs(many[0] - many[1]).mean() < np.abs(few[0] - few[1]).mean()
