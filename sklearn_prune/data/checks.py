"""What may come in: rows, targets and weights, each with an error that says what to do."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from numbers import Number
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d, validate_data
from torch.utils.data import Dataset

from .containers import CHUNK_CELLS, Identity, StoredRows, check_dataset, is_dict, is_stored, n_rows
from .values import as_labels, as_numbers, date_dtype, masked_as_nan, require_eager

Kind = Literal["classification", "regression"]
# What the user may say of it.
TargetKind = Literal["auto", "classification", "regression"]


@dataclass(frozen=True)
class Target:
    """The target in numbers.

    Attributes
    ----------
    kind : {"classification", "regression"}
        What the numbers mean.
    values : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Positions in ``classes`` (int64) for classification, float64 for regression.
    classes : ndarray of shape (n_classes,) or None
        The labels, sorted; None for regression.
    """

    kind: Kind
    values: NDArray[Any]
    classes: NDArray[Any] | None = None


def plain(label: Any) -> Any:
    """Return a label as Python prints it: 'a', not ``np.str_('a')``."""
    return label.item() if isinstance(label, np.generic) else label


def check_rows(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """Validate X for ``estimator``, which gets ``n_features_in_`` if ``reset``.

    What is accepted is what the estimator's tags say: sparse or not, missing values or not,
    more than two dimensions or not.

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
        Numeric. Shares memory with X where its type allows. Columns are counted and named where X
        is neither a dict nor a `torch.utils.data.Dataset`.

    Raises
    ------
    ValueError
        When X has cells that are no numbers, missing or infinite, or a wrong shape.
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
        raise ValueError(message) from error
    if rows.dtype == object:
        # scikit-learn converts objects, except those of a polars frame.
        message = _text_error(estimator, X)
        if message is not None:
            raise ValueError(message)
        rows = rows.astype(np.float64)
    if rows.dtype.kind not in "biuf":
        raise ValueError(
            f"{type(estimator).__name__} needs numeric columns; X has dtype {rows.dtype}. Encode "
            "it first, for example with sklearn.compose.ColumnTransformer."
        )
    if not tags.allow_nan:
        _check_finite(estimator, X, rows)
    return rows


def _check_stored(estimator: BaseEstimator, X: Any, *, reset: bool) -> StoredRows:
    """Validate an array on disk: all of it piece by piece, and its first rows as any rows."""
    rows = StoredRows(X)
    _check_pieces(estimator, rows)
    check_rows(estimator, rows[:2], reset=reset)
    return rows


def _check_pieces(estimator: BaseEstimator, rows: Any, name: str = "X") -> None:
    if rows.dtype.kind not in "biuf":
        raise ValueError(
            f"{type(estimator).__name__} needs numbers; {name} has dtype {rows.dtype}. Encode it "
            "first."
        )
    if get_tags(estimator).input_tags.allow_nan or rows.dtype.kind != "f":
        return
    step = max(1, CHUNK_CELLS // max(1, int(np.prod(rows.shape[1:]))))
    for start in range(0, len(rows), step):
        bad = ~np.isfinite(rows[start : start + step])
        if bad.any():
            row = start + int(np.argwhere(bad)[0, 0])
            raise ValueError(
                f"{type(estimator).__name__} needs finite numbers; {name} has NaN or infinity, the "
                f"first in row {row}. Impute or drop such rows first."
            )


def _check_dict(estimator: BaseEstimator, X: Mapping[str, Any], *, reset: bool) -> dict[str, Any]:
    """Validate a dict of arrays, whose rows belong together."""
    rows = {}
    for name, value in X.items():
        require_eager(f"X[{name!r}]", value)
        value = tensor_values(value) if isinstance(value, torch.Tensor) else masked_as_nan(value)
        rows[name] = StoredRows(value) if is_stored(value) else np.asarray(value)
        if not rows[name].shape:
            raise ValueError(f"X[{name!r}] is one {type(value).__name__}; give one value a row.")
        _check_pieces(estimator, rows[name], f"X[{name!r}]")
    n_samples = n_rows(rows)
    if n_samples < 1 + reset:
        raise ValueError(
            f"X has {n_samples} sample(s), and at least {1 + reset} are required; give more rows."
        )
    return rows


def tensor_values(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a tensor's values as an array, those of types that numpy lacks as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def refuse_dates(owner: str, X: Any) -> None:
    """Raise ValueError where a table has dates or durations, which become numbers in silence.

    Parameters
    ----------
    owner : str
        Who needs numbers.
    X : array-like
        A data frame of any kind, an array, or a list of rows.
    """
    for where, column in _columns(X):
        dtype = date_dtype(column)
        if dtype is not None:
            raise ValueError(
                f"{owner} needs numeric columns; {where} has dtype {dtype}. Say what dates and "
                "durations count, for example days since the first, or encode them with "
                "sklearn.compose.ColumnTransformer."
            )


def _columns(X: Any) -> Iterator[tuple[str, Any]]:
    """Yield what may hold dates, each with its name: the columns of a frame, or all of an array."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        for position, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
            is_objects = isinstance(dtype, np.dtype) and dtype.kind == "O"
            yield f"column {name!r}", X.iloc[:, position] if is_objects else dtype
    elif hasattr(X, "dtype") and not issparse(X) and not is_stored(X):
        yield "X", X
    elif isinstance(X, list | tuple):
        with suppress(ValueError):
            yield "X", np.asarray(X)


def _column_names(X: Any) -> list[Any] | None:
    return list(X.columns) if hasattr(X, "columns") else None


def _text_error(estimator: BaseEstimator, X: Any) -> str | None:
    """Return what to do about the first column with a cell that is no number; None without."""
    try:
        table = np.asarray(X, dtype=object)
    except (TypeError, ValueError):
        return None
    for j, column in enumerate(table.T if table.ndim == 2 else ()):
        text = next((cell for cell in column if not _is_number(cell)), None)
        if text is not None:
            names = _column_names(X)
            name = f"number {j}" if names is None else repr(names[j])
            return (
                f"{type(estimator).__name__} needs numeric columns; column {name} holds {text!r}. "
                "Encode such columns first: sklearn.compose.ColumnTransformer with OneHotEncoder "
                "for text, in front of the pruner."
            )
    return None


def _is_number(cell: Any) -> bool:
    if cell is None or isinstance(cell, Number):
        return True
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _check_finite(estimator: BaseEstimator, X: Any, rows: Any) -> None:
    cells = rows.data if issparse(rows) else rows
    with np.errstate(over="ignore", invalid="ignore"):
        if cells.dtype.kind != "f" or np.isfinite(cells.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(cells)
    if not bad.any():
        # The sum overflowed, the cells are fine.
        return
    n_nan, n_bad = int(np.isnan(cells).sum()), int(bad.sum())
    if issparse(rows):
        column = int(rows.indices[bad].min())
    else:
        column = int(np.flatnonzero(bad.any(axis=(0, *range(2, bad.ndim))))[0])
    names = _column_names(X)
    where = f"number {column}" if names is None else repr(names[column])
    raise ValueError(
        f"{type(estimator).__name__} needs finite numbers; X has {n_nan} NaN and {n_bad - n_nan} "
        f"infinity cells, the first in column {where}. Impute or drop them first, for example with "
        "sklearn.impute.SimpleImputer in front of the pruner."
    )


def check_target(estimator: BaseEstimator, y: Any, n_samples: int, kind: Kind | None) -> Target:
    """Turn y into numbers.

    Parameters
    ----------
    estimator : estimator
        Named in errors.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels or numbers.
    n_samples : int
        Rows of X.
    kind : {"classification", "regression"} or None
        None lets y decide: see `sklearn.utils.multiclass.type_of_target`. Whole numbers with
        more than 20 distinct values and fewer than ten rows a value are then read as a
        regression target, with a warning.

    Raises
    ------
    ValueError
        When y has the wrong length, missing values, one class, or does not fit ``kind``.
    """
    name = type(estimator).__name__
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None. "
            "Give one label or number a row."
        )
    values = _as_target_array(estimator, y)
    if len(values) != n_samples:
        raise ValueError(
            f"y needs one value a row; it has {len(values)} and X has {n_samples} rows. Cut both "
            "from the same table."
        )
    if kind is None:
        kind = _kind_of(values)
    return _as_classes(values) if kind == "classification" else _as_numbers(values)


def _as_target_array(estimator: BaseEstimator, y: Any) -> NDArray[Any]:
    require_eager("y", y)
    if not issparse(y):
        n_rows(y)
    values = as_labels("y", y)
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: y must be real; split it first.")
    dtype = date_dtype(values)
    if dtype is not None:
        raise ValueError(
            f"y must be labels or numbers; it has dates or durations of type {dtype}. Say what "
            "they count, for example days since the first, or write them as text for classes."
        )
    if values.ndim == 2 and values.shape[1] == 1:
        # One column is one of several to whoever takes several.
        takes_several = get_tags(estimator).target_tags.multi_output
        values = column_or_1d(values, warn=not takes_several)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(
            f"y should be a 1d array, or 2d for several outputs; it has shape {values.shape}."
        )
    return values


def _kind_of(values: NDArray[Any]) -> Kind:
    target_type = _type_of(values)
    if target_type.startswith("continuous"):
        return "regression"
    if target_type not in ("binary", "multiclass"):
        raise ValueError(_label_error(target_type, values))
    if values.dtype.kind in "iuf":
        n_distinct = len(np.unique(values))
        if n_distinct > max(20, len(values) // 10):
            warnings.warn(
                f"y has {n_distinct} distinct whole numbers in {len(values)} rows and is read as "
                "a regression target; set target_kind='classification' to read them as classes, or "
                "'regression' to say that they are numbers.",
                UserWarning,
                stacklevel=2,
            )
            return "regression"
    return "classification"


def _type_of(values: NDArray[Any]) -> str:
    if values.dtype.kind == "S":
        # scikit-learn knows no labels in bytes.
        values = np.unique(values, return_inverse=True)[1]
    # It casts to integers what may not fit.
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # scikit-learn's warning about many classes is replaced by the one above.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return str(type_of_target(values))
        except TypeError as error:
            raise ValueError(_label_error("labels of different types", values)) from error


def _label_error(target_type: str, values: NDArray[Any]) -> str:
    return (
        f"Unknown label type: {target_type} (dtype {values.dtype}, shape {values.shape}). Classes "
        "must be one column of strings, integers or booleans (y.astype(int) or y.astype(str) "
        "makes them so); for numbers or several outputs give a NeuralNetRegressor."
    )


def _as_classes(values: NDArray[Any]) -> Target:
    target_type = _type_of(values)
    if target_type not in ("binary", "multiclass"):
        raise ValueError(_label_error(target_type, values))
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"Classification needs at least two classes; y has one class, {plain(classes[0])!r}. "
            "Add rows of another class; where y is a number to predict, set "
            "target_kind='regression' or give a NeuralNetRegressor."
        )
    return Target("classification", codes.astype(np.int64), classes)


def _as_numbers(values: NDArray[Any]) -> Target:
    try:
        return Target("regression", values.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"A regression target must be numeric; y has dtype {values.dtype} and its first value "
            f"is {plain(values.flat[0])!r}. For labels give a NeuralNetClassifier."
        ) from error


def check_reference_rows(estimator: BaseEstimator, X_ref: Any) -> Any:
    """Validate reference rows as rows of the X that ``estimator`` has seen; errors name X_ref."""
    try:
        return check_rows(estimator, X_ref, reset=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"X_ref must be rows like those of X: {error} Give X_ref the columns of X, in their "
            "order and after the same preprocessing."
        ) from error


def check_reference_target(
    estimator: BaseEstimator,
    y_ref: Any,
    n_samples: int,
    y: NDArray[Any],
    classes: NDArray[Any] | None,
) -> NDArray[Any]:
    """Return the reference rows' target as positions in the classes of y, or as float64.

    Parameters
    ----------
    estimator : estimator
        Named in errors.
    y_ref : array-like of shape (n_reference,) or (n_reference, n_outputs)
        As it was given.
    n_samples : int
        Reference rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The training rows' target, checked.
    classes : ndarray of shape (n_classes,) or None
        The labels of y; None where it holds numbers.

    Raises
    ------
    ValueError
        When it is no target like y, or lacks a class of it.
    """
    try:
        values = _as_target_array(estimator, y_ref)
        if len(values) != n_samples:
            raise ValueError(f"it has {len(values)} values, and X_ref has {n_samples} rows.")
        if classes is None:
            numbers = _as_numbers(values).values
            if numbers.shape[1:] != y.shape[1:]:
                raise ValueError(f"it has shape {numbers.shape}, and y has shape {y.shape}.")
            return numbers
        codes = _codes_in(values, classes)
    except ValueError as error:
        raise ValueError(f"y_ref must be the target of the rows of X_ref: {error}") from error
    absent = np.setdiff1d(np.arange(len(classes)), codes)
    if absent.size:
        raise ValueError(
            "y_ref must hold every class of y, since the head of the reference rows knows no "
            f"other; among its {n_samples} rows there is none of {_listed(classes[absent])}. Add "
            "one, or leave these classes out of X and y."
        )
    return codes


def _codes_in(values: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of each label among the classes."""
    position = {plain(label): code for code, label in enumerate(classes)}
    labels = values.ravel().tolist()
    unknown = [label for label in labels if label not in position]
    if values.ndim != 1 or unknown:
        raise ValueError(
            f"it has shape {values.shape} and {len(unknown)} labels that are none of y"
            + (f", such as {unknown[0]!r}" if unknown else "")
            + f"; y has {_listed(classes)}. Give one label of these a row."
        )
    return np.array([position[label] for label in labels], dtype=np.int64)


def _listed(labels: NDArray[Any]) -> str:
    shown = ", ".join(repr(plain(label)) for label in labels[:10])
    return shown + (", ..." if len(labels) > 10 else "")


def check_weights(sample_weight: Any, n_samples: int) -> NDArray[np.float64] | None:
    """Return the weights as float64 of shape (n_samples,), or None where none are given.

    What counts is how they compare, so that their mean is made 1: sums of any others may leave the
    range of the numbers that they meet.

    Raises
    ------
    ValueError
        When they are of the wrong shape, negative, not finite, or all zero.
    """
    if sample_weight is None:
        return None
    weights = as_numbers("sample_weight", sample_weight, n_samples)
    bad = weights < 0
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"sample_weight must be finite and >= 0; {int(bad.sum())} are not, the first is "
            f"{weights[row]} in row {row}. Drop those rows or give them weight 0."
        )
    if not weights.any():
        raise ValueError(
            f"sample_weight must have a positive entry; all {n_samples} weights are zero. Leave "
            "it out to weigh all rows alike."
        )
    weights = weights / weights.max()
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def fingerprint(rows: Any) -> str | Identity:
    """Return a digest of values, order and shape, alike for every container.

    Cells are compared as float64, so rows held as float32, as integers or as a sparse matrix
    have the digest of the same numbers in a float64 array.

    Parameters
    ----------
    rows : ndarray, csr_array or StoredRows of shape (n_samples, n_features, ...), dict or Dataset
        Validated numbers, as `check_rows` returns them. A dataset, which may draw its rows anew
        each time, is known by being the same object.
    """
    if isinstance(rows, Dataset):
        return Identity(rows)
    if isinstance(rows, Mapping):
        parts = repr([(name, fingerprint(rows[name])) for name in sorted(rows)])
        return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()
    digest = hashlib.blake2b(repr(tuple(rows.shape)).encode(), digest_size=16)
    for block in _blocks(rows):
        if not issparse(block) and np.count_nonzero(block) == block.size:
            # What csr_array(block).data would be, without the copies.
            values = np.ascontiguousarray(block)
        else:
            sparse = csr_array(block)
            sparse.sum_duplicates()
            sparse.eliminate_zeros()
            values = sparse.data
            if sparse.nnz < block.shape[0] * block.shape[1]:
                digest.update(sparse.indptr.astype(np.int64))
                digest.update(sparse.indices.astype(np.int64))
        digest.update(values.data if values.size else b"")
    return digest.hexdigest()


def _blocks(rows: Any) -> Iterator[Any]:
    """Yield float64 pieces of a few rows each; where they end depends on the shape alone."""
    step = max(1, CHUNK_CELLS // max(1, int(np.prod(rows.shape[1:]))))
    for start in range(0, rows.shape[0], step):
        block = rows[start : start + step]
        yield (block if issparse(rows) else block.reshape(len(block), -1)).astype(np.float64)
