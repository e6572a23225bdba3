"""What the parameter ``estimator`` may be."""

from __future__ import annotations

import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier

from sklearn_prune import InfluencePruner, checkpoints
from sklearn_prune.matching import members, unfrozen


def network(**options):
    options = {"max_epochs": 6, "lr": 0.3, **options}
    return NeuralNetClassifier(torch.nn.Linear(4, 3), **options)


def test_one_network_is_a_list_of_one_and_a_list_is_itself():
    net = network()
    assert members(None) == [None]
    assert members(net) == [net]
    assert members((net, None)) == [net, None]
    wrapped = checkpoints(net, 2)
    assert members(wrapped) == [wrapped]
    with pytest.raises(ValueError, match="estimator holds no network"):
        members([])


def test_the_members_of_an_ensemble_that_are_dropped_are_left_out():
    net = network()
    assert members(VotingClassifier([("a", net), ("b", "drop")])) == [net]


def test_wrappers_come_off():
    net = network()
    for given in (net, FrozenEstimator(net), checkpoints(net, 2)):
        assert unfrozen(given) is net


@pytest.mark.parametrize(
    ("net", "number", "message"),
    [
        (None, 2, "NoneType is not trained in fit. .* as a list of FrozenEstimator"),
        (FrozenEstimator(network()), 2, "FrozenEstimator is not trained in fit"),
        (network(), 7, "7 checkpoints need as many epochs; the network trains for 6. Lower number"),
        (network(callbacks="disable"), 2, 'callbacks="disable" allows none'),
        (network(), 0, "number must be an integer of 1 or more"),
        (network(), 2.0, "number must be an integer of 1 or more"),
    ],
)
def test_what_has_no_checkpoints_is_refused(net, number, message):
    with pytest.raises(ValueError, match=message):
        checkpoints(net, number)


def test_checkpoints_are_cloned_and_their_network_can_be_tuned():
    pruner = InfluencePruner(checkpoints(network(), 3), prune_ratio=0.6)
    copy = clone(pruner).set_params(estimator__estimator__lr=0.5)
    assert copy.estimator.estimator is not pruner.estimator.estimator
    assert (copy.estimator.number, copy.estimator.estimator.lr) == (3, 0.5)
    assert pruner.estimator.estimator.lr == 0.3
