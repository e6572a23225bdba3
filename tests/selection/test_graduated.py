"""Graduated rounding: exact counts and a small sum."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection._coordinates import Coordinates, random_change
from sklearn_prune.selection._graduated import _Strata, graduated_rounding


@st.composite
def strata(draw, most=60):
    """Labels of up to four strata and how many rows of each go."""
    n = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, draw(st.integers(1, 4)), n)
    sizes = np.bincount(labels, minlength=4)
    return labels, np.array([rng.integers(0, size + 1) for size in sizes]), rng


@settings(max_examples=60, deadline=None)
@given(strata(), st.integers(1, 6), st.booleans())
def test_every_stratum_drops_exactly_what_is_asked(drawn, k, with_zeros):
    labels, n_dropped, rng = drawn
    Z = rng.standard_normal((len(labels), k)) * rng.exponential(size=(len(labels), 1))
    if with_zeros:
        Z[rng.random(len(Z)) < 0.5] = 0.0
    offset = 3 * rng.standard_normal(k)
    rounded = graduated_rounding(Coordinates(Z), labels, n_dropped, offset, rng)
    np.testing.assert_array_equal(np.bincount(labels[rounded.drop], minlength=4), n_dropped)


@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_the_sum_is_small_with_an_offset_or_without(offset):
    rng = np.random.default_rng(0)
    Z, labels = rng.standard_normal((3000, 10)), np.repeat([0, 1], 1500)
    coordinates, c = Coordinates(Z), np.full(10, offset)
    counts = np.array([1200, 1400])
    rounded = graduated_rounding(coordinates, labels, counts, c, rng)
    reached = np.linalg.norm(c + coordinates.total(rounded.drop))
    assert reached < 0.1 * random_change(coordinates, labels, counts, c)
    assert reached < 5 * rounded.rounding_bound


def test_the_rounding_bound_is_far_below_random_rows():
    rng = np.random.default_rng(0)
    coordinates, labels = Coordinates(rng.standard_normal((3000, 10))), np.zeros(3000, dtype=int)
    counts, nothing = np.array([2700]), np.zeros(10)
    rounded = graduated_rounding(coordinates, labels, counts, nothing, rng)
    assert rounded.rounding_bound < 0.1 * random_change(coordinates, labels, counts, nothing)


def test_the_same_seed_gives_the_same_rows():
    coordinates = Coordinates(np.random.default_rng(0).standard_normal((500, 5)))
    sets = [
        graduated_rounding(
            coordinates,
            np.zeros(500, dtype=int),
            np.array([300]),
            np.zeros(5),
            np.random.default_rng(seed),
        ).drop
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(sets[0], sets[1])
    assert (sets[0] != sets[2]).any()


@pytest.mark.parametrize("limits", [{"deadline": 0.0}, {"max_iter": 0}, {"max_iter": 7}])
def test_cut_short_it_still_meets_every_count(limits):
    rng = np.random.default_rng(0)
    coordinates, labels = Coordinates(rng.standard_normal((500, 5))), np.repeat([0, 1], 250)
    started = time.perf_counter()
    rounded = graduated_rounding(
        coordinates, labels, np.array([200, 100]), np.zeros(5), rng, **limits
    )
    assert time.perf_counter() - started < 5
    assert rounded.n_iter <= limits.get("max_iter", 0)
    np.testing.assert_array_equal(np.bincount(labels[rounded.drop]), [200, 100])


@settings(max_examples=100, deadline=None)
@given(strata())
def test_the_projection_is_the_nearest_point_of_the_box_with_these_sums(drawn):
    labels, targets, rng = drawn
    x = 3 * rng.standard_normal(len(labels))
    w = _Strata(labels, targets.astype(float)).project(x)
    assert (w >= 0).all()
    assert (w <= 1).all()
    np.testing.assert_allclose(np.bincount(labels, weights=w, minlength=4), targets, atol=1e-6)
    # Optimality: no small move inside a stratum brings w closer to x.
    for g in range(4):
        pull = (x - w)[labels == g]
        inside = w[labels == g]
        could_grow, could_shrink = pull[inside < 1 - 1e-9], pull[inside > 1e-9]
        if len(could_grow) and len(could_shrink):
            assert could_grow.max() <= could_shrink.min() + 1e-6
