"""Gains are paired by seed, with Student's interval."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scores import Gain, collected, counted_gains, gain, table


def test_differences_are_paired_by_seed():
    shared = gain({0: 0.5, 1: 0.7, 2: 0.9}, {0: 0.4, 1: 0.6, 5: 0.0})
    assert (shared.mean, shared.n_seeds) == (pytest.approx(0.1), 2)
    assert shared.half == pytest.approx(0, abs=1e-12)
    assert np.isnan(gain({0: 1.0}, {1: 1.0}).mean)


def test_the_interval_is_students():
    # Differences 0, 0.1, 0.2: mean 0.1, deviation 0.1, t(0.975, 2) = 4.3027.
    over = gain({0: 0.5, 1: 0.6, 2: 0.7}, {0: 0.5, 1: 0.5, 2: 0.5})
    assert (over.mean, over.half) == pytest.approx((0.1, 4.302653 * 0.1 / np.sqrt(3)))
    assert str(over) == "+0.1000 ± 0.2484"
    assert (str(Gain(0.1, np.inf, 1)), str(Gain(np.nan, np.nan, 0))) == ("+0.1000", "")


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [(0.2, 0.1, "better"), (-0.2, 0.1, "worse"), (0.1, 0.1, "even"), (0.2, np.inf, "")],
)
def test_the_verdict_is_the_intervals(mean, half, verdict):
    assert Gain(mean, half, 2).verdict == verdict


def scores_of(**by_method):
    return collected(
        (("digits", method, ratio, "head"), seed, score)
        for method, runs in by_method.items()
        for ratio, run in runs.items()
        for seed, score in enumerate(run)
    )


def test_a_table_has_a_line_for_each_method_and_gains_in_brackets():
    scores = scores_of(random={0.5: [0.5, 0.6], 0.8: [0.4]}, ours={0.5: [0.7, 0.8]})
    assert table(scores, "digits", "head", "random").splitlines()[2:] == [
        "| random | 0.5500 | 0.4000 |",
        "| ours | 0.7500 (+0.2000 ± 0.0000) |  |",
    ]


def test_gains_are_counted():
    runs = {ratio: [0.5, 0.6, 0.7] for ratio in (0.8, 0.9, 0.95)}
    better = {r: [x + g for x in runs[r]] for r, g in ((0.8, 0.1), (0.9, 0.0), (0.95, -0.1))}
    scores = scores_of(random=runs, ours=better)
    keys = [key for key in scores if key[1] == "ours"]
    assert counted_gains(scores, keys, "random") == ["+0.0000", "1", "1", "1"]
