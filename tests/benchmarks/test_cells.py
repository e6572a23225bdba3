"""A cell is measured once, and a run that was cut off goes on."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass

import pytest

from benchmarks.cells import Key, measure, read_records


@dataclass(frozen=True)
class Cell:
    name: str
    seed: int
    score: float

    @property
    def key(self) -> Key:
        return self.name, self.seed


def run(folder, names, cut_off=None):
    def missing(done):
        for seed in range(2):
            for name in names:
                if (name, seed) == cut_off:
                    raise KeyboardInterrupt
                if (name, seed) not in done:
                    yield Cell(name, seed, seed + 1 / 3)

    def report(cells):
        return "\n".join(f"{cell.name} {cell.seed} {cell.score}" for cell in cells)

    measure("some", Cell, missing, report, folder, ArgumentParser())


def test_a_run_that_was_cut_off_goes_on(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "ab", cut_off=("a", 1))
    first = (tmp_path / "some.csv").read_text(encoding="utf-8")
    assert first == "name,seed,score\na,0,0.333333\nb,0,0.333333\n"
    run(tmp_path, "abc")
    assert (tmp_path / "some.csv").read_text(encoding="utf-8").startswith(first)
    cells = read_records(tmp_path / "some.csv", Cell)
    assert [cell.key for cell in cells] == [(name, seed) for seed in range(2) for name in "abc"]
    # The report is of the rounded figures, old and new.
    text = (tmp_path / "some.md").read_text(encoding="utf-8")
    assert "a 0 0.333333\n" in text and "c 1 1.33333\n" in text
    printed = capsys.readouterr()
    assert printed.out == text and "c 1 0.0 s" in printed.err


def test_without_a_folder_nothing_is_kept(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.cells.append_record", None)
    run(None, "a")
    assert "a 1 1.333" in capsys.readouterr().out


def test_a_missing_data_file_ends_the_program_with_what_it_says(tmp_path, capsys):
    def missing(done):
        raise FileNotFoundError("x.csv is not in the folder.")
        yield

    with pytest.raises(SystemExit):
        measure("some", Cell, missing, str, tmp_path, ArgumentParser())
    assert "x.csv is not in the folder." in capsys.readouterr().err
