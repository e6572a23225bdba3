"""Every pruner can be told what y is."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner, PrunedClassifier, baselines

RNG = np.random.default_rng(0)
X = RNG.normal(size=(180, 4))
# Read as numbers, as there are more than 20 and each has few rows.
MANY = np.arange(180) % 30
FEW = np.arange(180) % 4

QUICK = {"n_epochs": 3, "n_networks": 1, "window": 2}


def pruners():
    for name in ["InfluencePruner", *baselines.__all__]:
        pruner = getattr(baselines, name, InfluencePruner)(prune_ratio=0.5, random_state=0)
        known = pruner.get_params()
        yield pytest.param(
            pruner.set_params(**{k: v for k, v in QUICK.items() if k in known}), id=name
        )


@pytest.mark.parametrize("pruner", pruners())
def test_told_of_classes_a_pruner_keeps_each_of_them(pruner):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="y has 30 distinct")
        fitted = clone(pruner).set_params(target_kind="classification").fit(X, MANY)
    assert len(fitted.classes_) == 30
    assert set(MANY[fitted.get_support()]) == set(MANY)


@pytest.mark.parametrize("pruner", pruners())
def test_told_of_numbers_a_pruner_reads_numbers_or_refuses_them(pruner):
    told = clone(pruner).set_params(target_kind="regression")
    if getattr(told, "_needs_classes", False):
        with pytest.raises(ValueError, match="and y holds numbers"):
            told.fit(X, FEW)
    else:
        assert not hasattr(told.fit(X, FEW), "classes_")


def test_the_warning_names_the_parameter_that_every_pruner_has():
    with pytest.warns(UserWarning, match="30 distinct .* set target_kind='classification'"):
        baselines.RandomPruner().fit(X, MANY)


def test_what_the_user_says_counts_before_what_the_pruner_is_in():
    pruner = baselines.RandomPruner(target_kind="regression", random_state=0)
    model = PrunedClassifier(LogisticRegression(), pruner).fit(X, FEW)
    assert not hasattr(model.pruner_, "classes_")


def test_a_network_of_the_other_kind_is_refused():
    net = NeuralNetClassifier(nn.Linear(4, 4), criterion=nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match="target_kind='regression' and to the network y is a clas"):
        InfluencePruner(net, target_kind="regression").fit(X, FEW)
