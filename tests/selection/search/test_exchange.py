"""Pair exchange: never worse, inside the strata, and no swap left that a small pool would find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection import coordinates as coordinates_module
from sklearn_prune.selection.coordinates import Coordinates
from sklearn_prune.selection.linear_rows import LinearRows
from sklearn_prune.selection.search import exchange as exchange_module
from sklearn_prune.selection.search.exchange import exchange_round
from tests.selection.test_coordinates import RowOperator


class GramOperator(RowOperator):
    """Rows that offer a Gram matrix as well."""

    def gram(self):
        return self._Z @ self._Z.T

    def take(self, indices):
        return GramOperator(self._Z[indices])


@st.composite
def sets(draw, most=40):
    """Rows in up to three strata, some of fixed fate, and a set of them."""
    n, k = draw(st.integers(1, most)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Z = rng.standard_normal((n, k)) * rng.exponential(size=(n, 1))
    if draw(st.booleans()):
        Z[rng.random(n) < 0.3] = 0.0
    Z = Z.astype(draw(st.sampled_from([np.float32, np.float64])))
    labels = rng.integers(draw(st.sampled_from([-1, 0])), 3, n)
    return Coordinates(Z), labels, rng.random(n) < draw(st.floats(0, 1)), rng


def square(coordinates, drop):
    total = coordinates.total(drop)
    return float(total @ total)


def counts(labels, drop):
    return np.bincount(labels[drop & (labels >= 0)], minlength=3)


@settings(max_examples=80, deadline=None)
@given(sets())
def test_a_round_is_never_worse_and_keeps_counts_and_fixed_rows(drawn):
    coordinates, labels, drop, rng = drawn
    before = drop.copy()
    done = exchange_round(coordinates, labels, drop, rng)
    np.testing.assert_array_equal(drop, before)
    assert square(coordinates, done.drop) <= square(coordinates, drop) * (1 + 1e-6) + 1e-9
    np.testing.assert_array_equal(counts(labels, done.drop), counts(labels, drop))
    np.testing.assert_array_equal(done.drop[labels < 0], drop[labels < 0])


@settings(max_examples=50, deadline=None)
@given(sets(most=12))
def test_where_all_rows_fit_the_pool_no_swap_is_left(drawn):
    coordinates, labels, drop, rng = drawn
    done = exchange_round(coordinates, labels, drop, rng).drop
    reached = square(coordinates, done)
    least_gain = 1e-4 * float(np.median(coordinates.squared_norms)) + 1e-9
    for i in np.flatnonzero(done & (labels >= 0)):
        for j in np.flatnonzero(~done & (labels == labels[i])):
            swapped = done.copy()
            swapped[[i, j]] = False, True
            assert square(coordinates, swapped) >= reached - least_gain


@settings(max_examples=50, deadline=None)
@given(sets(), st.integers(1, 3))
def test_linear_rows_that_hold_go_on_to_hold(drawn, n_rows):
    coordinates, labels, drop, rng = drawn
    A = rng.standard_normal((n_rows, len(drop)))
    value = A @ drop
    rows = LinearRows(A, value - rng.random(n_rows), value + rng.random(n_rows))
    done = exchange_round(coordinates, labels, drop, rng, linear_rows=rows)
    assert rows.admit(A @ done.drop)
    assert square(coordinates, done.drop) <= square(coordinates, drop) * (1 + 1e-6) + 1e-9


@settings(max_examples=50, deadline=None)
@given(sets())
def test_a_reward_joins_the_objective(drawn):
    coordinates, labels, drop, rng = drawn
    reward = rng.standard_normal(len(drop))

    def objective(w):
        return square(coordinates, w) - reward @ w

    done = exchange_round(coordinates, labels, drop, rng, reward=reward)
    assert objective(done.drop) <= objective(drop) + 1e-6 * (1 + square(coordinates, drop))


def test_a_large_reward_is_taken():
    Z = np.zeros((6, 1))
    done = exchange_round(
        Coordinates(Z),
        np.zeros(6, dtype=int),
        np.arange(6) < 2,
        np.random.default_rng(0),
        reward=np.arange(6.0),
    )
    np.testing.assert_array_equal(np.flatnonzero(done.drop), [4, 5])


def test_a_round_brings_ten_thousand_random_rows_near_zero():
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((10_000, 10)))
    drop = rng.permutation(10_000) < 9000
    done = exchange_round(coordinates, np.zeros(10_000, dtype=int), drop, rng)
    assert square(coordinates, done.drop) < 1e-3 * square(coordinates, drop)


def test_a_pool_of_some_rows_gains_nearly_all_that_its_swaps_can(monkeypatch):
    rng = np.random.default_rng(0)
    coordinates, labels = Coordinates(rng.standard_normal((9_000, 30))), np.arange(9_000) % 5
    drop = rng.random(9_000) < 0.8
    left = []
    for share in (0.0, exchange_module._LEAST_OF_ROUND):
        monkeypatch.setattr(exchange_module, "_LEAST_OF_ROUND", share)
        done = exchange_round(coordinates, labels, drop, np.random.default_rng(1))
        assert not done.is_exhaustive
        left.append(square(coordinates, done.drop))
    assert left[1] - left[0] < 0.02 * (square(coordinates, drop) - left[0])


def test_rows_stored_for_the_round_and_rows_of_operators_swap_alike(monkeypatch):
    rng = np.random.default_rng(0)
    Z, B, labels = rng.standard_normal((400, 5)), rng.standard_normal((400, 9)), np.arange(400) % 7
    drop, sets = rng.random(400) < 0.7, []
    monkeypatch.setattr(coordinates_module, "TABLE_SIZE", 0)
    for stored_size in (0, coordinates_module.STORED_SIZE):
        monkeypatch.setattr(coordinates_module, "STORED_SIZE", stored_size)
        coordinates = Coordinates(Z, [GramOperator(B)], ratios=[0.5])
        sets.append(exchange_round(coordinates, labels, drop, np.random.default_rng(1)).drop)
    np.testing.assert_array_equal(*sets)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_to_swap_are_left_alone(n):
    coordinates = Coordinates(np.ones((n, 2)))
    drop = np.ones(n, dtype=bool)
    done = exchange_round(coordinates, np.zeros(n, dtype=int), drop, np.random.default_rng(0))
    np.testing.assert_array_equal(done.drop, drop)
