import re

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_prune.losses import TorchLoss, spread_rows


class Waving(nn.Module):
    """The mean of ``cos(f - y)``, which curves both ways."""

    def forward(self, outputs, target):
        return torch.cos(outputs - target).mean()


class PerRow(nn.Module):
    def forward(self, outputs, target):
        return ((outputs - target) ** 2).mean(dim=1)


class Concave(nn.Module):
    def forward(self, outputs, target):
        return -((outputs - target) ** 2).mean()


class Largest(nn.Module):
    def forward(self, outputs, target):
        return ((outputs - target) ** 2).max()


def test_negative_curvature_is_taken_as_zero_and_its_size_is_known():
    outputs, targets = np.array([[0.0], [np.pi]]), np.zeros((2, 1))
    loss = TorchLoss(Waving())
    np.testing.assert_allclose(loss.hessians(outputs, targets).entry(0, 0), [0, 1], atol=1e-12)
    np.testing.assert_allclose(loss.smallest_curvatures(outputs, targets), [-1, 1])


@pytest.mark.parametrize(
    ("criterion", "fault"),
    [
        (nn.MSELoss(), None),
        (nn.MSELoss(reduction="sum"), None),
        (PerRow(), "returns 9 numbers for 9 rows instead of one"),
        (Largest(), "neither the mean .* nor the sum"),
        (nn.L1Loss(), "has a second derivative of zero"),
        (Concave(), "is concave wherever it was tried"),
        (nn.CrossEntropyLoss(ignore_index=0.5), "cannot be differentiated row by row"),
    ],
)
def test_a_criterion_that_is_no_sum_of_smooth_losses_has_a_fault(criterion, fault):
    reason = TorchLoss(criterion).fault(np.linspace(-1, 1, 9)[:, None], 1)
    assert reason is None if fault is None else re.search(fault, reason)


@pytest.mark.parametrize("n_samples", [3, 8])
def test_rows_are_spread_over_sorted_targets_and_show_every_class(n_samples):
    y = np.repeat([0, 1, 2], [90, 9, 1])
    rows = spread_rows(y, n_samples)
    assert set(y[rows]) == {0, 1, 2}
    assert len(set(rows)) == len(rows) >= n_samples
    assert sorted(spread_rows(y, 1000)) == list(range(100))
