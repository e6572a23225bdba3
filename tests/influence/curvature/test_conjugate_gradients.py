import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from sklearn_prune.influence import IterativeHessian
from sklearn_prune.influence.curvature.conjugate_gradients import conjugate_gradients


@pytest.fixture
def hessian():
    A = np.random.default_rng(0).standard_normal((60, 20)) * np.logspace(0, -2, 20)
    return A.T @ A / 60 + 1e-4 * np.eye(20)


def unchanged(V):
    return V


@pytest.mark.parametrize("to_array", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("rtol", [1e-2, 1e-6, 1e-10])
def test_each_column_reaches_its_own_tolerance(hessian, rtol, to_array):
    H = to_array(hessian)
    # Columns of very different length: one tolerance for all would leave the short one unsolved.
    B = to_array(np.random.default_rng(1).standard_normal((20, 3)) * [1e6, 1, 1e-6])
    X = IterativeHessian(lambda V: H @ V, unchanged, rtol).solve(B)
    residual = np.asarray(B - H @ X)
    relative = np.linalg.norm(residual, axis=0) / np.linalg.norm(np.asarray(B), axis=0)
    assert relative.max() <= rtol


def test_the_exact_preconditioner_needs_one_step(hessian):
    B = np.random.default_rng(1).standard_normal((20, 2))
    X, n_iter = conjugate_gradients(
        lambda V: hessian @ V, B, lambda V: np.linalg.solve(hessian, V), 1e-8
    )
    assert n_iter == 1
    np.testing.assert_allclose(X, np.linalg.solve(hessian, B))


def test_zero_is_solved_by_zero_beside_other_columns(hessian):
    B = np.c_[np.zeros(20), np.ones(20)]
    X = IterativeHessian(lambda V: hessian @ V, unchanged, 1e-8).solve(B)
    assert not X[:, 0].any()
    np.testing.assert_allclose(hessian @ X[:, 1], np.ones(20), atol=1e-6)


def test_a_tolerance_that_is_not_reached_is_warned_of(hessian):
    iterative = IterativeHessian(lambda V: hessian @ V, unchanged, 1e-8, max_iter=2)
    with pytest.warns(ConvergenceWarning, match=r"in 2 iterations; 1e-08 was asked for.*damping"):
        iterative.solve(np.ones((20, 1)))


def test_an_iterative_hessian_solves_and_measures_like_the_dense_one(hessian):
    iterative = IterativeHessian(lambda V: hessian @ V, unchanged, rtol=1e-12)
    b = np.arange(20.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = iterative.solve(b)
    np.testing.assert_allclose(x, np.linalg.solve(hessian, b), rtol=1e-8)
    assert iterative.quadratic_form(b) == pytest.approx(b @ hessian @ b)
