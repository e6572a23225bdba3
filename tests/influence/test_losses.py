import numpy as np
import pytest
import torch

from .heads import LOSSES, N_OUTPUTS, random_objective, torch_loss


@pytest.fixture(params=sorted(LOSSES))
def sample(request):
    objective, theta = random_objective(request.param, n=30)
    return request.param, objective.loss, objective.design @ theta.T, objective.targets


def curvature(loss, means):
    n_outputs = means.shape[1]
    entries = [
        [loss.curvature_entry(means, j, k) for k in range(n_outputs)] for j in range(n_outputs)
    ]
    return np.moveaxis(np.array(entries), 2, 0)


def test_value_is_the_criterions(sample):
    name, loss, logits, targets = sample
    function = torch.func.vmap(lambda f, y: torch_loss(name, f, y))
    expected = function(torch.as_tensor(logits), torch.as_tensor(targets))
    np.testing.assert_allclose(loss.value(logits, targets), expected, rtol=0, atol=1e-12)


def test_residual_is_the_gradient(sample):
    name, loss, logits, targets = sample
    function = torch.func.vmap(torch.func.grad(lambda f, y: torch_loss(name, f, y)))
    expected = function(torch.as_tensor(logits), torch.as_tensor(targets))
    residual = loss.residual(loss.mean(logits), targets)
    np.testing.assert_allclose(residual, expected, rtol=0, atol=1e-12)


def test_curvature_is_the_hessian(sample):
    name, loss, logits, targets = sample
    function = torch.func.vmap(torch.func.hessian(lambda f, y: torch_loss(name, f, y)))
    expected = function(torch.as_tensor(logits), torch.as_tensor(targets))
    np.testing.assert_allclose(curvature(loss, loss.mean(logits)), expected, rtol=0, atol=1e-12)


def test_curvature_product_and_sum_agree_with_the_curvature(sample):
    _, loss, logits, _ = sample
    means, rng = loss.mean(logits), np.random.default_rng(1)
    U, weights = rng.standard_normal(means.shape), rng.uniform(size=len(means))
    C = curvature(loss, means)
    product = np.einsum("ijk,ik->ij", C, U)
    np.testing.assert_allclose(loss.curvature_product(means, U), product, atol=1e-14)
    total = np.einsum("i,ijk->jk", weights, C)
    np.testing.assert_allclose(loss.curvature_sum(means, weights), total, atol=1e-13)


def test_only_losses_that_couple_outputs_have_entries_off_the_diagonal(sample):
    name, loss, logits, _ = sample
    off_diagonal = curvature(loss, loss.mean(logits)) * (1 - np.eye(N_OUTPUTS[name]))
    assert loss.couples_outputs == bool(off_diagonal.any())
    assert (off_diagonal <= 0).all()
    if loss.couples_outputs:
        assert np.abs(curvature(loss, loss.mean(logits)).sum(axis=2)).max() < 1e-15


@pytest.mark.parametrize("name", ["softmax", "one logit"])
def test_huge_logits_neither_overflow_nor_divide_by_zero(name):
    loss = LOSSES[name]
    if name == "softmax":
        logits, targets = np.array([[1e4, -1e4], [-1e4, 1e4]]), np.array([0, 0])
    else:
        logits, targets = np.array([[2e4], [-2e4]]), np.array([[1.0], [1.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value = loss.value(logits, targets)
        means = loss.mean(logits)
    np.testing.assert_allclose(value, [0, 2e4])
    assert np.isfinite(means).all()
