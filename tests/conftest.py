"""Data, networks and fitted pruners that several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from sklearn.datasets import load_iris
from skorch import NeuralNet, NeuralNetClassifier

from sklearn_prune import InfluencePruner
from sklearn_prune.base import BasePruner

# CI draws the same examples each time, so that a red run can be repeated; other runs draw new ones.
# There is no deadline, as a busy machine must not fail a test.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


class ThirdOut(BasePruner):
    """Drops every third row."""

    def __init__(self, first: int = 2) -> None:
        self.first = first

    def _select_rows(self, X: Any, y: Any, *, fail: BaseException | None = None) -> Any:
        self.note_ = "set by the hook"
        if fail is not None:
            raise fail
        return np.arange(X.shape[0]) % 3 != self.first


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt, which a shell makes its background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def third_out() -> ThirdOut:
    return ThirdOut()


@pytest.fixture(scope="session")
def iris() -> tuple[np.ndarray, np.ndarray]:
    return load_iris(return_X_y=True)


@pytest.fixture(scope="session")
def iris_pruner(iris: tuple[np.ndarray, np.ndarray]) -> InfluencePruner:
    """A pruner fitted once; tests may select from it but not change it."""
    return InfluencePruner(prune_ratio=0.5, damping=1e-2, random_state=0).fit(*iris)


@pytest.fixture
def make_net() -> Callable[..., NeuralNetClassifier]:
    def make(n_inputs: int = 4, n_outputs: int = 3, **options: Any) -> NeuralNetClassifier:
        class Mlp(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.hidden = torch.nn.Linear(n_inputs, 5)
                self.dropout = torch.nn.Dropout(0.2)
                self.head = torch.nn.Linear(5, n_outputs)

            def forward(self, X: torch.Tensor) -> torch.Tensor:
                return self.head(self.dropout(torch.tanh(self.hidden(X))))

        settings = {
            "criterion": torch.nn.CrossEntropyLoss,
            "max_epochs": 3,
            "lr": 0.1,
            "verbose": 0,
        }
        return NeuralNetClassifier(Mlp, **{**settings, **options})

    return make


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting to train any network, the default one included, is an error."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(NeuralNet, "initialize", refuse)
