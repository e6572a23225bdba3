"""The selection's benchmark: the rivals do what they are said to do, and the report adds up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import selection, selection_jobs, selection_report
from benchmarks._common import read_figures
from benchmarks.selection_report import Measured


def measured(method, budget, value, metric="value", part="rivals", n=50, job="gaussian4"):
    return Measured(part, job, method, 0.9, n, 4, budget, 0, "", metric, value)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    Z = (rng.standard_normal((600, 5)) * rng.exponential(size=(600, 1))).astype(np.float32)
    return selection_jobs.Job("gaussian5", Z, rng.integers(0, 3, 600), Z)


def test_annealing_keeps_every_count_and_comes_far_below_random(rows):
    annealing = pytest.importorskip("benchmarks.selection_annealing", exc_type=ImportError)
    annealing.compile_rivals()
    start = rows.random_set(0)
    drop = annealing.anneal(
        rows.dense, rows.labels, start, annealing.Schedule(3, 0.03, True), 0.3, seed=0
    )
    np.testing.assert_array_equal(
        np.bincount(rows.labels[drop], minlength=3), np.bincount(rows.labels[start], minlength=3)
    )
    assert rows.value(drop) < 0.05 * rows.problem.random_lengths(start).change / rows.unit


def test_herding_keeps_every_count_and_comes_below_random(rows):
    annealing = pytest.importorskip("benchmarks.selection_annealing", exc_type=ImportError)
    annealing.compile_rivals()
    start = rows.random_set(0)
    drop = annealing.herd(rows.dense, rows.labels, start, 0.3, seed=0)
    np.testing.assert_array_equal(
        np.bincount(rows.labels[drop], minlength=3), np.bincount(rows.labels[start], minlength=3)
    )
    assert rows.value(drop) < 0.5 * rows.problem.random_lengths(start).change / rows.unit


def test_quick_parts_write_numbers_tables_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "N_THREADS", 1)
    for part in ("exact", "plain_milp"):
        selection.main(["--part", part, "--quick", "--out", str(tmp_path)])
    read = selection_report.read(tmp_path)
    proven = selection_report.pick(read, part="exact", metric="proven", job="gaussian")
    assert len(proven) == 8
    assert {one.value for one in proven} == {1.0}
    assert (tmp_path / "selection.png").stat().st_size > 10_000
    text = (tmp_path / "selection.md").read_text(encoding="utf-8")
    assert "Proven optimality" in text
    assert "All columns in one milp" in text
    assert "numba" in json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))


def test_other_tables_can_read_the_same_folder(tmp_path):
    selection_report.write(tmp_path, "rivals", [measured("ours", 1.0, 0.5)])
    assert read_figures(tmp_path)[0].value == 0.5


def test_numbers_come_back_as_they_were_written(tmp_path):
    written = [measured("random", None, 120.0), measured("ours", 1.0, 0.25)]
    selection_report.write(tmp_path, "rivals", written)
    assert selection_report.read(tmp_path) == written


def test_a_rival_may_stop_early_and_the_best_of_them_counts():
    numbers = [
        measured("random", None, 100.0),
        measured("annealing", 1.0, 2.0),
        measured("annealing", 5.0, 3.0),
        measured("herding", 1.0, 8.0),
        measured("exchange", 1.0, 4.0),
        measured("ours", 1.0, 1.0),
        measured("ours", 5.0, 1.0),
    ]
    first, second = selection_report.comparisons(numbers)
    assert first.ratio == second.ratio == 0.5
    assert second.rivals["annealing"] == 2.0


def test_the_fit_of_time_finds_start_and_slope():
    numbers = [
        measured("ours", None, 2.0 + 3e-6 * n, "seconds", "scale", n) for n in (10**4, 10**5, 10**6)
    ]
    fit = selection_report.scale_fit(numbers)
    assert fit.start == pytest.approx(2.0)
    assert fit.slope == pytest.approx(3e-6)


def test_targets_say_what_was_met():
    numbers = [
        measured("ours", None, 50.0, "seconds", "scale", 1_000_000),
        measured("ours", None, 1.5, "value", "scale", 1_000_000),
    ]
    table = selection_report.target_table(numbers)
    assert "| a million rows: s | 60 | 50 | yes |" in table
    assert "| a million rows: mean row norms | 1 | 1.5 | no |" in table


def test_dense_rows_are_the_operators_rows(tmp_path):
    job = selection_jobs.build("digits", SimpleNamespace(subset=60, data_dir=tmp_path))
    np.testing.assert_allclose(job.dense, job.Z @ np.eye(job.Z.shape[1]), rtol=1e-3, atol=1e-6)
    assert job.random_set(0).sum() == job.problem.n_drop == 54
