"""Rows of Z: never copied, summed in float64, alike for arrays and operators."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator

from sklearn_prune.selection import SelectionProblem, solve
from sklearn_prune.selection import coordinates as module
from sklearn_prune.selection.coordinates import Coordinates


class RowOperator(LinearOperator):
    """Rows of an array that can only be asked for products, norms and single rows."""

    def __init__(self, Z):
        super().__init__(np.float64, Z.shape)
        self._Z, self.asked = Z, 0

    def _matvec(self, v):
        return self._Z @ np.ravel(v)

    def _rmatvec(self, w):
        return self._Z.T @ np.ravel(w)

    def rows(self, indices):
        self.asked += len(indices)
        return self._Z[indices]

    def row_norms(self):
        return np.linalg.norm(self._Z, axis=1)

    def take(self, indices):
        return RowOperator(self._Z[indices])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_never_copied(dtype):
    Z = np.random.default_rng(0).standard_normal((50, 4)).astype(dtype)
    coordinates = SelectionProblem(Z, n_drop=20).coordinates
    Z[3] = 7.0
    np.testing.assert_allclose(coordinates.rows(np.array([3])) * coordinates.scale, 7.0)


def test_the_callers_rows_are_never_changed():
    Z = np.random.default_rng(0).standard_normal((60, 4))
    Z.flags.writeable = False
    solve(SelectionProblem(Z, n_drop=40), random_state=0)
    solve(SelectionProblem(Z, tolerance=1.0), random_state=0)


def test_whole_numbers_and_lists_are_rows_too():
    assert Coordinates([[1, 2], [3, 4]]).total(np.array([True, True])) @ np.ones(2) > 0


def test_float32_rows_are_summed_in_float64(monkeypatch):
    # A float32 sum of 300,000 numbers near 1 is off by more than one of them.
    monkeypatch.setattr(module, "BLOCK_SIZE", 50_000)
    Z = (1 + 1e-3 * np.random.default_rng(0).standard_normal((300_000, 1))).astype(np.float32)
    coordinates = Coordinates(Z, scale=1.0)
    total = coordinates.total(np.ones(len(Z)))
    np.testing.assert_allclose(total, Z.astype(np.float64).sum(axis=0), rtol=1e-14)


def test_one_unit_is_the_median_norm_of_the_rows_that_are_not_zero():
    Z = np.array([[0.0, 0.0], [0.0, 3.0], [4.0, 0.0], [0.0, 5.0], [0.0, 0.0]])
    coordinates = Coordinates(Z)
    assert coordinates.scale == 4.0
    np.testing.assert_allclose(coordinates.squared_norms, np.array([0, 9, 16, 25, 0]) / 16)
    assert Coordinates(np.zeros((3, 2))).scale == 1.0


@pytest.mark.parametrize("table_size", [0, 10**6])
def test_an_operator_and_its_array_give_the_same_numbers(monkeypatch, table_size):
    monkeypatch.setattr(module, "TABLE_SIZE", table_size)
    rng = np.random.default_rng(0)
    Z, w, v = rng.standard_normal((30, 4)), rng.random(30), rng.standard_normal(4)
    dense, operator = Coordinates(Z), Coordinates(RowOperator(Z))
    some = np.array([3, 1, 7])
    np.testing.assert_allclose(operator.total(w), dense.total(w))
    np.testing.assert_allclose(operator.scores(v), dense.scores(v))
    np.testing.assert_allclose(operator.rows(some), dense.rows(some))
    np.testing.assert_allclose(operator.squared_norms, dense.squared_norms)
    part, dense_part = operator.take(some), dense.take(some)
    np.testing.assert_allclose(part.total(np.ones(3)), dense_part.total(np.ones(3)))
    np.testing.assert_allclose(part.squared_norms, dense_part.squared_norms)
    assert part.scale == operator.scale


def test_an_operator_and_its_array_give_the_same_set(monkeypatch):
    monkeypatch.setattr(module, "TABLE_SIZE", 0)
    Z = np.random.default_rng(0).standard_normal((300, 6))
    dense = solve(SelectionProblem(Z, n_drop=250), random_state=3)
    operator = solve(SelectionProblem(RowOperator(Z), n_drop=250), random_state=3)
    np.testing.assert_array_equal(operator.drop, dense.drop)


def test_a_large_operator_is_asked_for_few_rows(monkeypatch):
    monkeypatch.setattr(module, "TABLE_SIZE", 0)
    Z = RowOperator(np.random.default_rng(0).standard_normal((60_000, 2)))
    problem = SelectionProblem(Z, n_drop=54_000)
    assert Z.asked == 0
    problem.change(np.arange(60_000) < 54_000)
    assert Z.asked == 0


def test_blocks_side_by_side_are_one_matrix():
    rng = np.random.default_rng(0)
    Z, B, C = (rng.standard_normal((20, k)) for k in (3, 5, 2))
    coordinates = Coordinates(Z, [B, C.astype(np.float32)], ratios=[0.5, 2.0])
    joined = np.hstack([Z, 0.5 * B, 2 * C]) / coordinates.scale
    w, v, rows = rng.random(20) < 0.3, rng.standard_normal(10), np.array([4, 1])
    np.testing.assert_allclose(coordinates.total(w), joined.T @ w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(coordinates.total(~w), joined.T @ ~w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(coordinates.scores(v), joined @ v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(coordinates.rows(rows), joined[rows], rtol=1e-5)
    for part in (coordinates.take(rows), coordinates.gathered(rows)):
        np.testing.assert_allclose(part.gram(), joined[rows] @ joined[rows].T, rtol=1e-5)
        np.testing.assert_allclose(part.scores(v), joined[rows] @ v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(coordinates.squared_norms, (joined**2).sum(axis=1), rtol=1e-5)
    lengths = [np.linalg.norm(part.T @ w) for part in (Z, B, C)]
    np.testing.assert_allclose(coordinates.lengths(w), lengths, rtol=1e-5)
    whole = np.linalg.norm(joined.T @ w) * coordinates.scale
    assert coordinates.combined(lengths) == pytest.approx(whole, rel=1e-5)
    np.testing.assert_allclose(
        coordinates.block(2).total(w) * coordinates.scale, C.T @ w, rtol=1e-5, atol=1e-6
    )


def test_what_is_balanced_has_the_rows_of_z():
    with pytest.raises(ValueError, match="balance must have one row for each of the 5 rows of Z"):
        Coordinates(np.ones((5, 1)), [np.ones((4, 1))], ratios=[1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_counted(bad):
    Z = np.ones((5, 2))
    Z[1, 0] = Z[3, 1] = bad
    with pytest.raises(ValueError, match="must be finite; 2 of 5 rows hold NaN or infinity"):
        Coordinates(Z)


def test_a_vector_is_no_matrix():
    with pytest.raises(ValueError, match=r"shape \(5,\).*reshape\(-1, 1\)"):
        Coordinates(np.ones(5))
