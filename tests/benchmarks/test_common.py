"""Threads are limited, trials write nothing, and tables go into pages."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from joblib import cpu_count

from benchmarks import _common
from benchmarks._common import insert_table, limit_threads, output_folder


def test_threads_are_those_that_are_said_and_that_there_are(monkeypatch):
    monkeypatch.setattr(_common, "N_THREADS", 2)
    limit_threads()
    assert torch.get_num_threads() == min(2, cpu_count())
    limit_threads(1)
    assert torch.get_num_threads() == 1


def test_a_trial_on_a_subset_writes_no_results():
    assert output_folder(SimpleNamespace(out=None, subset=10)) is None


def test_a_table_goes_between_a_pages_comments(tmp_path):
    readme = tmp_path / "README.md"
    begin, end = "<!-- some: begin -->", "<!-- some: end -->"
    readme.write_text(f"above\n{begin}\nold\n{end}\nbelow\n", encoding="utf-8")
    insert_table(readme, "some", "| new |")
    expected = f"above\n{begin}\n| new |\n{end}\nbelow\n"
    assert readme.read_text(encoding="utf-8") == expected
    with pytest.raises(ValueError, match="README.md needs the comments <!-- other: begin -->"):
        insert_table(readme, "other", "| new |")


def test_figures_come_back_as_they_were_written(tmp_path):
    written = [
        _common.Figure("adult", "full", 0.0, None, "auc", 0.5),
        _common.Figure("adult", "pruned", 0.9, 3, "n_kept", 7.0),
        _common.Figure("search, linear", "one ratio", None, 0, "seconds", 1.5),
    ]
    _common.write_figures(tmp_path, "adult", written)
    assert _common.read_figures(tmp_path) == written
