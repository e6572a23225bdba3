"""Whatever comes in goes out as the same thing."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from sklearn_prune import InfluencePruner
from tests.conftest import ThirdOut

N = 60
KEPT = np.flatnonzero(np.arange(N) % 3 != 2)


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, 3)).round(2)


@pytest.fixture
def fitted(numbers: np.ndarray) -> ThirdOut:
    return ThirdOut().fit(numbers)


def test_arrays(fitted):
    a, b = np.arange(N, dtype=np.int8), np.array([f"row {i}" for i in range(N)])
    a_kept, b_kept = fitted.prune(a, b)
    assert a_kept.dtype == np.int8
    np.testing.assert_array_equal(a_kept, KEPT)
    assert b_kept[1] == "row 1" and b_kept[2] == "row 3"


def test_images_keep_their_shape(fitted):
    assert fitted.prune(np.zeros((N, 3, 4, 4))).shape == (len(KEPT), 3, 4, 4)


def test_a_list_stays_a_list(fitted):
    assert fitted.prune([str(i) for i in range(N)]) == [str(i) for i in KEPT]


def test_none_is_handed_back(fitted, numbers):
    kept, nothing = fitted.prune(numbers, None)
    assert nothing is None
    np.testing.assert_array_equal(kept, numbers[KEPT])


def test_a_pandas_frame_keeps_index_and_column_types(fitted):
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["a", "b", "c"] * (N // 3)),
            "text": [f"row {i}" for i in range(N)],
            "nullable": pd.array([None, *range(1, N)], dtype="Int16"),
            "time": pd.date_range("2020-01-01", periods=N),
        },
        index=[f"id{i}" for i in range(N)],
    )
    kept = fitted.prune(frame)
    pd.testing.assert_frame_equal(kept, frame.iloc[KEPT])


def test_a_pandas_series_keeps_name_and_index(fitted):
    series = pd.Series(range(N), name="target", index=range(100, 100 + N))
    pd.testing.assert_series_equal(fitted.prune(series), series.iloc[KEPT])


def test_polars_keeps_its_schema(fitted):
    frame = pl.DataFrame({"a": range(N), "b": [str(i) for i in range(N)]})
    kept, series = fitted.prune(frame, frame["b"])
    assert kept.schema == frame.schema
    assert kept["a"].to_list() == KEPT.tolist()
    assert series.to_list() == [str(i) for i in KEPT]


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_sparse_keeps_its_format_and_kind(fitted, numbers, form, kind):
    X = getattr(sp, f"{form}_{kind}")(numbers)
    kept = fitted.prune(X)
    assert type(kept) is type(X)
    np.testing.assert_array_equal(kept.toarray(), numbers[KEPT])


def test_transform_returns_the_container_it_was_given(fitted, numbers):
    frame = pd.DataFrame(numbers, index=range(5, N + 5), columns=list("abc"))
    fitted_on_frame = ThirdOut().fit(frame)
    pd.testing.assert_frame_equal(fitted_on_frame.transform(frame), frame.iloc[KEPT])
    polars = pl.DataFrame(numbers, schema=list("abc"))
    assert fitted_on_frame.transform(polars).equals(polars[KEPT.tolist()])
    assert isinstance(fitted.transform(sp.csr_array(numbers)), sp.csr_array)
    assert fitted.transform(numbers.astype(np.float32)[:5]).dtype == np.float32


def test_polars_columns_of_several_number_types(fitted):
    frame = pl.DataFrame(
        {"whole": range(N), "flag": [True, False] * (N // 2), "exact": [Decimal(1)] * N}
    )
    kept = ThirdOut().fit_transform(frame)
    assert kept.schema == frame.schema
    assert kept["whole"].to_list() == KEPT.tolist()


def test_a_container_of_another_length_is_named(fitted, numbers):
    with pytest.raises(ValueError, match="60 training rows; argument 1 has 59"):
        fitted.prune(numbers, numbers[:-1])


def test_prune_of_nothing_says_what_it_needs(fitted):
    with pytest.raises(ValueError, match="at least one container"):
        fitted.prune()


@given(st.lists(st.sampled_from(["array", "list", "series", "frame", "polars", "csr"]), min_size=2))
def test_any_containers_stay_aligned(kinds):
    ids = np.arange(1.0, 10.0)
    make = {
        "array": lambda: ids,
        "list": ids.tolist,
        "series": lambda: pd.Series(ids),
        "frame": lambda: pd.DataFrame({"id": ids}),
        "polars": lambda: pl.DataFrame({"id": ids}),
        "csr": lambda: sp.csr_array(ids[:, None]),
    }
    pruner = ThirdOut().fit(ids[:, None])
    for kept in pruner.prune(*(make[kind]() for kind in kinds)):
        values = kept.toarray() if sp.issparse(kept) else np.asarray(kept)
        assert values.ravel().tolist() == ids[pruner.support_].tolist()


@pytest.fixture(scope="module")
def data(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return numbers, np.where(numbers[:, 0] + 0.3 * numbers[:, 1] > 0, "yes", "no")


@pytest.fixture(scope="module")
def reference(data: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return InfluencePruner(random_state=0).fit(*data).support_


@pytest.mark.parametrize(
    "as_given",
    [
        pd.DataFrame,
        lambda X: pl.DataFrame(X, schema=list("abc")),
        sp.csr_array,
        sp.csr_matrix,
        np.asfortranarray,
        np.ndarray.tolist,
        lambda X: X.astype(object),
    ],
    ids=["pandas", "polars", "csr_array", "csr_matrix", "fortran", "list", "object"],
)
def test_the_rows_chosen_do_not_depend_on_the_container(data, reference, as_given):
    X, y = data
    np.testing.assert_array_equal(
        InfluencePruner(random_state=0).fit(as_given(X), y).support_, reference
    )


@pytest.mark.parametrize(
    "as_given",
    [
        np.ndarray.tolist,
        pd.Series,
        lambda y: pd.Series(y, dtype="category"),
        pl.Series,
        lambda y: (y == "yes").astype(int),
        lambda y: y == "yes",
        lambda y: pd.Series(y == "yes", dtype="boolean"),
    ],
    ids=["list", "series", "categorical", "polars", "integers", "booleans", "nullable"],
)
def test_the_rows_chosen_do_not_depend_on_how_labels_are_written(data, reference, as_given):
    X, y = data
    pruner = InfluencePruner(random_state=0).fit(X, as_given(y))
    np.testing.assert_array_equal(pruner.support_, reference)
    assert len(pruner.classes_) == 2


def test_a_column_of_labels_is_flattened_without_a_warning(data, reference, recwarn):
    X, y = data
    pruner = InfluencePruner(random_state=0).fit(X, y[:, None])
    assert not [w for w in recwarn if "column-vector" in str(w.message)]
    np.testing.assert_array_equal(pruner.support_, reference)


def test_multi_output_regression(numbers):
    Y = pd.DataFrame(numbers[:, :2] @ [[1.0, 0.5], [0.2, 2.0]] + 0.1, columns=["u", "v"])
    pruner = InfluencePruner(random_state=0).fit(numbers, Y)
    assert not hasattr(pruner, "classes_")
    pd.testing.assert_frame_equal(pruner.prune(Y), Y[pruner.support_])
    assert pruner.support_.sum() == N - 24
