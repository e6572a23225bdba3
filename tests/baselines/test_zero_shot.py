"""What a draw gives and takes by hand, and what covers the features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_prune.baselines import ZeroShotCoveragePruner
from sklearn_prune.baselines._zero_shot import credits_of


def test_a_draw_by_hand():
    # 1 covers 0.9. The others are 1, 2 and 6 away, so they lose 1, 1/16 and 1/1296 in proportion.
    columns = np.array([[0.0, 1.0, 3.0, 7.0]])
    gains = credits_of(columns, np.array([[0]]), np.array([[0.9]]))
    lost = np.array([1, 1 / 16, 1 / 1296])
    np.testing.assert_allclose(gains[[0, 2, 3]], -lost / lost.sum())
    assert gains[1] == 1


def test_only_the_features_of_the_subspace_count_and_distances_are_sums():
    # In the last two features, (3, 3) is 2 + 0 from (1, 3) and 3 + 3 from (0, 0).
    columns = np.array([[0.0, 0.0, 9.0], [3.0, 1.0, 0.0], [3.0, 3.0, 0.0]])
    gains = credits_of(columns, np.array([[1, 2]]), np.array([[4.0, 4.0]]))
    np.testing.assert_allclose(gains, [1, -81 / 82, -1 / 82])


def test_a_draw_that_two_equal_rows_cover_changes_nothing():
    columns = np.array([[0.0, 1.0, 1.0], [5.0, 6.0, 6.0]])
    gains = credits_of(columns, np.array([[0, 1]]), np.array([[2.0, 7.0]]))
    np.testing.assert_array_equal(gains, 0)


# Few values, so that rows and columns are the same.
TABLES = arrays(
    float,
    st.tuples(st.integers(4, 12), st.integers(1, 3)),
    elements=st.sampled_from([0.0, 1.0, 7.0]),
)


@settings(max_examples=30)
@given(X=TABLES, n_draws=st.integers(1, 40))
def test_all_draws_together_give_what_they_take(X, n_draws):
    scores = ZeroShotCoveragePruner(n_draws=n_draws, random_state=0).fit(X).scores_
    # What is left are random numbers between 0 and 1.
    assert 0 < scores.sum() < len(X)


def test_labels_make_no_difference_to_the_scores(iris):
    X, y = iris
    fits = [ZeroShotCoveragePruner(random_state=0).fit(X, labels) for labels in (None, y, y[::-1])]
    for fitted in fits[1:]:
        np.testing.assert_array_equal(fitted.scores_, fits[0].scores_)
    assert not hasattr(fits[0], "classes_")
    assert fits[0].get_support().sum() == 90


def test_rows_far_from_others_stay_and_a_crowd_is_thinned():
    rng = np.random.default_rng(0)
    alone = np.array([[9.0, 0.0], [0.0, 9.0], [-9.0, -9.0], [9.0, 9.0]])
    X = np.vstack([alone, rng.normal(scale=0.1, size=(60, 2))])
    support = ZeroShotCoveragePruner(prune_ratio=0.8, random_state=0).fit(X).get_support()
    assert support[:4].all()
    assert support.sum() == 13


def test_without_any_feature_that_varies_rows_are_kept_at_random():
    X = np.ones((40, 3))
    counts = sum(
        ZeroShotCoveragePruner(prune_ratio=0.5, random_state=seed).fit(X).get_support().astype(int)
        for seed in range(50)
    )
    # Four standard deviations of a binomial count on either side.
    assert counts.min() >= 11 and counts.max() <= 39


@pytest.mark.usefixtures("no_training")
def test_a_network_that_is_to_be_trained_needs_labels(iris, make_net):
    with pytest.raises(ValueError, match="requires y to be passed"):
        ZeroShotCoveragePruner(make_net()).fit(iris[0])
