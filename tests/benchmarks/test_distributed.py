"""The benchmark over partitions, on a few hundred rows and a cluster in this process."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("dask.array", reason="sklearn_prune[dask] is not installed")
distributed = pytest.importorskip("distributed", reason="sklearn_prune[dask] is not installed")

from benchmarks import distributed as benchmark  # noqa: E402
from benchmarks.cells import read_records  # noqa: E402


@pytest.fixture
def small(monkeypatch):
    """Partitions of 150 rows, and workers in this process."""

    @contextmanager
    def cluster():
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
        with (
            distributed.LocalCluster(**options, dashboard_address=":0") as workers,
            distributed.Client(workers) as client,
        ):
            yield client

    monkeypatch.setattr(benchmark, "cluster", cluster)
    monkeypatch.setattr(benchmark, "PARTITION_ROWS", 150)


def measured(job, n_samples, data_dir=None, data=benchmark.DRAWN):
    task = benchmark.Task(job, data, n_samples, 0)
    return {(method, name): v for method, name, v in benchmark.MEASURES[job](task, data_dir)}


def test_drawn_rows_are_the_same_in_each_pass_and_differ_by_partition(small):
    X, y = benchmark.drawn(700, 0)
    assert X.chunks == ((150, 150, 150, 150, 100), (20,))
    first, again = X.compute(), X.compute()
    np.testing.assert_array_equal(first, again)
    assert not np.isin(first[:100, 0], first[150:, 0]).any()
    assert set(y.compute()) == {0, 1}


def test_copies_of_adult_have_noise_on_numbers_alone(small, data_dir):
    original, classes = benchmark.adult(str(data_dir))
    task = benchmark.Task("lightgbm", benchmark.ADULT, len(classes), 0)
    assert benchmark.adult_copies(task, data_dir)[0].numblocks == (8, 1)
    X, y = benchmark.adult_copies(replace(task, n_samples=900), data_dir)
    assert X.shape == (900, original.shape[1])
    copy = X[300:600].compute()
    np.testing.assert_array_equal(y[300:600].compute(), classes)
    is_number = ~np.isin(original, (0.0, 1.0)).all(axis=0)
    np.testing.assert_array_equal(copy[:, ~is_number], original[:, ~is_number])
    assert copy.dtype == np.float32
    assert 0.05 < np.std(copy[:, is_number] - original[:, is_number]) < 0.2


def cells_of(job, figures, n_samples=1000, data=benchmark.DRAWN):
    return [benchmark.Cell(job, data, n_samples, 0, *figure) for figure in figures]


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    calls = []

    def measured(task, data_dir):
        calls.append(task.n_samples)
        cost = {"seconds": task.n_samples / 1e6 + 2, "passes": 9.0, "moved, MB": 1.0}
        cost |= {"worker, MB": 300.0, "client, MB": 200.0}
        return [(benchmark.PARTITIONS, name, value) for name, value in cost.items()]

    monkeypatch.setattr(benchmark, "measured", measured)
    benchmark.main(["--job", "scale", "--out", str(tmp_path)])
    path = tmp_path / "distributed.csv"
    lines = path.read_text().splitlines()
    # The last figure is lost, and only its task is measured again.
    path.write_text("\n".join(lines[:-1]) + "\n")
    benchmark.main(["--job", "scale", "--out", str(tmp_path)])
    assert calls == [*benchmark.SIZES["scale"], 3_000_000]
    assert len(read_records(path, benchmark.Cell)) == len(lines) - 1
    assert (tmp_path / "distributed.png").stat().st_size > 1000
    assert "Seconds ≈ 2.0 + 1.00 a million rows" in (tmp_path / "distributed.md").read_text()


def test_a_subset_measures_few_rows():
    sizes = [task.n_samples for task in benchmark.tasks(["million", "killed"], 1, 500)]
    assert sizes == [500, 500]


def test_the_line_is_extrapolated_to_a_billion_rows():
    cells = []
    for n in (100_000, 10_000_000):
        job = "million" if n == 10_000_000 else "scale"
        figures = [
            ("partitions", "seconds", 5 + 20 * n / 1e6),
            ("partitions", "moved, MB", n / 1e6),
        ]
        cells += cells_of(job, figures, n)
    found = benchmark.Found(cells)
    line = benchmark.line_of(found)
    assert (line.start, line.seconds_a_million) == (pytest.approx(5), pytest.approx(20))
    # 10⁹ rows are 1,000 million, and 100 workers 50 times two.
    assert "take 405 s, and 1.0 GB move" in benchmark.extrapolation(found)


def test_tables_have_a_line_for_each_way_to_choose_rows():
    cells = cells_of("quality", [("random", "refitted change", 0.25)], data=benchmark.SORTED)
    table = benchmark.quality_table(benchmark.Found(cells)).splitlines()
    assert len(table) == 2 + 6
    assert "| 1,000 | sorted by target | random | 0.25 |  |" in table[-1]
    cells = cells_of("lightgbm", [("all rows", "accuracy", 0.875)], data=benchmark.ADULT)
    assert "| 1,000 | all rows | 0.875 |  |" in benchmark.lightgbm_table(benchmark.Found(cells))
    figures = [("worker killed", "seconds", 3.0), ("worker killed", "same rows", 1.0)]
    figures.append(("partitions", "seconds", 2.0))
    unknown = cells_of("killed", figures)
    assert "| 1,000 | 2.0 | 3.0 |  | yes |" in benchmark.killed_table(benchmark.Found(unknown))
    cells = cells_of("killed", [*figures, ("worker killed", "worker lost", 0.0)])
    assert "| 1,000 | 2.0 | 3.0 | no | yes |" in benchmark.killed_table(benchmark.Found(cells))
    # What was not measured is left out.
    titles = [line for line in benchmark.report(cells).splitlines() if line.startswith("##")]
    assert titles == ["## A killed worker"]


@pytest.mark.parametrize(("pauses", "is_lost"), [((0.2, 0.6), True), ((2.0, 0.0), False)])
def test_a_worker_is_lost_only_if_it_is_killed_during_the_fit(monkeypatch, pauses, is_lost):
    pause = iter(pauses)
    fit = SimpleNamespace(fit=lambda X, y: time.sleep(next(pause)) or kept)
    kept = SimpleNamespace(sample_indices_=np.arange(3))
    monkeypatch.setattr(benchmark, "pruner_of", lambda ratio, seed: fit)
    with subprocess.Popen(["sleep", "60"]) as worker:

        def run(function):
            if function is benchmark.peak_memory_mb:
                return {"worker": 1.0}
            return {"worker": worker.pid if worker.poll() is None else -1}

        client = SimpleNamespace(run=run)
        monkeypatch.setattr(benchmark, "cluster", lambda: nullcontext(client))
        figures = measured("killed", 600)
        worker.kill()
    assert figures["worker killed", "worker lost"] == is_lost
    assert figures["worker killed", "same rows"] == 1.0


@pytest.mark.parametrize(
    ("job", "data", "n_samples"),
    [
        ("scale", benchmark.DRAWN, 600),
        ("quality", benchmark.SORTED, 800),
        ("lightgbm", benchmark.ADULT, 900),
    ],
)
def test_each_job_measures_what_the_report_shows(
    small, data_dir, job, data, n_samples, monkeypatch
):
    monkeypatch.setattr(benchmark, "RATIO", 0.8)
    monkeypatch.setattr(benchmark, "LIGHTGBM_RATIO", 0.8)
    if job == "lightgbm":
        pytest.importorskip("lightgbm")
    figures = measured(job, n_samples, data_dir, data)
    assert list(figures)[-1] == (benchmark.PARTITIONS, benchmark.CLIENT_PEAK)
    assert all(np.isfinite(value) for value in figures.values())
    cells = [benchmark.Cell(job, data, n_samples, 0, *key, v) for key, v in figures.items()]
    json.dumps([cell.value for cell in cells])
    assert f"{n_samples:,}" in benchmark.report(cells)
