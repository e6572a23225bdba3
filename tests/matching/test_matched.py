"""What is matched: priorities where they are wanted, and groups where they are given."""

from __future__ import annotations

import numpy as np

from sklearn_prune import InfluencePruner
from sklearn_prune.selection import make_terms

CALM = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0}


def test_priorities_are_computed_where_the_distribution_counts(iris, iris_pruner):
    alone = InfluencePruner(**CALM, distribution_weight=0).fit(*iris)
    assert alone.matched_.priorities is None and iris_pruner.matched_.priorities is not None
    # Later as well, from what is stored.
    np.testing.assert_array_equal(alone.select(distribution_weight="auto"), iris_pruner.support_)
    assert alone.matched_.priorities is None


def test_priorities_are_computed_once(iris_pruner):
    matched = iris_pruner.matched_
    assert matched.with_priorities() is matched


def test_without_groups_nothing_is_relabelled(iris, iris_pruner):
    matched = iris_pruner.matched_
    assert matched.by_group(make_terms(150, iris[1])) is matched


def test_weights_of_one_are_none(iris, iris_pruner):
    assert iris_pruner.matched_.sample_weight is None
    weight = np.linspace(0.5, 1.5, 150)
    weighted = InfluencePruner(**CALM).fit(*iris, sample_weight=weight)
    np.testing.assert_allclose(weighted.matched_.sample_weight, weight)
