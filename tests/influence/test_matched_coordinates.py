import numpy as np
import pytest

from sklearn_prune.influence import HeadInfluence, WideHeadInfluence, head_coordinates, refit_head
from sklearn_prune.influence.matched_coordinates import leading_directions, n_components_for
from tests.influence.heads import dataset_objective, random_objective


@pytest.fixture(scope="module")
def digits():
    objective = dataset_objective("digits", damping=1e-2)
    return objective, refit_head(objective).theta


def test_where_the_hessian_is_dense_all_coordinates_are_matched_as_they_are():
    influence = HeadInfluence(*random_objective("softmax"))
    for n_components in ("auto", 20, 1000):
        coordinates = head_coordinates(influence, n_components)
        assert coordinates.Z is influence
        assert (coordinates.energy_share, coordinates.relative_error) == (1.0, 0.0)


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_leading_coordinates_hold_as_much_energy_as_any(digits, norm):
    influence = HeadInfluence(*digits, norm)
    coordinates = head_coordinates(influence, 50)
    energy = np.linalg.svd(influence @ np.eye(influence.shape[1]), compute_uv=False) ** 2
    best = energy[:50].sum() / energy.sum()
    assert coordinates.Z.shape == (influence.shape[0], 50)
    assert coordinates.Z.dtype == np.float32
    assert 0.95 * best <= coordinates.energy_share <= best * (1 + 1e-6)


def test_the_error_on_random_sets_falls_as_coordinates_are_added(digits):
    influence = HeadInfluence(*digits)
    errors = [head_coordinates(influence, k).relative_error for k in (20, 200, 600)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_a_wide_heads_coordinates_are_those_of_its_leading_eigenvectors(digits):
    influence = WideHeadInfluence(*digits)
    coordinates = head_coordinates(influence, 100)
    full = influence.row_norms() ** 2
    assert coordinates.Z.shape == (influence.shape[0], 100)
    kept = (coordinates.Z.astype(float) ** 2).sum()
    assert coordinates.energy_share == pytest.approx(kept / full.sum())
    # All of its coordinates are off too, since the Hessian is no Kronecker product.
    assert coordinates.relative_error > 0.1
    assert head_coordinates(influence).relative_error > 0.1


def test_all_coordinates_of_a_wide_squared_error_head_are_exact():
    objective = dataset_objective("diabetes", damping=1e-2)
    influence = WideHeadInfluence(objective, refit_head(objective).theta)
    coordinates = head_coordinates(influence)
    assert coordinates.Z is influence
    assert coordinates.energy_share == pytest.approx(1, rel=1e-4)
    assert coordinates.relative_error < 1e-3


def test_directions_of_an_array_of_low_rank_are_its_row_space():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 20))
    basis = leading_directions(lambda: (rows for rows in (Z[:30], Z[30:])), 20, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(Z @ basis @ basis.T, Z, atol=1e-6)


def test_the_number_kept_is_bounded_by_memory_and_by_the_parameters():
    assert n_components_for("auto", 1_000, 10**6) == 1024
    assert n_components_for("auto", 10**6, 10**6) == 268
    assert n_components_for("auto", 1_000, 300) == 300
    assert n_components_for(70, 10**6, 10**6) == 70
