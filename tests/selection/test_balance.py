"""What is balanced beside the change: by enumeration, under a tolerance, and in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sklearn_prune.selection.search.descent as search_module
from sklearn_prune.selection import InfeasibleProblemError, SelectionProblem, solve
from tests.selection.brute_force import feasible_subsets


def both(n=300, k=4, more=20, seed=0):
    """Centred rows of Z and B; B has outliers that a search on Z alone would use."""
    rng = np.random.default_rng(seed)
    Z, B = rng.standard_normal((n, k)), rng.standard_normal((n, more))
    B[: n // 5] *= 4
    return Z - Z.mean(axis=0), B - B.mean(axis=0)


def joint(problem, Z, B, weight, w):
    """What is minimised, by its definition."""
    ratio = weight * np.sqrt((Z**2).sum() / (B**2).sum())
    return np.hypot(np.linalg.norm(Z.T @ w), ratio * np.linalg.norm(B.T @ w))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 9),
    weight=st.sampled_from([0.0, 0.3, 1.0, 3.0]),
    quota=st.sampled_from([None, "proportional"]),
)
def test_few_rows_are_the_best_of_all_sets(seed, n, weight, quota):
    rng = np.random.default_rng(seed)
    Z, B, groups = rng.standard_normal((n, 2)), rng.standard_normal((n, 4)), rng.integers(2, size=n)
    problem = SelectionProblem(
        Z,
        n_drop=int(rng.integers(1, n)),
        balance=[B],
        balance_weight=weight,
        groups=groups,
        quota=quota,
    )
    least = min(joint(problem, Z, B, weight, w) for w in feasible_subsets(problem))
    selection = solve(problem, random_state=0)
    found = joint(problem, Z, B, weight, selection.drop)
    assert selection.certificate.status == "optimal"
    assert found == pytest.approx(least, rel=1e-3, abs=1e-6)


def test_rows_are_more_balanced_than_without():
    Z, B = both()
    plain = solve(SelectionProblem(Z, n_drop=240), random_state=0).drop
    problem = SelectionProblem(Z, n_drop=240, balance=[B])
    selection = solve(problem, random_state=0, enough=0.1)
    certificate = selection.certificate
    assert np.linalg.norm(B.T @ selection.drop) < np.linalg.norm(B.T @ plain) / 2
    assert np.linalg.norm(B.T @ selection.drop) < certificate.random_imbalances[0]
    assert certificate.objective == pytest.approx(np.linalg.norm(Z.T @ selection.drop))
    assert certificate.objective < 0.3 * certificate.random_objective


def test_a_weight_of_zero_is_the_problem_without():
    Z, B = both()
    plain = solve(SelectionProblem(Z, n_drop=240), random_state=0).drop
    zero = solve(SelectionProblem(Z, n_drop=240, balance=[B], balance_weight=0.0), random_state=0)
    np.testing.assert_array_equal(zero.drop, plain)


def test_random_lengths_are_met_by_random_sets():
    Z, B = both(n=60)
    problem = SelectionProblem(Z, n_drop=40, balance=[B])
    rng = np.random.default_rng(0)
    drawn = [problem.lengths(problem.random_set(40, rng)) for _ in range(1500)]
    expected = problem.random_lengths(problem.random_set(40, rng))
    for found, mean in (
        ([lengths.change for lengths in drawn], expected.change),
        ([lengths.imbalances[0] for lengths in drawn], expected.imbalances[0]),
    ):
        assert np.sqrt(np.mean(np.square(found))) == pytest.approx(mean, rel=0.05)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([6, 10, 40]),
    tolerance=st.sampled_from([0.05, 0.5, 3.0]),
    quota=st.sampled_from([None, "proportional"]),
)
def test_within_a_tolerance_no_set_is_less_balanced_than_random_ones(seed, n, tolerance, quota):
    rng = np.random.default_rng(seed)
    Z, B = rng.standard_normal((n, 2)), rng.standard_normal((n, 3))
    problem = SelectionProblem(
        Z,
        tolerance=tolerance,
        balance=[B],
        groups=rng.integers(2, size=n),
        quota=quota,
    )
    try:
        drop = solve(problem, random_state=0, time_limit=5).drop
    except InfeasibleProblemError:
        return
    assert problem.size_factor(drop) * np.linalg.norm(Z.T @ drop) <= tolerance * (1 + 1e-6)
    if drop.any():
        random = problem.random_lengths(drop).imbalances[0]
        assert np.linalg.norm(B.T @ drop) <= random * (1 + 1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(5, 8))
def test_within_a_tolerance_few_rows_are_the_most_of_all_sets(seed, n):
    rng = np.random.default_rng(seed)
    Z, B = rng.standard_normal((n, 2)), rng.standard_normal((n, 3))
    problem = SelectionProblem(Z, tolerance=1.5, balance=[B])
    within = [
        int(w.sum())
        for w in feasible_subsets(problem)
        if problem.size_factor(w) * np.linalg.norm(Z.T @ w) <= 1.5
        and np.linalg.norm(B.T @ w) <= problem.random_lengths(w).imbalances[0] * (1 + 1e-9)
    ]
    assert solve(problem, random_state=0).drop.sum() == max(within)


@pytest.mark.parametrize("most", [2, 10])
def test_blocks_meet_the_same_rules_and_make_good_what_all_leave(monkeypatch, most):
    Z, B = both(n=2_000, more=30)
    groups = np.arange(2_000) % 3
    problem = SelectionProblem(
        Z, n_drop=1_600, balance=[B], groups=groups, quota={0: 100, 1: (100, 200), 2: (50, 250)}
    )
    whole = solve(problem, random_state=0, enough=0.1)
    monkeypatch.setattr(search_module, "WHOLE_ROWS", 300)
    monkeypatch.setattr(search_module, "BLOCK_ROWS", 300)
    monkeypatch.setattr(search_module, "MAX_BLOCKS", most)
    blocks = solve(problem, random_state=0, enough=0.1)
    again = solve(problem, random_state=0, enough=0.1)
    assert problem.is_feasible(blocks.drop)
    np.testing.assert_array_equal(blocks.drop, again.drop)
    for selection in (whole, blocks):
        certificate = selection.certificate
        assert certificate.objective < 0.3 * certificate.random_objective
        assert np.linalg.norm(B.T @ selection.drop) < 0.5 * certificate.random_imbalances[0]


def test_blocks_leave_rows_of_fixed_fate_alone(monkeypatch):
    monkeypatch.setattr(search_module, "WHOLE_ROWS", 100)
    monkeypatch.setattr(search_module, "BLOCK_ROWS", 100)
    Z, B = both(n=600)
    keep, drop = np.zeros(600, dtype=bool), np.zeros(600, dtype=bool)
    keep[::7], drop[1::7] = True, True
    problem = SelectionProblem(Z, n_drop=400, balance=[B], must_keep=keep, must_drop=drop)
    selection = solve(problem, random_state=0, enough=0.1)
    assert problem.is_feasible(selection.drop)
    assert selection.certificate.objective < selection.certificate.random_objective
