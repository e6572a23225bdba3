"""Spread within windows, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_prune.baselines import DynamicUncertaintyPruner
from tests.baselines.scripted import kept, scripted

# Windows of two epochs: the standard deviation of a, b is |a - b| / sqrt 2.
P_OWN = [[0.5, 0.1, 0.8, 0.4], [0.5, 0.9, 0.6, 0.5], [0.5, 0.1, 0.6, 0.8]]


def test_the_spread_is_averaged_over_windows():
    net, X, y = scripted(P_OWN, [0, 0, 1, 1])
    pruner = DynamicUncertaintyPruner(net, prune_ratio=0.5, window=2)
    assert kept(pruner, X, y) == [1, 3]
    by_hand = np.array([0.0, (0.8 + 0.8) / 2, 0.2 / 2, (0.1 + 0.3) / 2]) / np.sqrt(2)
    np.testing.assert_allclose(pruner.scores_, by_hand, atol=1e-12)


@pytest.mark.usefixtures("no_training")
def test_a_window_longer_than_the_training_is_refused_before_it():
    net, X, y = scripted(P_OWN, [0, 0, 1, 1])
    with pytest.raises(ValueError, match="window=4 needs 4 epochs; .* trains for 3. Lower"):
        DynamicUncertaintyPruner(net, window=4).fit(X, y)
