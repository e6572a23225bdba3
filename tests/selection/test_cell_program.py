"""The cells' program against enumeration of all counts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection import cell_program as module
from sklearn_prune.selection import inclusion_probabilities
from sklearn_prune.selection.cell_program import CellProgram, solve_cells


@st.composite
def programs(draw):
    """Programs of up to six cells in up to three groups, of fixed counts or ranges."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_cells, k = draw(st.integers(1, 6)), draw(st.integers(0, 3))
    groups = np.sort(rng.integers(0, draw(st.integers(1, 3)), n_cells))
    groups = np.unique(groups, return_inverse=True)[1]
    sizes = rng.integers(1, 7, n_cells)
    in_group = np.bincount(groups, sizes).astype(int)
    target = rng.integers(0, in_group + 1)
    is_loose = rng.random(len(target)) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    weighted = rng.random(n_cells) < 0.3 if draw(st.booleans()) else None
    odds = sizes.astype(float)
    if draw(st.booleans()):
        odds = dropped_by_a_draw(sizes, groups, target, rng)
    return CellProgram(
        sizes=sizes,
        groups=groups,
        expected_dropped=odds,
        low=np.where(is_loose, rng.integers(0, target + 1), target),
        high=np.where(is_loose, rng.integers(target, in_group + 1), target),
        target=target,
        total=int(target.sum()),
        weighted=weighted,
        means=rng.standard_normal((n_cells, k)),
        offset=3 * rng.standard_normal(k),
        reward=0.1 * rng.random(n_cells),
        deviation=draw(st.sampled_from([0.01, 1.0])),
    )


def dropped_by_a_draw(sizes, groups, target, rng):
    """Return how many rows of each cell a draw of unequal probabilities drops in the mean."""
    odds = np.zeros(len(sizes))
    for group, count in enumerate(target):
        cells = np.flatnonzero(groups == group)
        rows = np.repeat(cells, sizes[cells])
        shares = inclusion_probabilities(rng.random(len(sizes))[rows] + 1e-3, count)
        odds += np.bincount(rows, shares, minlength=len(sizes))
    return np.maximum(odds, 1e-6)


def enumerate_counts(program):
    """Return all counts that meet the rules, proportion included, and what each costs."""
    low, high = program.bounds()
    allowed = []
    for counts in product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
        d = np.array(counts)
        in_group = np.bincount(program.groups, d)[program.groups]
        even = np.abs(d - program.ratios * in_group) <= 1 + 1e-9
        if program.admits(d) and even.all():
            allowed.append(d)
    return allowed, [cost_of(program, d) for d in allowed]


def cost_of(program, d):
    residual = np.abs(program.offset + d @ program.means) / program.unit
    a = np.array(module._TANGENTS)[:, None]
    energy = np.maximum(2 * a * residual - a**2, 0).max(axis=0)
    away = np.abs(d - program.shares).sum()
    return program.unit * energy.sum() + program.deviation * away - program.reward @ d


@settings(max_examples=80, deadline=None)
@given(programs())
def test_the_counts_cost_as_little_as_enumeration_finds(program):
    allowed, costs = enumerate_counts(program)
    solution = solve_cells(program, np.random.default_rng(0), node_limit=None)
    if not allowed:
        assert solution is None
        return
    assert program.admits(solution.n_dropped)
    # Ties are broken by a ten-thousandth of a row, and the gap is as small.
    slack = 2e-4 * program.sizes.sum() + 2e-3 * abs(min(costs))
    assert cost_of(program, solution.n_dropped) <= min(costs) + slack


@settings(max_examples=50, deadline=None)
@given(programs())
def test_without_an_answer_largest_remainders_are_taken(program):
    allowed, _ = enumerate_counts(program)
    original, calls = module._run_milp, []

    def none_at_first(*args):
        counts, result = original(*args)
        calls.append(result)
        return (None if len(calls) == 1 and result.status != 2 else counts), result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_run_milp", none_at_first)
        solution = solve_cells(program, np.random.default_rng(0))
    if not calls or not allowed:
        return
    away = [np.abs(d - program.shares).sum() for d in allowed]
    assert np.abs(solution.n_dropped - program.shares).sum() <= min(away) + 2e-2
