"""Rows in memory and in partitions, a pruner that reads partitions, and a small cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

da = pytest.importorskip("dask.array", reason="sklearn_prune[dask] is not installed")
pytest.importorskip("dask.dataframe", reason="sklearn_prune[dask] is not installed")
distributed = pytest.importorskip("distributed", reason="sklearn_prune[dask] is not installed")

from sklearn_prune.base import BasePruner  # noqa: E402
from sklearn_prune.distributed import Block, KeptRows, Partitioned, first_pass  # noqa: E402

LENGTHS = (30, 0, 40, 20)


def in_parts(values: np.ndarray, lengths: tuple[int, ...] = LENGTHS) -> Any:
    """Return an array in partitions of these lengths."""
    return da.from_array(values, chunks=(lengths, *((n,) for n in values.shape[1:])))


class PositiveRows(BasePruner):
    """Keeps the rows whose first column is positive."""

    def _select_rows(self, X: Any, y: Any) -> Any:
        return X[:, 0] > 0

    def _select_partitions(self, X: Any, y: Any, kind: Any, **aligned: Any) -> KeptRows:
        first = first_pass(self, Partitioned.of(X, y, **aligned), kind)
        return KeptRows.of(first.partitioned, first.partitioned.compute(first_is_positive))


def first_is_positive(block: Block) -> Any:
    return block.X[:, 0] > 0


@pytest.fixture
def positive_rows() -> PositiveRows:
    return PositiveRows()


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 3))
    return X, np.array(["a", "b", "c"])[rng.integers(0, 3, len(X))]


@pytest.fixture(scope="package")
def cluster() -> Iterator[Any]:
    """Two workers of one thread, in this process, which has imported everything."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    options |= {"dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster) as client:
        yield client
