import numpy as np
import pytest

from sklearn_prune.influence.curvature.dense import DenseCurvature


@pytest.fixture
def hessian():
    A = np.random.default_rng(0).standard_normal((60, 20))
    return A.T @ A / 60 + 0.01 * np.eye(20)


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-10), (np.float32, 1e-3)])
def test_solve_and_whiten_in_the_dtype_of_their_argument(hessian, dtype, atol):
    curvature, L = DenseCurvature(hessian), np.linalg.cholesky(hessian)
    B = np.random.default_rng(1).standard_normal((20, 3)).astype(dtype)
    for result, expected in [
        (curvature.solve(B), np.linalg.solve(hessian, B)),
        (curvature.whiten(B), np.linalg.solve(L, B)),
        (curvature.unwhiten(B), np.linalg.solve(L.T, B)),
    ]:
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, atol=atol)


def test_quadratic_form(hessian):
    delta = np.arange(20.0)
    assert DenseCurvature(hessian).quadratic_form(delta) == pytest.approx(delta @ hessian @ delta)


def test_damping_below_rounding_is_helped_by_rounding():
    a = np.random.default_rng(0).standard_normal(30)
    hessian = 1e12 * np.outer(a, a) + 1e-8 * np.eye(30)
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(hessian)
    assert np.isfinite(DenseCurvature(hessian).solve(a)).all()


def test_an_indefinite_hessian_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="2 parameters is singular.*raise damping"):
        DenseCurvature(np.diag([1.0, -1.0]))
