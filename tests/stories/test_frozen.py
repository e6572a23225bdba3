"""Networks that are trained already, and the codes they know the classes by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import scale
from skorch import NeuralNetBinaryClassifier

from sklearn_prune import InfluencePruner

CALM = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0}


@pytest.fixture(scope="module")
def cancer() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X[:200]).astype(np.float32), y[:200]


@pytest.mark.parametrize("labels", [[1, 2], [-1, 1], ["benign", "malignant"]])
def test_a_binary_network_knows_its_classes_by_their_order(cancer, labels):
    X, y = cancer
    net = NeuralNetBinaryClassifier(
        torch.nn.Linear, module__in_features=30, module__out_features=1, verbose=0, max_epochs=2
    ).fit(X, y.astype(np.float32))
    expected = InfluencePruner(FrozenEstimator(net), **CALM).fit(X, y)
    found = InfluencePruner(FrozenEstimator(net), **CALM).fit(X, np.array(labels)[y])
    np.testing.assert_array_equal(found.influence_norms_, expected.influence_norms_)
    np.testing.assert_array_equal(found.support_, expected.support_)


def test_as_many_outputs_as_classes_are_matched_in_order(iris, make_net):
    X, y = iris
    net = make_net().fit(X.astype(np.float32), y)
    expected = InfluencePruner(FrozenEstimator(net), **CALM).fit(X, y)
    found = InfluencePruner(FrozenEstimator(net), **CALM).fit(X, y + 1)
    np.testing.assert_array_equal(found.influence_norms_, expected.influence_norms_)
