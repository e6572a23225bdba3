import numpy as np
import pytest

from sklearn_prune.selection import Coordinates, exchange_rows


@pytest.mark.parametrize("n_coordinates", [3, 40])
def test_exchanges_keep_the_counts_of_cells_and_shorten_the_residual(n_coordinates):
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((400, n_coordinates)))
    offset = rng.standard_normal(n_coordinates)
    coordinates = coordinates.with_offset(offset)
    labels, drop = np.arange(400) % 3, rng.random(400) < 0.5
    improved = exchange_rows(coordinates, labels, drop, rng)
    for cell in range(3):
        assert improved[labels == cell].sum() == drop[labels == cell].sum()
    before, after = (np.linalg.norm(coordinates.residual(mask)) for mask in (drop, improved))
    assert after < 0.1 * before


def test_rows_of_no_cell_stay():
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((100, 2)))
    labels, drop = np.where(np.arange(100) < 50, 0, -1), np.arange(100) % 2 == 0
    improved = exchange_rows(coordinates, labels, drop, rng)
    np.testing.assert_array_equal(improved[50:], drop[50:])
    assert (improved[:50] != drop[:50]).any()


def test_costs_are_saved_within_one_and_a_half_times_the_norm_without_them():
    rng = np.random.default_rng(0)
    coordinates, cost = Coordinates(rng.standard_normal((400, 40))), rng.exponential(size=400)
    labels, drop = np.arange(400) % 3, rng.random(400) < 0.5
    alone = exchange_rows(coordinates, labels, drop, np.random.default_rng(1))
    costly = exchange_rows(coordinates, labels, drop, np.random.default_rng(1), cost=cost)
    for cell in range(3):
        assert costly[labels == cell].sum() == drop[labels == cell].sum()
    allowed, norm = (np.linalg.norm(coordinates.residual(mask)) for mask in (alone, costly))
    assert norm <= 1.5 * allowed
    assert cost[costly].sum() > 1.05 * cost[alone].sum()


def test_equal_costs_save_nothing_by_exchanges():
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((100, 5)))
    labels, drop = np.arange(100) % 2, rng.random(100) < 0.5
    sets = [
        exchange_rows(coordinates, labels, drop, np.random.default_rng(1), cost=cost)
        for cost in (None, np.full(100, 3.0))
    ]
    np.testing.assert_array_equal(*sets)
