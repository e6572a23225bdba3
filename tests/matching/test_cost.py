"""What a fit will cost, against what it costs."""

from __future__ import annotations

import gc
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_digits, make_regression
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetClassifier
from torch.utils.data import TensorDataset

import sklearn_prune.matching.trained_members as members_module
from sklearn_prune import InfluencePruner
from sklearn_prune.matching import n_trial_rows, scaled_cost

STAGES = ["network", "head", "influence", "distribution", "selection", "certificate"]
JOBS = {
    "breast cancer": (lambda: load_breast_cancer(return_X_y=True), 0.9),
    "digits": (lambda: load_digits(return_X_y=True), 0.4),
    "digits, fewer rows than parameters": (lambda: load_digits(return_X_y=True), 0.9),
    "numbers": (lambda: make_regression(6000, 15, noise=1.0, random_state=0), 0.7),
}


@pytest.fixture
def busy_seconds(monkeypatch):
    """Stages are timed by the processor, so that other work on the machine does not count."""
    clock = SimpleNamespace(perf_counter=time.process_time)
    monkeypatch.setattr("sklearn_prune.matching.clock.time", clock)


@pytest.mark.usefixtures("busy_seconds")
@pytest.mark.parametrize("job", JOBS)
def test_seconds_are_those_of_the_fit_within_a_factor_of_three(job):
    load, ratio = JOBS[job]
    pruner = InfluencePruner(prune_ratio=ratio, random_state=0, time_limit=600)
    X, y = load()
    estimate = pruner.estimate_cost(X, y)
    taken = dict(pruner.fit(X, y).certificate_.seconds)
    assert list(estimate.seconds) == list(taken) == STAGES
    assert 1 / 3 < sum(estimate.seconds.values()) / sum(taken.values()) < 3
    assert estimate.n_coordinates == pruner.certificate_.n_coordinates


@pytest.mark.parametrize("job", JOBS)
def test_memory_is_that_of_the_fit_within_a_factor_of_three(job):
    load, ratio = JOBS[job]
    pruner = InfluencePruner(prune_ratio=ratio, random_state=0, time_limit=600)
    X, y = load()
    estimate = pruner.estimate_cost(X, y)
    gc.collect()
    tracemalloc.start()
    pruner.fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 1 / 3 < estimate.memory / peak < 3


def test_the_trials_own_rows_cost_what_they_did_and_many_rows_their_number():
    X, y = load_breast_cancer(return_X_y=True)
    trial = InfluencePruner(random_state=0).fit(X[:200], y[:200])
    seconds = dict(trial.certificate_.seconds)
    own, many, more = (
        scaled_cost(trial.matched_, seconds, n, 0.1) for n in (200, 1_000_000, 10_000_000)
    )
    for name in ("network", "head", "influence", "distribution"):
        assert own.seconds[name] == pytest.approx(seconds[name])
        assert more.seconds[name] == pytest.approx(10 * many.seconds[name], rel=0.05)
    assert own.memory < many.memory < more.memory


def test_a_trial_takes_a_twentieth_of_the_rows_but_not_fewer_than_it_needs():
    assert [n_trial_rows(n) for n in (10, 300, 10_000)] == [10, 200, 500]


def network():
    return NeuralNetClassifier(
        torch.nn.Linear(4, 3), criterion=torch.nn.CrossEntropyLoss, max_epochs=2, verbose=0
    )


def some_rows(n=8000):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 4)).astype("float32")
    return X, (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def test_a_network_is_trained_on_few_rows(monkeypatch):
    fit_network, sizes = members_module.fit_network, []

    def sized(net, X, y, **options):
        sizes.append(len(y))
        return fit_network(net, X, y, **options)

    monkeypatch.setattr(members_module, "fit_network", sized)
    estimate = InfluencePruner(network(), random_state=0).estimate_cost(*some_rows())
    assert sizes == [400]
    assert estimate.seconds["network"] > 0


def test_rare_classes_are_in_the_trial():
    X, y = some_rows(5000)
    y[:2] = [3, 4]
    assert InfluencePruner(random_state=0).estimate_cost(X, y).n_coordinates > 0


@pytest.mark.parametrize(
    "options",
    [
        {"features": some_rows(900)[0][:, :2]},
        {"prune_ratio": "auto", "tolerance": 0.01},
        {"quota": {0: 3, 1: 3, 2: 3}},
        {"reweight": True},
        {"estimator": network(), "layers": "all"},
        {"estimator": [network(), None]},
    ],
)
def test_any_parameters_have_an_estimate(options):
    estimate = InfluencePruner(random_state=0).set_params(**options).estimate_cost(*some_rows(900))
    assert all(np.isfinite(seconds) and seconds >= 0 for seconds in estimate.seconds.values())


def test_sparse_rows_and_datasets_have_an_estimate():
    X, y = some_rows(600)
    assert InfluencePruner(random_state=0).estimate_cost(csr_array(X), y).memory > 0
    rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    assert InfluencePruner(network(), random_state=0).estimate_cost(rows).memory > 0


def test_nothing_is_left_of_the_trial(tmp_path):
    X, y = some_rows(600)
    pruner = InfluencePruner(random_state=np.random.RandomState(0), memory=str(tmp_path))
    before, drawn = vars(pruner).copy(), pruner.random_state.get_state()[2]
    drawn_by_all = np.random.get_state()[2]
    pruner.estimate_cost(X, y)
    assert np.random.get_state()[2] == drawn_by_all
    assert vars(pruner) == before
    assert pruner.random_state.get_state()[2] == drawn
    assert not list(tmp_path.iterdir())
    with pytest.raises(NotFittedError):
        pruner.get_support()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"prune_ratio": 2.0}, "'prune_ratio' parameter"), ({"tolerance": 0.1}, "only one of them")],
)
def test_malformed_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InfluencePruner(**options).estimate_cost(*some_rows(100))
