"""The embedding against dense float64 matrices, and what it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sklearn_prune.matching.features as module
from sklearn_prune.matching import NonlinearHead, Table, embed_distribution, target_labels
from sklearn_prune.matching.distribution import DistributionEmbedding, embed_nonlinear_head
from sklearn_prune.matching.feature_maps import FourierFeatures, WhitenedKernelColumns


def some_rows(n_rows=60, n_columns=3, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_columns))
    y = np.r_[np.arange(n_classes), rng.integers(n_classes, size=n_rows - n_classes)]
    return X, y, rng.uniform(0.5, 2.0, n_rows)


def dense(embedding):
    """All rows of B in float64, by definition: ν_i/N (t_i ⊗ φ_i - μ)."""
    features = embedding._features[:].toarray().astype(np.float64)
    labels, weight = embedding.labels.astype(np.float64), embedding.sample_weight
    products = (labels[:, :, None] * features[:, None, :]).reshape(len(labels), -1)
    mean = weight @ products / weight.sum()
    return weight[:, None] * (products - mean) / weight.sum()


EMBEDDINGS = {
    "classes": lambda X, y, w: embed_distribution(Table([X], w), y, w, is_labels=True),
    "numbers": lambda X, y, w: embed_distribution(Table([X], w), X[:, 0] + y, w, is_labels=False),
    "several outputs": lambda X, y, w: embed_distribution(
        Table([X], w), X[:, :2], w, is_labels=False
    ),
    "two networks": lambda X, y, w: embed_distribution(
        Table([X, X[:, :1]], w), y, w, is_labels=True
    ),
    "nonlinear head": lambda X, y, w: embed_nonlinear_head(Table([X], w), y, w, is_labels=True),
    "nonlinear head, numbers": lambda X, y, w: embed_nonlinear_head(
        Table([X], w), X[:, 0] + y, w, is_labels=False
    ),
}


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_every_product_is_that_of_the_dense_matrix(kind):
    embedding = EMBEDDINGS[kind](*some_rows())
    B, rng = dense(embedding), np.random.default_rng(1)
    scale = np.abs(B).max()
    w, v = rng.integers(2, size=len(B)).astype(float), rng.standard_normal(B.shape[1])
    picked = np.array([5, 0, 17, 33])
    np.testing.assert_allclose(embedding.rows(picked), B[picked], atol=1e-5 * scale)
    np.testing.assert_allclose(embedding.T @ w, B.T @ w, atol=1e-4 * scale)
    np.testing.assert_allclose(embedding @ v, B @ v, atol=1e-4 * scale * np.sqrt(len(v)))
    np.testing.assert_allclose(embedding.row_norms(), np.linalg.norm(B, axis=1), rtol=1e-3)
    gram = embedding.take(picked).gram()
    np.testing.assert_allclose(gram, B[picked] @ B[picked].T, atol=1e-4 * np.abs(gram).max())


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_some_rows_alone_are_those_of_all(kind):
    embedding = EMBEDDINGS[kind](*some_rows())
    B, v = dense(embedding), np.random.default_rng(1).standard_normal(embedding.shape[1])
    w, scale = np.array([1.0, 0.0, 1.0]), np.abs(B).max()
    for picked in (np.array([2, 40, 7]), slice(9, 12)):
        part = embedding.take(picked)
        np.testing.assert_allclose(part.T @ w, B[picked].T @ w, atol=1e-4 * scale)
        np.testing.assert_allclose(part @ v, B[picked] @ v, atol=1e-4 * scale * np.sqrt(len(v)))
        assert part.shape == (3, embedding.shape[1])


@pytest.mark.parametrize("is_labels", [True, False])
def test_parts_of_the_rows_add_up_to_all(is_labels):
    X, y, weight = some_rows()
    table, target = Table([X], weight), y if is_labels else X[:, :1]
    learned = np.eye(int(y.max()) + 1)[y]
    head, nonlinear = NonlinearHead.fit_embed(table, learned, weight)
    whole = embed_distribution(table, target, weight, is_labels=is_labels)
    w, parts, others = np.arange(len(y)) % 3.0, [], []
    for rows in np.array_split(np.arange(len(y)), 3):
        own = table.of([X[rows]], weight[rows])
        part = whole.on(own, whole.labels[rows], weight[rows], weight.sum())
        parts.append(part.T @ w[rows])
        residuals = head.residuals(own, learned[rows])
        part = nonlinear.on(own, residuals, weight[rows], weight.sum())
        others.append(part.T @ w[rows])
    np.testing.assert_allclose(sum(parts), whole.T @ w, atol=1e-6)
    np.testing.assert_allclose(sum(others), nonlinear.T @ w, atol=1e-6)


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_rows_sum_to_zero(kind):
    embedding = EMBEDDINGS[kind](*some_rows())
    total = np.linalg.norm(embedding.T @ np.ones(embedding.shape[0]))
    assert total < 1e-4 * np.linalg.norm(embedding.row_norms())


def test_features_made_anew_in_each_pass_are_those_that_are_stored(monkeypatch):
    stored = EMBEDDINGS["classes"](*some_rows())
    monkeypatch.setattr(module, "STORED_ROWS", 10)
    monkeypatch.setattr(module, "CHUNK", 7)
    anew = EMBEDDINGS["classes"](*some_rows())
    assert anew._features._stored is None
    w = np.arange(60) % 3 == 0
    np.testing.assert_allclose(anew.T @ w, stored.T @ w, atol=1e-6)
    np.testing.assert_allclose(anew.row_norms(), stored.row_norms(), rtol=1e-4)


def test_what_is_left_is_the_mean_of_the_kept_rows_less_that_of_all():
    X, y, weight = some_rows()
    embedding = embed_distribution(Table([X], weight), y, weight, is_labels=True)
    drop = np.arange(60) % 4 == 0
    features = embedding._features[:].toarray().astype(np.float64)
    products = (embedding.labels[:, :, None] * features[:, None, :]).reshape(60, -1)
    all_rows = weight @ products / weight.sum()
    kept = weight[~drop] @ products[~drop] / weight[~drop].sum()
    factor = weight.sum() / weight[~drop].sum()
    np.testing.assert_allclose(factor * (embedding.T @ drop), all_rows - kept, atol=1e-5)


def test_a_row_of_weight_zero_is_not_there():
    X, y, _ = some_rows()
    weight = np.ones(60)
    weight[-10:] = 0
    embedding = embed_distribution(Table([X], weight), y, weight, is_labels=True)
    assert not embedding.row_norms()[-10:].any()


def test_groups_are_told_apart_in_the_place_of_the_class():
    X, y, weight = some_rows()
    embedding = embed_distribution(Table([X], weight), y, weight, is_labels=True)
    strata = 2 * y + (np.arange(60) % 2)
    grouped = embedding.labelled(target_labels(y, weight, is_labels=True, strata=strata))
    np.testing.assert_allclose(grouped.T @ (y == 0), dense(grouped).T @ (y == 0), atol=1e-5)
    assert grouped.shape[1] == 2 * embedding.shape[1]


@settings(max_examples=25, deadline=None)
@given(
    n_rows=st.integers(2, 40),
    n_columns=st.integers(1, 6),
    scale=st.sampled_from([1e-20, 1e-8, 1.0, 1e8, 1e20]),
    shift=st.sampled_from([0.0, 1e6]),
    kind=st.sampled_from(["numbers", "constant", "duplicates", "one column constant"]),
    is_labels=st.booleans(),
)
def test_any_table_gives_finite_coordinates(n_rows, n_columns, scale, shift, kind, is_labels):
    rng = np.random.default_rng(n_rows)
    X = scale * (rng.standard_normal((n_rows, n_columns)) + shift)
    if kind == "constant":
        X[:] = X[0]
    elif kind == "duplicates":
        X[: n_rows // 2] = X[0]
    elif kind == "one column constant":
        X[:, 0] = X[0, 0]
    y = np.arange(n_rows) % 2 if is_labels else scale * rng.standard_normal(n_rows)
    for embed in (embed_distribution, embed_nonlinear_head):
        weight = np.ones(n_rows)
        embedding = embed(Table([X], weight), y, weight, is_labels=is_labels)
        assert np.isfinite(embedding.row_norms()).all()
        assert np.isfinite(embedding.T @ np.ones(n_rows)).all()


def test_the_unit_of_a_column_does_not_matter():
    X, y, weight = some_rows()
    embedding = embed_distribution(Table([X], weight), y, weight, is_labels=True)
    scaled = embed_distribution(Table([X * [1e3, 1e-3, 1] + 5], weight), y, weight, is_labels=True)
    np.testing.assert_allclose(scaled.row_norms(), embedding.row_norms(), rtol=1e-2)


def test_fourier_features_estimate_the_kernel_of_the_median_distance():
    X, _, _ = some_rows(n_rows=40)
    table = Table([X], np.ones(40))
    rows = table[np.arange(40)].astype(np.float64)
    squared = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(40, 1)]))
    draws = [
        FourierFeatures.fit(table, np.random.default_rng(seed), bandwidths=(1.0,))
        for seed in range(20)
    ]
    estimate = np.mean([m(table[:]) @ m(table[:]).T for m in draws], axis=0)
    assert np.abs(estimate - kernel).max() < 0.1


def test_kernel_columns_are_those_of_float64():
    X, _, _ = some_rows(n_rows=40)
    table = Table([X * [1e3, 1.0, 1.0]], np.ones(40))
    features = WhitenedKernelColumns.fit(table, np.random.default_rng(0))
    rows, centres = table[:].astype(np.float64), features.centres.astype(np.float64)
    squared = ((rows[:, None] - centres[None]) ** 2).sum(axis=2)
    expected = np.hstack([rows, np.exp(-features.gamma * squared)]) - features.mean
    np.testing.assert_allclose(features(table[:]), expected @ features.whitening, atol=2e-4)


def test_wide_rows_are_projected_with_distances_kept():
    X = np.random.default_rng(0).standard_normal((30, 2_000))
    table = Table([X], np.ones(30))
    assert table[:5].shape == (5, table.n_columns) and table.n_columns <= 300
    whole = (X - X.mean(axis=0)) / X.std(axis=0) / np.sqrt(2_000)
    before, after = (
        ((rows[:, None] - rows[None]) ** 2).sum(axis=2)[np.triu_indices(30, 1)]
        for rows in (whole, table[:])
    )
    assert np.abs(after / before - 1).max() < 0.5


def test_rows_that_keep_the_distribution_are_nearer_to_it_than_random_ones():
    X, y, weight = some_rows(n_rows=400)
    embedding = embed_distribution(Table([X], np.ones(400)), y, np.ones(400), is_labels=True)
    assert isinstance(embedding, DistributionEmbedding)
    rng = np.random.default_rng(0)
    random = [np.linalg.norm(embedding.T @ (rng.random(400) < 0.5)) for _ in range(10)]
    alternating = np.zeros(400, dtype=bool)
    # Every other row along the first column, in each class.
    for label in range(3):
        members = np.flatnonzero(y == label)
        alternating[members[np.argsort(X[members, 0])][::2]] = True
    assert np.linalg.norm(embedding.T @ alternating) < np.mean(random)
