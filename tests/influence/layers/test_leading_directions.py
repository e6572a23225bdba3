import numpy as np
import pytest

from sklearn_prune.influence.layers.leading_directions import leading_directions


def blocks_of(Z):
    return lambda: (rows for rows in np.array_split(Z, 3))


def test_of_rows_of_low_rank_they_are_the_row_space():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 20))
    basis = leading_directions(blocks_of(Z), 20, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(Z @ basis @ basis.T, Z, atol=1e-6)


@pytest.mark.parametrize("n_components", [5, 20, 50])
def test_they_hold_nearly_as_much_energy_as_any(n_components):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((300, 60)) * np.logspace(0, -2, 60)
    kept = np.sum((Z @ leading_directions(blocks_of(Z), 60, n_components)) ** 2)
    best = np.sum(np.linalg.svd(Z, compute_uv=False)[:n_components] ** 2)
    assert 0.95 * best <= kept <= best * (1 + 1e-9)
