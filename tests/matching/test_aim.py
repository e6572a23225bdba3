"""Shifted rows against dense arrays."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.matching import Table, embed_distribution
from sklearn_prune.matching.aim import AimedRows, aimed
from sklearn_prune.selection import SelectionProblem, solve


def dense(Z, n_drop):
    return Z - Z.sum(axis=0) / n_drop


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 30),
    k=st.integers(1, 6),
    share=st.floats(0.01, 0.99),
)
def test_what_is_dropped_sums_to_less_than_nothing_of_what_is_kept(seed, n, k, share):
    rng = np.random.default_rng(seed)
    Z, n_drop = rng.standard_normal((n, k)) + 3, max(1, int(share * n))
    drop = np.zeros(n, dtype=bool)
    drop[rng.permutation(n)[:n_drop]] = True
    total = AimedRows(Z, n_drop).T @ drop.astype(float)
    np.testing.assert_allclose(total, -Z[~drop].sum(axis=0), atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 30), n_drop=st.integers(1, 30))
def test_an_operator_is_that_of_the_dense_rows(seed, n, n_drop):
    rng = np.random.default_rng(seed)
    rows, some = rng.standard_normal((n, 3)), rng.permutation(n)[:2]
    y = np.arange(n) % 2
    stored = rng.standard_normal((n, 5)) + 1
    embedding = embed_distribution(Table([rows], np.ones(n)), y, np.ones(n), is_labels=True)
    embedding = embedding.aimed_at(embedding.mean + 0.1)
    for Z, table, tolerance in (
        (stored, stored, 1e-6),
        (embedding, embedding.rows(np.arange(n)).astype(float), 1e-4),
    ):
        expected, operator = dense(table, n_drop), aimed(Z, n_drop, is_centred=False)
        size = tolerance * max(1.0, np.abs(expected).max())
        v, w = rng.standard_normal(expected.shape[1]), rng.standard_normal(n)
        close = {"atol": size * np.sqrt(expected.size)}
        np.testing.assert_allclose(operator.rows(some), expected[some], **close)
        np.testing.assert_allclose(operator @ v, expected @ v, **close)
        np.testing.assert_allclose(
            operator @ np.c_[v, v], np.c_[expected @ v, expected @ v], **close
        )
        np.testing.assert_allclose(operator.T @ w, expected.T @ w, **close)
        np.testing.assert_allclose(operator.row_norms(), np.linalg.norm(expected, axis=1), **close)
        part = operator.take(some)
        np.testing.assert_allclose(part @ v, expected[some] @ v, **close)
        if Z is embedding:
            np.testing.assert_allclose(part.gram(), expected[some] @ expected[some].T, **close)
        np.testing.assert_allclose(part.row_norms(), operator.row_norms()[some])


def test_a_selection_drops_what_is_far_unless_norms_keep_their_shares():
    rng = np.random.default_rng(0)
    # Four of five rows lie around 0 and the others around 4: those should go.
    Z = rng.standard_normal((500, 3)) * 0.5
    Z[:100] += 4
    far, left = [], []
    for holds_norms in (True, False):
        problem = SelectionProblem(AimedRows(Z, 100), n_drop=100, holds_norms=holds_norms)
        drop = solve(problem, time_limit=5, random_state=0).drop
        far.append(drop[:100].mean())
        left.append(np.linalg.norm(Z[~drop].sum(axis=0)))
    assert far[0] == pytest.approx(0.2) and far[1] > 0.9
    assert left[1] < left[0] / 10


def test_the_smallest_sum_is_proven_optimal_of_few_rows():
    rng = np.random.default_rng(1)
    Z = rng.standard_normal((10, 2)) + 1
    best = solve(SelectionProblem(AimedRows(Z, 4), n_drop=4), random_state=0)
    sets = [np.isin(np.arange(10), c) for c in combinations(range(10), 4)]
    sums = [np.linalg.norm(Z[~drop].sum(axis=0)) for drop in sets]
    assert np.linalg.norm(Z[~best.drop].sum(axis=0)) == pytest.approx(min(sums))


def test_centred_rows_stay_what_they_are():
    Z = np.eye(3)
    assert aimed(Z, 2, is_centred=True) is Z
    assert aimed(Z, 0, is_centred=False) is Z
    assert isinstance(aimed(Z, 2, is_centred=False), AimedRows)
