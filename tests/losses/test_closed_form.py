import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.losses import Huber, Poisson, SoftmaxCrossEntropy
from tests.influence.heads import LOSSES, N_OUTPUTS, matrices, random_objective, torch_loss


def by_torch(name, outputs, targets, transform=lambda loss: loss):
    """Return what a transform of the criterion gives for each row."""
    function = transform(lambda f, y: torch_loss(name, f, y))
    rows = zip(torch.as_tensor(outputs), torch.as_tensor(targets), strict=True)
    return np.array([function(f, y).numpy() for f, y in rows])


def test_value_is_the_criterions(sample):
    name, loss, outputs, targets = sample
    expected = by_torch(name, outputs, targets)
    np.testing.assert_allclose(loss.value(outputs, targets), expected, rtol=1e-12, atol=1e-12)


def test_residual_is_the_gradient(sample):
    name, loss, outputs, targets = sample
    expected = by_torch(name, outputs, targets, torch.func.grad)
    np.testing.assert_allclose(loss.residual(outputs, targets), expected, rtol=1e-12, atol=1e-12)


def test_hessians_are_those_of_autograd(sample):
    name, loss, outputs, targets = sample
    expected = by_torch(name, outputs, targets, torch.func.hessian)
    found = matrices(loss.hessians(outputs, targets), N_OUTPUTS[name])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(set(LOSSES) - {"huber", "smooth absolute", "torch margin"})),
    scale=st.floats(0.0, 30.0),
    seed=st.integers(0, 1000),
)
def test_derivatives_are_those_of_autograd_at_any_outputs(name, scale, seed):
    objective, theta = random_objective(name, n=4, seed=seed)
    outputs, targets = scale * objective.design @ theta.T / 5, objective.targets
    loss = objective.loss
    expected = by_torch(name, outputs, targets, torch.func.grad)
    np.testing.assert_allclose(loss.residual(outputs, targets), expected, rtol=1e-9, atol=1e-12)
    expected = by_torch(name, outputs, targets, torch.func.hessian)
    found = matrices(loss.hessians(outputs, targets), N_OUTPUTS[name])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_nothing_is_steeper_than_the_steepest(sample):
    name, loss, outputs, _ = sample
    objective, _ = random_objective(name, n=2000)
    outputs = 5 * np.random.default_rng(0).standard_normal((2000, N_OUTPUTS[name]))
    slope, curvature = loss.steepest(N_OUTPUTS[name])
    lengths = np.linalg.norm(loss.residual(outputs, objective.targets), axis=1)
    C = matrices(loss.hessians(outputs, objective.targets), N_OUTPUTS[name])
    largest = np.linalg.eigvalsh(C).max()
    assert lengths.max() <= slope * (1 + 1e-12)
    assert largest <= curvature * (1 + 1e-12)
    # And little less would do.
    assert np.isinf(slope) or lengths.max() > 0.75 * slope
    assert np.isinf(curvature) or largest > 0.75 * curvature


def test_smoothing_and_weights_of_none_change_nothing():
    objective, theta = random_objective("softmax")
    outputs, targets = objective.outputs(theta), objective.targets
    plain, same = SoftmaxCrossEntropy(), SoftmaxCrossEntropy(1e-300, (1.0, 1.0, 1.0, 1.0))
    np.testing.assert_allclose(same.value(outputs, targets), plain.value(outputs, targets))
    np.testing.assert_allclose(same.residual(outputs, targets), plain.residual(outputs, targets))


@pytest.mark.parametrize("name", ["softmax", "smoothed softmax", "one logit"])
def test_huge_logits_neither_overflow_nor_divide_by_zero(name):
    loss = LOSSES[name]
    if "softmax" in name:
        outputs, targets = np.array([[1e4, -1e4], [-1e4, 1e4]]), np.array([0, 0])
        share = loss.label_smoothing / 2
        expected = np.array([share, 1 - share]) * 2e4
    else:
        outputs, targets = np.array([[2e4], [-2e4]]), np.array([[1.0], [1.0]])
        expected = [0, 2e4]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value = loss.value(outputs, targets)
        residual = loss.residual(outputs, targets)
        hessians = loss.hessians(outputs, targets)
    np.testing.assert_allclose(value, expected)
    assert np.isfinite(residual).all()
    assert np.isfinite(hessians.product(np.ones_like(outputs))).all()


def test_rates_beyond_all_bounds_stay_finite():
    outputs, targets = np.array([[1e6]]), np.array([[3.0]])
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(Poisson().value(outputs, targets)).all()
        assert np.isfinite(Poisson().hessians(outputs, targets).diagonals).all()


@given(delta=st.floats(0.1, 10), error=st.floats(-100, 100), reduction=st.sampled_from(["mean"]))
def test_huber_is_half_the_squared_error_up_to_delta_and_a_line_beyond(delta, error, reduction):
    loss, target = Huber(reduction, delta), np.zeros((1, 1))
    value = loss.value(np.array([[error]]), target)[0]
    expected = error**2 / 2 if abs(error) <= delta else delta * (abs(error) - delta / 2)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-300)
    assert abs(loss.residual(np.array([[error]]), target)[0, 0]) <= delta
