"""What torch's criterion gives for all rows is the head's objective, and what it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from sklearn_prune.influence import HeadObjective, refit_head, warn_if_not_convex
from sklearn_prune.losses import NonConvexLossWarning, SoftmaxCrossEntropy, TorchLoss
from sklearn_prune.networks import UnsupportedNetworkError, fit_network, read_head, target_kind

N = 30
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
TARGETS = {
    "codes": np.arange(N) % 3,
    "binary": np.arange(N) % 2,
    "several labels": RNG.integers(2, size=(N, 3)),
    "soft labels": RNG.random((N, 3)),
    "real": 3 * RNG.standard_normal(N),
    "several real": 3 * RNG.standard_normal((N, 3)),
    "counts": RNG.poisson(2.0, N),
}
WEIGHT = torch.tensor([0.5, 2.0, 1.0])


class Focal(nn.Module):
    """Mean over rows of ``-(1 - p_y)^2 log p_y``, which is not convex."""

    def forward(self, outputs, target):
        log_p = outputs.log_softmax(dim=1).gather(1, target[:, None])[:, 0]
        return (-((1 - log_p.exp()) ** 2) * log_p).mean()


class LogCosh(nn.Module):
    """Sum over rows of the mean over outputs of ``log cosh(f - y)``."""

    def forward(self, outputs, target):
        error = outputs - target
        return (error.abs() + nn.functional.softplus(-2 * error.abs())).mean(dim=-1).sum()


class OwnNll(nn.NLLLoss):
    pass


class Counted(nn.Module):
    """The mean error over a number that depends on all rows."""

    def forward(self, outputs, target):
        errors = (outputs - target) ** 2
        return errors.sum() / (1 + (errors > 1).sum())


def network(criterion, n_outputs, *, kind=NeuralNet, tail=None, **options):
    """Return an initialised linear network in float64."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, n_outputs), tail or nn.Identity()).double()
    settings = {"train_split": None, "verbose": 0, "max_epochs": 2, "lr": 1e-3, **options}
    return kind(module, criterion=criterion, **settings).initialize()


def whole(net, y):
    """Return the criterion of all rows at once, as skorch computes it."""
    target = torch.as_tensor(y if y.ndim == 2 or y.dtype.kind == "i" else y[:, None])
    if not isinstance(net.criterion_, (nn.CrossEntropyLoss, nn.NLLLoss, Focal)):
        target = target.double().reshape(len(y), -1)
    with torch.no_grad():
        return net.get_loss(net.module_(torch.as_tensor(X)), target).item()


CASES = {
    "cross-entropy": (nn.CrossEntropyLoss, 3, "codes", {}),
    "smoothed": (nn.CrossEntropyLoss, 3, "codes", {"label_smoothing": 0.3}),
    "class weights": (nn.CrossEntropyLoss, 3, "codes", {"weight": WEIGHT}),
    "both": (nn.CrossEntropyLoss, 3, "codes", {"weight": WEIGHT, "label_smoothing": 0.3}),
    "nll": (nn.NLLLoss, 3, "codes", {"weight": WEIGHT}),
    "logits": (nn.BCEWithLogitsLoss, 1, "binary", {"pos_weight": 3 * torch.ones(1)}),
    "sigmoid": (nn.BCELoss, 3, "several labels", {"weight": WEIGHT}),
    "labels": (nn.BCEWithLogitsLoss, 3, "several labels", {"pos_weight": WEIGHT}),
    "soft": (nn.BCEWithLogitsLoss, 3, "soft labels", {"pos_weight": WEIGHT, "weight": WEIGHT}),
    "squares": (nn.MSELoss, 3, "several real", {}),
    "huber": (nn.HuberLoss, 1, "real", {"delta": 2.0}),
    "smooth l1": (nn.SmoothL1Loss, 3, "several real", {"beta": 0.5}),
    "poisson": (nn.PoissonNLLLoss, 1, "counts", {}),
    "full poisson": (nn.PoissonNLLLoss, 1, "counts", {"full": True}),
    "focal": (Focal, 3, "codes", {}),
}
TAILS = {nn.NLLLoss: nn.LogSoftmax(dim=1), nn.BCELoss: nn.Sigmoid()}


def objective_of(net, y):
    head = read_head(net, X, y)
    objective = HeadObjective(
        head.design, head.targets, head.loss, 1e-3, head.sample_weight, n_outputs=len(head.theta)
    )
    return objective, head.theta


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", sorted(set(CASES) - {"focal"}))
def test_the_objective_is_the_criterion_of_all_rows(case, reduction):
    criterion, n_outputs, target, options = CASES[case]
    options = {name: v.double() if torch.is_tensor(v) else v for name, v in options.items()}
    net = network(criterion(**options, reduction=reduction), n_outputs, tail=TAILS.get(criterion))
    objective, theta = objective_of(net, TARGETS[target])
    found = objective.value(theta) - 5e-4 * np.sum(theta**2)
    if reduction == "sum":
        found *= objective.weight_sum
    assert found == pytest.approx(whole(net, TARGETS[target]), rel=1e-10)


@settings(max_examples=30, deadline=None)
@given(
    weight=st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    smoothing=st.floats(0, 1),
    reduction=st.sampled_from(["mean", "sum"]),
)
def test_any_class_weights_and_smoothing(weight, smoothing, reduction):
    criterion = nn.CrossEntropyLoss(
        torch.tensor(weight, dtype=torch.float64),
        label_smoothing=smoothing,
        reduction=reduction,
    )
    net = network(criterion, 3)
    objective, theta = objective_of(net, TARGETS["codes"])
    found = objective.value(theta) - 5e-4 * np.sum(theta**2)
    if reduction == "sum":
        found *= objective.weight_sum
    assert found == pytest.approx(whole(net, TARGETS["codes"]), rel=1e-9)


def test_class_weights_without_smoothing_weigh_rows_only():
    head = read_head(network(nn.CrossEntropyLoss(WEIGHT.double()), 3), X, TARGETS["codes"])
    assert head.loss == SoftmaxCrossEntropy()
    np.testing.assert_array_equal(head.sample_weight, WEIGHT.numpy()[TARGETS["codes"]])
    assert read_head(network(nn.CrossEntropyLoss(), 3), X, TARGETS["codes"]).sample_weight is None


@pytest.mark.parametrize("case", sorted(CASES))
def test_networks_with_each_criterion_are_fitted_and_refitted(case):
    criterion, n_outputs, target, options = CASES[case]
    net = network(criterion(**options), n_outputs, tail=TAILS.get(criterion), batch_size=7)
    net = net.set_params(module=net.module.float())
    fitted = fit_network(net, X, TARGETS[target], random_state=0)
    objective, theta = objective_of(fitted, TARGETS[target])
    fit = refit_head(objective, theta)
    assert fit.gradient_norm < 1e-8
    assert objective.value(fit.theta) < objective.value(theta)


def test_labels_of_several_columns_and_one_output_squeezed():
    class Squeezed(nn.Linear):
        def forward(self, X):
            return super().forward(X)[:, 0]

    net = NeuralNetBinaryClassifier(Squeezed, module__in_features=4, module__out_features=1)
    net.set_params(criterion__pos_weight=torch.tensor([2.0]), verbose=0, train_split=None)
    head = read_head(fit_network(net, X, TARGETS["binary"], random_state=0), X, TARGETS["binary"])
    assert head.loss.positive_weight == (2.0,)


# Any other criterion


def test_a_sum_over_rows_is_differentiated_by_torch():
    net = network(LogCosh, 3)
    objective, theta = objective_of(net, TARGETS["several real"])
    found = objective.value(theta) - 5e-4 * np.sum(theta**2)
    assert found == pytest.approx(whole(net, TARGETS["several real"]) / N, rel=1e-12)
    error = objective.outputs(theta) - TARGETS["several real"]
    np.testing.assert_allclose(objective.residual(theta), np.tanh(error) / 3, atol=1e-12)
    diagonals = np.einsum("ijj->ij", objective.output_hessians(theta).matrices)
    np.testing.assert_allclose(diagonals, (1 - np.tanh(error) ** 2) / 3, atol=1e-12)


def test_one_output_takes_numbers_for_classes():
    class LogisticLoss(nn.Module):
        def forward(self, outputs, target):
            return nn.functional.softplus((1 - 2 * target) * outputs).mean()

    for kind in (NeuralNet, NeuralNetClassifier):
        net = network(LogisticLoss, 1, kind=kind)
        found, theta = objective_of(fit_network(net, X, TARGETS["binary"]), TARGETS["binary"])
        plain = network(nn.BCEWithLogitsLoss, 1)
        expected, _ = objective_of(plain, TARGETS["binary"])
        np.testing.assert_allclose(found.gradient(theta), expected.gradient(theta), atol=1e-12)
        np.testing.assert_allclose(found.hessian(theta), expected.hessian(theta), atol=1e-12)


def test_the_users_criterion_is_copied():
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.ones(3))
    loss = TorchLoss(criterion.train())
    loss.residual(X[:, :3], TARGETS["soft labels"])
    assert criterion.training
    assert criterion.pos_weight.dtype == torch.float32


def test_a_criterion_that_is_not_convex_warns_of_the_smallest_curvature_and_the_damping():
    objective, theta = objective_of(network(Focal, 3), TARGETS["codes"])
    theta = 4 * theta
    matrices = torch.stack(
        [
            torch.func.hessian(lambda f, y=y: Focal()(f[None], y[None]))(f)
            for f, y in zip(
                torch.as_tensor(objective.outputs(theta)),
                torch.as_tensor(objective.targets),
                strict=True,
            )
        ]
    )
    values, vectors = np.linalg.eigh(matrices.numpy())
    row = values[:, 0].argmin()
    assert values[row, 0] < -1e-3
    message = (
        f"criterion=Focal is not convex: .* is {values[row, 0]:.3g}, in row {row}, and "
        f"{(values[:, 0] < -1e-9).sum()} of 30 rows .* damping=0.001 "
    )
    with pytest.warns(NonConvexLossWarning, match=message):
        warn_if_not_convex(objective, theta)
    clipped = np.einsum("ijk,ik,ilk->ijl", vectors, np.maximum(values, 0), vectors)
    np.testing.assert_allclose(objective.output_hessians(theta).matrices, clipped, atol=1e-12)
    assert np.linalg.eigvalsh(objective.hessian(theta)).min() > 0.99e-3


@pytest.mark.filterwarnings("error::sklearn_prune.losses.NonConvexLossWarning")
def test_a_convex_criterion_does_not_warn():
    for criterion, n_outputs, target in ((LogCosh, 3, "several real"), (nn.MSELoss, 1, "real")):
        objective, theta = objective_of(network(criterion, n_outputs), TARGETS[target])
        warn_if_not_convex(objective, theta)


# What is refused


@pytest.mark.parametrize(
    ("criterion", "n_outputs", "target", "message"),
    [
        (nn.CrossEntropyLoss(reduction="none"), 3, "codes", "reduction='none', and .* set redu"),
        (OwnNll(), 3, "codes", "cannot be differentiated twice here"),
        (nn.CrossEntropyLoss(ignore_index=2), 3, "codes", "ignores the class 2 of 10 rows"),
        (
            nn.CrossEntropyLoss(torch.tensor([0.0, 1, 1]), label_smoothing=0.1),
            3,
            "codes",
            "label_smoothing=0.1; some class must have a positive weight, with",
        ),
        (nn.CrossEntropyLoss(torch.tensor([-1.0, 1, 1])), 3, "codes", "not negative"),
        (nn.CrossEntropyLoss(torch.ones(2)), 3, "codes", "2 class weights for 3 classes"),
        (nn.CrossEntropyLoss(), 3, "several labels", "needs one class code per row"),
        (nn.BCEWithLogitsLoss(), 1, "counts", r"targets in \[0, 1\]"),
        (
            nn.BCEWithLogitsLoss(weight=torch.ones(N, 1)),
            3,
            "several labels",
            r"weight of shape \(30, 1\) for 3 outputs; .* sample_weight",
        ),
        (nn.BCEWithLogitsLoss(pos_weight=-torch.ones(1)), 1, "binary", "pos_weight=.*negative"),
        (nn.SmoothL1Loss(beta=0.0), 1, "real", "beta=0.0, .* set beta=1.0"),
        (nn.PoissonNLLLoss(log_input=False), 1, "counts", "log_input=False, .* set log_input=T"),
        (
            nn.PoissonNLLLoss(),
            1,
            "real",
            "negative targets, the smallest is -.* counts of 0 or more",
        ),
        (nn.L1Loss(), 1, "real", "L1Loss has a second derivative of zero"),
        (nn.MultiMarginLoss(), 3, "codes", "MultiMarginLoss cannot be differentiated row by row"),
        (Counted(), 3, "several real", "gives .* for 16 rows, which is neither the mean"),
        (nn.Identity(), 3, "real", "cannot be differentiated|returns"),
    ],
)
def test_what_is_no_sum_of_smooth_losses_is_refused(criterion, n_outputs, target, message):
    with pytest.raises(UnsupportedNetworkError, match=message):
        read_head(network(criterion, n_outputs), X, TARGETS[target])


def test_a_custom_criterion_on_probabilities_is_refused():
    with pytest.raises(UnsupportedNetworkError, match="receives the softmax .* needs its identity"):
        read_head(network(Focal, 3, tail=nn.Softmax(dim=1)), X, TARGETS["codes"])


# What y is


@pytest.mark.parametrize(
    ("kind", "criterion", "target", "expected"),
    [
        (NeuralNetClassifier, nn.CrossEntropyLoss, "codes", "classification"),
        (NeuralNetClassifier, nn.CrossEntropyLoss, "several labels", "classification"),
        (NeuralNetClassifier, nn.BCEWithLogitsLoss, "several labels", "regression"),
        (NeuralNetClassifier, nn.MSELoss, "codes", "classification"),
        (NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss, "several labels", "classification"),
        (NeuralNetRegressor, nn.MSELoss, "codes", "regression"),
        (NeuralNet, nn.NLLLoss(), "codes", "classification"),
        (NeuralNet, nn.BCEWithLogitsLoss(), "several labels", "regression"),
        (NeuralNet, nn.BCEWithLogitsLoss, "binary", None),
        (NeuralNet, nn.HuberLoss, "counts", "regression"),
        (NeuralNet, Focal, "codes", None),
    ],
)
def test_what_y_is_follows_from_network_criterion_and_columns(kind, criterion, target, expected):
    net = kind(nn.Linear, criterion=criterion)
    assert target_kind(net, TARGETS[target]) == expected
    assert target_kind(net, TARGETS[target].tolist()) == expected


class Concave(nn.Module):
    def forward(self, outputs, y):
        return -((outputs - y) ** 2).mean()


def test_a_criterion_that_curves_downward_has_no_minimum():
    assert "so that it has no minimum" in TorchLoss(Concave()).fault(np.zeros((9, 1)), 1)
