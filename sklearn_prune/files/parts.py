"""The parts of a table: what the pruner reads, and what comes with each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._types import Array, Mask
from .errors import FileError

if TYPE_CHECKING:
    from pandas import DataFrame, Series


@dataclass(frozen=True)
class Parts:
    """A table taken apart.

    Attributes
    ----------
    X : DataFrame of shape (n_samples, n_features)
        What the pruner may read: all columns but target and weight.
    y : Series of shape (n_samples,)
        The target.
    groups : Series or None
        A group for each row; X holds the column too.
    weight : Series or None
        A weight for each row.
    must_keep : ndarray of shape (n_samples,) or None
        True where a row is kept in any case.
    """

    X: DataFrame
    y: Series
    groups: Series | None
    weight: Series | None
    must_keep: Mask | None


def take_apart(
    name: str,
    frame: DataFrame,
    target: str,
    groups: str | None = None,
    weight: str | None = None,
    keep_query: str | None = None,
) -> Parts:
    """Find target, groups, weights and rows to keep among the columns.

    Parameters
    ----------
    name : str
        Of the file, for errors.
    frame : DataFrame of shape (n_samples, n_columns)
        The table.
    target, groups, weight : str
        Names of columns.
    keep_query : str, default=None
        What :meth:`pandas.DataFrame.eval` makes a mask of.

    Raises
    ------
    FileError
        If a column is missing or has no value in a row, or the query makes no mask.
    """
    given = {"--target": target, "--groups": groups, "--weight": weight}
    of_rows = {
        option: _complete_column(name, frame, option, column)
        for option, column in given.items()
        if column is not None
    }
    if weight == target:
        raise FileError(f"--weight must be another column than --target; both are {target!r}.")
    X = frame.drop(columns=[column for column in (target, weight) if column is not None])
    if not X.shape[1]:
        raise FileError(f"{name} has no column beside {target!r}; a pruner needs some to read.")
    must_keep = None if keep_query is None else _rows_that(frame, keep_query)
    return Parts(
        X, of_rows["--target"], of_rows.get("--groups"), of_rows.get("--weight"), must_keep
    )


def columns_like(name: str, frame: DataFrame, like: DataFrame) -> DataFrame:
    """Return the columns of ``frame`` that ``like`` has, in its order."""
    absent = [column for column in like.columns if column not in frame.columns]
    if absent:
        raise FileError(f"{name} needs every column that is pruned by; {absent[0]!r} is missing.")
    return frame[list(like.columns)]


def _complete_column(name: str, frame: DataFrame, option: str, column: str) -> Series:
    if column not in frame.columns:
        raise FileError(
            f"{option} must be a column of {name}; {column!r} is none of {_listed(frame.columns)}."
        )
    values = frame[column]
    missing = np.asarray(values.isna())
    if missing.any():
        raise FileError(
            f"{option} must have a value in every row of {name}; {int(missing.sum())} of "
            f"{len(frame)} rows have no {column!r}, the first is row {int(np.argmax(missing))}, "
            "counted from 0. Drop or fill them."
        )
    return values


def _rows_that(frame: DataFrame, query: str) -> Mask:
    try:
        answer = frame.eval(query)
    # pandas evaluates any expression, which can raise anything.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise FileError(
            f"--keep-query {query!r} cannot be evaluated ({reason}). Write it as for "
            "pandas.DataFrame.query: \"age > 60 and sex == 'Female'\"."
        ) from error
    mask: Array = np.asarray(answer)
    # A comparison of nullable columns is missing where a cell is; such rows may go.
    if mask.shape == (len(frame),) and mask.dtype == object and hasattr(answer, "fillna"):
        mask = np.asarray(answer.fillna(False))
        mask = mask.astype(bool) if set(mask.tolist()) <= {True, False} else mask
    if mask.shape != (len(frame),) or mask.dtype != bool:
        raise FileError(
            f"--keep-query {query!r} must be true or false for each row; it is {mask.dtype} of "
            f'shape {mask.shape}. Compare with something: "age > 60".'
        )
    return mask


def _listed(columns: Array) -> str:
    shown = ", ".join(repr(column) for column in columns[:10])
    return shown + (", ..." if len(columns) > 10 else "")
