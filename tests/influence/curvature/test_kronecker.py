import numpy as np
import pytest

from sklearn_prune.influence.curvature.kronecker import KroneckerCurvature, RowSpaceCurvature

DAMPING = 0.1


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    return [X.T @ X / len(X) for X in (rng.standard_normal((9, 3)), rng.standard_normal((9, 4)))]


def kronecker(S, A):
    (s, Q), (a, V) = np.linalg.eigh(S), np.linalg.eigh(A)
    return KroneckerCurvature(Q, V, np.outer(s, a) + DAMPING)


def assert_same_as_dense(curvature, H, B, atol):
    """Compare solving and whitening with the matrix that the curvature stands for."""
    solved, whitened = curvature.solve(B), curvature.whiten(B)
    assert solved.dtype == whitened.dtype == B.dtype
    np.testing.assert_allclose(solved, np.linalg.solve(H, B), atol=atol)
    np.testing.assert_allclose(whitened.T @ whitened, B.T @ np.linalg.solve(H, B), atol=10 * atol)
    np.testing.assert_allclose(curvature.unwhiten(whitened), solved, atol=atol)


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-10), (np.float32, 1e-3)])
@pytest.mark.parametrize("shape", [(12,), (12, 5)])
def test_it_is_the_dense_kronecker_product(factors, dtype, atol, shape):
    B = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    H = np.kron(*factors) + DAMPING * np.eye(12)
    assert_same_as_dense(kronecker(*factors), H, B, atol)


def test_rotation_is_orthogonal_and_undone(factors):
    curvature = kronecker(*factors)
    rows = np.random.default_rng(1).standard_normal((6, 12))
    rotated = curvature.rotate(rows)
    np.testing.assert_allclose(rotated @ rotated.T, rows @ rows.T)
    np.testing.assert_allclose(curvature.unrotate(rotated), rows)


def test_damping_is_exact_where_the_factors_are_singular():
    curvature = kronecker(np.zeros((2, 2)), np.ones((3, 3)))
    np.testing.assert_allclose(curvature.solve(np.arange(6.0)), np.arange(6.0) / DAMPING, atol=1e-9)


@pytest.mark.parametrize("shape", [(24,), (24, 5)])
def test_few_directions_and_the_damping_of_the_rest_are_the_whole_product(shape):
    rng = np.random.default_rng(0)
    S, rows = np.diag([0.5, 1.0, 2.0]), rng.standard_normal((3, 8))
    a, V = np.linalg.eigh(rows.T @ rows)
    spectrum = np.outer(np.diag(S), a[-3:]) + DAMPING
    curvature = RowSpaceCurvature(np.eye(3), V[:, -3:], spectrum, DAMPING)
    H = np.kron(S, rows.T @ rows) + DAMPING * np.eye(24)
    assert_same_as_dense(curvature, H, rng.standard_normal(shape), 1e-10)
