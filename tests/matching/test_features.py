"""Stored, sparse and scaled features against dense float64 arrays, made map by map."""

import numpy as np
import pytest
from scipy.sparse import csr_array, issparse

from sklearn_prune.matching import Table, features
from sklearn_prune.matching.feature_maps import (
    FourierFeatures,
    LeafIndicators,
    WhitenedKernelColumns,
)
from sklearn_prune.matching.features import Features, TableFeatures


def some_table(n_rows=60, n_columns=3):
    X = np.random.default_rng(0).standard_normal((n_rows, n_columns))
    return Table([X], np.ones(n_rows)), X


def some_features(n_rows=20):
    rng = np.random.default_rng(1)
    sparse = (rng.random((n_rows, 4)) < 0.3).astype(np.float32)
    made = Features(
        rng.standard_normal((n_rows, 3)).astype(np.float32),
        csr_array(sparse),
        rng.random(4).astype(np.float32),
    )
    return made, np.hstack([made.dense, sparse - made.offset]).astype(np.float64)


def test_every_product_is_that_of_the_dense_matrix():
    made, F = some_features()
    rng = np.random.default_rng(2)
    V, W = rng.standard_normal((7, 2)), rng.standard_normal((20, 5)).astype(np.float32)
    np.testing.assert_allclose(made.toarray(), F, atol=1e-6)
    np.testing.assert_allclose(made @ V, F @ V, atol=1e-5)
    np.testing.assert_allclose(made.sums(W), W.T @ F, atol=1e-5)
    np.testing.assert_allclose(made.squared_norms(), (F**2).sum(axis=1), atol=1e-5)
    for rows in (slice(3, 9), np.array([7, 0, 7])):
        np.testing.assert_allclose(made[rows].toarray(), F[rows], atol=1e-6)


def test_column_squares_are_sums_over_the_rows():
    made, _ = some_features()
    made, weight = Features(made.dense, made.sparse, np.zeros(4)), np.arange(20.0)
    squares = weight @ made.toarray().astype(np.float64) ** 2
    np.testing.assert_allclose(made.column_squares(weight), squares, rtol=1e-5)


def test_squares_of_many_equal_sparse_numbers_are_not_rounded_in_float32():
    ones, weight = np.ones((4096, 1), dtype=np.float32), np.full(4096, 0.1, dtype=np.float32)
    made = Features(ones, csr_array(ones), np.zeros(1))
    np.testing.assert_allclose(made.column_squares(weight), 4096 * 0.1, rtol=1e-6)


@pytest.mark.parametrize("n_stored", [100, 10])
def test_each_column_is_centred_and_scaled(n_stored, monkeypatch):
    monkeypatch.setattr(features, "STORED_ROWS", n_stored)
    monkeypatch.setattr(features, "CHUNK", 7)
    (table, X), rng = some_table(), np.random.default_rng(0)
    leaves = LeafIndicators.fit(table, (X[:, 0] > 0) * 1, rng, is_labels=True)
    maps = [FourierFeatures.fit(table, rng), WhitenedKernelColumns.fit(table, rng), leaves]
    made = [feature_map(table[:]) for feature_map in maps]
    raw = np.hstack([np.ones((60, 1)), *(m.toarray() if issparse(m) else m for m in made)])
    mean, factor = rng.standard_normal((2, raw.shape[1])).astype(np.float32)

    scaled = TableFeatures(table, maps, 60)
    scaled.scale(mean, factor)

    expected = (raw - mean) * factor
    every, some = np.arange(60), np.array([50, 2, 50])
    np.testing.assert_allclose(scaled[every].toarray(), expected, atol=1e-5)
    np.testing.assert_allclose(scaled.take(some)[:].toarray(), expected[some], atol=1e-5)
    np.testing.assert_allclose(scaled.of(table, 60)[every].toarray(), expected, atol=1e-5)


def test_a_leaf_is_the_one_that_the_forest_says():
    (table, X), rng = some_table(n_rows=200), np.random.default_rng(0)
    leaves = LeafIndicators.fit(table, X[:, 0], rng, is_labels=False)
    nodes = leaves.forest.apply(table[:])
    indicators = leaves(table[:]).toarray()
    assert (indicators.sum(axis=1) == nodes.shape[1]).all()
    # Two rows share as many indicators as leaves.
    shared = (nodes[:, None] == nodes[None]).sum(axis=2)
    np.testing.assert_array_equal(indicators @ indicators.T, shared)


def test_whitened_columns_are_those_of_the_plain_formula(monkeypatch):
    monkeypatch.setattr("sklearn_prune.matching.feature_maps.CHUNK", 64)
    table, _ = some_table(n_rows=300)
    whitened = WhitenedKernelColumns.fit(table, np.random.default_rng(0))
    rows, centres = (part.astype(np.float64) for part in (table[:], whitened.centres))
    squares = ((rows[:, None] - centres[None]) ** 2).sum(axis=2)
    raw = np.hstack([rows, np.exp(-whitened.gamma * squares)])
    deviation = raw.std(axis=0)
    values = (raw - raw.mean(axis=0)) / deviation
    covariance = values.T @ values / 300 + 1e-3 * np.eye(raw.shape[1])
    # Φ = V L⁻ᵀ, so its products are those with the inverse covariance.
    expected = values @ np.linalg.solve(covariance, values.T)
    made = whitened(table[:]).astype(np.float64)
    np.testing.assert_allclose(made @ made.T, expected, atol=1e-3 * np.abs(expected).max())
