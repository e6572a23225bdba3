"""Margins and strata by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklearn_prune.baselines import CoveragePruner
from sklearn_prune.baselines._coverage import allocate, difficulty_bins
from tests.baselines.scripted import kept, scripted

# Means 0.1, 0.4, 0.5, 0.55, 0.95, so margins -0.8, -0.2, 0, 0.1, 0.9 in each class.
OWN = np.array([[0.1, 0.3, 0.4, 0.5, 0.9], [0.1, 0.5, 0.6, 0.6, 0.99]])
P_OWN = np.hstack([OWN, OWN])
Y = [0] * 5 + [1] * 5


def test_the_score_is_the_area_under_the_margin():
    net, X, y = scripted(P_OWN, Y)
    scores = CoveragePruner(net).fit(X, y).scores_
    by_hand = [-0.8, -0.2, 0.0, 0.1, (0.8 + 0.98) / 2]
    np.testing.assert_allclose(scores, by_hand + by_hand, atol=1e-12)


def test_the_hardest_go_and_every_difficulty_stays():
    net, X, y = scripted(P_OWN, Y)
    # Without the hardest: -0.2, 0 and 0.1 in the lower half of difficulty, 0.89 in the upper.
    for seed in range(5):
        pruner = CoveragePruner(net, prune_ratio=0.6, cutoff=0.2, n_strata=2, random_state=seed)
        rows = kept(pruner, X, y)
        assert len(rows) == 4
        assert {4, 9} < set(rows) and not {0, 5} & set(rows)


def test_no_more_than_the_ratio_is_cut_off():
    net, X, y = scripted(P_OWN, Y)
    assert len(kept(CoveragePruner(net, prune_ratio=0.0, cutoff=0.5), X, y)) == 10
    assert kept(CoveragePruner(net, prune_ratio=0.2, cutoff=0.5), X, y) == [1, 2, 3, 4, 6, 7, 8, 9]


def test_budgets_by_hand():
    # 10 rows of bins of 1, 20, 0 and 4: all of the small ones, 5 of the largest.
    assert allocate(np.array([1, 20, 0, 4]), 10).tolist() == [1, 5, 0, 4]
    assert allocate(np.array([3, 3]), 5).tolist() == [2, 3]


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=8), share=st.floats(0, 1))
def test_budgets_fit_and_sum_up(sizes, share):
    sizes = np.array(sizes)
    n_draws = int(share * sizes.sum())
    budgets = allocate(sizes, n_draws)
    assert budgets.sum() == n_draws
    assert ((budgets >= 0) & (budgets <= sizes)).all()
    cut_short = budgets < sizes
    # A bin that is not emptied gives as many as any other, but for rounding.
    assert (budgets[cut_short] >= budgets.max(initial=0) - 1).all()


def test_bins_are_of_equal_width():
    assert difficulty_bins(np.array([0.0, 0.49, 0.5, 1.0]), 2).tolist() == [0, 0, 1, 1]
    assert difficulty_bins(np.zeros(3), 4).max() < 4
