"""Coordinates in a Kronecker product's eigenbasis against the dense product, in float64."""

import numpy as np
import pytest

from sklearn_prune.influence import WideHeadInfluence
from sklearn_prune.influence.head import gradients as gradients_module
from tests.influence.heads import LOSSES, dense_kronecker, random_objective

each_norm = pytest.mark.parametrize("norm", ["loss", "parameter"])
each_size = pytest.mark.parametrize("size", [{}, {"n": 9, "d": 20}])


@each_norm
@each_size
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_coordinates_and_lengths_are_those_of_the_dense_kronecker_product(name, size, norm):
    objective, theta = random_objective(name, weighted=True, **size)
    # Outputs of more columns are no larger.
    theta *= np.sqrt(5 / objective.n_features)
    influence = WideHeadInfluence(objective, theta, norm)
    K = dense_kronecker(objective, theta)
    G = np.array([influence.gradients.sum(e) for e in np.eye(objective.n_samples)])
    G /= objective.weight_sum
    S = np.linalg.solve(K, G.T).T
    gram = G @ S.T if norm == "loss" else S @ S.T
    Z = influence.Z @ np.eye(objective.n_params)
    np.testing.assert_allclose(Z @ Z.T, gram, atol=1e-9)
    np.testing.assert_allclose(influence.Z.T @ np.eye(objective.n_samples), Z.T, atol=1e-9)
    np.testing.assert_allclose(influence.Z.rows(np.arange(7)), Z[:7], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(influence.row_norms() ** 2, np.diag(gram), rtol=1e-3)
    part = influence.Z.take(np.array([3, 8]))
    np.testing.assert_allclose(part.row_norms(), influence.row_norms()[[3, 8]])
    np.testing.assert_allclose(part @ np.eye(objective.n_params), Z[[3, 8]], atol=1e-12)


@each_norm
@each_size
def test_all_leading_coordinates_keep_every_length(size, norm, monkeypatch):
    # Several blocks of rows, though there are few.
    monkeypatch.setattr(gradients_module, "BLOCK_SIZE", 100)
    objective, theta = random_objective("softmax", weighted=True, **size)
    Z = WideHeadInfluence(objective, theta, norm).Z
    leading, full = Z.leading(objective.n_params), Z @ np.eye(objective.n_params)
    n_directions = min(objective.n_features, objective.n_samples)
    assert leading.dtype == np.float32
    assert leading.shape == (objective.n_samples, objective.n_outputs * n_directions)
    np.testing.assert_allclose(leading @ leading.T, full @ full.T, atol=1e-4)
    energy = (leading.astype(float) ** 2).sum(axis=0)
    assert (np.diff(energy) <= 1e-5 * energy[0]).all()


def test_fewer_leading_coordinates_are_the_first_of_all():
    objective, theta = random_objective("softmax", weighted=True)
    Z = WideHeadInfluence(objective, theta).Z
    np.testing.assert_allclose(Z.leading(4), Z.leading(20)[:, :4])
