"""The report compares seed by seed, and says what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import quality_report
from benchmarks.quality_report import Cell


def cells_of(pruner, scores, ratio=0.5):
    return [
        Cell("digits", pruner, ratio, "head", seed, 10, score) for seed, score in enumerate(scores)
    ]


def compare(cells):
    return quality_report.compare(quality_report.by_run(cells))


def test_the_report_says_where_ours_is_better_even_and_worse():
    cells = []
    for ratio, mine in ((0.5, [0.9, 0.91, 0.9]), (0.8, [0.7, 0.9, 0.8]), (0.9, [0.5, 0.51, 0.5])):
        cells += cells_of("influence", mine, ratio) + cells_of("random", [0.8, 0.8, 0.8], ratio)
    shown = quality_report.targets(compare(cells)).splitlines()[2:]
    assert [line.split(" | ")[-2] for line in shown] == ["better", "even", "worse"]


def test_targets_are_counted_where_they_hold():
    cells = []
    for ratio, mine in ((0.2, 0.5), (0.4, 0.7), (0.8, 0.9), (0.9, 0.8), (0.95, 0.81)):
        cells += cells_of("influence", [mine, mine + 0.01], ratio)
        cells += cells_of("random", [0.6, 0.61], ratio) + cells_of("el2n", [0.8, 0.81], ratio)
    comparisons = compare(cells)
    shown = quality_report.same_head(comparisons).splitlines()[2:]
    # At 90 % both are the same, which is not surely better.
    assert shown == ["| digits | 2 | 2 | 3 of 4 | 2 of 3 | 40% by el2n (-0.1000) |"]
    assert len(quality_report.unseen(comparisons).splitlines()) == 2
    unseen = compare(replace(cell, downstream="svm") for cell in cells)
    shown = quality_report.unseen(unseen).splitlines()[2:]
    # The mean of 0.3, 0.2 and 0.21.
    assert shown == ["| digits | svm | 2 | 4 of 5 | 0 of 5 | 20% | +0.2367 |"]


def test_the_best_other_is_the_best_on_the_same_seeds():
    cells = cells_of("influence", [0.5, 0.9]) + cells_of("random", [0.5, 0.8])
    # Its mean is below that of random rows, for its only seed is the harder one.
    cells += cells_of("el2n", [0.6])
    (comparison,) = compare(cells)
    assert comparison.best == "el2n" and comparison.over_best.mean == pytest.approx(-0.1)


def cells_of_model(downstream, means, ratio=0.9):
    """Cells of two seeds by pruner and mean score; all of them are 0.01 better on the second."""
    cells = []
    for pruner, mean in means.items():
        at = 0.0 if pruner == "all rows" else ratio
        cells += cells_of(pruner, [mean - 0.005, mean + 0.005], at)
    return [replace(cell, downstream=downstream) for cell in cells]


def test_the_figure_shows_ours_and_random_rows_at_the_ratios_and_seeds_of_both(tmp_path):
    cells = []
    for ratio in (0.8, 0.5):
        for pruner, score in (("random", 0.5), ("influence", 0.9), ("a", 0.8)):
            cells += cells_of(pruner, [score - ratio / 10, score], ratio)
    cells += cells_of("random", [0.7, 0.7], 0.95)
    scores = quality_report.by_run(cells)
    display = quality_report.curves(scores, "digits", "head")
    assert list(display.prune_ratios) == ["rows kept", "random rows"]
    np.testing.assert_array_equal(display.prune_ratios["random rows"], [0.5, 0.8])
    np.testing.assert_allclose(display.test_scores["rows kept"], [[0.85, 0.9], [0.82, 0.9]])


def test_what_is_measured_is_drawn(tmp_path):
    means = {"all rows": 0.9, "random": 0.7, "influence": 0.8}
    for dataset, size in (("digits", "empty"), ("adult", "drawn")):
        cells = [replace(cell, dataset=dataset) for cell in cells_of_model("head", means)]
        quality_report.draw(quality_report.by_run(cells), tmp_path / f"{size}.png")
    empty, drawn = ((tmp_path / f"{size}.png").stat().st_size for size in ("empty", "drawn"))
    assert drawn > empty + 1000


def shares(cells):
    return quality_report.won_back(quality_report.by_run(cells))


def test_won_back_is_the_share_of_what_random_rows_lose():
    means = {"all rows": 0.9, "random": 0.7, "influence": 0.8, "el2n": 0.6}
    (case,) = shares(cells_of_model("svm", means))
    assert case.lost == pytest.approx(0.2)
    assert case.shares == pytest.approx({"influence": 0.5, "el2n": -0.5})
    # Where a seed is missing, gains are those over random rows of the same seeds.
    cells = cells_of_model("svm", means)
    (case,) = shares(c for c in cells if not (c.pruner == "influence" and c.seed == 0))
    assert case.shares["influence"] == pytest.approx(0.5)


def test_nothing_is_won_back_of_less_than_the_noise_of_random_rows():
    # The deviation over both seeds is 0.01 / sqrt(2) = 0.0071.
    for lost, n_cases in ((0.008, 1), (0.007, 0), (-0.1, 0)):
        means = {"all rows": 0.7 + lost, "random": 0.7, "influence": 0.8}
        assert len(shares(cells_of_model("svm", means))) == n_cases
    means = {"all rows": 0.9, "random": 0.7, "influence": 0.8}
    assert shares(cells_of_model("head", means)) == []
    assert shares(cells_of_model("svm", means, ratio=0.6)) == []
    assert shares(c for c in cells_of_model("svm", means) if c.seed == 0) == []
    assert shares(c for c in cells_of_model("svm", means) if c.pruner != "all rows") == []


def test_the_best_mean_over_unseen_models_is_on_top():
    low, high = {"all rows": 0.9, "random": 0.5}, {"all rows": 0.8, "random": 0.7}
    cells = cells_of_model("svm", {**low, "influence": 0.7, "kmeans": 0.8, "dual": 0.9})
    cells += cells_of_model("forest", {**high, "influence": 0.78, "kmeans": 0.7})
    shown = quality_report.won_back_means(shares(cells)).splitlines()
    assert shown[0] == "| data | pruner | cases | mean | ours there | 90% |"
    assert shown[2:5] == [
        "| digits | influence | 2 of 2 | +0.65 | +0.65 | +0.65 |",
        "| digits | kmeans | 2 of 2 | +0.38 | +0.65 | +0.38 |",
        "| digits | dual | 1 of 2 | +1.00 | +0.50 | +1.00 |",
    ]
    assert [line.replace("all data sets", "digits") for line in shown[5:]] == shown[2:5]
    shown = quality_report.won_back_cases(shares(cells)).splitlines()[2:]
    assert shown == [
        "| digits | forest | 90% | 0.1000 |  | +0.80 | +0.00 |",
        "| digits | svm | 90% | 0.4000 | +1.00 | +0.50 | +0.75 |",
    ]


def test_cases_that_are_surely_worse_than_random_rows_are_counted():
    cells = []
    for ratio, mine in ((0.4, 0.6), (0.8, 0.6), (0.9, 0.8), (0.95, 0.7)):
        cells += cells_of_model("svm", {"influence": mine, "random": 0.7}, ratio)
    cells += cells_of_model("head", {"influence": 0.1, "random": 0.7})
    shown = quality_report.surely_worse(compare(cells))
    assert "1 of 3 cases from 80% up, in 2 of 4 at all ratios" in shown


def test_the_earlier_release_is_a_reference_and_no_rival():
    cells = cells_of("influence", [0.7, 0.8]) + cells_of("influence-0.1", [0.9, 0.9])
    assert compare(cells) == []
    cells += cells_of("random", [0.6, 0.7])
    (comparison,) = compare(cells)
    assert (comparison.best, comparison.n_others) == ("random", 1)
    scores = quality_report.by_run(cells)
    shown = quality_report.best_others(scores, [comparison]).splitlines()[2:]
    # Differences -0.2 and -0.1: t(0.975, 1) = 12.7062 times 0.0707 / sqrt(2).
    assert shown[1:] == [
        "|  | best other | 0.6500 random |",
        "|  | random | 0.6500 |",
        "|  | influence minus influence-0.1 | -0.1500 ± 0.6353 |",
    ]
    means = {"all rows": 0.9, "random": 0.7, "influence": 0.8, "influence-0.1": 0.75}
    (case,) = shares(cells_of_model("svm", means))
    assert case.shares["influence-0.1"] == pytest.approx(0.25)


def test_the_report_stands_before_ours_is_measured_anew(tmp_path):
    means = {"all rows": 0.9, "random": 0.7, "influence-0.1": 0.8, "el2n": 0.6}
    cells = cells_of_model("head", means) + cells_of_model("svm", means)
    assert "influence-0.1 | 1 of 1 | +0.50" in quality_report.markdown(cells)
    shown = quality_report.benchmarks_tables(cells)
    lines = {name: len(table.splitlines()) for name, table in shown.items()}
    assert lines == {"same head": 2, "unseen models": 2, "won back": 2}
    assert len(quality_report.readme_table(cells).splitlines()) == 2
    quality_report.draw(quality_report.by_run(cells), tmp_path / "figure.png")
    # Nor is anything else needed at first.
    cells = cells_of("influence", [0.8]) + cells_of("el2n", [0.7])
    assert "not measured" in quality_report.markdown(cells)


def test_the_nearest_rivals_are_compared_in_the_cases_that_all_have():
    ours, *others = quality_report.NEAREST
    whole = dict.fromkeys(quality_report.NEAREST, 0.1)
    cases = [
        quality_report.WonBack("adult", "forest", 0.9, 0.1, {**whole, ours: 0.3}),
        quality_report.WonBack("adult", "svm", 0.9, 0.1, {**whole, ours: 0.5}),
        quality_report.WonBack("adult", "boosting", 0.9, 0.1, {ours: 9.0}),
    ]
    lines = quality_report.won_back_together(cases).splitlines()
    assert lines[2] == f"| adult | {ours} | 2 | +0.40 |"
    assert lines[3:] == [f"| adult | {name} | 2 | +0.10 |" for name in others]


def test_the_readmes_table_has_the_matched_models_scores_and_what_others_win_back():
    matched = {"all rows": 0.9, "random": 0.7, "influence": 0.89, "kmeans": 0.8}
    cells = cells_of_model("head", matched)
    cells += cells_of_model("svm", {**matched, "influence": 0.81, "distribution": 0.7})
    cells += cells_of_model("forest", {**matched, "kmeans": 0.7, "distribution": 0.7})
    (line,) = quality_report.readme_table(cells).splitlines()[2:]
    assert line == "| digits | 0.9000 | 0.7000 | 0.8900 | 0.8000 | 2 | 75% | 25% |"
