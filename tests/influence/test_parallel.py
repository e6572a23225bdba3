import threading

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from sklearn_prune.influence._parallel import map_chunks, map_threads, workers

from .heads import random_objective


@pytest.mark.parametrize("limit", [1, 2])
def test_results_come_in_the_order_of_the_items(limit):
    with threadpool_limits(limits=limit):
        assert map_threads(lambda i: i * i, range(50)) == [i * i for i in range(50)]


def test_an_error_in_one_item_is_raised():
    def fail(i):
        raise KeyError(i)

    with threadpool_limits(limits=2), pytest.raises(KeyError, match="1"):
        map_threads(fail, [1, 2])


def test_sums_are_the_same_on_one_thread_and_on_several():
    objective, theta = random_objective("softmax", n=10_000, d=40)
    with threadpool_limits(limits=2):
        several = objective.gradient(theta), objective.hessian(theta)
    with threadpool_limits(limits=1):
        one = objective.gradient(theta), objective.hessian(theta)
    np.testing.assert_array_equal(several[0], one[0])
    np.testing.assert_array_equal(several[1], one[1])


def names_of_threads(n_items=8):
    barrier = threading.Barrier(2)

    def name(_):
        # Two threads must be here at once; one alone would wait for ever.
        barrier.wait(timeout=30)
        return threading.current_thread().name

    return set(map_threads(name, range(n_items)))


@pytest.mark.parametrize(
    "asked", [lambda: workers(2), lambda: joblib.parallel_config("threading", n_jobs=2)]
)
def test_as_many_threads_run_as_were_asked_for(asked):
    with threadpool_limits(limits=1), asked():
        assert len(names_of_threads()) == 2


def test_one_worker_is_the_caller_itself():
    with workers(1):
        found = map_threads(lambda _: threading.current_thread(), range(4))
    assert set(found) == {threading.current_thread()}


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_workers_of_another_backend_give_the_same_numbers(backend, monkeypatch):
    objective, theta = random_objective("softmax", n=3_000, d=20)
    here = objective.hessian(theta)
    monkeypatch.setattr("sklearn_prune.influence._parallel._WORTH_SENDING", 0)
    with joblib.parallel_config(backend, n_jobs=2):
        there = objective.hessian(theta)
        pids = map_chunks(_process, range(4), 1)
    np.testing.assert_array_equal(here, there)
    assert _process(0) not in pids


def test_small_work_is_not_sent_away():
    with joblib.parallel_config("loky", n_jobs=2):
        assert set(map_chunks(_process, range(4), 1e9)) == {_process(0)}


def _process(_):
    import os

    return os.getpid()
