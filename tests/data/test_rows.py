"""Rows of X in any container: what is taken, and what the errors say."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch

from sklearn_prune import InfluencePruner
from tests.data.test_values import DATES, QUICK, X, Y


def tables_of(column):
    """Return tables of numbers and that column, in the containers that can hold it."""
    if isinstance(column, pl.Series):
        return [pl.DataFrame({"a": X[:, 0], "when": column})]
    frame = pd.DataFrame({"a": X[:, 0], "when": column})
    tables = [frame, frame.to_numpy(dtype=object), frame.astype(object).values.tolist()]
    if isinstance(column, np.ndarray) and column.dtype != object:
        tables += [column[:, None], [[cell] for cell in column]]
    return tables


@pytest.mark.parametrize("name", DATES)
def test_a_column_of_dates_is_refused_in_every_container(name):
    for table in tables_of(DATES[name]):
        with pytest.raises(ValueError, match="needs numeric columns; .*ColumnTransformer"):
            InfluencePruner(**QUICK).fit(table, Y)


@pytest.mark.parametrize("name", ["days", "pandas durations", "polars"])
def test_features_hold_no_dates(name):
    for table in tables_of(DATES[name]):
        with pytest.raises(ValueError, match="features needs numeric columns"):
            InfluencePruner(features=table, **QUICK).fit(X, Y)


# Other containers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_tensors_are_rows(dtype):
    rows = torch.as_tensor(10 * X).to(dtype)
    values = rows.float().numpy() if dtype == torch.bfloat16 else rows.numpy()
    expected = InfluencePruner(**QUICK).fit(values, Y).get_support()
    pruner = InfluencePruner(**QUICK).fit(rows, torch.as_tensor(Y))
    np.testing.assert_array_equal(pruner.get_support(), expected)
    kept = pruner.transform(rows)
    assert isinstance(kept, torch.Tensor)
    assert torch.equal(kept, rows[torch.as_tensor(expected)])


def test_tensors_are_rows_with_array_api_dispatch(monkeypatch):
    # scikit-learn asks for SCIPY_ARRAY_API, which must be set before scipy is imported.
    monkeypatch.setattr("sklearn.utils._array_api._check_array_api_dispatch", lambda on: None)
    with sklearn.config_context(array_api_dispatch=True):
        test_tensors_are_rows(torch.float64)


def test_masked_cells_are_missing_cells():
    rows = np.ma.array(X, mask=False)
    whole = InfluencePruner(**QUICK).fit(rows, Y).get_support()
    np.testing.assert_array_equal(whole, InfluencePruner(**QUICK).fit(X, Y).get_support())
    rows[2, 1] = np.ma.masked
    with pytest.raises(
        ValueError, match="1 NaN and 0 infinity cells, the first in column number 1"
    ):
        InfluencePruner(**QUICK).fit(rows, Y)


def test_what_has_no_rows_yet_is_to_be_collected():
    lazy = pl.DataFrame(X).lazy()
    with pytest.raises(ValueError, match=r"X is a LazyFrame, .* give X\.collect\(\)"):
        InfluencePruner(**QUICK).fit(lazy, Y)
    with pytest.raises(ValueError, match=r"y is a LazyFrame, .* give y\.collect\(\)"):
        InfluencePruner(**QUICK).fit(X, lazy)
