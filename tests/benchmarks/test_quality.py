"""The harness measures each cell once, goes on where it stopped, and compares seed by seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.svm import SVC, SVR
from threadpoolctl import threadpool_limits

from benchmarks import quality, quality_report
from benchmarks._common import read_records
from benchmarks.data import Split
from benchmarks.quality import Cell


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """OpenMP's threads wait for each other a hundred times as long on a machine that is busy."""
    monkeypatch.setattr("benchmarks._common.N_THREADS", 1)
    with threadpool_limits(1):
        yield


TUNED = quality.Tuned(1e-2, 0.1, 5, gamma=0.02, kernel_penalty=10.0)
SMALL = ["--dataset", "breast_cancer", "--pruner", "influence", "random", "--ratio", "0.8"]
SMALL += ["--seeds", "2", "--subset", "200"]


def test_every_cell_is_measured_once_and_kept(tmp_path, capsys):
    command = [*SMALL, "--out", str(tmp_path), "--downstream"]
    quality.main([*command, "head"])
    path = tmp_path / "quality.csv"
    first = path.read_text(encoding="utf-8")
    quality.main([*command, "head", "neighbours"])
    assert path.read_text(encoding="utf-8").startswith(first)
    cells = read_records(path, Cell)
    keys = {(c.pruner, c.prune_ratio, c.downstream, c.seed) for c in cells}
    assert len(keys) == len(cells) == 3 * 2 * 2
    assert {c.n_kept for c in cells if c.prune_ratio == 0.8} == {40}
    assert {c.n_kept for c in cells if c.pruner == "all rows"} == {200}
    assert all(0.5 < c.score <= 1 for c in cells)
    assert "breast_cancer, neighbours" in capsys.readouterr().out


def test_one_seed_of_everything_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(quality, "score_of", lambda *args, **options: 0.5)
    monkeypatch.setattr(quality, "tune", lambda split: TUNED)
    command = ["--dataset", "digits", "breast_cancer", "--pruner", "random", "--seeds", "2"]
    command += ["--downstream", "head", "--ratio", "0.5", "--subset", "100"]
    quality.main([*command, "--out", str(tmp_path)])
    cells = read_records(tmp_path / "quality.csv", Cell)
    names = ["digits", "digits", "breast_cancer", "breast_cancer"]
    assert [(c.seed, c.dataset) for c in cells] == [(s, name) for s in range(2) for name in names]
    assert [c.pruner for c in cells] == ["all rows", "random"] * 4


@pytest.mark.parametrize("name", ["herding", "kcenter", "kmeans", "moderate"])
def test_what_reads_columns_alone_keeps_the_same_however_long_the_network_is_trained(
    name, tmp_path
):
    split = quality.load("breast_cancer", tmp_path).subset(150)
    pruner = quality.PRUNERS[name](split, TUNED, 0.8, 0).fit(split.X_train, split.y_train)
    assert pruner.estimator.max_epochs == 1
    longer = clone(pruner).set_params(estimator__max_epochs=4).fit(split.X_train, split.y_train)
    np.testing.assert_array_equal(longer.support_, pruner.support_)


@pytest.mark.filterwarnings("ignore:y has 55 distinct whole numbers:UserWarning")
def test_regressions_are_pruned_by_what_needs_no_classes(tmp_path):
    assert {"kmeans", "distribution"} <= set(quality.FOR_REGRESSION)
    split = quality.load("diabetes", tmp_path).subset(60)
    for name in quality.PRUNERS.keys() & set(quality.FOR_REGRESSION):
        pruner = quality.PRUNERS[name](split, TUNED, 0.5, 0)
        assert pruner.fit(split.X_train, split.y_train).support_.sum() == 30


# What all baselines have in common, `tests/baselines` sees to.
@pytest.mark.parametrize("pruner", ["influence", "random", "herding", "dual"])
def test_one_fit_serves_all_ratios_and_what_is_without_chance_all_seeds(pruner, tmp_path):
    split = quality.load("breast_cancer", tmp_path).subset(150)
    known = {}
    for seed in range(2):
        for ratio, rows in quality.kept_rows(pruner, split, TUNED, [0.5, 0.8], seed, known):
            fresh = quality.PRUNERS[pruner](split, TUNED, ratio, seed)
            fresh.fit(split.X_train, split.y_train)
            np.testing.assert_array_equal(rows, fresh.get_support(indices=True))


@pytest.mark.parametrize("downstream", quality.DOWNSTREAM)
@pytest.mark.parametrize("dataset", ["breast_cancer", "diabetes"])
def test_every_model_learns_from_the_rows_kept(monkeypatch, dataset, downstream, tmp_path):
    monkeypatch.setattr(quality, "N_EPOCHS", 3)
    split = quality.load(dataset, tmp_path).subset(150)
    rows = np.arange(0, 150, 5)
    scores = [quality.score_of(downstream, split, TUNED, rows, seed=0) for _ in range(2)]
    assert scores[0] == scores[1] <= 1


def test_the_kernel_is_as_wide_as_the_median_distance():
    # Squared distances 1, 9 and 4.
    X = np.array([[0.0], [1.0], [3.0]])
    split = Split("three", X, np.zeros(3), X, np.zeros(3))
    assert quality.median_gamma(split) == 1 / 4


def test_the_kernel_svm_is_tuned_on_training_rows(tmp_path):
    for dataset, least in (("breast_cancer", 0.95), ("diabetes", 0.2)):
        split = quality.load(dataset, tmp_path)
        gamma = quality.median_gamma(split)
        penalty = quality.tune_kernel_penalty(split, gamma)
        tuned = replace(TUNED, gamma=gamma, kernel_penalty=penalty)
        rows = np.arange(len(split.y_train))
        assert penalty in (1.0, 10.0)
        assert quality.score_of("kernel-svm", split, tuned, rows, seed=0) > least


def test_the_kernel_svm_learns_standardised_numbers(tmp_path):
    split = quality.load("diabetes", tmp_path)
    y, rows = split.y_train, np.arange(len(split.y_train))
    by_hand = SVR(gamma=TUNED.gamma, C=TUNED.kernel_penalty)
    by_hand.fit(split.X_train, (y - y.mean()) / y.std())
    expected = r2_score(split.y_test, by_hand.predict(split.X_test) * y.std() + y.mean())
    assert quality.score_of("kernel-svm", split, TUNED, rows, 0) == pytest.approx(expected)


def test_the_kernel_svm_learns_from_so_many_rows_drawn_by_class(tmp_path, monkeypatch):
    monkeypatch.setattr(quality, "KERNEL_ROWS", 40)
    seen = []

    class Watched(SVC):
        def fit(self, X, y):
            seen.append((X, y))
            return super().fit(X, y)

    monkeypatch.setattr(quality, "SVC", Watched)
    split = quality.load("breast_cancer", tmp_path)
    rows = np.r_[np.flatnonzero(split.y_train == 0)[:30], np.flatnonzero(split.y_train == 1)[:90]]
    for kept, seed in ((rows, 0), (rows, 1), (rows[:40], 0)):
        quality.score_of("kernel-svm", split, TUNED, kept, seed)
    assert [np.bincount(y).tolist() for _, y in seen] == [[10, 30], [10, 30], [30, 10]]
    assert (seen[0][0] != seen[1][0]).any()
    np.testing.assert_array_equal(seen[2][0], split.X_train[rows[:40]])


def test_steps_are_those_of_all_rows(tmp_path):
    split = quality.load("breast_cancer", tmp_path)
    n = len(split.y_train)
    few = quality.model_of("mlp-steps", split, TUNED, n // 10, seed=0)
    assert few.max_iter * (n // 10) == pytest.approx(quality.N_EPOCHS * n, rel=0.05)


def test_quick_is_quick_and_writes_nothing(monkeypatch, capsys):
    monkeypatch.setattr(quality, "append_record", None)
    quality.main(["--quick", "--subset", "120", "--pruner", "influence", "random"])
    assert "Ours against the best other pruner" in capsys.readouterr().out


def cells_of(pruner, scores, ratio=0.5):
    return [
        Cell("digits", pruner, ratio, "head", seed, 10, score) for seed, score in enumerate(scores)
    ]


def compare(cells):
    return quality_report.compare(quality_report.by_run(cells))


def test_differences_are_paired_by_seed():
    scores = quality_report.by_run(
        cells_of("influence", [0.9, 0.8, 0.7]) + cells_of("random", [0.8, 0.7, 0.6])
    )
    key = ("digits", "influence", 0.5, "head")
    assert quality_report.difference(scores, key, "random") == pytest.approx((0.1, 0.0))


def test_the_interval_is_students():
    # Differences 0, 0.1, 0.2: mean 0.1, deviation 0.1, t(0.975, 2) = 4.3027.
    scores = quality_report.by_run(
        cells_of("influence", [0.5, 0.6, 0.7]) + cells_of("random", [0.5, 0.5, 0.5])
    )
    key = ("digits", "influence", 0.5, "head")
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert quality_report.difference(scores, key, "random") == pytest.approx((0.1, half))


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
    assert comparison.best == "el2n" and comparison.over_best[0] == pytest.approx(-0.1)


def test_the_figure_shows_ours_random_and_the_best_others(tmp_path):
    cells = []
    for ratio in (0.8, 0.5):
        for pruner, score in (("random", 0.5), ("influence", 0.9), ("a", 0.8), ("b", 0.1)):
            cells += cells_of(pruner, [score - ratio / 10, score], ratio)
        cells += cells_of("c", [0.7, 0.7], ratio)
    scores = quality_report.by_run(cells)
    display = quality_report.curves(scores, "digits", "head")
    assert list(display.prune_ratios) == ["influence", "random", "a", "c"]
    np.testing.assert_array_equal(display.prune_ratios["a"], [0.5, 0.8])
    np.testing.assert_allclose(display.test_scores["a"], [[0.75, 0.8], [0.72, 0.8]])
    quality_report.draw(scores, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def cells_of_model(downstream, means, ratio=0.9):
    """Cells of two seeds by pruner and mean score; all of them are 0.01 better on the second."""
    cells = []
    for pruner, mean in means.items():
        at = 0.0 if pruner == "all rows" else ratio
        cells += cells_of(pruner, [mean - 0.005, mean + 0.005], at)
    return [replace(cell, downstream=downstream) for cell in cells]


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
    assert "influence-0.1" not in quality_report.curves(scores, "digits", "head").prune_ratios
    means = {"all rows": 0.9, "random": 0.7, "influence": 0.8, "influence-0.1": 0.75}
    (case,) = shares(cells_of_model("svm", means))
    assert case.shares["influence-0.1"] == pytest.approx(0.25)


def test_the_report_stands_before_ours_is_measured_anew(tmp_path):
    means = {"all rows": 0.9, "random": 0.7, "influence-0.1": 0.8, "el2n": 0.6}
    cells = cells_of_model("head", means) + cells_of_model("svm", means)
    assert "influence-0.1 | 1 of 1 | +0.50" in quality_report.markdown(cells)
    lines = {name: len(t.splitlines()) for name, t in quality_report.readme_tables(cells).items()}
    assert lines == {"same head": 2, "unseen models": 2, "won back": 2}
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
