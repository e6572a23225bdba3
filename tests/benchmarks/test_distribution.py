"""The benchmark that decides what is held beside the head, on small numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import distribution
from benchmarks.data import Split
from benchmarks.quality_report import FULL, Cell, by_run


def some_split(n=200):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, 3)), np.arange(n) % 2
    return Split("digits", X, y, np.full((10, 3), 99.0), np.zeros(10, dtype=np.int64))


def test_a_share_is_of_the_seeds_that_all_have():
    cells = [
        Cell("adult", FULL, 0.0, "forest", 0, 100, 0.9),
        Cell("adult", FULL, 0.0, "forest", 1, 100, 0.5),
        Cell("adult", distribution.RANDOM, 0.9, "forest", 0, 10, 0.7),
        Cell("adult", "weight 1", 0.9, "forest", 0, 10, 0.75),
        Cell("adult", "weight 1", 0.9, "forest", 1, 10, 0.1),
    ]
    share = distribution.won_back(by_run(cells), "adult", "weight 1", 0.9, "forest")
    assert share == pytest.approx(0.25)
    assert np.isnan(distribution.won_back(by_run(cells), "adult", "weight 1", 0.8, "forest"))


def test_the_report_has_a_line_for_each_ratio_and_leaves_out_what_is_missing():
    cells = [
        Cell("digits", name, ratio, downstream, 0, 10, score)
        for downstream in distribution.DOWNSTREAM
        for name, ratio, score in (
            (FULL, 0.0, 0.9),
            (distribution.RANDOM, 0.9, 0.7),
            ("weight 1", 0.9, 0.8),
        )
    ]
    lines = distribution.report(cells).splitlines()
    assert [line for line in lines if line.startswith("| digits, 90%")][0].count(
        "+0.50 (+0.50)"
    ) == 1
    # One table of what is held, one of the draws.
    assert sum(line.startswith("| digits") for line in lines) == 2 * len(distribution.RATIOS)


@pytest.mark.parametrize("features", distribution.FEATURES)
def test_options_differ_in_what_is_held(features):
    split = some_split()
    pruner = distribution.quality.InfluencePruner(prune_ratio=0.5, random_state=0)
    pruner.fit(split.X_train, split.y_train)
    part = distribution.with_features(pruner, split, features, seed=0)
    assert part.shape[0] == 200
    assert part.shape[1] < pruner._balance_[0].shape[1]
