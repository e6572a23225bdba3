"""The harness measures each cell once, goes on where it stopped, and prunes once a seed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from benchmarks import models, quality
from benchmarks.cells import read_records
from benchmarks.quality import Cell

TUNED = models.Tuned(1e-2, 0.1, 5, gamma=0.02, kernel_penalty=10.0)
SMALL = ["--dataset", "breast_cancer", "--pruner", "influence", "random", "--ratio", "0.8"]
SMALL += ["--seeds", "2", "--subset", "200"]


def test_every_cell_is_measured_once_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quality, "tune", lambda split: TUNED)
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


@pytest.mark.parametrize(
    "name", ["geometricmedian", "herding", "kcenter", "kmeans", "moderate", "zeroshotcoverage"]
)
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
    assert {"kmeans", "distribution", "geometricmedian", "zeroshotcoverage"} <= set(
        quality.FOR_REGRESSION
    )
    split = quality.load("diabetes", tmp_path).subset(60)
    for name in quality.PRUNERS.keys() & set(quality.FOR_REGRESSION):
        pruner = quality.PRUNERS[name](split, TUNED, 0.5, 0)
        assert pruner.fit(split.X_train, split.y_train).support_.sum() == 30


# What all baselines have in common, `tests/baselines` sees to.
@pytest.mark.parametrize("pruner", ["influence", "random", "herding", "dual", "d2"])
def test_one_fit_serves_all_ratios_and_what_is_without_chance_all_seeds(pruner, tmp_path):
    split = quality.load("breast_cancer", tmp_path).subset(150)
    known = {}
    for seed in range(2):
        for ratio, rows in quality.kept_rows(pruner, split, TUNED, [0.5, 0.8], seed, known):
            fresh = quality.PRUNERS[pruner](split, TUNED, ratio, seed)
            fresh.fit(split.X_train, split.y_train)
            np.testing.assert_array_equal(rows, fresh.get_support(indices=True))


def test_quick_is_quick_and_writes_nothing(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.cells.append_record", None)
    monkeypatch.setattr(quality, "tune", lambda split: TUNED)
    quality.main(["--quick", "--subset", "120", "--pruner", "random"])
    assert "Ours against the best other pruner" in capsys.readouterr().out
