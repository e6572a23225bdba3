from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sklearn_prune.distributed import KeptRows, Partitioned

from .conftest import LENGTHS, PositiveRows, in_parts

# No row of the third partition is kept.
KEPT = (np.arange(90) % 4 == 1) & ~((np.arange(90) >= 30) & (np.arange(90) < 70))


@pytest.fixture
def kept() -> KeptRows:
    partitioned = Partitioned.of(in_parts(np.ones((90, 2))))
    return KeptRows.of(partitioned, np.split(KEPT, np.cumsum(LENGTHS)[:-1]))


def test_the_mask_has_the_partitions_of_the_rows(kept):
    assert kept.support.chunks == (LENGTHS,)
    assert kept.support.dtype == bool
    np.testing.assert_array_equal(kept.support.compute(), KEPT)
    np.testing.assert_array_equal(kept.indices, np.flatnonzero(KEPT))


def test_masks_are_unpacked_one_at_a_time():
    masks = [np.arange(100_000) == i for i in range(50)]
    kept = KeptRows.of(Partitioned.of(in_parts(np.empty((5_000_000, 0)), (100_000,) * 50)), masks)
    tracemalloc.start()
    try:
        indices = kept.indices
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(indices, 100_001 * np.arange(50))
    assert peak < 5_000_000 / 10


def test_an_array_keeps_its_type_and_has_known_chunks_none_of_them_empty(kept):
    X = np.arange(180, dtype=np.float32).reshape(90, 2)
    small = kept.take(in_parts(X))
    assert small.chunks == ((8, 5), (2,))
    assert small.dtype == np.float32
    np.testing.assert_array_equal(small.compute(), X[KEPT])


def test_images_and_blocks_along_columns_are_taken_too(kept):
    X = np.arange(90 * 12).reshape(90, 4, 3)
    np.testing.assert_array_equal(
        kept.take(in_parts(X).rechunk({1: 2})).compute(scheduler="synchronous"), X[KEPT]
    )


def test_sparse_blocks_stay_sparse(kept):
    X = sparse.random_array((90, 5), density=0.3, format="csr", rng=0)
    blocks = in_parts(X.toarray()).map_blocks(sparse.csr_array)
    small = kept.take(blocks).compute()
    assert sparse.issparse(small)
    np.testing.assert_array_equal(small.toarray(), X.toarray()[KEPT])


def frame_of_all_types() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": np.arange(90, dtype=np.int16),
            "category": pd.Categorical(np.array(["x", "y"])[np.arange(90) % 2]),
            "text": pd.array(["a", None, "c"] * 30, dtype="string"),
            "moment": pd.date_range("2026-01-01", periods=90, tz="UTC"),
            "integer": pd.array([1, None, 3] * 30, dtype="Int64"),
        },
        index=pd.Index(np.arange(90) * 10, name="id"),
    )


def parts_of_frame(frame: pd.DataFrame, *, divisions: bool) -> Any:
    bounds = np.cumsum([0, *LENGTHS])
    parts = [frame.iloc[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    edges = (0, 300, 300, 700, 890) if divisions else None
    return dd.from_map(lambda part: part, parts, meta=frame.iloc[:0], divisions=edges)


def test_a_frame_keeps_index_and_column_types(kept):
    frame = frame_of_all_types()
    small = kept.take(parts_of_frame(frame, divisions=False))
    assert small.npartitions == 2
    assert not small.known_divisions
    pd.testing.assert_frame_equal(small.compute(), frame[KEPT])
    assert small.dtypes.equals(small.compute().dtypes)


def test_known_divisions_stay_known_and_true(kept):
    frame = frame_of_all_types()
    small = kept.take(parts_of_frame(frame, divisions=True))
    assert small.divisions == (0, 700, 890)
    pd.testing.assert_frame_equal(small.loc[700:].compute(), frame[KEPT].loc[700:])


def test_a_series_stays_one(kept):
    column = frame_of_all_types()["category"]
    small = kept.take(parts_of_frame(column.to_frame(), divisions=True)["category"])
    pd.testing.assert_series_equal(small.compute(), column[KEPT])


def test_what_is_in_memory_stays_in_memory(kept):
    assert kept.take(list(range(90))) == np.flatnonzero(KEPT).tolist()
    assert kept.take(None) is None


def test_it_can_be_pickled(kept):
    again = pickle.loads(pickle.dumps(kept))
    np.testing.assert_array_equal(again.support.compute(), KEPT)


def test_other_partitions_are_refused(kept):
    with pytest.raises(ValueError, match=r"it has 2 partitions.*rechunk"):
        kept.take(da.ones(90, chunks=45))
    with pytest.raises(ValueError, match="90 training rows; one has 91"):
        kept.take(np.ones(91))


def test_rows_that_are_missing_later_are_found_when_computed(kept):
    frame = frame_of_all_types()
    short = parts_of_frame(frame, divisions=False).map_partitions(lambda part: part.iloc[1:])
    with pytest.raises(ValueError, match=r"partition \d has \d9 rows, and had \d0 in fit"):
        kept.take(short).compute(scheduler="synchronous")


def test_a_pruner_fitted_on_a_collection_returns_collections(positive_rows, table):
    X, y = table
    rows, labels = in_parts(X), in_parts(y)
    pruner = positive_rows.fit(rows, labels)
    mask = X[:, 0] > 0
    np.testing.assert_array_equal(pruner.get_support().compute(), mask)
    np.testing.assert_array_equal(pruner.get_support(indices=True), np.flatnonzero(mask))
    X_small, y_small, none = pruner.prune(rows, labels, None)
    np.testing.assert_array_equal(X_small.compute(), X[mask])
    np.testing.assert_array_equal(y_small.compute(), y[mask])
    assert none is None


def test_transform_keeps_rows_of_the_training_collection_alone(positive_rows, table):
    X, _ = table
    rows = in_parts(X)
    pruner = positive_rows.fit(rows)
    np.testing.assert_array_equal(pruner.transform(in_parts(X)).compute(), X[X[:, 0] > 0])
    others = rows + 1
    assert pruner.transform(others) is others
    with pytest.raises(ValueError, match="features"):
        pruner.transform(rows[:, :2])


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_transform_computes_no_collection_for_another_container(positive_rows, table, name):
    rows = in_parts(table[0]).map_blocks(_fail_if_computed, dtype=float, meta=np.empty((0, 3)))
    pruner = positive_rows.fit(in_parts(table[0])).set_output(transform=name)
    with pytest.raises(ValueError, match=f"asks for '{name}'.*set_output.transform='default'"):
        pruner.transform(rows)
    assert pruner.set_output(transform="default").transform(rows) is rows


def _fail_if_computed(part: np.ndarray) -> np.ndarray:
    raise AssertionError("a partition was computed")


def test_a_failed_fit_leaves_the_pruner_as_it_was(positive_rows, table):
    X, y = table
    pruner = positive_rows.fit(in_parts(X), in_parts(y))
    state = vars(pruner).copy()
    with pytest.raises(ValueError, match=r"In partition \d"):
        pruner.fit(in_parts(np.full((90, 3), np.nan)), in_parts(y))
    assert vars(pruner) == state


def test_a_pruner_that_needs_all_rows_says_so(third_out, table):
    with pytest.raises(ValueError, match=r"ThirdOut needs all rows in memory.*X\.compute\(\)"):
        third_out.fit(in_parts(table[0]))


def test_a_pruner_fitted_in_memory_prunes_no_collection():
    X = np.arange(20.0).reshape(10, 2) - 5
    pruner = PositiveRows().fit(X, np.arange(10) % 2)
    for collection in (
        da.from_array(X, chunks=(5, 2)),
        dd.from_pandas(pd.DataFrame(X), npartitions=2),
    ):
        with pytest.raises(ValueError, match=r"argument 1 is a Dask collection\. Give its compute"):
            pruner.prune(X, collection)
