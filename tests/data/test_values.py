"""What comes with the rows means the same in every container: nothing missing, and no dates."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from sklearn_prune import InfluencePruner

RNG = np.random.default_rng(0)
# More rows than are solved to optimality, which takes longer.
N = 36
X = RNG.normal(size=(N, 3))
Y = np.arange(N) % 3
TEXT = np.array(["a", "b", "c"])[Y]
QUICK = {"damping": 1e-2, "random_state": 0}


def with_missing(values, missing):
    spoiled = list(values)
    spoiled[4] = missing
    return spoiled


def masked(values):
    return np.ma.array(values, mask=np.arange(N) == 4)


WORDS = {
    "list": with_missing(TEXT.tolist(), None),
    "list with nan": with_missing(TEXT.tolist(), np.nan),
    "objects": np.array(with_missing(TEXT.tolist(), None), dtype=object),
    "objects with nan of 32 bits": np.array(
        with_missing(TEXT.tolist(), np.float32("nan")), dtype=object
    ),
    "objects with NaT": np.array(with_missing(TEXT.tolist(), np.datetime64("NaT")), dtype=object),
    "variable width": np.array(
        with_missing(TEXT.tolist(), None), dtype=np.dtypes.StringDType(na_object=None)
    ),
    "variable width with nan": np.array(
        with_missing(TEXT.tolist(), np.nan), dtype=np.dtypes.StringDType(na_object=np.nan)
    ),
    "masked": masked(TEXT),
    "pandas": pd.Series(with_missing(TEXT.tolist(), None)),
    "pandas strings": pd.Series(with_missing(TEXT.tolist(), None), dtype="string"),
    "pandas categories": pd.Series(with_missing(TEXT.tolist(), None), dtype="category"),
    "polars": pl.Series(with_missing(TEXT.tolist(), None)),
    "polars categories": pl.Series(with_missing(TEXT.tolist(), None), dtype=pl.Categorical),
}
NUMBERS = {
    "list": with_missing(Y.tolist(), None),
    "list with nan": with_missing(Y.tolist(), np.nan),
    "list with NA": with_missing(Y.tolist(), pd.NA),
    "list of decimals": with_missing([Decimal(int(v)) for v in Y], Decimal("NaN")),
    "floats": np.array(with_missing(Y.tolist(), np.nan)),
    "tensor": torch.tensor(with_missing(Y.tolist(), np.nan)),
    "masked": masked(Y),
    "pandas": pd.Series(with_missing(Y.tolist(), None), dtype="Int64"),
    "pandas floats": pd.Series(with_missing(Y.tolist(), None), dtype="Float64"),
    "polars": pl.Series(with_missing(Y.tolist(), None)),
}
KEEP = (np.arange(N) == 0).tolist()
MASKS = {
    "list": with_missing(KEEP, None),
    "list with nan": with_missing(KEEP, np.nan),
    "objects": np.array(with_missing(KEEP, None), dtype=object),
    "masked": masked(np.array(KEEP)),
    "pandas": pd.Series(with_missing(KEEP, None), dtype="boolean"),
    "polars": pl.Series(with_missing(KEEP, None)),
}


def cases(**groups):
    return [
        pytest.param(name, values, id=f"{name}, {container}")
        for name, many in groups.items()
        for container, values in many.items()
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    cases(
        y=WORDS | {f"numbers, {name}": values for name, values in NUMBERS.items()},
        groups=WORDS | {f"numbers, {name}": values for name, values in NUMBERS.items()},
        must_keep=MASKS,
        must_drop=MASKS,
        sample_weight=NUMBERS,
        sample_cost=NUMBERS,
    ),
)
def test_what_is_missing_is_refused_with_its_name_and_row(name, values):
    given = {"y": Y, name: values}
    with pytest.raises(ValueError, match=rf"{name} must not be missing .* the first in row 4\. "):
        InfluencePruner(**QUICK).fit(X, **given)


@pytest.mark.parametrize("label", [None, np.nan, pd.NA, (0, np.nan), (None, "a")])
def test_a_quota_for_a_missing_label_is_refused(label):
    with pytest.raises(ValueError, match="quota names the label .* no label may be missing"):
        InfluencePruner(quota={label: 3}, **QUICK).fit(X, Y)


WHOLE = {
    "y": [
        TEXT,
        TEXT.tolist(),
        TEXT.astype(object),
        TEXT.astype(np.dtypes.StringDType()),
        TEXT.astype("S"),
        np.array([t.encode() for t in TEXT], dtype=object),
        np.ma.array(TEXT),
        pd.Series(TEXT),
        pd.Series(TEXT, dtype="string"),
        pd.Series(TEXT, dtype="category"),
        pl.Series(TEXT),
        pl.Series(TEXT, dtype=pl.Enum(["a", "b", "c"])),
        TEXT[:, None],
        Y.astype(np.int8),
        torch.tensor(Y),
        pd.Series(Y, dtype="Int64"),
    ],
    "must_keep": [
        KEEP,
        np.array(KEEP),
        np.array(KEEP, dtype=object),
        np.ma.array(KEEP),
        torch.tensor(KEEP),
        pd.Series(KEEP, dtype="boolean"),
        pl.Series(KEEP),
    ],
    "sample_weight": [
        (1 + Y).tolist(),
        1.0 + Y,
        np.ma.array(1 + Y),
        torch.tensor(1 + Y),
        pd.Series(1 + Y, dtype="Int64"),
        pl.Series(1 + Y),
        [Decimal(int(1 + v)) for v in Y],
    ],
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_means_the_same_in_every_container(name, recwarn):
    first, *others = [
        InfluencePruner(**QUICK).fit(X, **{"y": Y, name: values}).get_support()
        for values in WHOLE[name]
    ]
    for support in others:
        np.testing.assert_array_equal(support, first)
    assert not [w for w in recwarn if "column-vector" in str(w.message)]


# Dates and durations

DAYS = np.arange(N).astype("datetime64[D]")
SPANS = DAYS - DAYS[0]
DATES = {
    "days": DAYS,
    "nanoseconds": DAYS.astype("datetime64[ns]"),
    "durations": SPANS,
    "pandas": pd.Series(DAYS),
    "pandas with a zone": pd.Series(DAYS.astype("datetime64[ns]")).dt.tz_localize("UTC"),
    "pandas durations": pd.Series(SPANS.astype("timedelta64[ns]")),
    "pandas periods": pd.Series(pd.period_range("2020", periods=N, freq="D")),
    "pandas objects": pd.Series(
        [datetime.date(2020, 1 + i % 3, 1 + i // 3) for i in range(N)], dtype=object
    ),
    "polars": pl.Series(DAYS),
    "polars times": pl.Series(DAYS.astype("datetime64[us]")),
    "polars durations": pl.Series(SPANS.astype("timedelta64[us]")),
    "polars times of day": pl.Series([datetime.time(i % 24) for i in range(N)]),
    "objects": np.array([datetime.timedelta(days=i) for i in range(N)], dtype=object),
    "objects of numpy": np.array(list(SPANS), dtype=object),
    "list": [datetime.datetime(2020, 1 + i % 3, 1 + i // 3) for i in range(N)],
}


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize("fit_param", ["y", "sample_weight", "sample_cost"])
def test_dates_are_no_labels_and_no_numbers(name, fit_param):
    with pytest.raises(
        ValueError, match=f"{fit_param} must be (numbers|labels or numbers); it has"
    ):
        InfluencePruner(**QUICK).fit(X, **{"y": Y, fit_param: DATES[name]})


def test_an_empty_quota_names_nobody():
    y = RNG.normal(size=N)
    empty = InfluencePruner(quota={}, **QUICK).fit(X, y).get_support()
    np.testing.assert_array_equal(
        empty, InfluencePruner(quota=None, **QUICK).fit(X, y).get_support()
    )
