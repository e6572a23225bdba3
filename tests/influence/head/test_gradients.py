import numpy as np
import pytest
import torch

from sklearn_prune.influence import refit_head
from sklearn_prune.influence.head import gradients as gradients_module
from sklearn_prune.influence.head.gradients import HeadGradients, centre_of, row_blocks
from tests.influence.heads import random_objective, torch_loss


@pytest.fixture(params=[False, True], ids=["anywhere", "stationary"])
def head(request):
    objective, theta = random_objective("softmax", weighted=True)
    return objective, refit_head(objective).theta if request.param else theta


def autograd_gradients(objective, theta):
    """Return ``nu_i (grad l_i - mean_j grad l_j)`` of every row, of shape (n_samples, n_params)."""
    design, targets = torch.as_tensor(objective.design), torch.as_tensor(objective.targets)

    def loss(parameters, a, y):
        return torch_loss("softmax", parameters.reshape(objective.shape) @ a, y)

    at = torch.as_tensor(theta.ravel())
    rows = zip(design, targets, strict=True)
    G = np.array([torch.func.grad(loss)(at, a, y).numpy() for a, y in rows])
    weights = objective.sample_weight
    return weights[:, None] * (G - weights @ G / weights.sum())


def centred_gradients(objective, theta):
    centre = centre_of(objective.gradient(theta), theta, objective.damping)
    return HeadGradients(objective, theta, centre)


def test_all_ways_to_read_them_are_those_of_autograd(head, monkeypatch):
    # Several blocks of rows, though there are few.
    monkeypatch.setattr(gradients_module, "BLOCK_SIZE", 100)
    objective, theta = head
    gradients, G = centred_gradients(objective, theta), autograd_gradients(objective, theta)
    rng, some = np.random.default_rng(0), np.array([3, 17, 5])
    W, U = rng.standard_normal((40, 3)), rng.standard_normal((20, 3))
    assert gradients.shape == G.shape
    np.testing.assert_allclose(gradients.sum(W), G.T @ W, atol=1e-11)
    np.testing.assert_allclose(gradients.sum(W[:, 0]), G.T @ W[:, 0], atol=1e-11)
    np.testing.assert_allclose(gradients.products(U), G @ U, atol=1e-11)
    np.testing.assert_allclose(gradients.take(some).sum(W[:3]), G[some].T @ W[:3], atol=1e-11)
    rows = G[some] / objective.weight_sum
    np.testing.assert_allclose(gradients.rows(some), rows, rtol=1e-4, atol=1e-6)


def test_they_sum_to_zero(head):
    objective, theta = head
    gradients = centred_gradients(objective, theta)
    assert np.abs(gradients.sum(np.ones(objective.n_samples))).max() < 1e-13


def test_at_the_optimum_the_centre_is_the_damping():
    objective, _ = random_objective("softmax", weighted=True)
    theta = refit_head(objective).theta
    third = np.eye(objective.n_samples)[3]
    residual, features = objective.residual(theta)[3], objective.design[3]
    gradient = np.outer(residual, features) + objective.damping * theta
    expected = objective.sample_weight[3] * gradient.ravel()
    np.testing.assert_allclose(centred_gradients(objective, theta).sum(third), expected)


def test_blocks_hold_every_row_once():
    rows = np.arange(5000)
    for width in (1, 10**6, 10**9):
        held = [rows[block] for block in row_blocks(rows[3:], width)]
        np.testing.assert_array_equal(np.concatenate(held), rows[3:])
