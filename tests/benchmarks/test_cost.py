"""What a fit costs is printed by its process, and shown in a table."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import cost, cost_grid
from benchmarks._common import Figure, read_figures


def test_a_process_prints_what_its_fit_costs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    cost.main(["--child", "million", "--subset", "200", "--data-dir", str(tmp_path)])
    costs = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert costs.keys() >= set(cost.METRICS)
    stages = sum(seconds for name, seconds in costs.items() if name.startswith("wall, "))
    assert 0 < stages <= costs["wall"]
    assert costs["peak_memory_mb"] > 50
    assert min(costs[name] for name in cost.ESTIMATES) > 0


def test_a_grid_is_compared_with_one_ratio(data_dir, monkeypatch):
    monkeypatch.setattr(cost_grid, "RATIOS", (0.5, 0.9))
    monkeypatch.setattr(cost_grid, "N_FOLDS", 2)
    monkeypatch.setattr(cost_grid, "N_EPOCHS", 1)
    costs = cost_grid.costs(data_dir, None)
    for name in ("search, linear", "search, hidden layer"):
        one, both = costs[f"{name}, one ratio"], costs[f"{name}, all ratios"]
        assert costs[f"{name}, all / one"] == both / one


def test_each_package_and_job_has_its_own_process(tmp_path, monkeypatch, capsys):
    def measured(job, package, args):
        return {metric: float(package == cost.ROOT) for metric in cost.METRICS}

    monkeypatch.setattr(cost, "measured", measured)
    cost.main(["--job", "digits", "--earlier", str(tmp_path), "--out", str(tmp_path / "out")])
    lines = (tmp_path / "out" / "cost.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 2 * cost.N_ROUNDS["digits"] * len(cost.METRICS)
    assert lines[1].startswith("digits,this,0.4,0,cpu,1")
    assert lines[4].startswith("digits,earlier,0.4,0,cpu,0")


def test_figures_of_jobs_that_are_not_asked_for_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "measured", lambda *_: dict.fromkeys(cost.METRICS, 1.0))
    cost.main(["--job", "digits", "--out", str(tmp_path)])
    cost.main(["--job", "million", "--out", str(tmp_path)])
    jobs = [figure.job for figure in read_figures(tmp_path, "cost.csv")]
    n_metrics = len(cost.METRICS)
    assert jobs == ["digits"] * cost.N_ROUNDS["digits"] * n_metrics + ["million"] * n_metrics


def test_the_table_has_means_over_fits():
    figures = [
        Figure("cifar10", "this", 0.9, seed, metric, value)
        for seed, value in enumerate((1.0, 2.0))
        for metric in cost.METRICS
    ]
    (line,) = cost.table(figures).splitlines()[2:]
    assert line == "| cifar10 | 90% | this | 2 | 1.5 | 1.5 | 1.5 |  |  |  |"


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="cifar10_embedding.npz is not in"):
        cost.rows_of("cifar10", tmp_path, None)
