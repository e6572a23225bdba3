"""What happens to workers and clients in the middle of a pass."""

from __future__ import annotations

import _thread
import asyncio
import itertools
import os
import signal
import threading
import time
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

from sklearn_prune import InfluencePruner
from sklearn_prune.base import BasePruner
from sklearn_prune.distributed import Block, Partitioned, first_pass


class AnyRows(BasePruner):
    """Needs no target."""


def read(X: Any) -> Partitioned:
    return first_pass(AnyRows(), Partitioned.of(X), None).partitioned


def _read_at_a_risk(part: np.ndarray, log: str, deadly: int) -> np.ndarray:
    """Return the part; the ``deadly``-th call of all workers kills its worker."""
    with open(log, "ab") as file:
        file.write(b".")
        n_calls = file.tell()
    if n_calls == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return part


def _kill(block: Block) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_changes_nothing_and_a_deadly_partition_ends_in_a_clear_error(tmp_path):
    X = da.random.default_rng(0).standard_normal((600, 3), chunks=(150, 3))
    y = (X[:, 0] > 0).astype(int)
    expected = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, y)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        # A task may lose one worker, and ends in an error with the second.
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(**options) as cluster,
        Client(cluster),
    ):
        log = str(tmp_path / "calls")
        risky = X.map_blocks(_read_at_a_risk, log, 21, dtype=float, meta=np.empty((0, 3)))
        pruner = InfluencePruner(prune_ratio=0.8, random_state=0).fit(risky, y)
        assert os.path.getsize(log) > 21
        np.testing.assert_array_equal(pruner.sample_indices_, expected.sample_indices_)
        with pytest.raises(MemoryError, match=r"killed every worker.*smaller, by X\.rechunk"):
            read(X[:150]).compute(_kill)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.usefixtures("interruptible")
def test_a_fit_that_is_cut_off_leaves_the_pruner_as_it_was_and_no_task(client, error):
    n_calls = itertools.count()

    def read_until_it_fails(part: np.ndarray) -> np.ndarray:
        if next(n_calls) >= 20:
            if error is not KeyboardInterrupt:
                raise error("no more rows.")
            _thread.interrupt_main()
            time.sleep(0.2)
        return part

    X = da.random.default_rng(0).standard_normal((600, 3), chunks=(150, 3))
    y = (X[:, 0] > 0).astype(int)
    pruner = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, y)
    state = vars(pruner).copy()
    with pytest.raises(error):
        pruner.fit(X.map_blocks(read_until_it_fails, dtype=float, meta=np.empty((0, 3))), y)
    assert vars(pruner) == state
    started = time.perf_counter()
    while any(client.processing().values()):
        assert time.perf_counter() - started < 30
        time.sleep(0.05)


def test_an_asynchronous_client_is_refused():
    async def fit() -> None:
        options = {"n_workers": 1, "processes": False, "dashboard_address": ":0"}
        async with Client(asynchronous=True, **options):
            with pytest.raises(RuntimeError, match="active Client is asynchronous.*thread of its"):
                read(da.ones((4, 2)))

    asyncio.run(fit())


def _sleep(block: Block) -> None:
    time.sleep(0.1)


def test_a_client_that_is_closed_in_a_pass_ends_it_in_a_clear_error():
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(processes=False, **options) as cluster, Client(cluster) as client:
        partitioned = read(da.ones((100, 2), chunks=(2, 2)))
        threading.Timer(0.5, client.close).start()
        with pytest.raises(ConnectionError, match="Client was closed.*fit again"):
            partitioned.compute(_sleep)
