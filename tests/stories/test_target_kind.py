"""Every pruner can be told what y is."""

import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import (
    InfluencePruner,
    PrunedClassifier,
    PrunedRegressor,
    baselines,
    make_pipeline,
)
from sklearn_prune.model_selection import PrunedSearchCV, PruneRatioSearchCV

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4))
# Read as numbers, as there are more than 20 and each has few rows.
MANY = np.arange(100) % 25
FEW = np.arange(100) % 4

QUICK = {"n_epochs": 3, "n_networks": 1, "window": 2, "n_iterations": 2}


def pruners():
    for name in ["InfluencePruner", *baselines.__all__]:
        pruner = getattr(baselines, name, InfluencePruner)(prune_ratio=0.5, random_state=0)
        known = pruner.get_params()
        yield pytest.param(
            pruner.set_params(**{k: v for k, v in QUICK.items() if k in known}), id=name
        )


@pytest.mark.parametrize("pruner", list(pruners()))
def test_told_of_classes_a_pruner_keeps_each_of_them(pruner):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="y has 25 distinct")
        fitted = clone(pruner).fit(X, MANY, target_kind="classification")
    assert len(fitted.classes_) == 25
    assert set(MANY[fitted.get_support()]) == set(MANY)


@pytest.mark.parametrize("pruner", list(pruners()))
def test_told_of_numbers_a_pruner_reads_numbers_or_refuses_them(pruner):
    told = clone(pruner)
    if getattr(told, "_needs_classes", False):
        with pytest.raises(ValueError, match="and y holds numbers"):
            told.fit(X, FEW, target_kind="regression")
    else:
        assert not hasattr(told.fit(X, FEW, target_kind="regression"), "classes_")


def test_the_warning_names_the_parameter_that_every_pruner_has():
    with pytest.warns(UserWarning, match="25 distinct .* set target_kind='classification'"):
        baselines.RandomPruner().fit(X, MANY)


def test_many_whole_numbers_that_are_read_as_classes_are_told_of():
    rows, y = np.arange(300.0)[:, None], np.arange(300) % 25
    with pytest.warns(UserWarning, match="25 distinct .* read as classes; set .*'regression'"):
        assert len(baselines.RandomPruner().fit(rows, y).classes_) == 25
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        baselines.RandomPruner().fit(rows, y, target_kind="classification")
        baselines.RandomPruner().fit(rows, np.char.add("class ", y.astype(str)))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'classification', 'regression'; it is 'ordinal'"):
        baselines.RandomPruner().fit(X, FEW, target_kind="ordinal")


class Parity(baselines.RandomPruner):
    """Has a ``fit`` of its own, without ``target_kind``."""

    def fit(self, X, y=None):
        return self._fit(X, y)


DOORS = [
    lambda pruner, last, **params: make_pipeline(pruner, last).fit(
        X, FEW, **{f"{type(pruner).__name__.lower()}__{name}": v for name, v in params.items()}
    )[0],
    lambda pruner, last, **params: PrunedClassifier(last, pruner).fit(X, FEW, **params).pruner_,
    lambda pruner, last, **params: (
        PruneRatioSearchCV(last, pruner, ratios=[0.5], tolerance=1.0, cv=2)
        .fit(X, FEW, **params)
        .pruner_
    ),
    lambda pruner, last, **params: (
        PrunedSearchCV(GridSearchCV(last, {}, cv=2), pruner, refit="kept")
        .fit(X, FEW, **params)
        .pruner_
    ),
]


@pytest.mark.parametrize("door", DOORS, ids=["pipeline", "meta", "ratio search", "search"])
def test_what_the_user_says_counts_before_what_the_pruner_is_in(door):
    last = LogisticRegression()
    pruner = baselines.RandomPruner(0.5, random_state=0)
    assert not hasattr(door(clone(pruner), last, target_kind="regression"), "classes_")
    assert hasattr(door(clone(pruner), last, target_kind="auto"), "classes_")
    # Nothing is said to a pruner that does not listen.
    assert hasattr(door(Parity(0.5), last), "classes_")


def test_a_pipeline_routes_it_to_the_pruner_that_requests_it():
    with config_context(enable_metadata_routing=True):
        pruner = baselines.RandomPruner(random_state=0)
        pipe = make_pipeline(pruner, LogisticRegression())
        # Nobody has to request it to be told by the last step.
        assert hasattr(pipe.fit(X, FEW)[0], "classes_")
        pruner.set_fit_request(target_kind=True)
        assert not hasattr(pipe.fit(X, FEW, target_kind="regression")[0], "classes_")
        search = PrunedClassifier(LogisticRegression(), pruner)
        assert not hasattr(search.fit(X, FEW, target_kind="regression").pruner_, "classes_")


def test_a_network_of_the_other_kind_is_refused():
    net = NeuralNetClassifier(nn.Linear(4, 4), criterion=nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match="target_kind='regression', but the network takes y as a"):
        InfluencePruner(net).fit(X, FEW, target_kind="regression")


def test_the_network_counts_before_the_estimator_that_the_pruner_is_in():
    net = NeuralNetClassifier(nn.Linear(4, 4), criterion=nn.CrossEntropyLoss, verbose=0)
    pruner = baselines.ModeratePruner(net, random_state=0)
    model = PrunedRegressor(Ridge(), pruner).fit(X.astype(np.float32), FEW)
    assert model.pruner_.classes_.tolist() == [0, 1, 2, 3]
