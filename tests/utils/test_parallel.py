import gc
import linecache
import sys
import threading
import time

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_prune.utils import parallel
from sklearn_prune.utils.parallel import (
    joblib_threads,
    map_chunks,
    map_threads,
    position_blocks,
    serial_blas,
)
from tests.influence.heads import random_objective


@pytest.mark.parametrize("limit", [1, 2])
def test_results_come_in_the_order_of_the_items(limit):
    with threadpool_limits(limits=limit):
        assert map_threads(lambda i: i * i, range(50)) == [i * i for i in range(50)]


def test_an_error_in_one_item_is_raised():
    def fail(i):
        raise KeyError(i)

    with threadpool_limits(limits=2), pytest.raises(KeyError, match="1"):
        map_threads(fail, [1, 2])


def test_an_error_ends_calls_inside_other_items():
    inside, n_done = threading.Event(), 0

    def count(_):
        nonlocal n_done
        n_done += 1
        inside.set()
        time.sleep(0.001)

    def part(fails):
        if not fails:
            return map_threads(count, range(10_000))
        inside.wait(60)
        raise KeyError("part")

    with joblib.parallel_config("threading", n_jobs=2), pytest.raises(KeyError, match="part"):
        map_threads(part, [True, False])
    assert 0 < n_done < 10_000


def test_an_item_may_go_on_after_an_error_of_a_call_inside_it():
    def fail(i):
        raise KeyError(i)

    def part(i):
        with pytest.raises(KeyError):
            map_threads(fail, range(4))
        return sum(map_threads(lambda j: i * j, range(4)))

    with joblib.parallel_config("threading", n_jobs=4):
        assert map_threads(part, range(2)) == [0, 6]


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


def test_as_many_threads_run_as_were_asked_for():
    with threadpool_limits(limits=1), joblib.parallel_config("threading", n_jobs=2):
        assert len(names_of_threads()) == 2


def current_thread(_):
    return threading.current_thread()


def jobs_of_a_forest(_=None):
    with joblib_threads():
        return joblib.effective_n_jobs(None)


def test_forests_grow_on_as_many_threads_as_were_asked_for():
    with threadpool_limits(limits=1), joblib.parallel_config("loky", n_jobs=2):
        assert jobs_of_a_forest() == 2
        # Inside one of several threads there are no more.
        assert map_threads(jobs_of_a_forest, range(4)) == [1] * 4


@pytest.mark.parametrize("positions", [[], [3], range(10), [0, 1, 2, 4, 5, 9], range(0, 20, 3)])
def test_blocks_hold_each_position_once_and_slices_where_there_is_no_gap(positions):
    rows, positions = np.arange(20), np.array(positions, dtype=np.int64)
    blocks = position_blocks(positions, 3)
    np.testing.assert_array_equal(np.concatenate([rows[:0], *(rows[b] for b in blocks)]), positions)
    for block in blocks:
        held = rows[block]
        assert len(held) <= 3
        assert isinstance(block, slice) == (np.ptp(held) + 1 == len(held))


@pytest.mark.parametrize(("n_jobs", "n_items", "share"), [(4, 2, 2), (4, 3, 2), (2, 3, 1)])
def test_nested_calls_share_the_threads_out(n_jobs, n_items, share):
    with joblib.parallel_config("threading", n_jobs=n_jobs):
        assert map_threads(jobs_of_a_forest, range(n_items)) == [share] * n_items


def test_without_a_configuration_no_more_threads_run_than_the_user_allows_joblib(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    with threadpool_limits(limits=2):
        assert jobs_of_a_forest() == 1
        assert set(map_threads(current_thread, range(4))) == {threading.current_thread()}


def test_one_worker_is_the_caller_itself():
    with threadpool_limits(limits=1):
        assert set(map_threads(current_thread, range(4))) == {threading.current_thread()}


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_workers_of_another_backend_give_the_same_numbers(backend, monkeypatch):
    objective, theta = random_objective("softmax", n=3_000, d=20)
    here = objective.hessian(theta)
    monkeypatch.setattr("sklearn_prune.utils.parallel.WORTH_SENDING", 0)
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


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


def test_the_last_to_leave_gives_blas_its_threads_again():
    inside, leave = threading.Event(), threading.Event()

    def stay_longer():
        with serial_blas():
            inside.set()
            leave.wait(60)

    with threadpool_limits(limits=2):
        before = blas_threads()
        thread = threading.Thread(target=stay_longer)
        with serial_blas():
            thread.start()
            inside.wait(60)
        assert set(blas_threads()) == {1}
        leave.set()
        thread.join()
        assert blas_threads() == before


class OpenMP(threading.local):
    """A BLAS whose number of threads is set in each thread that calls it."""

    threading_layer = "openmp"
    n_threads = 2

    def get_num_threads(self):
        return self.n_threads

    def set_num_threads(self, n_threads):
        self.n_threads = n_threads


def test_blas_over_openmp_is_serial_in_each_thread(monkeypatch):
    library = OpenMP()
    monkeypatch.setattr(parallel, "_blas_libraries", lambda: [library])

    def threads_of_blas(_):
        map_threads(abs, range(2))
        return library.get_num_threads()

    with joblib.parallel_config("threading", n_jobs=2):
        assert map_threads(threads_of_blas, range(8)) == [1] * 8
    assert library.get_num_threads() == 2


def interrupted_at(line, function):
    """Run it, with Ctrl-C at this line of `utils.parallel`; return whether that came."""
    # Coverage is measured by a trace function too.
    seen, before = 0, sys.gettrace()

    def trace(frame, event, arg):
        nonlocal seen
        file = frame.f_code.co_filename
        if not file.endswith("utils/parallel.py"):
            return None
        # Python lets no interrupt in between the end of a `with` block and what it releases.
        if event == "line" and not linecache.getline(file, frame.f_lineno).lstrip().startswith(
            "with"
        ):
            seen += 1
            if seen == line:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_interrupt_while_blas_is_released_releases_it_though_its_traceback_is_kept(monkeypatch):
    # A notebook keeps the last traceback, and so the frames that hold BLAS.
    set_threads, kept = parallel._set_threads, []

    def interrupted(library, n_threads):
        if n_threads == 2 and not kept:
            kept.append(None)
            raise KeyboardInterrupt
        set_threads(library, n_threads)

    # A signal cannot be timed to arrive inside it.
    monkeypatch.setattr(parallel, "_set_threads", interrupted)
    with threadpool_limits(limits=2):
        before = blas_threads()
        with pytest.raises(KeyboardInterrupt) as interrupt, serial_blas():
            pass
        assert blas_threads() == before
    assert interrupt.traceback


def test_an_interrupt_at_any_line_gives_blas_its_threads_again():
    def hold():
        with serial_blas():
            np.ones((2, 2)) @ np.ones((2, 2))

    with threadpool_limits(limits=2):
        before = blas_threads()
        line = 1
        while interrupted_at(line, hold):
            gc.collect()
            assert blas_threads() == before, line
            # And whoever comes next holds BLAS to one thread again.
            with serial_blas():
                assert set(blas_threads()) == {1}
            line += 1
    assert line > 10
