"""The core's jobs run on small files, and write their figures and tables."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import core, tables


def run_job(job, data_dir, out):
    core.main(
        ["--job", job, "--data-dir", str(data_dir), "--out", str(out)]
        + ["--subset", "240", "--seeds", "1"]
    )
    return tables.Figures(tables.read_figures(out))


def test_adult_scores_full_chosen_and_random_rows(data_dir, tmp_path):
    figures = run_job("adult", data_dir, tmp_path)
    for metric in ("accuracy", "auc"):
        assert len(figures.values("adult", "full", 0.0, metric)) == 1
        assert len(figures.values("adult", "pruned", 0.9, metric)) == 1
        assert len(figures.values("adult", "random", 0.9, metric)) == core.N_SEEDS
    assert figures.values("adult", "pruned", 0.9, "n_kept") == [24]
    described = json.loads((tmp_path / "adult.json").read_text(encoding="utf-8"))
    assert described["threads"] == 1
    assert (tmp_path / "core.md").exists()


def test_diamonds_scores_a_regression(data_dir, tmp_path):
    figures = run_job("diamonds", data_dir, tmp_path)
    assert figures.values("diamonds", "pruned", 0.95, "n_kept") == [12]
    assert figures.mean("diamonds", "full", 0.0, "r2") > 0.9


def test_cifar10_measures_distance_time_and_memory(data_dir, tmp_path):
    figures = run_job("cifar10", data_dir, tmp_path)
    assert figures.mean("cifar10", "pruned", 0.9, "distance") > 0
    assert figures.mean("cifar10", "pruned", 0.9, "peak_memory_mb") > 50
    for way in ("refit_head", "sklearn-lbfgs", "sklearn-newton-cg"):
        assert figures.mean("cifar10", way, 0.0, "fit_seconds") > 0
        assert figures.mean("cifar10", way, 0.0, "gradient_norm") < 1e-4


def test_a_missing_file_is_named_with_the_remedy(tmp_path, capsys):
    with pytest.raises(SystemExit):
        core.main(["--job", "adult", "--data-dir", str(tmp_path)])
    assert re.match("adult.csv.gz is not in .*--data-dir", capsys.readouterr().err)
