"""ColumnsEncoder: any table as numbers, for a pruner alone."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from numbers import Integral
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from .._compat import Interval, fit_context
from .._types import Array, Floats, Integers, Rows
from .columns import DATE_PARTS, as_float, as_text, column_kind, date_parts, table_columns

# With fewer rows per value, text identifies rows but says nothing about them.
_LEAST_ROWS_A_VALUE = 2


class ColumnsEncoder(TransformerMixin, BaseEstimator):
    """Encode a table of any column types as numbers, so that a pruner can read it.

    The model that is trained on the rows kept may read the table as it is; this encoding is for the
    pruner alone. `PrunedClassifier`, `PrunedRegressor` and others use it for a table that is not of
    numbers. It is made of scikit-learn's parts:

    - numbers, booleans and durations: a median for what is missing with a column that says where
      (`SimpleImputer`), then `StandardScaler`;
    - dates and times, ISO 8601 text included: days since 1970, month, weekday and hour, then as
      numbers;
    - categories and text of few values: `OneHotEncoder`; "missing" is a value of its own;
    - categories and text of more than ``max_categories`` values: the most frequent ones as above,
      the others together, and beside them the value's rank by frequency, scaled;
    - text with fewer than two rows per value is not informative, and is left out.

    Parameters
    ----------
    max_categories : int, default=20
        Columns that a column of categories becomes at most, its rank aside.

    Attributes
    ----------
    kinds_ : dict
        From the name of each column (its position, if it has none) to "number", "moment",
        "category" or "left out".
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names. Only if all names are strings.

    Raises
    ------
    ValueError
        If no column is informative, or if a column's cells change their kind after `fit`.

    Examples
    --------
    >>> from sklearn_prune.data import ColumnsEncoder
    >>> X = [["red", 1.0], ["blue", None], ["red", 3.0], ["blue", 2.0]]
    >>> encoder = ColumnsEncoder().fit(X)
    >>> list(encoder.get_feature_names_out())
    ['column 1', 'column 1 is missing', 'column 0 = blue', 'column 0 = red']
    >>> encoder.transform(X).shape
    (4, 4)
    """

    _parameter_constraints = {"max_categories": [Interval(Integral, 2, None, closed="left")]}

    kinds_: dict[Hashable, str]

    def __init__(self, max_categories: int = 20) -> None:
        self.max_categories = max_categories

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Rows, y: object = None) -> Self:
        """Learn what each column holds, its categories, medians and scales.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_features)
            A table.
        y : None
            Not read.

        Returns
        -------
        self : ColumnsEncoder
            Fitted.
        """
        self.fit_transform(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Rows, y: object = None) -> Floats:
        """Fit to X and encode it, which reads the columns once.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_features)
            A table.
        y : None
            Not read.

        Returns
        -------
        encoded : ndarray of shape (n_samples, n_encoded), float32
            As `transform` returns it.
        """
        columns = table_columns(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        self.kinds_, self._categories_, blocks = {}, {}, []
        for name, column in columns.items():
            kind: str = column_kind(column)
            if kind == "category":
                text = as_text(column)
                if self._is_uninformative(text):
                    kind = "left out"
                else:
                    self._categories_[name] = _Categories(text, self.max_categories)
                    blocks.append(self._categories_[name].encode(text))
            self.kinds_[name] = kind
        self._numbers_ = None
        numbers = self._number_block(columns)
        if numbers is not None:
            imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
            self._numbers_ = make_pipeline(imputer, StandardScaler())
            blocks.insert(0, np.asarray(self._numbers_.fit_transform(numbers)))
        if not blocks:
            raise ValueError(
                f"X has no informative column: in each of its {len(columns)} columns, text values "
                "hardly ever repeat. Give columns of numbers, dates or categories."
            )
        return np.concatenate(blocks, axis=1, dtype=np.float32)

    def transform(self, X: Rows) -> Floats:
        """Encode rows as those of `fit`.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_features)
            A table with the columns of `fit`, in their order.

        Returns
        -------
        encoded : ndarray of shape (n_samples, n_encoded), float32
            Finite numbers: those of numbers and dates, then those of each column of categories. A
            category that `fit` did not see counts with the rare ones, or as none.
        """
        check_is_fitted(self)
        validate_data(self, X, reset=False, skip_check_array=True)
        columns = dict(zip(self.kinds_, table_columns(X).values(), strict=True))
        encoded = []
        if self._numbers_ is not None:
            encoded.append(self._numbers_.transform(self._number_block(columns)))
        for name, categories in self._categories_.items():
            encoded.append(categories.encode(as_text(columns[name])))
        return np.concatenate(encoded, axis=1, dtype=np.float32)

    def _is_uninformative(self, text: list[str]) -> bool:
        n_values = len(set(text))
        return n_values > max(self.max_categories, len(text) // _LEAST_ROWS_A_VALUE)

    def _number_block(self, columns: dict[Hashable, Rows]) -> Floats | None:
        """Return numbers and parts of dates side by side; None if there are none."""
        parts = [
            date_parts(name, columns[name]) if kind == "moment" else as_float(name, columns[name])
            for name, kind in self.kinds_.items()
            if kind in ("number", "moment")
        ]
        return np.column_stack(parts) if parts else None

    def get_feature_names_out(self, input_features: object = None) -> Array:
        """Return the names of the encoded columns.

        Parameters
        ----------
        input_features : None
            Not read.

        Returns
        -------
        names : ndarray of str objects of shape (n_encoded,)
            Such as "age", "age is missing", "colour = red" and "born: month".
        """
        return np.array([name for _, name in self._named()], dtype=object)

    def source_columns(self) -> list[Hashable]:
        """Return, for each encoded column, the name of the column that it encodes."""
        return [source for source, _ in self._named()]

    def _named(self) -> list[tuple[Hashable, str]]:
        """Return the source and the name of each encoded column."""
        check_is_fitted(self)
        numbers = [
            (source, f"{_shown(source)}{part}")
            for source, kind in self.kinds_.items()
            if kind in ("number", "moment")
            for part in ([f": {unit}" for unit in DATE_PARTS] if kind == "moment" else [""])
        ]
        missing = [] if self._numbers_ is None else self._numbers_[0].indicator_.features_
        return [
            *numbers,
            *[(numbers[i][0], f"{_shown(numbers[i][0])} is missing") for i in missing],
            *[
                (source, name)
                for source, categories in self._categories_.items()
                for name in categories.names(_shown(source))
            ],
        ]

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: text, categories and missing values are fine."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = tags.input_tags.allow_nan = True
        return tags


class _Categories:
    """One-hot columns of a column of text, and beyond their limit the value's rank by frequency.

    Parameters
    ----------
    text : list of str of length n_samples
        The column.
    max_categories : int
        One-hot columns at most.
    """

    def __init__(self, text: list[str], max_categories: int) -> None:
        self.values = sorted(set(text))
        # Encoding integers takes a tenth of the time.
        self._codes = {value: code for code, value in enumerate(self.values)}
        codes = self._coded(text)
        self.one_hot = OneHotEncoder(
            max_categories=max_categories,
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
            dtype=np.float32,
        ).fit(codes)
        self.rank_scaler = None
        if len(self.values) > max_categories:
            counts = np.bincount(codes[:, 0])
            # A value that is unknown, of code -1, comes last.
            self._ranks = np.full(len(counts) + 1, len(counts))
            self._ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
            self.rank_scaler = StandardScaler().fit(self._ranks[codes])

    def _coded(self, text: list[str]) -> Integers:
        """Return the position of each text among the values, -1 if unknown; (n_samples, 1)."""
        codes = [self._codes.get(value, -1) for value in text]
        return np.array(codes, dtype=np.int64)[:, np.newaxis]

    def encode(self, text: list[str]) -> Floats:
        """Return the encoded column, of shape (n_samples, n_encoded)."""
        codes = self._coded(text)
        with warnings.catch_warnings():
            # ColumnsEncoder says what an unknown category counts as.
            warnings.simplefilter("ignore", UserWarning)
            one_hot: Floats = self.one_hot.transform(codes)
        if self.rank_scaler is None:
            return one_hot
        return np.hstack([one_hot, self.rank_scaler.transform(self._ranks[codes])])

    def names(self, source: str) -> list[str]:
        """Return the names of the encoded columns."""
        infrequent = self.one_hot.infrequent_categories_[0]
        rare = set() if infrequent is None else set(infrequent.tolist())
        shown = [value for code, value in enumerate(self.values) if code not in rare]
        names = [f"{source} = {value}" for value in shown]
        names += [f"{source} = (any other)"] if rare else []
        return names if self.rank_scaler is None else [*names, f"{source}: rank by frequency"]


def _shown(source: Hashable) -> str:
    return source if isinstance(source, str) else f"column {source}"
