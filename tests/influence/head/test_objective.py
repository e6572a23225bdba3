import warnings

import numpy as np
import pytest
import torch

from sklearn_prune.influence import HeadObjective, warn_if_not_convex
from sklearn_prune.losses import NonConvexLossWarning, SoftmaxCrossEntropy, TorchLoss
from tests.influence.heads import LOSSES, random_objective, torch_objective

each_loss = pytest.mark.parametrize("name", sorted(LOSSES))
weighted_or_not = pytest.mark.parametrize("weighted", [False, True])


@each_loss
@weighted_or_not
def test_value_and_gradient_are_those_of_autograd(name, weighted):
    objective, theta = random_objective(name, weighted=weighted)
    function, at = torch_objective(name, objective), torch.as_tensor(theta.ravel())
    value, gradient = objective.value_and_gradient(theta)
    assert abs(value - function(at).item()) < 1e-12
    np.testing.assert_allclose(gradient.ravel(), torch.func.grad(function)(at), rtol=0, atol=1e-10)


@each_loss
@weighted_or_not
def test_hessian_is_that_of_autograd(name, weighted):
    objective, theta = random_objective(name, weighted=weighted)
    expected = torch.func.hessian(torch_objective(name, objective))(torch.as_tensor(theta.ravel()))
    np.testing.assert_allclose(objective.hessian(theta), expected, rtol=0, atol=1e-10)


@each_loss
def test_rows_in_many_chunks_give_what_rows_in_one_give(name, monkeypatch):
    objective, theta = random_objective(name, n=100, weighted=True)
    gradient, hessian = objective.gradient(theta), objective.hessian(theta)
    monkeypatch.setattr("sklearn_prune.influence.head.objective.CHUNK", 7)
    chunked, _ = random_objective(name, n=100, weighted=True)
    np.testing.assert_allclose(chunked.gradient(theta), gradient, atol=1e-14)
    np.testing.assert_allclose(chunked.hessian(theta), hessian, atol=1e-14)


def test_integer_weights_count_rows_several_times():
    objective, theta = random_objective("softmax")
    counts = np.random.default_rng(2).integers(0, 4, objective.n_samples)
    weighted = HeadObjective(
        objective.design, objective.targets, objective.loss, 0.05, counts, n_outputs=4
    )
    repeated = objective.subset(np.repeat(np.arange(objective.n_samples), counts))
    np.testing.assert_allclose(weighted.gradient(theta), repeated.gradient(theta), atol=1e-14)
    np.testing.assert_allclose(weighted.hessian(theta), repeated.hessian(theta), atol=1e-14)


@weighted_or_not
def test_subset_is_the_mean_over_the_kept_rows(weighted):
    objective, theta = random_objective("three logits", weighted=weighted)
    keep = np.arange(objective.n_samples) % 3 > 0
    kept = objective.subset(keep)
    losses = objective.loss.value(objective.design @ theta.T, objective.targets)
    mean = np.average(losses[keep], weights=objective.sample_weight[keep])
    assert kept.weight_sum == pytest.approx(objective.sample_weight[keep].sum())
    assert kept.value(theta) == pytest.approx(mean + 0.025 * np.sum(theta**2))


def test_a_subset_without_the_last_class_keeps_its_outputs():
    objective, theta = random_objective("softmax")
    kept = objective.subset(objective.targets < 3)
    assert kept.gradient(theta).shape == objective.shape


def test_losses_are_those_that_the_value_is_the_mean_of():
    objective, theta = random_objective("three logits", weighted=True)
    mean = np.average(objective.losses(theta), weights=objective.sample_weight)
    assert objective.value(theta) == pytest.approx(mean + 0.025 * np.sum(theta**2))


def test_gradient_scale_bounds_the_gradient():
    objective, theta = random_objective("softmax", weighted=True)
    assert np.linalg.norm(objective.gradient(theta)) <= objective.gradient_scale(theta)


def test_float32_design_is_summed_in_float64():
    rng = np.random.default_rng(0)
    design, targets = rng.standard_normal((500, 3)).astype(np.float32), rng.integers(3, size=500)
    single = HeadObjective(design, targets, SoftmaxCrossEntropy(), 0.1)
    double = HeadObjective(design.astype(float), targets, SoftmaxCrossEntropy(), 0.1)
    theta = rng.standard_normal(single.shape)
    np.testing.assert_array_equal(single.gradient(theta), double.gradient(theta))
    np.testing.assert_array_equal(single.hessian(theta), double.hessian(theta))


class Waving(torch.nn.Module):
    """The mean of ``cos(f - y)``, which curves both ways."""

    def forward(self, outputs, target):
        return torch.cos(outputs - target).mean()


def test_only_a_loss_that_curves_downward_is_warned_of():
    design, targets = np.ones((3, 1)), np.array([[0.0], [1.0], [np.pi]])
    objective = HeadObjective(design, targets, TorchLoss(Waving()), 0.25)
    with pytest.warns(NonConvexLossWarning, match=r"is -1, in row 0, .* 2 of 3 .*damping=0\.25"):
        warn_if_not_convex(objective, np.zeros((1, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_not_convex(*random_objective("softmax"))
        warn_if_not_convex(*random_objective("torch softmax"))
