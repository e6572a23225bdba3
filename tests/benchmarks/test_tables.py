"""Figures are read back, and held against what they must reach."""

from __future__ import annotations

from benchmarks import tables
from benchmarks._common import Figure, write_figures


def test_figures_come_back_as_they_were_written(tmp_path):
    written = [
        Figure("adult", "full", 0.0, None, "auc", 0.5),
        Figure("adult", "pruned", 0.9, 3, "n_kept", 7.0),
        Figure("search, linear", "one ratio", None, 0, "seconds", 1.5),
    ]
    write_figures(tmp_path, "adult", written)
    assert tables.read_figures(tmp_path) == written


def test_targets_say_what_was_met():
    figures = [
        Figure("diamonds", "full", 0.0, None, "r2", 0.98),
        Figure("diamonds", "pruned", 0.95, 0, "r2", 0.9796),
    ]
    assert "| 0.9795 | 0.9796 | yes |" in tables.target_table(tables.Figures(figures))
    figures[1] = Figure("diamonds", "pruned", 0.95, 0, "r2", 0.979)
    assert "| 0.9795 | 0.979 | no |" in tables.target_table(tables.Figures(figures))
