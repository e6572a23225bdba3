"""The search benchmark runs on a few made-up rows of Adult's shape."""

from __future__ import annotations

import pytest

from benchmarks import search


def test_both_parts_are_measured_and_shown(data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(search, "RATIOS", (0.5, 0.9))
    monkeypatch.setattr(search, "N_FOLDS", 2)
    monkeypatch.setattr(search, "N_EPOCHS", 1)
    out = tmp_path / "out"
    search.main(["--data-dir", str(data_dir), "--out", str(out), "--runs", "1"])
    lines = (out / "search.csv").read_text(encoding="utf-8").splitlines()
    assert sum(",seconds," in line for line in lines) == 2 * 2 + 2
    assert sum(",accuracy," in line for line in lines) == 2 * (1 + 2)
    shown = (out / "search.md").read_text(encoding="utf-8")
    for line in ("2 ratios / one, linear network", "hidden layer network", "Pipeline over by hand"):
        assert line in shown
    assert shown.strip().endswith(capsys.readouterr().out.strip())


def test_a_missing_file_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        search.main(["--data-dir", str(tmp_path), "--subset", "50"])
    assert "adult.csv.gz is not in" in capsys.readouterr().err
