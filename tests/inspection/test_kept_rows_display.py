"""Kept and dropped rows in two coordinates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import KeptRowsDisplay

plt = pytest.importorskip("matplotlib.pyplot")


def random_half(X):
    return RandomPruner(prune_ratio=0.5, stratify=False, random_state=0).fit(X)


def test_coordinates_are_the_leading_ones_of_the_standardised_columns(iris, iris_pruner):
    X, _ = iris
    display = KeptRowsDisplay.from_estimator(iris_pruner, X)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    values, vectors = np.linalg.eigh(Z.T @ Z)
    leading = Z @ vectors[:, [-1, -2]]
    assert_allclose(np.abs(display.coordinates), np.abs(leading), atol=1e-4)
    assert_allclose(display.variance_shares, values[[-1, -2]] / values.sum(), rtol=1e-5)


def test_every_row_is_drawn_and_none_is_cut_off(iris, iris_pruner):
    display = KeptRowsDisplay.from_estimator(iris_pruner, iris[0], alpha=0.5)
    kept = iris_pruner.support_
    assert_allclose(display.scatters_["kept"].get_offsets(), display.coordinates[kept])
    assert_allclose(display.scatters_["dropped"].get_offsets(), display.coordinates[~kept])
    (low, high), (left, right) = display.ax_.get_ylim(), display.ax_.get_xlim()
    assert left < display.coordinates[:, 0].min() and display.coordinates[:, 0].max() < right
    assert low < display.coordinates[:, 1].min() and display.coordinates[:, 1].max() < high
    assert display.ax_.get_title() == "75 of 150 rows kept"
    assert display.scatters_["kept"].get_alpha() == 0.5


def test_a_raw_table_of_text_can_be_drawn():
    X = pd.DataFrame({"colour": ["red", "blue"] * 20, "size": np.arange(40.0)})
    pruner = random_half(np.zeros((40, 1)))
    axes = plt.subplots()[1]
    assert KeptRowsDisplay.from_estimator(pruner, X, ax=axes).ax_ is axes


def test_constant_columns_are_a_single_point():
    X = np.ones((10, 3))
    display = KeptRowsDisplay.from_estimator(random_half(X), X)
    assert_allclose(display.coordinates, 0)
    assert_allclose(display.variance_shares, 0)


def test_a_single_column_is_refused():
    X = np.arange(10.0)[:, None]
    with pytest.raises(ValueError, match="X has 10 of 1. Plot a histogram"):
        KeptRowsDisplay.from_estimator(random_half(X), X)


def test_what_is_not_aligned_is_refused(iris, iris_pruner):
    with pytest.raises(ValueError, match="X must have one entry for each of the 150 training rows"):
        KeptRowsDisplay.from_estimator(iris_pruner, iris[0][1:])
    with pytest.raises(TypeError, match="pruner must be a fitted pruner"):
        KeptRowsDisplay.from_estimator(None, iris[0])
