"""Options are judged on rows that the pruner never saw, and never on test rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import defaults
from benchmarks.cells import read_records
from benchmarks.defaults import Cell


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_rows_are_split_and_as_many_labels_are_wrong_as_said(noise, tmp_path):
    split = defaults.load("digits", tmp_path)
    # Which row is which is read off the first column.
    split = replace(split, X_train=np.arange(len(split.y_train))[:, None])
    parts = [defaults.resplit(split, noise, seed) for seed in (0, 0, 1)]
    for part in parts:
        fit, validate = part.X_train[:, 0], part.X_test[:, 0]
        assert len(set(fit) | set(validate)) == len(fit) + len(validate) == len(split.y_train)
        assert (split.y_train[fit] != part.y_train).sum() == round(noise * len(fit))
        assert set(part.y_train) == set(range(10))
        np.testing.assert_array_equal(split.y_train[validate], part.y_test)
    np.testing.assert_array_equal(parts[0].X_train, parts[1].X_train)
    np.testing.assert_array_equal(parts[0].y_train, parts[1].y_train)
    assert (parts[0].X_train != parts[2].X_train).any()


def test_every_cell_is_measured_once_and_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(defaults.SIZES, "breast_cancer", (90, 60))
    monkeypatch.setattr(defaults, "TRIMS", (0.0, 0.2))
    monkeypatch.setattr("benchmarks.models.N_EPOCHS", 3)
    command = ["--dataset", "breast_cancer", "--seeds", "1", "--ratio", "0.5"]
    command += ["--out", str(tmp_path)]
    command += ["--noise", "0.2", "--option", "default", "trim=0.2", "trim=auto", "random rows"]
    defaults.main(command[:-2])
    path = tmp_path / "defaults.csv"
    first = path.read_text(encoding="utf-8")
    defaults.main(command)
    assert path.read_text(encoding="utf-8").startswith(first)
    cells = read_records(path, Cell)
    keys = {(c.option, c.downstream, c.seed) for c in cells}
    assert len(keys) == len(cells) == 4 * 2
    scores = {(c.option, c.trim, c.downstream, c.seed): c.score for c in cells}
    for cell in cells:
        if cell.option == "trim=auto":
            fixed = "trim=0.2" if cell.trim else "default"
            assert cell.score == scores[fixed, cell.trim, cell.downstream, cell.seed]
    report = (tmp_path / "defaults.md").read_text(encoding="utf-8")
    assert "| trim=0.2 | some wrong | head |" in report
    assert "## breast_cancer, 20% wrong labels, mlp" in report


def test_options_are_counted_against_the_defaults():
    cells = [
        Cell("digits", 0.0, option, ratio, "head", seed, 0.0, score + seed / 10)
        for ratio, gain in ((0.4, 0.1), (0.8, -0.1), (0.9, 0.0), (0.95, 0.1))
        for option, score in (("default", 0.5), ("trim=0.1", 0.5 + gain))
        for seed in range(3)
    ]
    shown = defaults.summary(defaults.by_run(cells)).splitlines()[2:]
    assert shown == ["| trim=0.1 | right | head | +0.0250 | 2 | 1 | 1 |"]
