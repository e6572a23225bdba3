"""Boosting with native categories is timed on a few made-up rows of Adult's shape."""

from __future__ import annotations

import pytest

from benchmarks import native_categories
from benchmarks.cells import read_records


def test_each_method_is_timed_and_shown(data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(native_categories, "SEEDS", range(1))
    out = tmp_path / "out"
    native_categories.main(["--data-dir", str(data_dir), "--out", str(out)])
    cells = read_records(out / "native_categories.csv", native_categories.Cell)
    assert {cell.method: cell.n_trained for cell in cells} == {
        "all rows": 300,
        "ours": 30,
        "random": 30,
    }
    assert all(cell.train_wall > 0 and 0 < cell.accuracy <= 1 for cell in cells)
    shown = (out / "native_categories.md").read_text(encoding="utf-8")
    assert [line.split(" | ")[0] for line in shown.splitlines()[2:]] == [
        "| all rows",
        "| ours",
        "| random",
    ]
    assert shown == capsys.readouterr().out


def test_categories_of_test_rows_are_those_of_the_training_rows(data_dir):
    table = native_categories.adult(data_dir)
    assert (table.X_test.dtypes == table.X_train.dtypes).all()
    assert table.X_train["workclass"].dtype == "category"
    assert len(table.X_train) == 300 and len(table.X_test) == 100


def test_a_missing_file_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        native_categories.main(["--data-dir", str(tmp_path), "--subset", "50"])
    assert "adult.csv.gz is not in" in capsys.readouterr().err
