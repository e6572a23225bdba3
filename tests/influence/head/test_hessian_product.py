import numpy as np
import pytest

from sklearn_prune.influence.head.hessian_product import HessianProduct
from tests.influence.heads import LOSSES, dense_kronecker, random_objective

each_loss = pytest.mark.parametrize("name", sorted(LOSSES))
each_shape = pytest.mark.parametrize("n_columns", [(), (3,)])


@each_loss
@each_shape
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_hessian_times_each_column(name, n_columns, weighted):
    objective, theta = random_objective(name, weighted=weighted)
    B = np.random.default_rng(1).standard_normal((objective.n_params, *n_columns))
    product = HessianProduct(objective, theta)(B)
    np.testing.assert_allclose(product, objective.hessian(theta) @ B, rtol=0, atol=1e-5)


@each_loss
@pytest.mark.parametrize("size", [{}, {"n": 9, "d": 20}])
def test_the_kronecker_product_is_of_mean_curvature_and_second_moment(name, size):
    objective, theta = random_objective(name, weighted=True, **size)
    theta *= np.sqrt(5 / objective.n_features)
    curvature = HessianProduct(objective, theta).kronecker_curvature()
    b = np.random.default_rng(1).standard_normal(objective.n_params)
    expected = np.linalg.solve(dense_kronecker(objective, theta), b)
    np.testing.assert_allclose(curvature.solve(b), expected, rtol=1e-8)


@pytest.mark.parametrize("name", ["one target", "three targets", "summed targets"])
def test_of_squared_error_the_kronecker_product_is_the_hessian(name):
    objective, theta = random_objective(name, weighted=True)
    curvature = HessianProduct(objective, theta).kronecker_curvature()
    b = np.random.default_rng(1).standard_normal(objective.n_params)
    np.testing.assert_allclose(curvature.solve(b), np.linalg.solve(objective.hessian(theta), b))
