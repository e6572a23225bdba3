"""The benchmark of kernel machines, on a few made-up rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, root_mean_squared_error

from benchmarks import kernels
from benchmarks.cells import read_records
from benchmarks.kernels import FULL, Cell


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(kernels, "N_ROWS", 200)
    monkeypatch.setattr(kernels, "N_KEPT", 20)
    monkeypatch.setattr(kernels, "GP_TUNING_ROWS", 60)


@pytest.mark.usefixtures("few_rows")
def test_a_run_that_was_cut_off_goes_on(data_dir, tmp_path):
    command = ["--data-dir", str(data_dir), "--out", str(tmp_path), "--dataset", "adult"]
    kernels.main([*command, "--pruner", "random", "--seeds", "1"])
    path = tmp_path / "kernels.csv"
    first = read_records(path, Cell)
    assert [(c.model, c.pruner) for c in first] == [
        ("svm", "random"),
        ("gp", "random"),
        ("svm", FULL),
    ]
    assert [c.n_kept for c in first] == [20, 20, 200]
    kernels.main([*command, "--pruner", "random", "kmeans", "--seeds", "1"])
    again = read_records(path, Cell)
    assert again[:3] == first and [c.pruner for c in again[3:]] == ["kmeans", "kmeans"]
    shown = (tmp_path / "kernels.md").read_text(encoding="utf-8")
    assert shown.count("| adult, svm |") == 3 and shown.count("| adult, gp |") == 2


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("dataset", kernels.DATASETS)
@pytest.mark.parametrize("name", kernels.MODELS)
def test_more_is_better_for_classes_and_numbers(data_dir, dataset, name):
    split = kernels.load(dataset, data_dir)
    model = kernels.tuned_model(split, name)
    rows = np.arange(len(split.y_train))
    kernels.timed_fit(model, split, rows)
    predicted = model.predict(split.X_test)
    score = kernels.score_of(model, split, name)
    if split.is_classification:
        assert score == accuracy_score(split.y_test, predicted) > 0.5
    else:
        assert score == -root_mean_squared_error(split.y_test, predicted)
        assert -score < split.y_test.std()


def test_a_gain_is_that_of_our_rows_over_those_of_the_line():
    cells = [
        Cell("adult", "svm", pruner, seed, 1500, score + seed, 2.0 + seed, 1.0)
        for pruner, score in (("influence", 0.5), ("kmeans", 0.4), (FULL, 0.9))
        for seed in range(2)
    ]
    lines = kernels.report(cells).splitlines()[-3:]
    assert {line.split(" | ")[1]: line.split(" | ")[5] for line in lines} == {
        "influence": "",
        "kmeans": "+0.1000 ± 0.0000",
        FULL: "",
    }
