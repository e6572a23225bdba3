"""Warnings name the line of the user's code that led to them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_prune.baselines import RandomPruner
from tests.test_architecture import PACKAGE, package_files

# Whole numbers, too many to be read as classes without a word.
X, MANY = np.zeros((300, 1)), np.arange(300) // 3


def fit_alone() -> None:
    RandomPruner().fit(X, MANY)


def fit_as_last_step() -> None:
    make_pipeline(StandardScaler(), RandomPruner()).fit(X, MANY)


@pytest.mark.parametrize("fit", [fit_alone, fit_as_last_step])
def test_a_warning_names_the_users_line(fit: Callable[[], None]) -> None:
    with pytest.warns(UserWarning, match="distinct whole numbers") as caught:
        fit()
    lines, first = inspect.getsourcelines(fit)
    assert [(warning.filename, warning.lineno) for warning in caught] == [
        (__file__, first + len(lines) - 1)
    ]


def test_all_warnings_of_the_package_go_through_it() -> None:
    direct = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in package_files()
        if path != PACKAGE / "utils" / "warning.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
    ]
    assert direct == []
