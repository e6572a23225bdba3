"""Bounds against the losses themselves, and in the worst direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.influence import HeadObjective, refit_head
from sklearn_prune.inspection._bounds import LossBound, minimiser_distance
from tests.influence.heads import LOSSES, random_objective


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), length=st.floats(1e-3, 30))
def test_no_loss_changes_by_more_than_the_bound(name, seed, length):
    objective, theta = random_objective(name, n=12, damping=0.0, weighted=True, seed=seed)
    step = np.random.default_rng(seed).standard_normal(theta.shape)
    step *= length / np.linalg.norm(step)
    change = objective.value(theta + step) - objective.value(theta)
    assert abs(change) <= LossBound(objective, theta)(length) * (1 + 1e-12)


@pytest.mark.parametrize(
    "name", ["softmax", "one logit", "three logits", "one target", "three targets"]
)
def test_bound_is_reached_in_the_worst_direction(name):
    """One row, and the outputs and steps for which each constant is attained."""
    design = np.array([[3.0]])
    targets = np.array([0]) if name == "softmax" else np.zeros((1, 1))
    objective = HeadObjective(
        design, targets, LOSSES[name], 0.0, n_outputs=2 if name == "softmax" else 1
    )
    theta = np.zeros(objective.shape)
    direction = np.array([[-1.0], [1.0]]) / np.sqrt(2) if name == "softmax" else np.ones((1, 1))
    bound = LossBound(objective, theta)

    def rise(length):
        return objective.value(theta + length * direction) - objective.value(theta)

    # Near zero outputs the curvature is largest, far away the slope is.
    assert rise(1e-2) == pytest.approx(bound(1e-2), rel=1e-4)
    if "target" not in name:
        assert rise(1e4) == pytest.approx(bound(1e4), rel=1e-3)


def test_nothing_is_claimed_of_a_loss_that_is_not_known():
    objective, theta = random_objective("torch softmax", damping=0.0)
    assert LossBound(objective, theta)(1e-3) == np.inf
    assert LossBound(objective, theta)(0.0) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_the_minimiser_is_within_the_gradient_over_the_damping(name):
    objective, theta = random_objective(name)
    distance = np.linalg.norm(refit_head(objective).theta - theta)
    assert distance <= minimiser_distance(objective, theta)
