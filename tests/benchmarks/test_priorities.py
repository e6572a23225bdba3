"""Choices are judged by networks that are trained anew, on rows that no pruner saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import priorities
from benchmarks.cells import read_records
from benchmarks.data import load
from benchmarks.priorities import ALL, DEFAULT, HARD, RANDOM, UNCERTAIN, Cell


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_rows_are_split_and_as_many_labels_are_wrong_as_said(noise, tmp_path):
    split = load("digits", tmp_path)
    # Which row is which is read off the first column.
    split = replace(split, X_train=np.arange(len(split.y_train))[:, None])
    parts = [priorities.resplit(split, noise, seed) for seed in (0, 0, 1)]
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
    monkeypatch.setitem(priorities.SIZES, "breast_cancer", (90, 60))
    monkeypatch.setattr("benchmarks.models.N_EPOCHS", 2)
    command = ["--dataset", "breast_cancer", "--seeds", "1", "--noise", "0.2"]
    command += ["--out", str(tmp_path), "--way", RANDOM]
    priorities.main([*command, UNCERTAIN, "--ratio", "0.5"])
    path = tmp_path / "priorities.csv"
    first = path.read_text(encoding="utf-8")
    priorities.main([*command, HARD, "--ratio", "0.4", "0.5"])
    assert path.read_text(encoding="utf-8").startswith(first)
    cells = read_records(path, Cell)
    measured = {(cell.way, cell.prune_ratio) for cell in cells}
    assert len(measured) == len(cells) == 1 + 2 + 1 + 2
    assert [cell.wrong for cell in cells if cell.way == ALL] == [0.2]
    report = (tmp_path / "priorities.md").read_text(encoding="utf-8")
    assert "## breast_cancer, 20% wrong labels" in report
    assert "Share of wrong labels" in report


def test_digits_are_images_to_their_network(tmp_path):
    split = priorities.as_floats(load("digits", tmp_path))
    net = priorities.network_for(split).initialize()
    assert net.forward(split.X_train[:3]).shape == (3, 10)


def test_gains_are_counted_against_random_rows_and_the_default():
    cells = [
        Cell("digits", 0.0, way, ratio, seed, score + seed / 10, 0.0)
        for way, ratio, score in [
            (ALL, 0.0, 0.9),
            *((RANDOM, ratio, 0.5) for ratio in (0.4, 0.9)),
            *((DEFAULT, ratio, 0.6) for ratio in (0.4, 0.9)),
            (UNCERTAIN, 0.4, 0.7),
            (UNCERTAIN, 0.9, 0.4),
        ]
        for seed in range(3)
    ]
    report = priorities.report(cells)
    assert "| right | uncertainty | +0.0500 | 1 | 0 | 1 | -0.1000 |" in report
    assert "| right | uncertainty | -0.0500 | 1 | 0 | 1 | -0.2000 |" in report
    assert "All rows: 1.0000." in report
    assert "Share of wrong labels" not in report
