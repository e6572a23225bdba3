"""Rows that go before any are chosen: those that must, and those of weight zero."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sklearn_prune import InfeasibleProblemError, InfluencePruner

CALM = {"damping": 1e-2, "random_state": 0, "time_limit": 10.0}
TOLERANCE = {**CALM, "prune_ratio": "auto"}


def restated(pruner, X, y, norm: str, message: str, **fit_params) -> float:
    """Return the tolerance that the error names."""
    with pytest.raises(InfeasibleProblemError, match=message) as caught:
        pruner.set_params(norm=norm).fit(X, y, **fit_params)
    return float(re.search(r"tolerance to (\S+),", str(caught.value))[1])


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_rows_that_must_go_beyond_the_tolerance_cost_what_the_user_measures_in(iris, norm):
    X, y = iris[0][::3], iris[1][::3]
    pruner = InfluencePruner(**TOLERANCE, tolerance=1e-9)
    drop = np.arange(50) % 17 < 7
    named = restated(pruner, X, y, norm, "include the 21 rows of must_drop", must_drop=drop)
    pruner.set_params(tolerance=named).fit(X, y, must_drop=drop)
    assert pruner.certificate_.predicted_change <= named


def test_a_quota_that_no_rows_within_the_tolerance_meet_is_named(iris):
    pruner = InfluencePruner(
        **TOLERANCE, tolerance=1e-12, quota={0: 5, 1: 50, 2: 50}, distribution_weight=0.0
    )
    restated(pruner, *iris, "loss", "no rows within it .* widen the quotas")


def test_where_the_distribution_stands_in_the_way_of_a_tolerance_its_weight_is_named(iris):
    pruner = InfluencePruner(**TOLERANCE, tolerance=1e-12, quota={0: 5, 1: 50, 2: 50})
    with pytest.raises(InfeasibleProblemError, match="or set distribution_weight to 0"):
        pruner.fit(*iris)


def test_rows_of_weight_zero_go_first_within_a_tolerance(iris):
    X, y = iris
    weight = np.ones(150)
    weight[np.random.default_rng(0).permutation(150)[:40]] = 0.0
    weight[y == 2] = 0.0
    pruner = InfluencePruner(**TOLERANCE, tolerance=1e-8, quota=None)
    support = pruner.fit(X, y, sample_weight=weight).support_
    assert support[weight > 0].sum() > 60
    assert (support & (weight == 0)).sum() == 1
    assert (support & (y == 2)).sum() == 1


def test_selecting_again_measures_as_the_influences_do(iris):
    pruner = InfluencePruner(**TOLERANCE, tolerance=1e-3).fit(*iris)
    expected = pruner.select()
    pruner.set_params(norm="parameter")
    np.testing.assert_array_equal(pruner.select(), expected)
