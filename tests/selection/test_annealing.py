"""Annealed exchange: counts and fixed rows stay, and it leaves minima that single swaps cannot."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from sklearn_prune.selection._annealing import _Sampler, annealed_round
from sklearn_prune.selection._coordinates import Coordinates
from sklearn_prune.selection._exchange import exchange_round
from sklearn_prune.selection._pool import draw_pool

from .test_exchange import counts, sets, square


@settings(max_examples=100, deadline=None)
@given(sets())
def test_it_keeps_counts_and_fixed_rows(drawn):
    coordinates, labels, drop, rng = drawn
    before = drop.copy()
    after = annealed_round(coordinates, labels, drop, rng).drop
    np.testing.assert_array_equal(drop, before)
    np.testing.assert_array_equal(counts(labels, after), counts(labels, drop))
    np.testing.assert_array_equal(after[labels < 0], drop[labels < 0])


def test_it_leaves_a_minimum_of_single_exchange():
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((300, 40)))
    labels, drop = np.zeros(300, dtype=int), rng.permutation(300) < 150
    while (done := exchange_round(coordinates, labels, drop, rng)).n_swaps:
        drop = done.drop
    best = square(coordinates, drop)
    annealed = [annealed_round(coordinates, labels, drop, rng).drop for _ in range(30)]
    assert min(square(coordinates, each) for each in annealed) < 0.85 * best


def test_its_states_follow_the_law_of_the_temperature():
    rng = np.random.default_rng(0)
    coordinates = Coordinates(rng.standard_normal((6, 2)))
    labels, drop = np.zeros(6, dtype=int), np.arange(6) < 2
    pool = draw_pool(coordinates, labels, drop, rng, size=100)
    sampler, temperature, seen = _Sampler(pool, rng), 2.0, {}
    for _ in range(20_000):
        sampler.run(temperature, 2)
        state = tuple(np.sort(pool.indices[sampler.drop]).tolist())
        seen[state] = seen.get(state, 0) + 1
    sets_of_two = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    energy = np.array([square(coordinates, np.isin(np.arange(6), pair)) for pair in sets_of_two])
    expected = np.exp(-energy / temperature)
    expected /= expected.sum()
    observed = np.array([seen.get(pair, 0) for pair in sets_of_two]) / 20_000
    np.testing.assert_allclose(observed, expected, atol=0.015)


def test_the_same_seed_gives_the_same_set():
    coordinates = Coordinates(np.random.default_rng(0).standard_normal((200, 10)))
    labels, drop = np.arange(200) % 2, np.arange(200) < 100
    one, two = (
        annealed_round(coordinates, labels, drop, np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.drop, two.drop)
    assert one.n_swaps == two.n_swaps > 0
