"""Checks of the target y, which become class positions or float64."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from .._types import Array, Integers, Values
from ..utils import warn_user
from .containers import n_rows
from .values import as_labels, date_dtype, require_eager

Kind = Literal["classification", "regression"]
# What the user may set it to.
TargetKind = Literal["auto", "classification", "regression"]

# Distinct whole numbers from which on they may be either, and rows that classes then have each.
_MANY_VALUES, _ROWS_PER_CLASS = 20, 10


@dataclass(frozen=True)
class Target:
    """The target in numbers.

    Attributes
    ----------
    kind : {"classification", "regression"}
        Whether the values are class positions or numbers.
    values : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Positions in ``classes`` (int64) for classification, float64 for regression.
    classes : ndarray of shape (n_classes,) or None
        The labels, sorted; None for regression.
    """

    kind: Kind
    values: Array
    classes: Array | None = None


def plain(label: Any) -> Any:
    """Return a NumPy scalar as a Python one, which prints as 'a', not ``np.str_('a')``."""
    return label.item() if isinstance(label, np.generic) else label


def check_target(estimator: BaseEstimator, y: Values, n_samples: int, kind: Kind | None) -> Target:
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
        None infers it from y: see `sklearn.utils.multiclass.type_of_target`. Whole numbers with
        more than 20 distinct values get a warning that says how they are read: as a regression
        target where a value has fewer than ten rows, otherwise as classes.

    Returns
    -------
    target : Target
        The target in numbers.

    Warns
    -----
    UserWarning
        When whole numbers are taken for a regression target.

    Raises
    ------
    ValueError
        When y has the wrong length, missing values, one class, or does not fit ``kind``.
    """
    name = type(estimator).__name__
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None. "
            "Give one label or number per row."
        )
    values = target_array(estimator, y)
    if len(values) != n_samples:
        raise ValueError(
            f"y needs one value for each row of X; it has {len(values)}, and X has {n_samples} "
            "rows. Take both from the same table."
        )
    return check_distinct(values, n_samples, kind)


def check_distinct(values: Array, n_samples: int, kind: Kind | None) -> Target:
    """Turn into numbers what `target_array` returned, or the distinct values of that.

    The distinct values tell as much as all: the kind of target depends on them and on the number of
    rows.
    """
    if kind is None:
        kind = _kind_of(values, n_samples)
    return _as_classes(values) if kind == "classification" else _as_numbers(values)


def target_array(estimator: BaseEstimator, y: Values) -> Array:
    """Return y as an array of labels or numbers; ValueError if it can be neither."""
    require_eager("y", y)
    if not issparse(y):
        n_rows(y)
    values = as_labels("y", y)
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: y must be real; split it first.")
    dtype = date_dtype(values)
    if dtype is not None:
        raise ValueError(
            f"y must be labels or numbers; it has dates or durations of type {dtype}. Turn them "
            "into numbers, for example days since the first, or into text for classes."
        )
    if values.ndim == 2 and values.shape[1] == 1:
        # An estimator that takes several outputs also takes one column, without a warning.
        takes_several = get_tags(estimator).target_tags.multi_output
        values = column_or_1d(values, warn=not takes_several)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(
            f"y should be a 1d array, or 2d for several outputs, and not empty; it has shape "
            f"{values.shape}. Give one value, or one row of outputs, per row of X."
        )
    return values


def _kind_of(values: Array, n_samples: int) -> Kind:
    target_type = _type_of(values)
    if target_type.startswith("continuous"):
        return "regression"
    if target_type not in ("binary", "multiclass"):
        raise ValueError(_label_error(target_type, values))
    if values.dtype.kind in "iuf":
        n_distinct = len(np.unique(values))
        if n_distinct > _MANY_VALUES:
            kind: Kind = (
                "regression" if n_distinct > n_samples // _ROWS_PER_CLASS else "classification"
            )
            warn_user(
                f"y has {n_distinct} distinct whole numbers in {n_samples} rows and is read as "
                f"{'a regression target' if kind == 'regression' else 'classes'}; set target_kind="
                "'classification' to say that they are classes, or 'regression' that they are "
                "numbers.",
            )
            return kind
    return "classification"


def _type_of(values: Array) -> str:
    if values.dtype.kind == "S":
        # scikit-learn does not accept labels in bytes.
        values = np.unique(values, return_inverse=True)[1]
    # type_of_target casts to integers, which may overflow.
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # The warning above replaces scikit-learn's about many classes.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return str(type_of_target(values))
        except TypeError as error:
            raise ValueError(_label_error("labels of different types", values)) from error


def _label_error(target_type: str, values: Array) -> str:
    return (
        f"Unknown label type: {target_type} (dtype {values.dtype}, shape {values.shape}). Classes "
        "must be one column of strings, integers or booleans (y.astype(int) or y.astype(str) "
        "makes them so); for numbers or several outputs set target_kind='regression', or give a "
        "model for them, such as Ridge or a NeuralNetRegressor."
    )


def _as_classes(values: Array) -> Target:
    target_type = _type_of(values)
    if target_type not in ("binary", "multiclass"):
        raise ValueError(_label_error(target_type, values))
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"Classification needs at least two classes; y has one class, {plain(classes[0])!r}. "
            "Add rows of another class; where y is a number to predict, set "
            "target_kind='regression', or give a model for numbers, such as Ridge."
        )
    return Target("classification", codes.astype(np.int64), classes)


def _as_numbers(values: Array) -> Target:
    try:
        return Target("regression", values.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"A regression target must be numeric; y has dtype {values.dtype} and its first value "
            f"is {plain(values.flat[0])!r}. For labels set target_kind='classification', or give a "
            "model for them, such as LogisticRegression or a NeuralNetClassifier."
        ) from error


def check_reference_target(
    estimator: BaseEstimator,
    y_ref: Values,
    n_samples: int,
    y: Array,
    classes: Array | None,
) -> Array:
    """Return y_ref as positions in the classes of y, or as float64 numbers.

    Parameters
    ----------
    estimator : estimator
        Named in errors.
    y_ref : array-like of shape (n_reference,) or (n_reference, n_outputs)
        The reference rows' target, as the user gave it.
    n_samples : int
        Number of reference rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The training rows' target, checked.
    classes : ndarray of shape (n_classes,) or None
        The labels of y; None where it holds numbers.

    Returns
    -------
    target : ndarray of shape (n_reference,) or (n_reference, n_outputs)
        Class positions (int64) or numbers (float64).

    Raises
    ------
    ValueError
        When y_ref is not a target like y, or lacks a class of y.
    """
    try:
        values = target_array(estimator, y_ref)
        if len(values) != n_samples:
            raise ValueError(
                f"it has {len(values)} values, and X_ref has {n_samples} rows. Give one value for "
                "each of them."
            )
        if classes is None:
            numbers = _as_numbers(values).values
            if numbers.shape[1:] != y.shape[1:]:
                raise ValueError(
                    f"it has shape {numbers.shape}, and y has shape {y.shape}. Give as many "
                    "outputs as y has."
                )
            return numbers
        codes = codes_in(values, classes)
    except ValueError as error:
        raise ValueError(f"y_ref must be the target of the rows of X_ref: {error}") from error
    absent = np.setdiff1d(np.arange(len(classes)), codes)
    if absent.size:
        raise ValueError(
            "y_ref must hold every class of y, since the last layer fitted on reference rows knows "
            f"only their classes; among its {n_samples} rows there is none of "
            f"{_listed(classes[absent])}. Add one of each, or leave these classes out of X and y."
        )
    return codes


def codes_in(values: Array, classes: Array) -> Integers:
    """Return the position of each label among the classes."""
    position = {plain(label): code for code, label in enumerate(classes)}
    labels = values.ravel().tolist()
    unknown = [label for label in labels if label not in position]
    if values.ndim != 1 or unknown:
        raise ValueError(
            f"it has shape {values.shape} and {len(unknown)} labels that y does not have"
            + (f", such as {unknown[0]!r}" if unknown else "")
            + f"; y has {_listed(classes)}. Give one of these labels per row."
        )
    return np.array([position[label] for label in labels], dtype=np.int64)


def _listed(labels: Array) -> str:
    shown = ", ".join(repr(plain(label)) for label in labels[:10])
    return shown + (", ..." if len(labels) > 10 else "")
