"""Checks of the rows X."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from numbers import Number

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import validate_data
from torch.utils.data import Dataset

from .._types import Array, Rows, Values
from .containers import (
    StoredRows,
    check_dataset,
    is_collection,
    is_dict,
    is_stored,
    n_rows,
    pieces,
    two_rows_like,
)
from .values import date_dtype, masked_as_nan, require_eager


class NotNumbersError(ValueError):
    """Cells of a table are text, dates, missing or infinite, and the estimator needs numbers."""


def check_rows(estimator: BaseEstimator, X: Rows, *, reset: bool) -> Rows:
    """Validate X for ``estimator``, and set its ``n_features_in_`` if ``reset``.

    The estimator's tags say whether sparse rows, missing values and more than two dimensions are
    accepted.

    Parameters
    ----------
    estimator : estimator
        Its tags are read; its ``n_features_in_`` and ``feature_names_in_`` are set or checked.
    X : array-like or sparse matrix of shape (n_samples, n_features, ...), dict or Dataset
        The rows, as the user gave them.
    reset : bool
        True in ``fit``, where at least two rows are needed.

    Returns
    -------
    rows : ndarray, csr_array or StoredRows of the shape of X, dict of them, or Dataset
        Numeric. Shares memory with X where its type allows. A dict or a
        `torch.utils.data.Dataset` sets no ``n_features_in_``.

    Raises
    ------
    ValueError
        When X has a wrong shape.
    NotNumbersError
        A ValueError: cells of a table or array are not numbers, or are missing or infinite where
        the tags do not allow that.
    """
    if isinstance(X, Dataset):
        check_dataset(X)
        return X
    if is_dict(X):
        return _check_dict(estimator, X, reset=reset)
    require_eager("X", X)
    if isinstance(X, torch.Tensor):
        X = tensor_values(X)
    X = masked_as_nan(X)
    refuse_dates(type(estimator).__name__, X)
    tags = get_tags(estimator).input_tags
    if is_stored(X):
        return _check_stored(estimator, X, reset=reset)
    try:
        rows = validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr" if tags.sparse else False,
            allow_nd=tags.three_d_array,
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
    except ValueError as error:
        message = _text_error(estimator, X)
        if message is None:
            raise
        raise NotNumbersError(message) from error
    if rows.dtype == object:
        # scikit-learn converts objects, except those of a polars frame.
        message = _text_error(estimator, X)
        if message is not None:
            raise NotNumbersError(message)
        rows = rows.astype(np.float64)
    if rows.dtype.kind not in "biuf":
        raise NotNumbersError(
            f"{type(estimator).__name__} needs numeric columns; X has dtype {rows.dtype}. Encode "
            "it first, for example with sklearn.compose.ColumnTransformer."
        )
    if not tags.allow_nan:
        _check_finite(estimator, X, rows)
    return rows


def require_rows(X: Rows, *, reset: bool) -> None:
    """Raise ValueError unless there are two rows, or one if not ``reset``."""
    n_samples = n_rows(X)
    if n_samples < 1 + reset:
        raise ValueError(
            f"X has {n_samples} sample(s), and at least {1 + reset} are required; give more rows."
        )


def record_columns(estimator: BaseEstimator, X: Rows, *, reset: bool) -> None:
    """Set ``n_features_in_`` and ``feature_names_in_`` if ``reset``, else check them.

    Cells are not read. Rows without columns set neither: texts, rows of different lengths, dicts
    and datasets.

    Raises
    ------
    ValueError
        If columns differ from those that were set.
    """
    if is_collection(X):
        X = two_rows_like(X)
    if not is_dict(X) and not isinstance(X, Dataset) and not _is_ragged(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)


def _is_ragged(X: Rows) -> bool:
    if isinstance(X, list | tuple):
        try:
            np.shape(X)
        except ValueError:
            return True
    return False


def _check_stored(estimator: BaseEstimator, X: Rows, *, reset: bool) -> StoredRows:
    """Validate an array on disk: all of it piece by piece, its first rows as any rows."""
    rows = StoredRows(X)
    _check_pieces(estimator, rows)
    check_rows(estimator, rows[:2], reset=reset)
    return rows


def _check_pieces(estimator: BaseEstimator, rows: Array | StoredRows, name: str = "X") -> None:
    if rows.dtype.kind not in "biuf":
        raise NotNumbersError(
            f"{type(estimator).__name__} needs numbers; {name} has dtype {rows.dtype}. Encode it "
            "as numbers first."
        )
    if get_tags(estimator).input_tags.allow_nan or rows.dtype.kind != "f":
        return
    for piece in pieces(rows.shape):
        bad = ~np.isfinite(rows[piece])
        if bad.any():
            row, *cell = np.argwhere(bad)[0]
            column = f" and column {cell[0]}" if cell else ""
            raise NotNumbersError(
                f"{type(estimator).__name__} needs finite numbers; {name} has NaN or infinity, the "
                f"first in row {piece.start + row}{column}. Impute or drop such rows first."
            )


def _check_dict(
    estimator: BaseEstimator, X: Mapping[str, Rows], *, reset: bool
) -> dict[str, Array | StoredRows]:
    """Validate a dict of row-aligned arrays."""
    rows: dict[str, Array | StoredRows] = {}
    for name, value in X.items():
        require_eager(f"X[{name!r}]", value)
        value = tensor_values(value) if isinstance(value, torch.Tensor) else masked_as_nan(value)
        rows[name] = StoredRows(value) if is_stored(value) else np.asarray(value)
        if not rows[name].shape:
            raise ValueError(
                f"each array of a dict needs one entry per row; X[{name!r}] is a single "
                f"{type(value).__name__}. Give an array."
            )
        _check_pieces(estimator, rows[name], f"X[{name!r}]")
    require_rows(rows, reset=reset)
    return rows


def tensor_values(tensor: torch.Tensor) -> Array:
    """Return a tensor's values as an array; bfloat16, which numpy lacks, becomes float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def refuse_dates(owner: str, X: Rows) -> None:
    """Raise NotNumbersError if a table has dates or durations, which would become numbers unasked.

    Parameters
    ----------
    owner : str
        Name of the estimator or parameter that needs numbers, for the error.
    X : array-like
        A data frame of any kind, an array, or a list of rows.
    """
    for name, column in _columns(X):
        dtype = date_dtype(column)
        if dtype is not None:
            raise NotNumbersError(
                f"{owner} needs numeric columns; {name} has dtype {dtype}. Turn dates and "
                "durations into numbers, for example days since the first, or encode them with "
                "sklearn_prune.data.ColumnsEncoder or sklearn.compose.ColumnTransformer."
            )


def _columns(X: Rows) -> Iterator[tuple[str, Values]]:
    """Yield what may hold dates, with its name: each column of a frame, or a whole array."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        for position, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
            is_objects = isinstance(dtype, np.dtype) and dtype.kind == "O"
            yield f"column {name!r}", X.iloc[:, position] if is_objects else dtype
    elif hasattr(X, "dtype") and not issparse(X) and not is_stored(X):
        yield "X", X
    elif isinstance(X, list | tuple):
        with suppress(ValueError):
            yield "X", np.asarray(X)


def _name_of(X: Rows, column: int) -> str:
    return repr(list(X.columns)[column]) if hasattr(X, "columns") else f"number {column}"


def _text_error(estimator: BaseEstimator, X: Rows) -> str | None:
    """Return the error about the first column with a cell that is not a number; None if none."""
    try:
        table = np.asarray(X, dtype=object)
    except (TypeError, ValueError):
        return None
    if table.ndim == 1 and len(table) and isinstance(table[0], str):
        return (
            f"{type(estimator).__name__} needs columns of numbers; X holds one text for each row. "
            "Encode them in front of the pruner, for example with "
            "sklearn.feature_extraction.text.TfidfVectorizer; PrunedClassifier takes a pipeline "
            "of both as its pruner."
        )
    for j, column in enumerate(table.T if table.ndim == 2 else ()):
        text = next((cell for cell in column if not _is_number(cell)), None)
        if text is not None:
            return (
                f"{type(estimator).__name__} needs numeric columns; column {_name_of(X, j)} holds "
                f"{text!r}. Encode such columns in front of the pruner, with "
                "sklearn_prune.data.ColumnsEncoder or sklearn.compose.ColumnTransformer; "
                "PrunedClassifier takes a pipeline of both as its pruner."
            )
    return None


def _is_number(cell: object) -> bool:
    if cell is None or isinstance(cell, Number):
        return True
    try:
        float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _check_finite(estimator: BaseEstimator, X: Rows, rows: Rows) -> None:
    cells = rows.data if issparse(rows) else rows
    with np.errstate(over="ignore", invalid="ignore"):
        if cells.dtype.kind != "f" or np.isfinite(cells.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(cells)
    if not bad.any():
        # Only the sum overflowed.
        return
    n_nan, n_bad = int(np.isnan(cells).sum()), int(bad.sum())
    if issparse(rows):
        column = int(rows.indices[bad].min())
    else:
        column = int(np.flatnonzero(bad.any(axis=(0, *range(2, bad.ndim))))[0])
    raise NotNumbersError(
        f"{type(estimator).__name__} needs finite numbers; X has {n_nan} NaN and {n_bad - n_nan} "
        f"infinity cells, the first in column {_name_of(X, column)}. Impute or drop them first, "
        "for example with sklearn.impute.SimpleImputer in front of the pruner."
    )


def check_reference_rows(estimator: BaseEstimator, X_ref: Rows) -> Rows:
    """Validate reference rows as rows with the columns of X; errors name X_ref."""
    try:
        return check_rows(estimator, X_ref, reset=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"X_ref must be rows like those of X: {error} Give X_ref the columns of X, in their "
            "order and after the same preprocessing."
        ) from error
