"""What comes with the rows, one value each, as an array: none missing, and no date for a number."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse

__all__ = ["as_labels", "as_numbers", "date_dtype", "is_missing", "masked_as_nan", "require_eager"]

_DATES = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    np.datetime64,
    np.timedelta64,
)
# How pandas and polars, which need not be there, name types of dates and durations.
_DATE_NAMES = ("date", "time", "duration", "period")


def as_labels(name: str, values: Any) -> NDArray[Any]:
    """Return one label a row as an array.

    Labels of one kind have one type, whatever container they came in: text is ``str`` (NumPy's
    variable-width strings included), nullable booleans and numbers are what they hold.

    Parameters
    ----------
    name : str
        What they are, for errors.
    values : array-like, series, tensor or list of shape (n_samples, ...)
        The labels.

    Raises
    ------
    ValueError
        When one is missing: None, NaN, NaT, NA, masked or infinite.
    """
    require_eager(name, values)
    masked = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = _as_array(name, values)
    missing = _missing(array)
    if masked is not None:
        missing |= masked
    if missing.any():
        raise ValueError(
            f"{name} must not be missing or infinite; {int(missing.sum())} values are NaN, None or "
            f"infinity, the first in row {int(np.argwhere(missing)[0, 0])}. Drop those rows from X "
            "and y and all that belongs to them, or give each a value."
        )
    return _of_one_type(array)


def _as_array(name: str, values: Any) -> NDArray[Any]:
    if issparse(values):
        raise ValueError(
            f"{name} is a sparse {type(values).__name__}, and one value a row is needed; give "
            f"{name}.toarray()."
        )
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    array = np.asarray(values)
    if not hasattr(values, "dtype") and array.dtype.kind in "USfO":
        # A list of "a" and nan would become one of "a" and "nan".
        array = np.asarray(values, dtype=object)
        if array.size and all(isinstance(value, Real | Decimal) for value in array.flat):
            # Integers that no type of NumPy holds are among them.
            array = array.astype(np.float64)
    if array.dtype.kind == "T":
        # NumPy's variable-width strings, which may have a value for what is missing.
        array = array.astype(object)
    return array


def _missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    if array.dtype.kind in "mM":
        return np.isnat(array)
    if array.dtype.kind in "fc":
        return ~np.isfinite(array)
    if array.dtype.kind != "O":
        return np.zeros(array.shape, dtype=bool)
    missing = [is_missing(value) or _is_infinite(value) for value in array.ravel()]
    return np.array(missing, dtype=bool).reshape(array.shape)


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isinf(value))


def _of_one_type(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of objects as what all of them are, where that is text, bytes or bool."""
    if array.dtype.kind != "O" or not array.size:
        return array
    for kind in (str, bytes, bool | np.bool_):
        if all(isinstance(value, kind) for value in array.flat):
            return np.array(array.tolist())
    return array


def is_missing(value: Any) -> bool:
    """Whether a value stands for none; pandas.NA and NaT are known by name."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        # NaN of any type, and NumPy's NaT.
        return bool(value != value)
    except (TypeError, ValueError):
        return False


def as_numbers(name: str, values: Any, n_samples: int) -> NDArray[np.float64]:
    """Return one number a row as float64 of shape (n_samples,).

    Raises
    ------
    ValueError
        When one is missing, no number or a date, or when there are not as many as rows.
    """
    labels = as_labels(name, values)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"{name} must have shape ({n_samples},), one number a row; it has shape {labels.shape}."
        )
    dtype = date_dtype(labels)
    try:
        if dtype is not None:
            raise TypeError(f"values of {dtype}")
        numbers = labels.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be numbers; it has dtype {labels.dtype} ({error}). Convert it first."
        ) from error
    return numbers


def date_dtype(values: Any) -> str | None:
    """Return the type of the first dates or durations in an array or a column; None without any."""
    dtype = values.dtype if hasattr(values, "dtype") else values
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return str(dtype) if dtype.kind in "mM" else None
    if isinstance(dtype, np.dtype):
        return next((type(cell).__name__ for cell in _cells(values) if _is_date(cell)), None)
    return str(dtype) if str(dtype).lower().startswith(_DATE_NAMES) else None


def _cells(values: Any) -> Iterator[Any]:
    yield from np.asarray(values, dtype=object).flat


def _is_date(cell: Any) -> bool:
    return isinstance(cell, _DATES) or type(cell).__name__ == "Period"


def masked_as_nan(values: Any) -> Any:
    """Return a masked array with NaN where it is masked; anything else as it is."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    filled: Any = np.ma.filled(values.astype(float), np.nan) if np.ma.is_masked(values) else None
    return np.asarray(values) if filled is None else filled


def require_eager(name: str, values: Any) -> None:
    """Raise where values are yet to be computed."""
    if type(values).__name__ == "LazyFrame":
        raise ValueError(f"{name} is a LazyFrame, which has no rows yet; give {name}.collect().")
