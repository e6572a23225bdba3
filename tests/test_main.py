"""The command line: exit codes, one line for each mistake, and the demo without arguments."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_prune import __main__ as command
from sklearn_prune import demo
from sklearn_prune.__main__ import main


@pytest.fixture
def csv(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=80), "b": rng.choice(["x", "y"], 80)})
    path = tmp_path / "table.csv"
    X.assign(label=np.where(X["a"] > 0, "up", "down")).to_csv(path, index=False)
    return path


def test_without_arguments_the_demo_runs(monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "main", calls.append)
    assert main([]) == 0
    assert main(["demo", "--ratios", "0.5"]) == 0
    monkeypatch.setattr(sys, "argv", ["sklearn-prune"])
    assert main() == 0
    assert calls == [[], ["--ratios", "0.5"], []]


def test_a_file_is_pruned(csv, tmp_path, capsys):
    out = tmp_path / "small.csv"
    arguments = ["prune", str(csv), "--target", "label", "--ratio", "0.9", "-o", str(out)]
    assert main(arguments) == 0
    assert len(pd.read_csv(out)) == 8
    printed = capsys.readouterr()
    assert "8 of 80 rows kept" in printed.out and printed.err == ""


def test_a_dry_run_needs_no_output(csv, tmp_path, capsys):
    assert main(["prune", str(csv), "--target", "label", "--ratio", "0.9", "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert "rows kept      8 of 80" in printed.out
    assert [path.name for path in tmp_path.iterdir()] == [csv.name]


USAGE = {
    "no output": (["--ratio", "0.5"], "-o OUT is needed"),
    "ratio of 1": (["--ratio", "1", "-o", "o.csv"], "--ratio must be in [0, 1), 1.0 is not"),
    "neither": (["-o", "o.csv"], "one of the arguments --ratio --tolerance is required"),
    "both": (["--ratio", "0.5", "--tolerance", "1"], "not allowed with argument"),
    "tolerance": (["--tolerance", "0", "-o", "o.csv"], "--tolerance must be above 0"),
    "seed": (["--ratio", "0.5", "--seed", "-1", "-o", "o.csv"], "--seed must be in"),
    "format": (["--ratio", "0.5", "-o", "o.xlsx"], "'o.xlsx' does not"),
}


@pytest.mark.parametrize("mistake", USAGE)
def test_a_wrong_command_line_exits_with_2(csv, capsys, mistake):
    arguments, message = USAGE[mistake]
    try:
        code = main(["prune", str(csv), "--target", "label", *arguments])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_wrong_file_exits_with_1_and_one_line(csv, tmp_path, capsys):
    out = str(tmp_path / "o.csv")
    assert main(["prune", "no.csv", "--target", "label", "--ratio", "0.5", "-o", out]) == 1
    assert main(["prune", str(csv), "--target", "no", "--ratio", "0.5", "-o", out]) == 1
    missing, column = capsys.readouterr().err.splitlines()
    assert missing == "sklearn-prune: error: there is no file 'no.csv'."
    assert column.startswith("sklearn-prune: error: --target must be a column of table.csv")


def test_warnings_are_lines_too(csv, tmp_path, capsys, monkeypatch):
    def warns(job):
        warnings.warn("of two\nlines", UserWarning, stacklevel=1)
        return "done"

    monkeypatch.setattr(command, "prune_file", warns)
    out = str(tmp_path / "o.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["prune", str(csv), "--target", "label", "--ratio", "0.5", "-o", out]) == 0
    assert capsys.readouterr().err == "sklearn-prune: warning: of two lines\n"


def test_an_interrupt_is_no_traceback(csv, tmp_path, capsys, monkeypatch):
    def interrupted(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "prune_file", interrupted)
    out = str(tmp_path / "o.csv")
    assert main(["prune", str(csv), "--target", "label", "--ratio", "0.5", "-o", out]) == 130
    assert capsys.readouterr().err == "sklearn-prune: interrupted; no file is half written.\n"


def test_the_module_is_a_command(csv):
    done = subprocess.run(
        [sys.executable, "-m", "sklearn_prune", "prune", "no.csv", "--target=x", "--ratio=0.5",
         "-o", "o.csv"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "sklearn-prune: error: there is no file 'no.csv'.\n"
