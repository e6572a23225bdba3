"""Faults from outside: an interrupt, too little memory, a killed worker, two writers at once.

The state is as before, the error is clear, nothing hangs, and nothing is left behind.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from sklearn_prune import InfluencePruner, make_pipeline
from sklearn_prune.baselines import DUALPruner, KCenterPruner

if sys.platform == "win32":
    pytest.skip("signals and limits of POSIX", allow_module_level=True)

N_MOMENTS = min(40, int(os.environ.get("SKLEARN_PRUNE_FUZZ", 5)))
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)).astype(np.float32)
Y = np.arange(60) % 3
REAL = X @ np.arange(8.0).reshape(4, 2).astype(np.float32)
CALM = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0}


@contextlib.contextmanager
def alarm(seconds, error):
    """Raise an error in the main thread after so many seconds."""

    def ring(number, frame):
        raise error

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def files_of(folder):
    return {path.name for path in Path(folder).rglob("*") if path.is_file()}


WHOLE = {".gitignore", "func_code.py", "output.pkl", "metadata.json"}

# An interrupt at any moment


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.2), nn.Linear(5, 3))


def net(**options):
    options = {"max_epochs": 2, "verbose": 0, "batch_size": 20, **options}
    return NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, **options)


FROZEN = net().fit(X, Y)
PRUNERS = {
    "linear": lambda memory: InfluencePruner(memory=memory, **CALM),
    "network": lambda memory: InfluencePruner(net(), memory=memory, **CALM),
    "frozen": lambda memory: InfluencePruner(FrozenEstimator(FROZEN), memory=memory, **CALM),
    "all layers": lambda memory: InfluencePruner(net(), layers="all", memory=memory, **CALM),
    "baseline": lambda memory: DUALPruner(net(), n_epochs=3, window=2, random_state=0),
}


def shared_state():
    """Return what a fit borrows from the whole process, and the frozen network, as values."""
    frozen = FROZEN.module_
    return (
        torch.get_rng_state().tolist(),
        repr(np.random.get_state()),
        [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"],
        {name: value.tolist() for name, value in frozen.state_dict().items()},
        [(module.training, len(module._forward_hooks)) for module in frozen.modules()],
    )


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", PRUNERS)
def test_an_interrupt_at_any_moment_leaves_all_as_it_was(kind, tmp_path):
    PRUNERS[kind](None).fit(X, Y)
    start = time.perf_counter()
    expected = PRUNERS[kind](str(tmp_path / "undisturbed")).fit(X, Y).support_
    duration = time.perf_counter() - start
    moments = np.random.default_rng(0).uniform(0, duration, N_MOMENTS)
    with threadpool_limits(limits=2, user_api="blas"):
        before = shared_state()
        for i, moment in enumerate(moments.tolist()):
            folder = tmp_path / str(i)
            pruner = PRUNERS[kind](str(folder))
            unfitted = dict(vars(pruner))
            try:
                with alarm(moment, KeyboardInterrupt):
                    pruner.fit(X, Y)
            except KeyboardInterrupt:
                pass
            # It came after the fit where that was quicker than the first.
            if "support_" in vars(pruner):
                np.testing.assert_array_equal(pruner.support_, expected)
            else:
                assert vars(pruner) == unfitted
            gc.collect()
            assert shared_state() == before, moment
            assert files_of(folder) <= WHOLE
            np.testing.assert_array_equal(pruner.fit(X, Y).support_, expected)


class InterruptsItsPickle(nn.Linear):
    def __getstate__(self):
        raise KeyboardInterrupt


def test_an_interrupt_while_the_memory_is_written_leaves_no_half_written_file(tmp_path):
    network = NeuralNetClassifier(
        InterruptsItsPickle,
        module__in_features=4,
        module__out_features=3,
        criterion=nn.CrossEntropyLoss,
        verbose=0,
    )
    pruner = InfluencePruner(network, memory=str(tmp_path), **CALM)
    with pytest.raises(KeyboardInterrupt):
        pruner.fit(X, Y)
    assert "support_" not in vars(pruner)
    assert files_of(tmp_path) <= WHOLE - {"output.pkl"}


# Two processes and one memory

FIT_WHEN_TOLD = """
    import json, sys, time, warnings
    from pathlib import Path
    from sklearn.datasets import load_breast_cancer
    from sklearn_prune import InfluencePruner

    X, y = load_breast_cancer(return_X_y=True)
    folder = Path(sys.argv[1])
    (folder / f"ready {sys.argv[2]}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
    with warnings.catch_warnings(record=True) as caught:
        pruner = InfluencePruner(memory=str(folder / "memory"), prune_ratio=0.9, random_state=0)
        rows = pruner.fit(X, y).get_support(indices=True).tolist()
    print(json.dumps([rows, [str(one.message) for one in caught]]))
"""


def run_python(code, *args):
    # OpenMP ends the process where one of its threads gets no memory.
    path, one_thread = os.pathsep.join(filter(None, sys.path)), {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **one_thread, "PYTHONPATH": path},
    )


def result_of(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def test_two_processes_may_write_one_memory_at_once(tmp_path):
    from sklearn.datasets import load_breast_cancer

    writers = [run_python(FIT_WHEN_TOLD, tmp_path, i) for i in range(2)]
    with alarm(300, TimeoutError("a writer never began")):
        while len(list(tmp_path.glob("ready *"))) < 2:
            time.sleep(0.01)
    (tmp_path / "go").touch()
    (rows, warned), others = map(result_of, writers)
    assert [rows, warned] == others
    assert not warned
    assert files_of(tmp_path / "memory") == WHOLE
    pruner = InfluencePruner(memory=str(tmp_path / "memory"), prune_ratio=0.9, random_state=0)
    pruner.fit(*load_breast_cancer(return_X_y=True))
    assert pruner.get_support(indices=True).tolist() == rows
    stages = dict(pruner.certificate_.seconds)
    assert "memory" in stages
    assert "influence" not in stages


# A worker that is killed


class KillsWorkers(nn.MSELoss):
    """Kills the process that it is sent to or computed in, unless that is ``home`` or None."""

    def __init__(self, home):
        super().__init__()
        self.home = home

    def __setstate__(self, state):
        super().__setstate__(state)
        self.kill_unless_at_home()

    def forward(self, input, target):
        self.kill_unless_at_home()
        return super().forward(input, target)

    def kill_unless_at_home(self):
        if self.home not in (None, os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)


def pruner_that_kills(home, **options):
    network = NeuralNetRegressor(
        nn.Linear(4, 2), criterion=KillsWorkers, criterion__home=home, max_epochs=1, verbose=0
    )
    return InfluencePruner(network, **CALM, **options)


killed = pytest.raises(BrokenProcessPool, match="worker process .* unexpectedly terminated")


def test_a_killed_worker_is_an_error_and_leaves_the_pruner_as_it_was(monkeypatch, tmp_path):
    monkeypatch.setattr("sklearn_prune.utils.parallel.WORTH_SENDING", 0)
    pruner = pruner_that_kills(os.getpid(), memory=str(tmp_path))
    before = dict(vars(pruner))
    with alarm(120, TimeoutError("it hangs")), joblib.parallel_config("loky", n_jobs=2):
        with killed:
            pruner.fit(X, REAL)
        assert vars(pruner) == before
        assert files_of(tmp_path) <= WHOLE - {"output.pkl"}
        again = pruner_that_kills(None).fit(X, REAL)
    np.testing.assert_array_equal(again.support_, pruner.fit(X, REAL).support_)


def test_a_worker_of_a_search_that_is_killed_is_an_error():
    model = make_pipeline(pruner_that_kills(os.getpid()), Ridge())
    search = GridSearchCV(model, {"influencepruner__prune_ratio": [0.2, 0.5]}, cv=2, n_jobs=2)
    with alarm(120, TimeoutError("it hangs")), killed:
        search.fit(X, REAL)
    assert not hasattr(search, "best_estimator_")


# Too little memory

FIT_IN_LITTLE_MEMORY = """
    import json, resource, sys
    import numpy as np
    from sklearn_prune import InfluencePruner
    from sklearn_prune.baselines import KCenterPruner

    X = np.random.default_rng(0).standard_normal((30_000, 200)).astype(np.float32)
    y = np.arange(len(X)) % 3
    make = {
        "InfluencePruner": lambda: InfluencePruner(memory=sys.argv[1], random_state=0),
        "KCenterPruner": lambda: KCenterPruner(random_state=0),
    }[sys.argv[2]]
    pruner = make().fit(X[:60], y[:60])
    before, results = dict(vars(pruner)), []
    files = len(list(__import__("pathlib").Path(sys.argv[1]).rglob("*")))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    for megabytes in (5, 20, 50):
        with open("/proc/self/statm") as file:
            in_use = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + megabytes * 2**20, most))
        try:
            pruner.fit(X, y)
        except (MemoryError, RuntimeError) as error:
            said = f"{type(error).__name__}: {error}"
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        results.append([said, vars(pruner) == before])
    same = bool((pruner.fit(X[:60], y[:60]).support_ == before["support_"]).all())
    left = len(list(__import__("pathlib").Path(sys.argv[1]).rglob("*"))) - files
    print(json.dumps([results, same, left]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads how much is in use")
@pytest.mark.parametrize("pruner", [InfluencePruner, KCenterPruner])
def test_too_little_memory_is_an_error_and_leaves_the_pruner_as_it_was(pruner, tmp_path):
    process = run_python(FIT_IN_LITTLE_MEMORY, tmp_path, pruner.__name__)
    results, same, n_left = result_of(process)
    for said, is_as_before in results:
        # numpy's words, torch's, and those of a thread that gets no stack.
        assert any(
            word in said for word in ("Unable to allocate", "allocate memory", "new thread")
        ), said
        assert is_as_before
    assert same
    assert n_left == 0
