import pytest

from sklearn_prune.influence import (
    DenseHeadInfluence,
    WideHeadInfluence,
    head_coordinates,
    limits,
    refit_head,
)
from sklearn_prune.influence.matched_coordinates import n_leading
from tests.influence.heads import dataset_objective, random_objective


@pytest.fixture(scope="module")
def digits():
    objective = dataset_objective("digits", damping=1e-2)
    return objective, refit_head(objective).theta


@pytest.fixture
def leading(monkeypatch):
    """Return the function that matches so many leading coordinates of a wide head."""

    def match(influence, n_components):
        monkeypatch.setattr(limits, "ALL_MATCHED_PARAMS", 0)
        monkeypatch.setattr(limits, "LEADING_COORDINATES", n_components)
        return head_coordinates(influence)

    return match


def test_where_the_hessian_is_dense_all_coordinates_are_matched_as_they_are():
    influence = DenseHeadInfluence(*random_objective("softmax"))
    coordinates = head_coordinates(influence)
    assert coordinates.Z is influence.Z
    assert (coordinates.energy_share, coordinates.relative_error) == (1.0, 0.0)


def test_a_wide_heads_coordinates_are_those_of_its_leading_eigenvectors(digits, leading):
    influence = WideHeadInfluence(*digits)
    # All of its coordinates are off, since the Hessian is no Kronecker product.
    assert head_coordinates(influence).Z is influence.Z
    assert head_coordinates(influence).relative_error > 0.1
    coordinates = leading(influence, 100)
    full = influence.row_norms() ** 2
    assert coordinates.Z.shape == (influence.shape[0], 100)
    kept = (coordinates.Z.astype(float) ** 2).sum()
    assert coordinates.energy_share == pytest.approx(kept / full.sum())
    assert coordinates.relative_error > 0.1


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_the_error_on_random_sets_falls_as_coordinates_are_added(norm, leading):
    # Of the squared error the Kronecker product is exact, so that only what is left out counts.
    objective = dataset_objective("diabetes", damping=1e-2)
    influence = WideHeadInfluence(objective, refit_head(objective).theta, norm)
    matched = [leading(influence, k) for k in (2, 5, 11)]
    errors = [coordinates.relative_error for coordinates in matched]
    shares = [coordinates.energy_share for coordinates in matched]
    assert errors[0] > errors[1] > errors[2]
    assert shares[0] < shares[1] < shares[2] == pytest.approx(1, rel=1e-4)
    assert errors[2] < 1e-3


def test_all_coordinates_of_a_wide_squared_error_head_are_exact():
    objective = dataset_objective("diabetes", damping=1e-2)
    influence = WideHeadInfluence(objective, refit_head(objective).theta)
    coordinates = head_coordinates(influence)
    assert coordinates.Z is influence.Z
    assert coordinates.energy_share == pytest.approx(1, rel=1e-4)
    assert coordinates.relative_error < 1e-3


def test_the_number_kept_is_bounded_by_memory_and_by_the_parameters():
    assert n_leading(1_000, 10**6) == 1024
    assert n_leading(10**6, 10**6) == 268
    assert n_leading(1_000, 300) == 300
