"""The columns of a table, each read as numbers, as moments in time or as categories."""

from __future__ import annotations

import datetime
import re
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from numbers import Real
from typing import Literal

import numpy as np
from scipy.sparse import issparse

from .._types import Array, Floats, Rows
from .containers import is_collection
from .values import is_missing, mapped, require_eager

ColumnKind = Literal["number", "moment", "category"]

# A date of ISO 8601 with its dashes, so that a postal code is no year.
_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?)(?:Z|[+-]\d{2}:?\d{2})?"
)
_SECONDS_A_DAY = 86_400

# The squares of larger numbers could not be summed.
_LARGEST = 1e100

DATE_PARTS = ("days", "month", "weekday", "hour")
MISSING = "(missing)"


def is_table(X: Rows) -> bool:
    """Whether X has columns that `table_columns` can tell apart."""
    return not issparse(X) and (hasattr(X, "columns") or np.ndim(X) == 2)


def has_categories(X: Rows) -> bool:
    """Whether X is a data frame with a column whose type says that it holds categories."""
    return any(map(_is_categorical, getattr(X, "dtypes", ())))


def table_columns(X: Rows) -> dict[Hashable, Rows]:
    """Return the columns of a table by name, or by position where they have no names.

    Parameters
    ----------
    X : data frame or array-like of shape (n_samples, n_features)
        A frame of pandas or polars, or what NumPy makes an array of two dimensions of.

    Raises
    ------
    TypeError
        If X is sparse, a dict or a dataset, which are no tables.
    ValueError
        If X has not two dimensions, or two columns have one name.
    """
    require_eager("X", X)
    if issparse(X) or isinstance(X, Mapping):
        raise TypeError(
            f"X must be a table, a data frame or an array of two dimensions; it is a "
            f"{type(X).__name__}. Give X.toarray() of a sparse matrix, a frame of a dict."
        )
    if hasattr(X, "columns"):
        names = list(X.columns)
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise ValueError(f"columns need names of their own; two are called {twice!r}.")
        return {name: X[name] for name in names}
    table = X if hasattr(X, "shape") else np.asarray(X, dtype=object)
    if len(table.shape) != 2:
        raise ValueError(
            f"X must be a table of shape (n_samples, n_features); it has shape {table.shape}. "
            "Give X.reshape(len(X), -1)."
        )
    # A masked array keeps its mask.
    array = table if isinstance(table, np.ma.MaskedArray) else np.asarray(table)
    return {position: array[:, position] for position in range(array.shape[1])}


def column_kind(column: Rows) -> ColumnKind:
    """Return what a column holds, by its type, or by its cells if that says nothing.

    Text counts as moments if every cell is a date of ISO 8601 (``2026-11-26``, with or without a
    time of day). Booleans, durations and decimals are numbers.
    """
    if _is_categorical(getattr(column, "dtype", None)):
        return "category"
    cells = _cells(column)
    if cells.dtype.kind in "biufm":
        return "number"
    if cells.dtype.kind == "M":
        return "moment"
    held = [cell for cell in _distinct(cells) if not is_missing(cell)]
    if all(isinstance(cell, Real | Decimal | datetime.timedelta | np.bool_) for cell in held):
        return "number"
    if all(_is_moment(cell) for cell in held):
        return "moment"
    return "category"


def other_columns(X: Rows) -> dict[Hashable, ColumnKind]:
    """Return what the columns of a table that are not of numbers hold; {} of rows without columns.

    Raises
    ------
    ValueError
        If two columns have one name.
    """
    if is_collection(X) or not is_table(X):
        return {}
    kinds = {name: column_kind(column) for name, column in table_columns(X).items()}
    return {name: kind for name, kind in kinds.items() if kind != "number"}


def as_float(name: Hashable, column: Rows) -> Floats:
    """Return a column as float64; missing and infinite cells are NaN, durations seconds.

    Raises
    ------
    ValueError
        If a cell is not a number.
    """
    cells = _cells(column)
    if cells.dtype.kind == "m":
        numbers = cells.astype("timedelta64[us]").astype(np.float64) / 1e6
        numbers[np.isnat(cells)] = np.nan
    elif cells.dtype.kind in "biuf":
        numbers = cells.astype(np.float64)
    else:
        numbers = np.array(mapped(cells, lambda cell: _float(name, cell)))
    numbers[~np.isfinite(numbers)] = np.nan
    return np.clip(numbers, -_LARGEST, _LARGEST)


def date_parts(name: Hashable, column: Rows) -> Floats:
    """Return days since 1970, month, weekday and hour of each moment, of shape (n_samples, 4).

    A missing moment has NaN days and zeros, so that one column tells what is missing. Offsets from
    UTC in text are left out.

    Raises
    ------
    ValueError
        If a cell is not a moment.
    """
    cells = _cells(column)
    if cells.dtype.kind != "M":
        cells = np.array(mapped(cells, lambda cell: _moment(name, cell)), dtype="datetime64[us]")
    moments = cells.astype("datetime64[s]")
    missing = np.isnat(moments)
    seconds = np.where(missing, 0, moments.astype(np.int64))
    days, second = np.divmod(seconds, _SECONDS_A_DAY)
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    # 1970 began on a Thursday; Monday is 0.
    weekdays = (days + 3) % 7
    parts = np.column_stack([days + second / _SECONDS_A_DAY, months, weekdays, second // 3600])
    parts[missing] = [np.nan, 0, 0, 0]
    return parts


def as_text(column: Rows) -> list[str]:
    """Return the cells of a column of categories as text; missing ones are "(missing)"."""
    return mapped(_cells(column), _text)


def _text(cell: object) -> str:
    if is_missing(cell):
        return MISSING
    # Beside a missing cell, NumPy makes floats of pandas' whole numbers.
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def _is_categorical(dtype: object) -> bool:
    # As pandas and polars, which may not be installed, name their types of categories.
    return str(dtype).lower().startswith(("category", "categorical", "enum"))


def _cells(column: Rows) -> Array:
    """Return a column as an array: of a NumPy type where it has one, else of objects."""
    dtype = getattr(column, "dtype", None)
    if not isinstance(dtype, np.dtype) and getattr(dtype, "tz", None) is not None:
        # A pandas column with a time zone, which NumPy would make objects of.
        return np.asarray(column, dtype="datetime64[us]")
    cells = np.asarray(column)
    if isinstance(column, np.ma.MaskedArray):
        cells = cells.astype(object)
        cells[np.ma.getmaskarray(column)] = None
    return cells if cells.dtype.kind in "biufmM" else cells.astype(object)


def _distinct(cells: Array) -> Iterable[object]:
    """Return the distinct cells; all, if some cannot be hashed."""
    values = cells.tolist()
    try:
        return dict.fromkeys(values)
    except TypeError:
        return values


def _float(name: Hashable, cell: object) -> float:
    if is_missing(cell):
        return np.nan
    try:
        if isinstance(cell, datetime.timedelta):
            return cell.total_seconds()
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"column {name!r} held numbers when the encoder was fitted; it now holds {cell!r}. "
            "Encode rows that have the same columns."
        ) from None


def _is_moment(cell: object) -> bool:
    if isinstance(cell, str):
        return _ISO.fullmatch(cell.strip()) is not None and _parses(cell)
    return isinstance(cell, datetime.date | np.datetime64) or type(cell).__name__ == "Period"


def _parses(cell: str) -> bool:
    try:
        _moment("", cell)
    except ValueError:
        return False
    return True


def _moment(name: Hashable, cell: object) -> np.datetime64:
    if is_missing(cell):
        return np.datetime64("NaT")
    if type(cell).__name__ == "Period":
        cell = cell.start_time  # type: ignore[attr-defined]
    if isinstance(cell, datetime.datetime):
        cell = cell.replace(tzinfo=None)
    match = _ISO.fullmatch(cell.strip()) if isinstance(cell, str) else None
    try:
        if isinstance(cell, str) and match is None:
            raise ValueError
        moment = match.group(1) if match else cell
        return np.datetime64(moment, "us")  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ValueError(
            f"column {name!r} held dates when the encoder was fitted; it now holds {cell!r}. "
            "Encode rows that have the same columns."
        ) from None
