"""Influences on several networks at once, against each network alone and dense float64 matrices."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.influence import (
    DenseHeadInfluence,
    HeadObjective,
    MatchedCoordinates,
    RefittableInfluence,
    WideHeadInfluence,
    head_coordinates,
    influences_of,
    refit_head,
    stack_influences,
    stacked_coordinates,
)
from sklearn_prune.influence.stack import StackedCoordinates
from sklearn_prune.losses import SoftmaxCrossEntropy, SquaredError

N = 60
NORMS = ("loss", "parameter")


def head(n_features, seed, loss=None, norm="loss", sample_weight=None, kind=DenseHeadInfluence):
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(N, n_features))
    if loss is None:
        targets, loss = rng.integers(0, 3, size=N), SoftmaxCrossEntropy()
    else:
        targets = rng.normal(size=(N, 2))
    objective = HeadObjective(design, targets, loss, 1e-2, sample_weight)
    return kind(objective, refit_head(objective).theta, norm)


UNITS = np.array([1.0, 2.5])


@cache
def stack_of(norm="loss"):
    heads = [head(3, 0, norm=norm), head(5, 1, SquaredError(), norm=norm)]
    return stack_influences(heads, UNITS)


def wide_stack():
    return stack_influences([head(3, 0), head(5, 1, kind=WideHeadInfluence)])


def some_rows(seed, share=0.4):
    return np.random.default_rng(seed).random(N) < share


@pytest.mark.parametrize("norm", NORMS)
@given(st.integers(0, 1000), st.floats(0.05, 0.9))
@settings(max_examples=10, deadline=None)
def test_the_change_is_the_mean_over_the_networks(norm, seed, share):
    stack, drop = stack_of(norm), some_rows(seed, share)
    for size in (
        lambda i: i.measure(i.first_order_step(drop)),
        lambda i: i.measure(i.kept_step(drop)),
        lambda i: i.refitted_change(drop),
        lambda i: i.retrained_change(drop),
    ):
        sizes = np.array([size(one) for one in stack.influences])
        power = 1 if norm == "loss" else 2
        expected = (UNITS * sizes**power).mean() ** (1 / power)
        assert size(stack) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("norm", NORMS)
@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_sum_of_coordinates_is_as_long_as_the_change(norm, seed):
    stack, drop = stack_of(norm), some_rows(seed)
    length = stack.size_factor(drop) * np.linalg.norm(stack.Z.T @ drop)
    predicted = 0.5 * length**2 if norm == "loss" else length
    assert predicted == pytest.approx(stack.measure(stack.first_order_step(drop)), rel=1e-9)


def test_the_operator_is_its_blocks_side_by_side():
    stack = stack_of()
    array = np.random.default_rng(3).normal(size=(N, 4)).astype(np.float32)
    units = np.array([1.0, 4.0, 0.25])
    Z = StackedCoordinates([*(one.Z for one in stack.influences), array], units)
    first, second = (one.Z @ np.eye(one.shape[1]) for one in stack.influences)
    dense = np.hstack([first, 2 * second, array / 2]) / np.sqrt(3)
    V, W = np.eye(Z.shape[1]), np.random.default_rng(0).normal(size=(N, 2))
    np.testing.assert_allclose(Z @ V, dense, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(Z.T @ W, dense.T @ W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(Z @ V[0], dense[:, 0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(Z.row_norms(), np.linalg.norm(dense, axis=1), rtol=1e-5)
    some = np.array([4, 1, 7])
    np.testing.assert_allclose(Z.rows(some), dense[some], rtol=1e-4, atol=1e-6)
    part = Z.take(some)
    np.testing.assert_allclose(part.T @ W[some], dense[some].T @ W[some], rtol=1e-9, atol=1e-12)


def test_coordinates_given_a_set_are_those_of_each_head():
    stack, drop = stack_of(), some_rows(1)
    expected = [
        np.sqrt(unit / 2) * (one.given(drop).T @ drop.astype(float))
        for one, unit in zip(stack.influences, UNITS, strict=True)
    ]
    found = stack.given(drop).T @ drop.astype(float)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-9)


def test_more_damping_is_more_of_it_for_each_head():
    stack, drop = stack_of(), some_rows(4)
    expected = [one.damped(10.0).first_order_step(drop) for one in stack.influences]
    damped = stack.damped(10.0)
    np.testing.assert_allclose(damped.first_order_step(drop), np.concatenate(expected))
    np.testing.assert_array_equal(damped.units, UNITS)


def test_a_network_twice_is_that_network():
    one, drop = head(3, 0), some_rows(2)
    twice = stack_influences([one, one])
    np.testing.assert_allclose(twice.row_norms(), one.row_norms())
    np.testing.assert_allclose(twice.row_losses(), one.row_losses())
    once, forecast = one.forecast(drop), twice.forecast(drop)
    assert forecast.first_order == pytest.approx(once.first_order)
    assert forecast.refitted == pytest.approx(once.refitted)
    assert twice.curvature_name == "dense"


def test_whole_coordinates_of_heads_stay_an_operator():
    stack = stack_of()
    matched = stacked_coordinates(stack, [head_coordinates(one) for one in stack.influences])
    assert isinstance(matched.Z, StackedCoordinates)
    assert matched.relative_error == 0


def test_leading_coordinates_are_one_array_with_its_error():
    stack = stack_of()
    parts = [leading_two(one) for one in stack.influences]
    matched = stacked_coordinates(stack, parts)
    assert matched.Z.shape == (N, 4)
    assert matched.Z.dtype == np.float32
    assert 0 < matched.energy_share < 1
    assert matched.relative_error > 0


def leading_two(influence):
    """Return the two longest coordinates of a head, as those of wide heads are taken."""
    Z = influence.Z @ np.eye(influence.shape[1])
    columns = np.argsort((Z**2).sum(axis=0))[-2:]
    return MatchedCoordinates(Z[:, columns].astype(np.float32), relative_error=0.1)


def test_an_array_beside_an_operator_stays_an_operator_with_its_error():
    stack = stack_of()
    parts = [head_coordinates(stack.influences[0]), leading_two(stack.influences[1])]
    matched = stacked_coordinates(stack, parts)
    assert isinstance(matched.Z, StackedCoordinates)
    assert matched.relative_error > 0


def test_only_a_stack_of_dense_heads_can_be_refitted():
    assert isinstance(stack_of(), RefittableInfluence)
    assert isinstance(stack_of().damped(10.0), RefittableInfluence)
    wide = wide_stack()
    assert not isinstance(wide, RefittableInfluence)
    assert not wide.is_exact
    assert wide.curvature_name == "dense, kronecker"


def test_rows_must_weigh_the_same_in_all():
    weights = np.linspace(1, 2, N)
    with pytest.raises(ValueError, match="network 1 weights them differently"):
        stack_influences([head(3, 0), head(3, 0, sample_weight=weights)])


def test_influences_of_one_network_are_a_list_of_one():
    one, stack = head(3, 0), stack_of()
    assert influences_of(one) == [one]
    assert influences_of(stack) == stack.influences
