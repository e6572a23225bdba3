import numpy as np
import pytest

from sklearn_prune.influence import HeadObjective, KroneckerCurvature
from sklearn_prune.influence.curvature.kronecker import RowSpaceCurvature
from sklearn_prune.losses import SquaredError


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    S, A = (X.T @ X / len(X) for X in (rng.standard_normal((9, 3)), rng.standard_normal((9, 4))))
    return S, A


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-10), (np.float32, 1e-3)])
@pytest.mark.parametrize("shape", [(12,), (12, 5)])
def test_it_is_the_dense_kronecker_product(factors, dtype, atol, shape):
    curvature = KroneckerCurvature.from_factors(*factors, damping=0.1)
    H = np.kron(*factors) + 0.1 * np.eye(12)
    B = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    solved, whitened = curvature.solve(B), curvature.whiten(B)
    assert solved.dtype == whitened.dtype == dtype
    np.testing.assert_allclose(solved, np.linalg.solve(H, B), atol=atol)
    np.testing.assert_allclose(whitened.T @ whitened, B.T @ np.linalg.solve(H, B), atol=10 * atol)
    np.testing.assert_allclose(curvature.unwhiten(whitened), solved, atol=atol)
    delta = B.reshape(12, -1)[:, 0]
    assert curvature.quadratic_form(delta) == pytest.approx(delta @ H @ delta, abs=10 * atol)


def test_rotation_is_orthogonal_and_undone(factors):
    curvature = KroneckerCurvature.from_factors(*factors, damping=0.1)
    rows = np.random.default_rng(1).standard_normal((6, 12))
    rotated = curvature.rotate(rows)
    np.testing.assert_allclose(rotated @ rotated.T, rows @ rows.T)
    np.testing.assert_allclose(curvature.unrotate(rotated), rows)


def test_damping_is_exact_where_the_factors_are_singular():
    curvature = KroneckerCurvature.from_factors(np.zeros((2, 2)), np.ones((3, 3)), damping=1e-3)
    np.testing.assert_allclose(curvature.solve(np.arange(6.0)), 1e3 * np.arange(6.0), atol=1e-9)


def test_of_squared_error_it_is_the_hessian():
    rng = np.random.default_rng(0)
    objective = HeadObjective(
        rng.standard_normal((20, 4)), rng.standard_normal((20, 3)), SquaredError(), 0.1
    )
    theta = rng.standard_normal((3, 4))
    curvature = KroneckerCurvature.from_factors(
        objective.hessian_product(theta).output_curvature,
        objective.design.T @ objective.design / 20,
        objective.damping,
    )
    b = rng.standard_normal(12)
    np.testing.assert_allclose(curvature.solve(b), np.linalg.solve(objective.hessian(theta), b))


@pytest.mark.parametrize("shape", [(24,), (24, 5)])
def test_few_directions_and_the_damping_of_the_rest_are_the_whole_product(shape):
    rng = np.random.default_rng(0)
    S, rows = np.diag([0.5, 1.0, 2.0]), rng.standard_normal((3, 8))
    a, V = np.linalg.eigh(rows.T @ rows)
    spectrum = np.outer(np.diag(S), a[-3:]) + 0.1
    curvature = RowSpaceCurvature(np.eye(3), V[:, -3:], spectrum, 0.1)
    H, B = np.kron(S, rows.T @ rows) + 0.1 * np.eye(24), rng.standard_normal(shape)
    solved, whitened = curvature.solve(B), curvature.whiten(B)
    np.testing.assert_allclose(solved, np.linalg.solve(H, B), atol=1e-10)
    np.testing.assert_allclose(whitened.T @ whitened, B.T @ solved, atol=1e-9)
    np.testing.assert_allclose(curvature.unwhiten(whitened), solved, atol=1e-10)
    delta = B.reshape(24, -1)[:, 0]
    assert curvature.quadratic_form(delta) == pytest.approx(delta @ H @ delta)
