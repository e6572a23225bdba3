"""The benchmark of weights, on small numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import weights
from benchmarks.cells import read_records
from benchmarks.data import load


def cells_of(way, values, measure="forest"):
    return [
        weights.Cell("adult", 0.9, way, seed, 100, 10, measure, value)
        for seed, value in enumerate(values)
    ]


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "loaded", lambda name, data_dir: load("diabetes", data_dir))
    monkeypatch.setattr(weights, "DOWNSTREAM", ("head",))
    monkeypatch.setattr(weights, "MEASURES", (*weights.MEASURES[:4], "head"))
    command = ["--dataset", "diamonds", "--ratio", "0.5", "--out", str(tmp_path), "--seeds"]
    weights.main([*command, "1"])
    path = tmp_path / "weights.csv"
    first = read_records(path, weights.Cell)
    # Five measures of two ways of weighing, and what the linear program finds.
    assert len(first) == 2 * 5 + 1
    # The last cell is lost, and only that is measured again.
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    weights.main([*command, "1"])
    again = read_records(path, weights.Cell)
    assert again == first
    weights.main([*command, "2"])
    assert len(read_records(path, weights.Cell)) == 2 * len(first)
    values = {(c.weights, c.measure): c.value for c in first}
    assert values[weights.WEIGHTED, weights.CHANGE] < 1e-10 < values[weights.EQUAL, weights.CHANGE]
    assert values[weights.EQUAL, weights.EFFECTIVE] == 1
    assert values[weights.POSSIBLE, weights.EXCESS] < weights.ROUNDING
    assert "diabetes, 50%" in (tmp_path / "weights.md").read_text()


def test_the_worst_change_and_the_widest_weights_are_shown():
    cells = []
    for measure, of_weighted, of_equal in (
        (weights.CHANGE, [1e-12, 3e-11], [1e-3, 3e-3]),
        (weights.LEAST, [0.7, 0.6], [1, 1]),
        (weights.GREATEST, [1.2, 1.1], [1, 1]),
        (weights.EFFECTIVE, [0.9, 0.8], [1, 1]),
    ):
        cells += cells_of(weights.WEIGHTED, of_weighted, measure)
        cells += cells_of(weights.EQUAL, of_equal, measure)
    shown = "| adult, 90% | 100 | 10 | 2 | 2.0e-03 | 3.0e-11 | 0.60 to 1.20 | 0.850 |"
    assert weights.held(cells).splitlines()[2] == f"{shown}  |"
    cells += cells_of(weights.POSSIBLE, [1e-9, 0.25], weights.EXCESS)
    assert weights.held(cells).splitlines()[2] == f"{shown} 1 of 2 seeds (0.25 to 0.25) |"


def test_the_linear_program_finds_exact_weights_or_what_the_best_ones_miss():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((60, 4)).astype(np.float32)
    v = rng.uniform(0.6, 1.8, 60)
    v /= v.mean()
    assert weights.least_excess(Z - v @ Z / 60) < weights.ROUNDING
    # Of two weights of mean 1, the best are 0.5 and 1.5; equal ones give 4 - 1.
    assert weights.least_excess(np.array([[4.0], [-1.0]])) == pytest.approx((4 * 0.5 - 1.5) / 3)


def test_gains_are_paired_by_seed():
    cells = cells_of(weights.WEIGHTED, [0.9, 0.8]) + cells_of(weights.EQUAL, [0.8, 0.7])
    assert "0.7500, +0.1000 ± 0.0000" in weights.other_models(cells)


def test_rare_categories_are_left_out(monkeypatch, tmp_path):
    split = load("breast_cancer", tmp_path)
    rare, common = np.zeros((len(split.X_train), 2)).T
    rare[:2], common[::2] = 1, 1
    X = np.c_[split.X_train, rare, common]
    widened = weights.replace(split, X_train=X, X_test=np.zeros((3, X.shape[1])))
    monkeypatch.setattr(weights, "load", lambda name, data_dir: widened)
    frequent = weights.loaded(weights.FREQUENT, tmp_path)
    np.testing.assert_array_equal(frequent.X_train, np.c_[split.X_train, common])
    assert frequent.X_test.shape == (3, 31) and frequent.name == weights.FREQUENT
    assert weights.loaded("adult", tmp_path) is widened


def test_a_missing_file_is_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        weights.main(["--data-dir", str(tmp_path), "--out", str(tmp_path)])
    assert "adult.csv.gz is not in" in capsys.readouterr().err
