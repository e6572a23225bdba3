"""The operator Z against the dense matrix, by loops over the formula in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.influence import DenseHeadInfluence, HeadObjective, refit_head
from sklearn_prune.influence.head import gradients as gradients_module
from tests.influence.heads import LOSSES, dense_coordinates, random_objective

each_norm = pytest.mark.parametrize("norm", ["loss", "parameter"])


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(LOSSES)),
    norm=st.sampled_from(["loss", "parameter"]),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_operator_is_the_dense_matrix(name, norm, weighted, seed):
    objective, theta = random_objective(name, weighted=weighted, seed=seed)
    operator = DenseHeadInfluence(objective, theta, norm).Z
    Z = dense_coordinates(objective, theta, norm)
    rng = np.random.default_rng(seed)
    v, V = rng.standard_normal(Z.shape[1]), rng.standard_normal((Z.shape[1], 3))
    w, W = rng.random(Z.shape[0]) < 0.4, rng.standard_normal((Z.shape[0], 3))
    some = rng.permutation(Z.shape[0])[:7]
    assert operator.shape == Z.shape
    assert operator.dtype == np.float64
    np.testing.assert_allclose(operator @ v, Z @ v, atol=1e-11)
    np.testing.assert_allclose(operator @ V, Z @ V, atol=1e-11)
    np.testing.assert_allclose(operator.rmatvec(w), Z.T @ w, atol=1e-11)
    np.testing.assert_allclose(operator.T @ W, Z.T @ W, atol=1e-11)
    np.testing.assert_allclose(operator.rows(some), Z[some], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(operator.row_norms(), np.linalg.norm(Z, axis=1), rtol=1e-3)


@each_norm
def test_rows_are_single_precision_and_norms_are_computed_once(norm, monkeypatch):
    # Several blocks of rows, though there are few.
    monkeypatch.setattr(gradients_module, "BLOCK_SIZE", 100)
    Z = DenseHeadInfluence(*random_objective("softmax"), norm).Z
    assert Z.rows(np.arange(3)).dtype == np.float32
    assert Z.row_norms() is Z.row_norms()
    assert Z.row_norms().dtype == np.float64


@each_norm
def test_rows_taken_keep_the_weight_sum_and_hessian_of_all(norm):
    objective, theta = random_objective("softmax", weighted=True)
    operator = DenseHeadInfluence(objective, theta, norm).Z
    some = np.array([3, 17, 5])
    part = operator.take(some)
    Z = dense_coordinates(objective, theta, norm)[some]
    v = np.random.default_rng(1).standard_normal(Z.shape[1])
    assert part.shape == Z.shape
    np.testing.assert_allclose(part @ v, Z @ v, atol=1e-11)
    np.testing.assert_allclose(part.rmatvec(np.ones(3)), Z.sum(axis=0), atol=1e-11)
    np.testing.assert_allclose(part.row_norms(), operator.row_norms()[some])
    np.testing.assert_allclose(part.rows(np.array([1])), operator.rows(some[[1]]))


def test_rows_taken_are_coordinates_and_promise_nothing():
    part = DenseHeadInfluence(*random_objective("softmax")).Z.take(np.arange(5))
    assert not hasattr(part, "size_factor")
    assert not hasattr(part, "measure")


@each_norm
def test_coordinates_given_a_set_take_the_kept_rows_hessian(norm):
    objective, theta = random_objective("softmax", n=60, weighted=True)
    influence = DenseHeadInfluence(objective, theta, norm)
    drop = np.random.default_rng(0).random(60) < 0.6
    H = objective.hessian(theta)
    mixed = 0.9 * objective.subset(~drop).hessian(theta) + 0.1 * H
    given = influence.given(drop)
    to_given = np.linalg.inv(mixed) @ H
    if norm == "loss":
        L = np.linalg.cholesky(H)
        to_given = L.T @ np.linalg.solve(mixed, L)
    Z = dense_coordinates(objective, theta, norm) @ to_given.T
    W = np.random.default_rng(1).standard_normal((60, 2))
    np.testing.assert_allclose(given.T @ W, Z.T @ W, atol=1e-10)
    np.testing.assert_allclose(given @ np.eye(Z.shape[1]), Z, atol=1e-10)
    np.testing.assert_allclose(given.rows(np.arange(7)), Z[:7], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(given.row_norms(), influence.row_norms())


def test_loss_norm_ignores_the_scale_of_features_as_damping_vanishes():
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.standard_normal((400, 4)), np.ones(400)])
    targets = rng.integers(2, size=(400, 1)).astype(float)
    mix = rng.standard_normal((5, 5)) + 2 * np.eye(5)
    norms = []
    for features in (design, design @ mix):
        objective = HeadObjective(features, targets, LOSSES["one logit"], 1e-10)
        norms.append(DenseHeadInfluence(objective, refit_head(objective).theta).row_norms())
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-3)
