"""The job grid of `benchmarks.cost`: what a search over the ratio costs where ``memory=`` is given.

Adult as it is read, strings and missing values included, goes through a ColumnTransformer, an
InfluencePruner and a logistic regression. `GridSearchCV` over eight ratios and five folds is
compared with the same over one ratio, both from an empty memory: once with the pruner's own linear
network, once with a skorch network of one hidden layer. Seconds are of processor time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner, Pipeline

from .data import load_adult_frame

ONE_RATIO = (0.9,)
RATIOS = (0.2, 0.4, 0.6, 0.8, *ONE_RATIO, 0.95, 0.98, 0.99)
N_FOLDS = 5
N_EPOCHS = 20
DAMPING = 1e-3


class HiddenLayer(nn.Module):
    """One hidden layer; its width does not depend on the columns that a fold happens to have."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.LazyLinear(32), nn.Linear(32, 2)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.hidden(X)))


def encoder() -> ColumnTransformer:
    text = make_plain_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    return ColumnTransformer(
        [
            ("text", text, make_column_selector(dtype_exclude=np.number)),
            ("number", StandardScaler(), make_column_selector(dtype_include=np.number)),
        ]
    )


def network() -> NeuralNetClassifier:
    return NeuralNetClassifier(
        HiddenLayer,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        max_epochs=N_EPOCHS,
        verbose=0,
    )


def pipeline(estimator: Any = None, memory: str | None = None) -> Pipeline:
    pruner = InfluencePruner(estimator, damping=DAMPING, memory=memory, random_state=0)
    model = LogisticRegression(max_iter=1000)
    return Pipeline([("encode", encoder()), ("prune", pruner), ("model", model)])


def seconds_of_search(
    X: pd.DataFrame, y: pd.Series, estimator: Any, ratios: Sequence[float]
) -> float:
    """Return the seconds of a search over these ratios, from an empty memory."""
    with tempfile.TemporaryDirectory() as folder:
        grid = {"prune__prune_ratio": list(ratios)}
        pipe = pipeline(estimator, memory=folder)
        search = GridSearchCV(pipe, grid, cv=N_FOLDS, refit=False, error_score="raise")
        start = process_time()
        search.fit(X, y)
        return process_time() - start


def costs(data_dir: Path, subset: int | None) -> dict[str, float]:
    """Return the seconds of a search over all ratios and over one, and how often the second."""
    X, y, is_test = load_adult_frame(data_dir)
    X, y = X[~is_test][:subset], y[~is_test][:subset]
    seconds: dict[str, float] = {}
    for name, estimator in (("search, linear", None), ("search, hidden layer", network())):
        one, all_ratios = (seconds_of_search(X, y, estimator, r) for r in (ONE_RATIO, RATIOS))
        seconds |= {f"{name}, one ratio": one, f"{name}, all ratios": all_ratios}
        seconds[f"{name}, all / one"] = all_ratios / one
    return seconds
