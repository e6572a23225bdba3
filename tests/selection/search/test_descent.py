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
