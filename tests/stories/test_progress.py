"""scikit-learn's callbacks are told of the stages and of the epochs."""

from __future__ import annotations

import pickle

import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint

from sklearn_prune import InfluencePruner, Pipeline
from sklearn_prune.utils.progress import part_done, telling

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has it first")

X, Y = load_iris(return_X_y=True)
STAGES = ["network", "head", "influence", "distribution", "selection", "certificate"]


class Log:
    """What a callback is told, as (task, how many parts it has)."""

    def __init__(self):
        self.begun, self.ended, self.open = [], [], 0

    def setup(self, estimator, context):
        self.open += 1

    def teardown(self, estimator, context):
        self.open -= 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.max_subtasks))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context.task_name)


def network(**params):
    return NeuralNetClassifier(
        torch.nn.Linear(4, 3),
        max_epochs=3,
        criterion=torch.nn.CrossEntropyLoss,
        verbose=0,
        **params,
    )


def test_stages_and_epochs_are_told():
    log = Log()
    pruner = InfluencePruner(network(), random_state=0).set_callbacks(log).fit(X, Y)
    assert log.begun[:2] == [("fit", 6), ("network", 3)]
    assert log.ended.count("epoch") == 3
    assert log.ended.count("exchange") > 0
    assert [name for name in log.ended if name in STAGES] == STAGES
    # Epochs come before the network is done, rounds of the solver before the selection is.
    assert log.ended.index("network") == 3
    assert log.ended.index("exchange") < log.ended.index("selection")
    assert log.open == 0
    assert [name for name, _ in pruner.certificate_.seconds] == STAGES


def test_chunks_are_told_where_all_layers_are_looked_at():
    log = Log()
    pruner = InfluencePruner(network(), layers="all", random_state=0)
    pruner.set_callbacks(log).fit(X.astype("float32"), Y)
    assert log.ended.index("chunk") < log.ended.index("influence")


def test_nobody_is_told_outside():
    told = []
    with telling(told.append):
        part_done("one")
    part_done("two")
    assert told == ["one"]


def test_the_network_keeps_only_its_own_callbacks():
    pruner = InfluencePruner(network(), random_state=0).set_callbacks(Log()).fit(X, Y)
    plain = network().initialize()
    assert pruner.estimator_.callbacks is None
    assert [name for name, _ in pruner.estimator_.callbacks_] == [n for n, _ in plain.callbacks_]
    assert pickle.loads(pickle.dumps(pruner.estimator_)).predict(X.astype("float32")).shape == (
        150,
    )


def test_a_checkpoint_of_the_training_can_be_trained_further(tmp_path):
    path = tmp_path / "net.pkl"
    checkpoint = Checkpoint(
        monitor=None,
        f_params=None,
        f_optimizer=None,
        f_criterion=None,
        f_history=None,
        f_pickle=str(path),
    )
    InfluencePruner(network(callbacks=[checkpoint]), random_state=0).fit(X.astype("float32"), Y)
    saved = pickle.loads(path.read_bytes())
    assert len(saved.partial_fit(X.astype("float32"), Y).history) == 6


def test_a_frozen_network_trains_no_epochs():
    log = Log()
    net = network().fit(X.astype("float32"), Y)
    InfluencePruner(FrozenEstimator(net), random_state=0).set_callbacks(log).fit(X, Y)
    assert ("network", 0) in log.begun


def test_a_network_without_callbacks_tells_no_epochs():
    log = Log()
    InfluencePruner(network(callbacks="disable"), random_state=0).set_callbacks(log).fit(X, Y)
    assert "epoch" not in log.ended
    assert log.ended[0] == "network"


def test_what_the_memory_has_is_not_told_again(tmp_path):
    pruner = InfluencePruner(random_state=0, memory=str(tmp_path)).fit(X, Y)
    for ratio, stages in ((0.4, []), (0.5, ["selection", "certificate"])):
        log = Log()
        pruner.set_params(prune_ratio=ratio).set_callbacks(log).fit(X, Y)
        assert [name for name in log.ended if name in STAGES] == stages


def test_an_error_ends_what_was_begun():
    log = Log()
    pruner = InfluencePruner(network(lr="fast"), random_state=0).set_callbacks(log)
    with pytest.raises(TypeError):
        pruner.fit(X, Y)
    assert log.begun
    assert log.open == 0


def test_a_progress_bar_goes_through_a_search_and_a_pipeline():
    pytest.importorskip("rich")
    pipe = Pipeline(
        [("prune", InfluencePruner(network(), random_state=0)), ("model", DummyClassifier())]
    )
    bar = callback.ProgressBar(max_propagation_depth=None)
    search = GridSearchCV(pipe, {"prune__prune_ratio": [0.2, 0.4]}, cv=2).set_callbacks(bar)
    assert search.fit(X, Y).best_estimator_["prune"].get_support().sum() in {90, 120}
