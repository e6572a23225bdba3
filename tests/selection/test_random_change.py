"""What random sets cost, against every set and against sampled ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection import SelectionProblem
from sklearn_prune.selection.coordinates import Coordinates
from sklearn_prune.selection.random_change import random_change
from tests.selection.brute_force import all_subsets


def mean_square_by_enumeration(Z, labels, counts, fixed):
    """Mean of ``||Z^T w + fixed||^2`` over every set with these counts."""
    choices = [
        itertools.combinations(np.flatnonzero(labels == g), int(m)) for g, m in enumerate(counts)
    ]
    squares = []
    for parts in itertools.product(*map(list, choices)):
        rows = np.array([i for part in parts for i in part], dtype=int)
        squares.append(np.sum((fixed + Z[rows].sum(axis=0)) ** 2))
    return float(np.mean(squares))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 3), st.integers(1, 3))
def test_random_change_equals_the_mean_over_every_set(seed, n, k, n_groups):
    rng = np.random.default_rng(seed)
    Z, labels = rng.standard_normal((n, k)) + 1.0, rng.integers(-1, n_groups, n)
    sizes = np.bincount(labels[labels >= 0], minlength=n_groups)
    counts = np.array([rng.integers(0, size + 1) for size in sizes])
    fixed = rng.standard_normal(k)
    coordinates = Coordinates(Z)
    result = random_change(coordinates, labels, counts, fixed / coordinates.scale)
    expected = np.sqrt(mean_square_by_enumeration(Z, labels, counts, fixed))
    assert result * coordinates.scale == pytest.approx(expected, rel=1e-9)


def test_random_change_is_met_by_sampled_sets():
    rng = np.random.default_rng(0)
    Z, labels = rng.standard_normal((400, 5)) + 0.1, np.repeat([0, 1], [300, 100])
    problem = SelectionProblem(Z, n_drop=200, groups=labels, quota={0: 150, 1: 50})
    squares = []
    for _ in range(2000):
        drop = np.zeros(400, dtype=bool)
        drop[rng.choice(300, 150, replace=False)] = True
        drop[300 + rng.choice(100, 50, replace=False)] = True
        squares.append(problem.change(drop) ** 2)
    error = np.std(squares) / np.sqrt(len(squares))
    assert problem.random_lengths(drop).change ** 2 == pytest.approx(
        np.mean(squares), abs=4 * error
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 9))
def test_random_size_factors_are_those_of_all_sets(seed, n):
    rng = np.random.default_rng(seed)
    Z, B = rng.standard_normal((n, 2)), rng.standard_normal((n, 3))
    weight = rng.uniform(0.5, 2, n)
    problem = SelectionProblem(Z, n_drop=n // 2, balance=[B], sample_weight=weight)
    sets = all_subsets(n)
    sets = sets[sets.sum(axis=1) == n // 2]
    factors = np.array([problem.size_factor(w) for w in sets])
    for part, found in zip((Z, B), problem.random_size_factors(sets[0]), strict=True):
        squares = np.linalg.norm(sets @ part, axis=1) ** 2
        expected = np.sqrt((factors**2 * squares).mean() / squares.mean())
        assert found == pytest.approx(expected, rel=0.05)


def test_equal_weights_have_one_size_factor():
    problem = SelectionProblem(np.eye(6), n_drop=2, sample_weight=np.full(6, 3.0))
    drop = np.arange(6) < 2
    assert problem.random_size_factors(drop) == (problem.size_factor(drop),)
