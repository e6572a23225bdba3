"""A network whose training diverged is said to be one by every pruner, and no data are blamed."""

import inspect

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from sklearn_prune import InfluencePruner, baselines

TAKE_NETWORKS = [
    InfluencePruner,
    *(
        pruner
        for pruner in map(baselines.__dict__.get, baselines.__all__)
        if "estimator" in inspect.signature(pruner).parameters
    ),
]
MESSAGE = "network's .* must be finite; .*training of the network diverged.* Lower its lr, or scale"


@pytest.mark.parametrize("make", TAKE_NETWORKS)
def test_training_that_diverges_is_told_by_every_pruner(make, iris, make_net):
    X, y = iris
    network = make_net(lr=np.inf, max_epochs=11)
    with pytest.raises(ValueError, match=MESSAGE):
        make(network, random_state=0).fit(X.astype(np.float32), y)


@pytest.mark.parametrize("make", TAKE_NETWORKS)
@pytest.mark.parametrize("layers", ["last", "all"])
def test_a_frozen_network_that_diverged_is_told_of(make, layers, iris, make_net):
    X, y = iris[0].astype(np.float32), iris[1]
    network = make_net(max_epochs=1).fit(X, y)
    with torch.no_grad():
        network.module_.head.weight.fill_(np.nan)
    options = {"layers": layers} if make is InfluencePruner else {}
    # Scores from training have no use for a network that is trained already.
    with pytest.raises(ValueError, match=f"{MESSAGE}|need a network to train"):
        make(FrozenEstimator(network), **options).fit(X, y)
