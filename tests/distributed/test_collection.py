from __future__ import annotations

import _thread
import threading
import time
from typing import Any

import dask
import dask.array as da
import dask.bag
import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.base import BasePruner
from sklearn_prune.distributed import Block, EachOwn, Partitioned, first_pass
from sklearn_prune.utils import part_done, telling

from .conftest import LENGTHS, in_parts


class Pruner(BasePruner):
    """Takes any rows."""


def read(X: Any, y: Any = None, **aligned: Any) -> Partitioned:
    return first_pass(Pruner(), Partitioned.of(X, y, **aligned), None).partitioned


def rows(block: Block) -> Any:
    return block.X


def column_sums(block: Block) -> Any:
    return block.X.sum(axis=0), len(block)


def positions(block: Block) -> int:
    return block.position


def test_blocks_hold_the_rows_of_an_array_in_order(table):
    X, y = table
    blocks = read(in_parts(X), in_parts(y)).compute(rows)
    np.testing.assert_array_equal(np.concatenate(blocks), X)


def test_blocks_hold_the_rows_of_a_frame_in_order(table):
    X, y = table
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abc")).assign(y=y), npartitions=4)
    blocks = read(frame[["a", "b", "c"]], frame["y"]).compute(rows)
    np.testing.assert_array_equal(np.concatenate(blocks), X)


def test_columns_of_a_parquet_folder_keep_the_partitions_of_its_files(tmp_path):
    # Dask reads several files as one partition where only few of the columns are asked for.
    for i in range(4):
        columns = {f"x{j}": np.arange(50.0) + j for j in range(12)}
        pd.DataFrame(columns | {"y": np.arange(50) % 2}).to_parquet(tmp_path / f"{i}.parquet")
    frame = dd.read_parquet(tmp_path)
    assert len(frame["y"].optimize().to_delayed()) < 4
    assert read(frame.drop(columns="y"), frame["y"]).lengths == (50,) * 4


def test_empty_partitions_are_dropped_and_the_others_keep_their_numbers(table):
    X, y = table
    partitioned = read(in_parts(X), in_parts(y))
    assert partitioned.lengths == (30, 40, 20)
    assert partitioned.compute(positions) == [0, 2, 3]


def test_what_is_in_memory_is_split_along_the_partitions(table):
    X, y = table
    weights = np.arange(90.0)
    partitioned = read(in_parts(X), y, sample_weight=pd.Series(weights))
    parts = partitioned.compute(lambda block: (block.y, block.sample_weight))
    codes, weights_read = map(np.concatenate, zip(*parts, strict=True))
    np.testing.assert_array_equal(np.unique(y)[codes], y)
    np.testing.assert_allclose(weights_read, weights / weights.mean(), rtol=1e-14)


def test_unknown_lengths_are_counted_in_one_pass_and_said_so(table):
    X, y = table
    unknown = in_parts(X)[in_parts(np.ones(90, dtype=bool))]
    with pytest.warns(UserWarning, match="4 partitions have, and y must be split.*in one pass"):
        partitioned = Partitioned.of(unknown, y)
    assert partitioned.lengths == LENGTHS
    assert partitioned.traffic.n_passes == 1


def test_unknown_lengths_need_no_pass_of_their_own_where_all_is_in_partitions(table):
    X, y = table
    keep = in_parts(np.ones(90, dtype=bool))
    partitioned = read(in_parts(X)[keep], in_parts(y)[keep])
    assert partitioned.lengths == (30, 40, 20)
    assert partitioned.traffic.n_passes == 1


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20).filter(lambda n: sum(n) > 1))
def test_a_total_is_the_sum_of_what_the_partitions_return(lengths):
    X = np.random.default_rng(0).integers(0, 9, (sum(lengths), 2)).astype(float)
    with dask.config.set(scheduler="synchronous"):
        sums, count = read(in_parts(X, tuple(lengths))).total(column_sums)
    np.testing.assert_array_equal(sums, X.sum(axis=0))
    assert count == len(X)


def test_a_total_is_the_same_to_the_last_bit_on_any_scheduler(client):
    X = da.random.default_rng(0).standard_normal((1000, 3), chunks=(50, 3))
    on_cluster = read(X).total(column_sums)
    totals = [on_cluster]
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            totals.append(read(X).total(column_sums))
    assert len({sums.tobytes() for sums, _ in totals}) == 1


def test_each_partition_gets_its_own_entry_and_what_is_shared(table):
    X, _ = table
    partitioned = read(in_parts(X))
    results = partitioned.compute(
        lambda block, own, shared: (block.position, own, shared), EachOwn([5, 6, 7]), "all"
    )
    assert results == [(0, 5, "all"), (2, 6, "all"), (3, 7, "all")]


def test_a_lazy_array_has_the_partitions_of_the_rows(table):
    X, _ = table
    partitioned = read(in_parts(X))
    n_passes = partitioned.traffic.n_passes
    first = partitioned.lazy(lambda block: block.X[:, 0], dtype=float)
    assert partitioned.traffic.n_passes == n_passes
    assert first.chunks == (LENGTHS,)
    np.testing.assert_array_equal(first.compute(), X[:, 0])


def test_a_lazy_array_of_what_was_in_memory_needs_no_client(table, cluster):
    X, y = table
    with distributed.Client(cluster):
        codes = read(in_parts(X), y).lazy(lambda block: block.y, dtype=int)
        on_cluster = codes.compute()
    np.testing.assert_array_equal(np.unique(y)[on_cluster], y)
    np.testing.assert_array_equal(codes.compute(scheduler="synchronous"), on_cluster)


def test_passes_and_bytes_are_counted(table):
    X, _ = table
    partitioned = read(in_parts(X))
    before = partitioned.traffic.bytes_moved
    partitioned.compute(rows)
    assert partitioned.traffic.n_passes == 2
    assert partitioned.traffic.bytes_moved - before == pytest.approx(X.nbytes, rel=0.5)


def test_partitions_report_no_parts_since_threads_would_report_them_at_once(table):
    def work(block: Block) -> None:
        part_done("row")

    told: list[str] = []
    with telling(told.append), dask.config.set(scheduler="synchronous"):
        read(in_parts(table[0])).compute(work)
        part_done("pass")
    assert told == ["pass"]


def test_what_rows_and_target_are_made_of_is_computed_once_a_pass(table):
    calls = []

    def load(part: np.ndarray) -> np.ndarray:
        calls.append(len(part))
        return part

    loaded = in_parts(table[0]).map_blocks(load, dtype=float, meta=np.empty((0, 3)))
    read(loaded[:, 1:], loaded[:, 0] > 0).compute(len)
    # The first pass reads the empty partition too.
    assert sorted(calls) == sorted(2 * [n for n in LENGTHS if n] + [0])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (da.ones(90, chunks=45), r"y has 2 partitions of \(45, 45\), 90 rows.*y\.rechunk"),
        (da.ones(91, chunks=(LENGTHS[:3] + (21,),)), "91 rows, and X.*90 rows.*same table"),
        (np.ones(91), "it has 91, and X has 90 rows"),
        (in_parts(np.ones((90, 2))).rechunk({1: 1}), r"\(1, 1\) along axis 1.*y\.rechunk\(\{1: -1"),
        (da.ones(90).sum(), "single number"),
    ],
)
def test_partitions_that_do_not_agree_are_refused_with_the_call_that_mends_it(table, y, message):
    X, _ = table
    with pytest.raises(ValueError, match=message):
        Partitioned.of(in_parts(X), y)


def test_frames_of_other_partitions_are_refused(table):
    X, _ = table
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=4)
    with pytest.raises(ValueError, match="y has 2 partitions, and X has 4.*repartition"):
        Partitioned.of(frame, frame[0].repartition(npartitions=2))
    with pytest.raises(ValueError, match=r"X has 4 partitions.*X\.to_dask_array"):
        Partitioned.of(frame, da.ones(90, chunks=45))


def test_frames_of_other_divisions_are_refused(table):
    frame = dd.from_pandas(pd.DataFrame(table[0]), npartitions=4)
    every_other = frame[0].map_partitions(lambda part: part.set_axis(part.index * 2))
    labels = every_other.clear_divisions()
    assert Partitioned.of(frame, labels).n_partitions == 4
    labels = dd.from_pandas(labels.compute(), npartitions=4)
    with pytest.raises(ValueError, match=r"y has \(0, 46, .*X has \(0, 23,.*y\.clear_divisions"):
        Partitioned.of(frame, labels)


def test_other_collections_are_refused():
    bag = dask.bag.from_sequence([1, 2])
    with pytest.raises(TypeError, match="X must be an array or a data frame.*it is a Bag"):
        Partitioned.of(bag)
    with pytest.raises(TypeError, match="y must be an array or a data frame.*it is a Delayed"):
        Partitioned.of(da.ones((2, 1)), dask.delayed(np.ones(2)))


def _fails_in_partition_2(block: Block) -> int:
    if block.position == 2:
        raise ValueError("no.")
    return 0


def test_an_error_begins_with_the_number_of_the_partition(table, client):
    with pytest.raises(ValueError, match=r"^In partition 2: no\.$"):
        read(in_parts(table[0])).compute(_fails_in_partition_2)


def _fails_otherwise(block: Block) -> int:
    raise KeyError("gone")


def test_another_error_keeps_its_type_and_notes_the_partition(table):
    partitioned = read(in_parts(table[0], (90,)))
    with pytest.raises(KeyError) as caught:
        partitioned.compute(_fails_otherwise)
    assert caught.value.__notes__ == ["This happened in partition 0."]


def _sleeps(block: Block) -> int:
    time.sleep(0.2)
    return 0


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_leaves_no_task_on_the_cluster(client):
    partitioned = read(da.ones((100, 2), chunks=(2, 2)))
    threading.Timer(0.5, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        partitioned.compute(_sleeps)
    started = time.perf_counter()
    while any(client.processing().values()):
        assert time.perf_counter() - started < 10
        time.sleep(0.1)
