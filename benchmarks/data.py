"""The real data sets of the benchmarks, as arrays ready for a linear head.

`load(name, data_dir)` gives a fixed split into training and test rows. Nothing that is computed
from rows (scales, categories) ever sees the test rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    import pandas as pd

DATA_DIR_VARIABLE = "SKLEARN_PRUNE_DATA"
MISSING_CATEGORY = "missing"


@dataclass(frozen=True)
class Split:
    """A data set split into training and test rows.

    X_train : float64 or float32 ndarray of shape (n_train, n_features); X_test alike.
    y_train : ndarray of shape (n_train,): integer class codes, or floats for a regression.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    @property
    def is_classification(self) -> bool:
        return self.y_train.dtype.kind in "iu"

    def subset(self, n_rows: int | None, seed: int = 0) -> Split:
        """At most `n_rows` training rows, stratified by class; the test rows stay as they are."""
        if n_rows is None or n_rows >= len(self.y_train):
            return self
        stratify = self.y_train if self.is_classification else None
        rows, _ = train_test_split(
            np.arange(len(self.y_train)), train_size=n_rows, stratify=stratify, random_state=seed
        )
        rows.sort()
        return replace(self, X_train=self.X_train[rows], y_train=self.y_train[rows])

    def inner(self, n_fitted: int, n_validated: int, seed: int) -> Split:
        """Training rows split anew: rows to fit, and rows to validate on in test rows' place."""
        n = len(self.y_train)
        fitted, validated = train_test_split(
            np.arange(n),
            train_size=n_fitted,
            test_size=min(n_validated, n - n_fitted),
            stratify=self.y_train if self.is_classification else None,
            random_state=seed,
        )
        X, y = self.X_train, self.y_train
        return Split(self.name, X[fitted], y[fitted], X[validated], y[validated])


def default_data_dir() -> Path:
    return Path(os.environ.get(DATA_DIR_VARIABLE, "../shared/data"))


def _find(data_dir: Path, filename: str) -> Path:
    path = data_dir / filename
    if not path.is_file():
        raise FileNotFoundError(
            f"{filename} is not in {data_dir}; name the folder that holds it with --data-dir "
            f"or the environment variable {DATA_DIR_VARIABLE}."
        )
    return path


def _read_csv(data_dir: Path, filename: str) -> pd.DataFrame:
    # Imported here because some benchmarks measure memory and read no table.
    import pandas as pd

    return pd.read_csv(_find(data_dir, filename))


def _one_hot_and_scaled(frame: pd.DataFrame) -> ColumnTransformer:
    """One column per category (a missing value is a category), numbers to mean 0, variance 1."""
    categorical = make_column_selector(dtype_exclude=np.number)(frame)
    numerical = [column for column in frame.columns if column not in categorical]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [("category", encoder, categorical), ("number", StandardScaler(), numerical)]
    )


def load_adult_frame(data_dir: Path) -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    """UCI Adult as it is read: rows, their income as text, and which of them are for the test."""
    frame = _read_csv(data_dir, "adult.csv.gz")
    is_test = (frame.pop("split") == "test").to_numpy()
    return frame, frame.pop("income"), is_test


def load_adult(data_dir: Path) -> Split:
    """UCI Adult: does a person earn more than 50,000 dollars? Its own split."""
    frame, income, is_test = load_adult_frame(data_dir)
    y = (income == ">50K").to_numpy().astype(np.int64)
    text = frame.select_dtypes(exclude=np.number).columns
    frame[text] = frame[text].fillna(MISSING_CATEGORY)
    encode = _one_hot_and_scaled(frame).fit(frame[~is_test])
    X_train, X_test = (encode.transform(frame[rows]) for rows in (~is_test, is_test))
    return Split("adult", X_train, y[~is_test], X_test, y[is_test])


def load_diamonds(data_dir: Path, seed: int = 0) -> Split:
    """Diamonds: the logarithm of the price; a random fifth of the rows is the test set."""
    frame = _read_csv(data_dir, "diamonds.csv.gz")
    y = np.log(frame.pop("price").to_numpy(dtype=np.float64))
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed)
    encode = _one_hot_and_scaled(frame).fit(frame.iloc[train])
    X_train, X_test = (encode.transform(frame.iloc[rows]) for rows in (train, test))
    return Split("diamonds", X_train, y[train], X_test, y[test])


def load_cifar10(data_dir: Path) -> Split:
    """k-means patch features of CIFAR-10 in 256 dimensions, float32; CIFAR-10's own split."""
    with np.load(_find(data_dir, "cifar10_embedding.npz")) as archive:
        X = archive["X"].astype(np.float32)
        y = archive["y"].astype(np.int64)
        is_test = archive["is_test"].astype(bool)
    return Split("cifar10", X[~is_test], y[~is_test], X[is_test], y[is_test])


def _load_bundled(name: str, loader: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Split:
    X, y = loader(return_X_y=True)
    classes = name != "diabetes"
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y if classes else None, random_state=0
    )
    y_train, y_test = (part.astype(np.int64 if classes else float) for part in (y_train, y_test))
    scaler = StandardScaler().fit(X_train)
    return Split(name, scaler.transform(X_train), y_train, scaler.transform(X_test), y_test)


def load(name: str, data_dir: Path) -> Split:
    """Load adult, cifar10, diamonds (files in `data_dir`), or a set that scikit-learn bundles."""
    bundled: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
        "digits": load_digits,
        "breast_cancer": load_breast_cancer,
        "diabetes": load_diabetes,
    }
    if name in bundled:
        return _load_bundled(name, bundled[name])
    files = {"adult": load_adult, "diamonds": load_diamonds, "cifar10": load_cifar10}
    if name not in files:
        raise ValueError(f"name={name!r} is not one of {sorted([*bundled, *files])}.")
    return files[name](data_dir)
