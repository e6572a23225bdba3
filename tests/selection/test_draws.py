"""Draws with unequal probabilities, and problems that are aimed at what such a draw keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_prune.selection import SelectionProblem, inclusion_probabilities, solve
from sklearn_prune.selection.draws import draw_dropped, systematic_sample


@st.composite
def weights(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return 10.0 ** rng.uniform(-draw(st.integers(0, 6)), 2, draw(st.integers(1, 40))), rng


@settings(max_examples=80, deadline=None)
@given(weights(), st.floats(0.0, 1.0).map(lambda share: round(share, 6)))
def test_probabilities_are_proportional_and_sum_to_the_rows_kept(drawn, share):
    weight, _ = drawn
    n_kept = share * len(weight)
    probabilities = inclusion_probabilities(weight, n_kept)
    assert probabilities.sum() == pytest.approx(n_kept, abs=1e-9 * len(weight))
    assert (probabilities >= 0).all() and (probabilities <= 1).all()
    open_rows = probabilities < 1
    if open_rows.any() and n_kept > 0:
        ratio = probabilities[open_rows] / weight[open_rows]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
        # Only rows of more weight than any open one are certain.
        assert weight[~open_rows].min(initial=np.inf) >= weight[open_rows].max() * (1 - 1e-9)


@settings(max_examples=80, deadline=None)
@given(weights(), st.floats(0.0, 1.0))
def test_a_sample_has_the_size_that_the_probabilities_sum_to(drawn, share):
    weight, rng = drawn
    n_kept = round(share * len(weight))
    sample = systematic_sample(inclusion_probabilities(weight, n_kept), rng)
    assert sample.sum() == n_kept


def test_rows_are_drawn_as_often_as_their_probabilities_say():
    rng = np.random.default_rng(0)
    probabilities = inclusion_probabilities(np.array([1.0, 2.0, 3.0, 4.0, 40.0, 0.5]), 3)
    often = np.mean([systematic_sample(probabilities, rng) for _ in range(20_000)], axis=0)
    np.testing.assert_allclose(often, probabilities, atol=0.015)


def test_cells_drop_their_counts_and_odds_decide_within_them():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, -1], [50, 30, 5])
    kept_share = np.where(np.arange(85) % 2 == 0, 0.9, 0.1)
    dropped = np.mean(
        [draw_dropped(labels, np.array([25, 6]), kept_share, rng) for _ in range(2_000)], axis=0
    )
    assert dropped[labels == 0].sum() == pytest.approx(25)
    assert dropped[labels == 1].sum() == pytest.approx(6)
    assert not dropped[labels == -1].any()
    np.testing.assert_allclose(dropped[:50:2], 0.1, atol=0.05)
    np.testing.assert_allclose(dropped[1:50:2], 0.9, atol=0.05)


def test_rows_kept_look_like_the_draw_that_is_aimed_at():
    """The change stays near zero, while what is balanced moves to the mean of the draw."""
    rng = np.random.default_rng(0)
    n = 3_000
    x = rng.standard_normal(n)
    Z = np.column_stack([rng.standard_normal(n), x * rng.standard_normal(n)])
    B = np.column_stack([np.cos(x), np.sin(x), x, x**2])
    Z, B = Z - Z.mean(0), B - B.mean(0)
    problem = SelectionProblem(Z, n_drop=2_700, balance=[B])
    kept_share = inclusion_probabilities(np.abs(x) + 0.1, 300)
    aimed = problem.aimed_at(kept_share)
    drop = solve(aimed, random_state=0, enough=0.1).drop
    assert drop.sum() == 2_700
    assert problem.change(drop) < 0.1 * problem.random_lengths(drop).change
    aim, error = kept_share @ B / 300, B[~drop].mean(axis=0) - kept_share @ B / 300
    assert np.linalg.norm(error) < 0.02 * np.linalg.norm(aim)
    # What is told of the balance is how far from the aim it is.
    assert aimed.lengths(drop).imbalances[0] == pytest.approx(np.linalg.norm(300 * error), rel=1e-6)


def test_cells_keep_as_many_rows_as_the_draw():
    rng = np.random.default_rng(1)
    n = 2_000
    Z = rng.standard_normal((n, 3)) * np.where(np.arange(n) < 200, 10.0, 1.0)[:, None]
    kept_share = inclusion_probabilities(np.where(np.arange(n) < 200, 5.0, 1.0), 400)
    problem = SelectionProblem(Z - Z.mean(0), n_drop=1_600, balance=[np.ones((n, 1))])
    drop = solve(problem.aimed_at(kept_share), random_state=0, enough=0.1).drop
    assert abs((~drop[:200]).sum() - kept_share[:200].sum()) <= 12


def test_what_are_no_probabilities_is_refused():
    problem = SelectionProblem(np.ones((4, 1)), n_drop=2, balance=[np.ones((4, 1))])
    with pytest.raises(ValueError, match="kept_share must be probabilities"):
        problem.aimed_at(np.array([np.nan, 1.0, 1.0, 0.0]))
