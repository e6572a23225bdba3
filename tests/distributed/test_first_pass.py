from __future__ import annotations

from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from sklearn_prune import InfluencePruner
from sklearn_prune.base import BasePruner
from sklearn_prune.data import check_target, check_weights
from sklearn_prune.distributed import Block, FirstPass, Partitioned, first_pass

from .conftest import LENGTHS, in_parts


class AnyRows(BasePruner):
    """Needs no target."""


def passed(X: Any, y: Any = None, kind: Any = None, **aligned: Any) -> FirstPass:
    return first_pass(InfluencePruner(), Partitioned.of(X, y, **aligned), kind)


def gathered(first: FirstPass, name: str) -> Any:
    return np.concatenate(first.partitioned.compute(getattr, name))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes", "perhaps"]),
        np.array([3, 1, 2]),
        np.array([False, True]),
        np.array([0.0, 1.0, 5.0]),
        np.array([b"x", b"yy"]),
    ],
)
def test_classes_and_codes_are_those_of_one_machine(table, labels):
    y = labels[np.arange(90) % len(labels)]
    first = passed(in_parts(table[0]), in_parts(y))
    expected = check_target(InfluencePruner(), y, 90, None)
    np.testing.assert_array_equal(first.target.classes, expected.classes)
    np.testing.assert_array_equal(gathered(first, "y"), expected.values)


def test_a_class_may_be_missing_in_a_partition(table):
    y = np.repeat(["a", "b", "c"], 30)
    first = passed(in_parts(table[0]), in_parts(y))
    assert first.target.classes.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(gathered(first, "y"), np.repeat([0, 1, 2], 30))


@pytest.mark.parametrize("y", [np.linspace(0, 1, 90), np.ones((90, 2)) * 0.5])
def test_numbers_stay_numbers(table, y):
    first = passed(in_parts(table[0]), in_parts(y), "regression")
    assert first.target.kind == "regression"
    assert first.target.classes is None
    np.testing.assert_array_equal(gathered(first, "y"), y)


def test_fractions_in_one_partition_make_all_numbers(table):
    y = np.arange(90.0) % 3
    y[-1] = 0.5
    assert passed(in_parts(table[0]), in_parts(y)).target.kind == "regression"


def test_many_whole_numbers_are_read_as_on_one_machine():
    y = np.arange(300) % 60
    with pytest.warns(UserWarning, match="60 distinct whole numbers in 300 rows.*regression"):
        first = passed(in_parts(np.ones((300, 1)), (100,) * 3), in_parts(y, (100,) * 3))
    assert first.target.kind == "regression"


def test_more_labels_than_a_report_holds_are_refused_as_classes():
    y = da.arange(30_000, chunks=15_000)
    with pytest.raises(ValueError, match="at most 10000 distinct values.*target_kind"):
        passed(da.ones((30_000, 1), chunks=(15_000, 1)), y, "classification")


def test_weights_have_mean_1_over_all_rows(table):
    X, y = table
    weights = np.concatenate([np.zeros(30), np.full(60, 1e300)])
    first = passed(in_parts(X), in_parts(y), sample_weight=in_parts(weights))
    np.testing.assert_allclose(gathered(first, "sample_weight"), check_weights(weights, 90))


def test_groups_become_positions_in_the_names_of_all(table):
    X, y = table
    groups = np.repeat(["north", "east", "south"], 30)
    first = passed(in_parts(X), in_parts(y), groups=in_parts(groups))
    assert first.group_names.tolist() == ["east", "north", "south"]
    np.testing.assert_array_equal(first.group_names[gathered(first, "groups")], groups)


def test_masks_and_costs_reach_their_rows(table):
    X, y = table
    mask, cost = np.arange(90) % 4 == 0, np.arange(90.0)
    first = passed(in_parts(X), in_parts(y), must_keep=in_parts(mask), sample_cost=in_parts(cost))
    np.testing.assert_array_equal(gathered(first, "must_keep"), mask)
    np.testing.assert_array_equal(gathered(first, "cost"), cost)
    assert not gathered(first, "must_drop").any()


def test_sums_are_added_up_in_the_same_pass(table):
    X, y = table
    partitioned = Partitioned.of(in_parts(X), in_parts(y))
    first = first_pass(InfluencePruner(), partitioned, None, _moments)
    mean, count = first.sums
    np.testing.assert_allclose(mean, X.sum(axis=0))
    assert count == 90
    assert partitioned.traffic.n_passes == 1


def _moments(block: Block) -> Any:
    return block.X.sum(axis=0), len(block)


def test_names_of_columns_are_set_before_any_row_is_read():
    frame = dd.from_pandas(pd.DataFrame({"a": [1.0, 2], "b": [3, 4]}), npartitions=1)
    pruner = AnyRows()
    first_pass(pruner, Partitioned.of(frame), None)
    assert pruner.feature_names_in_.tolist() == ["a", "b"]
    assert pruner.n_features_in_ == 2


def _with(values: np.ndarray, row: int, value: object) -> np.ndarray:
    values = values.copy()
    values[row] = value
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": _with(np.ones((90, 3)), 75, np.nan)}, r"In partition 3: .*3 NaN"),
        ({"X": np.full((90, 3), "text")}, r"In partition \d: .*numeric columns.*'text'"),
        ({"y": _with(np.arange(90) % 3.0, 40, np.inf)}, r"In partition 2: y must not be missing"),
        ({"y": _with(np.full(90, "a", dtype=object), 40, None)}, r"In partition 2: y must not"),
        ({"sample_weight": _with(np.ones(90), 80, -1)}, r"In partition 3: sample_weight must be"),
        ({"sample_weight": np.zeros(90)}, "all 90 weights are zero"),
        ({"must_keep": np.zeros(90)}, r"In partition \d: must_keep must be a boolean mask"),
        ({"sample_cost": _with(np.ones(90), 5, np.nan)}, r"In partition 0: sample_cost must"),
        ({"groups": _with(np.zeros(90), 45, np.nan)}, r"In partition 2: groups must not"),
        ({"groups": np.array([1, "a"] * 45, dtype=object)}, "groups must have values of one type"),
        ({"y": np.zeros(90)}, "at least two classes; y has one class"),
        ({"y": None}, "requires y to be passed"),
    ],
)
def test_a_fault_is_found_in_the_first_pass(table, change, message):
    given = {"X": table[0], "y": table[1]} | change
    with pytest.raises(ValueError, match=message):
        passed(**{name: None if v is None else in_parts(v) for name, v in given.items()})


def test_must_keep_and_must_drop_of_one_row_are_refused(table):
    X, y = table
    mask = in_parts(np.arange(90) == 70)
    with pytest.raises(ValueError, match="In partition 3: must_keep and must_drop share 1 rows"):
        passed(in_parts(X), in_parts(y), must_keep=mask, must_drop=mask)


def test_partitions_of_another_length_than_they_say_are_refused(table):
    X, _ = table
    labels = da.from_array(np.arange(90) % 2, chunks=(LENGTHS,))
    shorter = labels.map_blocks(lambda part: part[1:], dtype=int)
    with pytest.raises(ValueError, match=r"In partition \d: y must have one .* has \d9, and"):
        passed(in_parts(X), shorter)


def test_text_and_numbers_as_labels_are_refused(table):
    X, _ = table
    y = in_parts(np.zeros(90)).map_blocks(
        lambda part: part.astype(str) if len(part) == 20 else part, dtype=object
    )
    with pytest.raises(ValueError, match=r"partition 3 holds <U32.*astype\(str\)"):
        passed(in_parts(X), y)


def test_a_collection_without_rows_is_refused():
    with pytest.raises(ValueError, match="0 sample.s. in 2 partitions"):
        passed(da.ones((0, 2), chunks=((0, 0), (2,))), da.ones(0, chunks=((0, 0),)))


def test_rows_that_change_between_passes_are_found(table):
    X, y = table
    labels = iter(["a", "b", "c"] * 2 + ["d"] * 9)
    drawn = da.from_array(np.zeros(90), chunks=(LENGTHS,)).map_blocks(
        lambda part: np.array([next(labels) for _ in part[:1]] * len(part)), dtype="<U1"
    )
    first = passed(in_parts(X), drawn)
    with pytest.raises(ValueError, match="y does not have"):
        for _ in range(3):
            gathered(first, "y")


def test_rows_that_vanish_between_passes_are_found(table):
    frame = pd.DataFrame(table[0], columns=list("abc"))
    reads = []

    def read(part: pd.DataFrame) -> pd.DataFrame:
        reads.append(len(part))
        return part if len(reads) <= 3 else part.iloc[:0]

    parts = dd.from_pandas(frame, npartitions=3).map_partitions(read, meta=frame.iloc[:0])
    first = first_pass(AnyRows(), Partitioned.of(parts), None)
    with pytest.raises(ValueError, match=r"In partition \d: it had rows in the first pass"):
        first.partitioned.compute(len)
