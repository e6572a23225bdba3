"""The memory: what it keeps apart, what it does not, and that nothing else depends on it."""

from __future__ import annotations

import errno
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from joblib import Memory
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor

import sklearn_prune.matching.trained_members as networks_module
import sklearn_prune.matching.training as training_module
from sklearn_prune import InfluencePruner, PrunedClassifier, make_pipeline
from sklearn_prune.losses import NonConvexLossWarning
from sklearn_prune.matching import StageClock, TrainingJob, train_once

X, Y = load_iris(return_X_y=True)
WEIGHT = np.linspace(0.5, 1.5, len(X))


class Net(torch.nn.Module):
    def __init__(self, n_hidden: int = 3) -> None:
        super().__init__()
        self.hidden, self.last = torch.nn.Linear(4, n_hidden), torch.nn.Linear(n_hidden, 3)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.hidden(X)))


class Hollow(torch.nn.Module):
    """A loss whose second derivative is negative far from the target."""

    def forward(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (torch.tanh(outputs - y) ** 2).mean()


def network(**params):
    options = {"module": Net, "max_epochs": 2, "criterion": torch.nn.CrossEntropyLoss, "verbose": 0}
    return NeuralNetClassifier(**(options | params))


@pytest.fixture
def trained(monkeypatch):
    """A list that grows by one with each network that is trained."""
    fit_network, calls = networks_module.fit_network, []

    def counted(*args, **kwargs):
        calls.append(args)
        return fit_network(*args, **kwargs)

    monkeypatch.setattr(networks_module, "fit_network", counted)
    return calls


@pytest.mark.parametrize("inside", [PrunedClassifier, lambda model, p: make_pipeline(p, model)])
def test_a_grid_of_ratios_trains_one_network_a_fold(tmp_path, trained, inside):
    pruner = InfluencePruner(network(), memory=str(tmp_path), random_state=0)
    model = inside(LogisticRegression(), pruner)
    (name,) = [name for name in model.get_params() if name.endswith("prune_ratio")]
    grid = {name: [0.2, 0.4, 0.7]}
    search = GridSearchCV(model, grid, cv=3, refit=False).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(trained) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"prune_ratio": 0.7},
        {"prune_ratio": "auto", "tolerance": 0.01},
        {"quota": None},
        {"distribution_weight": 0.0},
        {"time_limit": 30},
        {"verbose": 0},
    ],
)
def test_what_only_the_selection_reads_trains_nothing(tmp_path, trained, change):
    pruner = InfluencePruner(network(), memory=str(tmp_path), random_state=0).fit(X, Y)
    pruner.set_params(**change).fit(X, Y, must_keep=np.arange(len(X)) < 3, groups=Y % 2)
    assert len(trained) == 1


@pytest.mark.parametrize(
    "change",
    [{"norm": "parameter"}, {"damping": 0.01}, {"layers": "all"}, {"random_state": 1}]
    + [{"estimator": network(**params)} for params in ({"lr": 0.5}, {"module__n_hidden": 4})],
)
def test_what_the_influences_depend_on_is_kept_apart(tmp_path, trained, change):
    pruner = InfluencePruner(network(), memory=str(tmp_path), random_state=0).fit(X, Y)
    first = pruner.influence_norms_
    pruner.set_params(**change).fit(X, Y)
    assert len(trained) == 2
    assert not np.array_equal(pruner.influence_norms_, first)


@pytest.mark.parametrize(
    ("rows", "target", "weight"),
    [
        (X + (np.arange(150) == 9)[:, None], Y, None),
        (X, np.where(np.arange(150) == 9, 2, Y), None),
        (X, Y, WEIGHT),
        (X[:-1], Y[:-1], None),
    ],
)
def test_other_rows_are_kept_apart(tmp_path, trained, rows, target, weight):
    pruner = InfluencePruner(network(), memory=str(tmp_path), random_state=0).fit(X, Y)
    pruner.fit(rows, target, sample_weight=weight)
    assert len(trained) == 2


@pytest.mark.parametrize("estimator", [None, network()])
@pytest.mark.parametrize("rows", [X, sp.csr_array(X)])
def test_results_are_the_same_with_and_without(tmp_path, estimator, rows):
    without = InfluencePruner(estimator, random_state=0).fit(rows, Y, sample_weight=WEIGHT)
    for _ in ("written", "read"):
        kept = InfluencePruner(estimator, random_state=0, memory=str(tmp_path))
        kept.fit(rows, Y, sample_weight=WEIGHT)
        np.testing.assert_array_equal(kept.support_, without.support_)
        np.testing.assert_array_equal(kept.influence_norms_, without.influence_norms_)
        assert kept.certificate_.actual_change == without.certificate_.actual_change
        for a, b in zip(
            kept.estimator_.module_.parameters(),
            without.estimator_.module_.parameters(),
            strict=True,
        ):
            assert torch.equal(a, b)
        np.testing.assert_array_equal(kept.select(prune_ratio=0.7), without.select(prune_ratio=0.7))


def test_a_frozen_network_stays_the_users_own(tmp_path):
    net = network().fit(X.astype("float32"), Y)
    for _ in ("written", "read"):
        pruner = InfluencePruner(FrozenEstimator(net), memory=str(tmp_path)).fit(X, Y)
        assert pruner.estimator_ is net
    first = pruner.influence_norms_
    net.partial_fit(X.astype("float32"), Y)
    again = InfluencePruner(FrozenEstimator(net), memory=str(tmp_path)).fit(X, Y)
    assert not np.array_equal(again.influence_norms_, first)


def test_a_network_that_cannot_be_pickled_is_trained_each_time(tmp_path, trained):
    class Local(Net):
        pass

    pruner = InfluencePruner(network(module=Local), memory=str(tmp_path), random_state=0)
    for _ in range(2):
        with pytest.warns(UserWarning, match="top level of a module"):
            pruner.fit(X, Y)
    assert len(trained) == 2


def test_a_change_of_this_package_trains_anew(tmp_path, trained, monkeypatch):
    pruner = InfluencePruner(network(), memory=str(tmp_path), random_state=0).fit(X, Y)
    # Another release of the package cannot be installed inside a test.
    monkeypatch.setattr("sklearn_prune.data.hashing._own_source", lambda: "another")
    pruner.fit(X, Y)
    assert len(trained) == 2


def test_the_default_type_of_numbers_is_kept_apart(tmp_path, trained):
    pruner = InfluencePruner(network(), memory=str(tmp_path), random_state=0).fit(X, Y)
    try:
        torch.set_default_dtype(torch.float64)
        pruner.fit(X, Y)
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(trained) == 2


def test_a_warning_is_given_again(tmp_path):
    net = NeuralNetRegressor(torch.nn.Linear(4, 1), criterion=Hollow, max_epochs=1, verbose=0)
    pruner = InfluencePruner(net, memory=str(tmp_path), damping=1.0, random_state=0)
    for _ in ("written", "read"):
        with pytest.warns(NonConvexLossWarning):
            pruner.fit(X, 3.0 * Y)


@pytest.mark.parametrize("memory", [None, Memory(None)])
def test_no_memory_keeps_nothing(memory, trained):
    pruner = InfluencePruner(network(), memory=memory, random_state=0)
    pruner.fit(X, Y).fit(X, Y)
    assert len(trained) == 2


def test_seconds_add_up(tmp_path):
    job = TrainingJob([None], X, Y, np.unique(Y), None, "loss", 1e-2, 0)
    names = []
    for _ in ("written", "read"):
        clock = StageClock()
        train_once(job, str(tmp_path), clock)
        names.append([name for name, _ in clock.seconds])
        assert all(seconds >= 0 for _, seconds in clock.seconds)
    assert names == [["network", "head", "influence", "distribution", "memory"], ["memory"]]


# Folders that fail


def fit(memory, **options):
    return InfluencePruner(memory=memory, damping=1e-2, random_state=0, **options).fit(X, Y)


def test_a_pickle_of_something_else_is_warned_of_and_trained_anew(tmp_path):
    expected = fit(str(tmp_path)).get_support()
    for kept in tmp_path.rglob("*.pkl"):
        kept.write_bytes(pickle.dumps({"influence": None}))
    with pytest.warns(
        UserWarning, match="one of its files holds a dict instead of a result. .* empty"
    ):
        found = fit(str(tmp_path)).get_support()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_broken_file_is_trained_anew(tmp_path, content):
    expected = fit(str(tmp_path)).get_support()
    for kept in tmp_path.rglob("*.pkl"):
        kept.write_bytes(kept.read_bytes()[:-50] if content is None else content)
    with warnings.catch_warnings():
        # joblib's own, which shows the whole error.
        warnings.simplefilter("ignore")
        found = fit(str(tmp_path)).get_support()
    np.testing.assert_array_equal(found, expected)


def test_a_folder_that_cannot_be_made_is_warned_of(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.warns(UserWarning, match="memory does not cache .* folder cannot be used: .*Errno"):
        found = fit(str(file / "folder"))
    np.testing.assert_array_equal(found.get_support(), fit(None).get_support())


@pytest.mark.parametrize("step", ["store_cached_func_code", "dump_item"])
def test_a_disk_that_is_full_loses_nothing_that_was_trained(tmp_path, monkeypatch, trained, step):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    # joblib has no public name for what writes.
    monkeypatch.setattr(f"joblib._store_backends.StoreBackendMixin.{step}", full)
    with pytest.warns(UserWarning, match="cannot be used: .*No space left"):
        found = fit(str(tmp_path), estimator=network())
    assert len(trained) == 1
    np.testing.assert_array_equal(found.get_support(), fit(None, estimator=network()).get_support())


def test_an_error_of_the_rows_themselves_is_no_fault_of_the_folder(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("the rows are gone")

    monkeypatch.setattr(training_module, "fitted_members", fail)
    with pytest.raises(OSError, match="the rows are gone"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(str(tmp_path))
