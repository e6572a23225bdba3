"""One value per row as an array: labels, numbers and weights, none of them missing."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import TypeVar

import numpy as np
import torch
from scipy.sparse import issparse

from .._types import Array, Floats, Mask, Values

# What a cell is mapped to.
Image = TypeVar("Image")

_DATES = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    np.datetime64,
    np.timedelta64,
)
# How pandas and polars, which may not be installed, name their types of dates and durations.
_DATE_NAMES = ("date", "time", "duration", "period")


def as_labels(name: str, values: Values) -> Array:
    """Return labels, one per row, as an array.

    Any container will do: text becomes ``str`` (NumPy's variable-width strings included), and
    nullable booleans and numbers become plain ones.

    Parameters
    ----------
    name : str
        Their name in errors.
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
            f"infinity, the first in row {int(np.argwhere(missing)[0, 0])}. Drop those rows from "
            "X, y and every other argument with one entry per row, or fill in the values."
        )
    return _as_single_type(array)


def _as_array(name: str, values: Values) -> Array:
    if issparse(values):
        raise ValueError(
            f"{name} needs a dense array; it is a sparse {type(values).__name__}. Give "
            f"{name}.toarray()."
        )
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    array = np.asarray(values)
    if not hasattr(values, "dtype") and array.dtype.kind in "USfO":
        # NumPy would turn a list of "a" and nan into "a" and "nan".
        array = np.asarray(values, dtype=object)
        if array.size and all(isinstance(value, Real | Decimal) for value in array.flat):
            # Some may be integers beyond every NumPy type.
            array = array.astype(np.float64)
    if array.dtype.kind == "T":
        # NumPy's variable-width strings, which may have a missing value.
        array = array.astype(object)
    return array


def _missing(array: Array) -> Mask:
    if array.dtype.kind in "mM":
        return np.isnat(array)
    if array.dtype.kind in "fc":
        return ~np.isfinite(array)
    if array.dtype.kind != "O":
        return np.zeros(array.shape, dtype=bool)
    missing = mapped(array.ravel(), lambda value: is_missing(value) or _is_infinite(value))
    return np.array(missing, dtype=bool).reshape(array.shape)


def mapped(cells: Array, function: Callable[[object], Image]) -> list[Image]:
    """Return ``function`` of each cell, called once for each distinct one."""
    values = cells.tolist()
    try:
        images = {cell: function(cell) for cell in dict.fromkeys(values)}
    except TypeError:
        # Some cells, such as lists, cannot be hashed.
        return [function(cell) for cell in values]
    return [images[cell] for cell in values]


def _is_infinite(value: object) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isinf(value))


def _as_single_type(array: Array) -> Array:
    """Return an array of objects as text, bytes or bool if all of them are."""
    if array.dtype.kind != "O" or not array.size:
        return array
    types = set(map(type, array.flat))
    for kind in (str, bytes, bool | np.bool_):
        if all(issubclass(held, kind) for held in types):
            return np.array(array.tolist())
    return array


def is_missing(value: object) -> bool:
    """Whether a value means "missing"; pandas.NA and NaT are recognised by name."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        # NaN of any type, and NumPy's NaT.
        return bool(value != value)
    except (TypeError, ValueError):
        return False


def as_numbers(name: str, values: Values, n_samples: int) -> Floats:
    """Return numbers, one per row, as float64 of shape (n_samples,).

    Raises
    ------
    ValueError
        When one is missing, infinite, a date or no number, or when there is not one for each row.
    """
    labels = as_labels(name, values)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"{name} must have shape ({n_samples},), one number per row; it has shape "
            f"{labels.shape}. Give one for each row of X."
        )
    dtype = date_dtype(labels)
    try:
        if dtype is not None:
            raise TypeError(f"values of {dtype}")
        numbers = labels.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be numbers; it has dtype {labels.dtype} ({error}). Convert it to float "
            "first."
        ) from error
    return numbers


def date_dtype(values: Values) -> str | None:
    """Return the type of the first date or duration in an array or column; None if none."""
    dtype = values.dtype if hasattr(values, "dtype") else values
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return str(dtype) if dtype.kind in "mM" else None
    if isinstance(dtype, np.dtype):
        return next(
            (
                type(cell).__name__
                for cell in np.asarray(values, dtype=object).flat
                if _is_date(cell)
            ),
            None,
        )
    return str(dtype) if str(dtype).lower().startswith(_DATE_NAMES) else None


def _is_date(cell: object) -> bool:
    return isinstance(cell, _DATES) or type(cell).__name__ == "Period"


def masked_as_nan(values: Values) -> Values:
    """Return a masked array with NaN where it is masked; anything else as it is."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    return np.ma.filled(values.astype(float), np.nan) if np.ma.is_masked(values) else values.data


def require_eager(name: str, values: Values) -> None:
    """Raise ValueError for lazy values, which are not computed yet."""
    if type(values).__name__ == "LazyFrame":
        raise ValueError(f"{name} is a LazyFrame, which has no rows yet; give {name}.collect().")


def weight_unit(sample_weight: Values, n_samples: int) -> float:
    """Return what `check_weights` divides weights by: their mean; 1 where none are given."""
    if sample_weight is None:
        return 1.0
    weights = as_numbers("sample_weight", sample_weight, n_samples)
    # The sum may overflow.
    return float(weights.max()) * float(np.mean(weights / weights.max()))


def check_weights(sample_weight: Values, n_samples: int) -> Floats | None:
    """Return the weights as float64 of shape (n_samples,), or None where none are given.

    Only ratios of weights matter. They are scaled to mean 1, so that their sums cannot overflow.

    Raises
    ------
    ValueError
        When they have the wrong shape, are negative, not finite, or all zero.
    """
    if sample_weight is None:
        return None
    weights = raw_weights(sample_weight, n_samples)
    require_positive(weights.max(initial=0.0), n_samples)
    weights = weights / weights.max()
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def raw_weights(sample_weight: Values, n_samples: int) -> Floats:
    """Return the weights as they are, as float64; ValueError unless they are at least 0."""
    weights = as_numbers("sample_weight", sample_weight, n_samples)
    bad = weights < 0
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"sample_weight must be >= 0; {int(bad.sum())} of {n_samples} weights are negative, "
            f"the first is {weights[row]} in row {row}. Drop those rows or give them weight 0."
        )
    return weights


def require_positive(largest: float, n_samples: int) -> None:
    """Raise ValueError if the largest weight is 0."""
    if not largest > 0:
        raise ValueError(
            f"sample_weight must have a positive entry; all {n_samples} weights are zero. Leave "
            "sample_weight out to weight all rows equally."
        )
