"""Forgetting events, counted by hand."""

from __future__ import annotations

import numpy as np

from sklearn_prune.baselines import ForgettingPruner
from tests.baselines.scripted import kept, scripted

# Right above one half. Row 0 never wrong, 1 forgotten once, 2 twice, 3 never right, 4 learnt late.
P_OWN = [
    [0.9, 0.9, 0.6, 0.1, 0.2],
    [0.9, 0.2, 0.3, 0.1, 0.2],
    [0.9, 0.7, 0.8, 0.2, 0.3],
    [0.8, 0.7, 0.4, 0.3, 0.9],
]


def test_forgetting_events_are_counted_and_rows_never_learnt_are_infinite():
    net, X, y = scripted(P_OWN, [0, 1, 0, 1, 1])
    pruner = ForgettingPruner(net, prune_ratio=0.4, stratify=False, random_state=0)
    assert kept(pruner, X, y) == [1, 2, 3]
    np.testing.assert_array_equal(pruner.scores_, [0, 1, 2, np.inf, 0])


def test_in_each_class_the_most_forgotten_stay():
    net, X, y = scripted(P_OWN, [0, 1, 0, 1, 1])
    assert kept(ForgettingPruner(net, prune_ratio=0.4, random_state=0), X, y) == [1, 2, 3]
    net, X, y = scripted(P_OWN, [0, 0, 1, 1, 1])
    assert kept(ForgettingPruner(net, prune_ratio=0.6, random_state=0), X, y) == [1, 3]
