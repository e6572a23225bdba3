"""ColumnsEncoder: any table becomes finite numbers, each kind of column in its own way."""

from __future__ import annotations

import datetime
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.pipeline
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import eye_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_prune import InfluencePruner
from sklearn_prune.data import ColumnsEncoder

N = 60
RNG = np.random.default_rng(0)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": np.where(np.arange(N) % 7 == 0, np.nan, np.arange(N)),
            "colour": np.array(["red", "blue", None], dtype=object)[np.arange(N) % 3],
            "born": pd.date_range("2026-01-01", periods=N, freq="36h"),
            "written": [f"2026-03-{1 + i % 28:02d}T{i % 24:02d}:30:00Z" for i in range(N)],
            "is_new": np.arange(N) % 2 == 0,
            "count": pd.array([None if i % 5 == 0 else i for i in range(N)], dtype="Int64"),
            "size": pd.Categorical(np.array(["S", "M", "L"])[np.arange(N) % 3]),
            "took": pd.to_timedelta(np.arange(N), unit="min"),
            "name": [f"person {i}" for i in range(N)],
            "postcode": [f"{10000 + i % 25}" for i in range(N)],
        }
    )


def test_each_column_is_read_by_its_kind():
    assert ColumnsEncoder().fit(frame()).kinds_ == {
        "age": "number",
        "colour": "category",
        "born": "moment",
        "written": "moment",
        "is_new": "number",
        "count": "number",
        "size": "category",
        "took": "number",
        "name": "left out",
        "postcode": "category",
    }


def test_what_comes_out_is_finite_and_named():
    encoder = ColumnsEncoder()
    encoded = encoder.fit_transform(frame())
    names = encoder.get_feature_names_out()
    assert encoded.dtype == np.float32 and np.isfinite(encoded).all()
    assert encoded.shape == (N, len(names)) and len(set(names)) == len(names)
    assert len(encoder.source_columns()) == len(names)
    np.testing.assert_array_equal(encoder.transform(frame()), encoded)


def test_numbers_are_those_of_scikit_learns_parts():
    X = RNG.normal(size=(N, 3))
    X[::4, 1] = np.nan
    imputed = SimpleImputer(strategy="median", add_indicator=True).fit_transform(X)
    expected = StandardScaler().fit_transform(imputed)
    np.testing.assert_allclose(ColumnsEncoder().fit_transform(X), expected, atol=1e-6)


def test_categories_are_those_of_scikit_learns_one_hot_encoder():
    X = RNG.choice(["a", "b", "c"], size=(N, 1)).astype(object)
    expected = OneHotEncoder(sparse_output=False).fit_transform(X)
    np.testing.assert_array_equal(ColumnsEncoder().fit_transform(X), expected)


def test_more_categories_than_the_limit_share_a_column_and_have_a_rank():
    texts = ["often"] * 20 + ["seldom"] * 10 + ["a"] * 3 + ["b"] * 2
    encoder = ColumnsEncoder(max_categories=3)
    encoded = encoder.fit_transform(pd.DataFrame({"x": texts}))
    assert list(encoder.get_feature_names_out()) == [
        "x = often",
        "x = seldom",
        "x = (any other)",
        "x: rank by frequency",
    ]
    assert encoded[0, 3] < encoded[20, 3] < encoded[30, 3] < encoded[33, 3]
    np.testing.assert_array_equal(encoded[30:, 2], 1)


def test_a_missing_category_is_one_of_its_own():
    encoder = ColumnsEncoder()
    encoded = encoder.fit_transform(pd.DataFrame({"x": ["a", None, "b", None]}))
    missing = list(encoder.get_feature_names_out()).index("x = (missing)")
    np.testing.assert_array_equal(encoded[:, missing], [0, 1, 0, 1])


def test_whole_numbers_as_categories_stay_the_same_beside_a_missing_one():
    encoder = ColumnsEncoder().fit(pd.DataFrame({"x": pd.Categorical([1, 2, 1, 2])}))
    encoded = encoder.transform(pd.DataFrame({"x": pd.Categorical([1, 2, None])}))
    np.testing.assert_array_equal(encoded, [[1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_frames_as_scikit_learns_output_change_no_number(output):
    X = pd.DataFrame({"x": ["a", None, "b", "a"], "y": [1.0, None, 2.0, 3.0]})
    encoded = ColumnsEncoder().fit_transform(X)
    with config_context(transform_output=output):
        encoder = ColumnsEncoder()
        np.testing.assert_array_equal(encoder.fit_transform(X), encoded)
        np.testing.assert_array_equal(encoder.transform(X), encoded)


@pytest.mark.parametrize(
    "moments",
    [
        pd.to_datetime(["2026-01-31 06:00", "2026-02-01 12:00"]),
        pd.to_datetime(["2026-01-31 06:00", "2026-02-01 12:00"]).tz_localize("UTC"),
        ["2026-01-31T06:00", "2026-02-01 12:00:00.0Z"],
        [datetime.datetime(2026, 1, 31, 6), datetime.datetime(2026, 2, 1, 12)],
        pd.period_range("2026-01-31 06:00", periods=2, freq="30h"),
    ],
    ids=["datetime64", "zone", "text", "objects", "periods"],
)
def test_moments_become_days_month_weekday_and_hour(moments):
    # A Saturday in January, 6 o'clock, and the Sunday in February 30 hours later.
    table = pd.DataFrame({"t": pd.Series(list(moments) if isinstance(moments, list) else moments)})
    encoder = ColumnsEncoder()
    encoded = encoder.fit_transform(table)
    names = [f"t: {part}" for part in ("days", "month", "weekday", "hour")]
    assert list(encoder.get_feature_names_out()) == names
    np.testing.assert_allclose(encoded, [[-1, -1, -1, -1], [1, 1, 1, 1]])


def test_a_missing_moment_is_said_once():
    table = pd.DataFrame({"t": ["2026-01-31", None, "2026-02-01"]})
    encoder = ColumnsEncoder().fit(table)
    assert list(encoder.get_feature_names_out())[4:] == ["t is missing"]


def test_masked_cells_are_missing():
    X = np.ma.masked_equal([["a", "b"], ["-", "b"], ["a", "c"]], "-")
    encoder = ColumnsEncoder().fit(X)
    assert list(encoder.get_feature_names_out()) == [
        *("column 0 = (missing)", "column 0 = a"),
        *("column 1 = b", "column 1 = c"),
    ]


def test_an_unknown_category_counts_as_rare_or_as_none():
    rare = [[name] for name in "aaaabbbbcd"]
    encoder = ColumnsEncoder(max_categories=3).fit(rare)
    # Of a, b, any other, and the rank.
    known, unknown = encoder.transform([["d"], ["e"]])
    np.testing.assert_array_equal(unknown[:3], [0, 0, 1])
    assert unknown[3] > known[3]
    few = ColumnsEncoder().fit([["a"], ["b"], ["a"], ["b"]])
    np.testing.assert_array_equal(few.transform([["e"]]), [[0, 0]])


def test_postal_codes_are_no_dates():
    assert ColumnsEncoder().fit([["12345"], ["12345"], ["2026"]]).kinds_ == {0: "category"}


def test_a_polars_frame_is_encoded_like_the_pandas_one():
    columns = ["age", "colour", "is_new", "postcode"]
    pandas_frame = frame()[columns]
    polars_frame = pl.from_dicts(
        [
            {n: None if pd.isna(v) else v for n, v in row.items()}
            for row in pandas_frame.to_dict("records")
        ]
    )
    np.testing.assert_array_equal(
        ColumnsEncoder().fit_transform(polars_frame), ColumnsEncoder().fit_transform(pandas_frame)
    )


def test_the_pruner_reads_any_table_behind_it():
    y = np.arange(N) % 2
    pipe = sklearn.pipeline.make_pipeline(
        ColumnsEncoder(), InfluencePruner(prune_ratio=0.5, random_state=0)
    )
    assert pipe.fit(frame(), y)[-1].get_support().sum() == N // 2


def test_rows_that_fit_did_not_see_are_encoded():
    encoder = pickle.loads(pickle.dumps(clone(ColumnsEncoder()).fit(frame())))
    new = frame().iloc[:2].copy()
    new["colour"], new["age"], new["postcode"] = ["green", "red"], [np.inf, np.nan], ["1", "2"]
    assert np.isfinite(encoder.transform(new)).all()


def test_cells_of_another_kind_name_their_column():
    encoder = ColumnsEncoder().fit(frame())
    new = frame().astype({"age": object})
    new.loc[3, "age"] = "old"
    with pytest.raises(ValueError, match="column 'age' held numbers .* it now holds 'old'"):
        encoder.transform(new)
    new = frame()
    new.loc[3, "written"] = "yesterday"
    with pytest.raises(ValueError, match="column 'written' held dates .* it now holds 'yesterday'"):
        encoder.transform(new)


def test_tables_that_are_none_are_refused():
    with pytest.raises(TypeError, match="X must be a table"):
        ColumnsEncoder().fit(eye_array(3))
    with pytest.raises(ValueError, match=r"X.reshape\(len\(X\), -1\)"):
        ColumnsEncoder().fit(np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="two are called 'a'"):
        ColumnsEncoder().fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(ValueError, match="X has no informative column"):
        ColumnsEncoder().fit(frame()[["name"]])


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(),
    st.text(max_size=3),
    st.dates(datetime.date(1900, 1, 1)),
    st.lists(st.integers(0, 2), max_size=2),
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=2, max_size=12))
def test_any_cells_become_finite_numbers(rows):
    encoder = ColumnsEncoder()
    encoded = encoder.fit_transform(pd.DataFrame(rows, dtype=object))
    assert np.isfinite(encoded).all()
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame(rows, dtype=object)), encoded)
