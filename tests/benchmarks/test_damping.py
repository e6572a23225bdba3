"""Dampings are compared on rows that the pruner never saw, and never on test rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import damping
from benchmarks.cells import read_records
from benchmarks.damping import BY_ROWS, FIXED, Cell
from benchmarks.scores import collected


def test_every_cell_is_measured_once_and_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(damping.SIZES, "breast_cancer", (90, 60))
    monkeypatch.setattr(damping, "RATIOS", (0.5,))
    monkeypatch.setattr(damping, "DOWNSTREAM", ("head", "rescaled head"))
    command = ["--dataset", "breast_cancer", "--out", str(tmp_path), "--seeds"]
    damping.main([*command, "1"])
    path = tmp_path / "damping.csv"
    first = path.read_text(encoding="utf-8")
    damping.main([*command, "2"])
    assert path.read_text(encoding="utf-8").startswith(first)
    cells = read_records(path, Cell)
    assert len({cell.key for cell in cells}) == len(cells) == 2 * 2 * 2
    report = (tmp_path / "damping.md").read_text(encoding="utf-8")
    assert "## breast_cancer, rescaled head" in report


def test_a_rescaled_head_has_the_penalty_of_all_rows(tmp_path):
    split = damping.load("breast_cancer", tmp_path)
    n_rows = len(split.y_train)
    half = n_rows // 2
    assert damping.downstream_model("head", split, half, 0).C == 1
    rescaled = damping.downstream_model("rescaled head", split, half, 0)
    assert np.isclose(rescaled.C * half, n_rows)


def test_a_case_counts_as_better_if_its_seeds_agree():
    cells = [
        Cell("digits", name, ratio, "head", seed, seed + score)
        for ratio, gain in ((0.9, 0.1), (0.97, 0.0))
        for name, score in ((FIXED, 0.5), (BY_ROWS, 0.5 + gain))
        for seed in range(3)
    ]
    scores = collected(
        ((c.dataset, c.damping, c.prune_ratio, c.downstream), c.seed, c.score) for c in cells
    )
    assert damping.summary(scores).splitlines()[2:] == ["| head | 2 | +0.0500 | 1 | 1 | 0 |"]


@pytest.mark.parametrize("name", damping.DOWNSTREAM)
def test_every_model_is_fitted_on_the_rows_kept_and_scored_on_others(name, tmp_path):
    split = damping.load("breast_cancer", tmp_path).inner(100, 60, 0)
    y = split.y_train.copy()
    y[50:] = 1 - y[50:]
    split = replace(split, y_train=y)
    right, wrong = (damping.scored(split, rows, name, 0) for rows in (np.r_[:50], np.r_[50:100]))
    assert right > 0.75 and wrong < 0.25
