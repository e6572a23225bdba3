"""What happens to workers and clients in the middle of a pass."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

from sklearn_prune.base import BasePruner
from sklearn_prune.distributed import Block, Partitioned, first_pass


class AnyRows(BasePruner):
    """Needs no target."""


def read(X: Any) -> Partitioned:
    return first_pass(AnyRows(), Partitioned.of(X), None).partitioned


def _sums(block: Block, folder: str | None) -> Any:
    """Return the block's sums; with a folder, the first to do so kills its worker before that."""
    if folder is not None and not (Path(folder) / "killed").exists():
        (Path(folder) / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return block.X.sum(axis=0)


def _kill(block: Block) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_changes_nothing_and_a_deadly_partition_ends_in_a_clear_error(tmp_path):
    X = da.random.default_rng(0).standard_normal((400, 2), chunks=(100, 2))
    expected = read(X).total(_sums, None)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        # A task may lose one worker, and ends in an error with the second.
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(**options) as cluster,
        Client(cluster),
    ):
        partitioned = read(X)
        np.testing.assert_array_equal(partitioned.total(_sums, str(tmp_path)), expected)
        assert (tmp_path / "killed").exists()
        with pytest.raises(MemoryError, match=r"killed every worker.*smaller, by X\.rechunk"):
            read(X[:100]).compute(_kill)


def _sleep(block: Block) -> None:
    time.sleep(0.1)


def test_a_client_that_is_closed_in_a_pass_ends_it_in_a_clear_error():
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(processes=False, **options) as cluster, Client(cluster) as client:
        partitioned = read(da.ones((100, 2), chunks=(2, 2)))
        threading.Timer(0.5, client.close).start()
        with pytest.raises(ConnectionError, match="Client was closed.*fit again"):
            partitioned.compute(_sleep)
