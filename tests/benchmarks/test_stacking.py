"""What is matched is compared on rows that no pruner saw."""

from __future__ import annotations

from benchmarks import stacking
from benchmarks._common import BENCHMARKS_README, RESULTS
from benchmarks.cells import read_records
from benchmarks.scores import counted_gains
from benchmarks.stacking import Cell


def test_every_cell_is_measured_once_and_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(stacking.SIZES, "breast_cancer", (90, 60))
    monkeypatch.setattr("benchmarks.models.N_EPOCHS", 3)
    command = ["--dataset", "breast_cancer", "--seeds", "1", "--ratio", "0.5"]
    command += ["--out", str(tmp_path)]
    stacking.main([*command, "--matched", "inputs", "checkpoints"])
    path = tmp_path / "stacking.csv"
    first = path.read_text(encoding="utf-8")
    stacking.main([*command, "--matched", "inputs", "inputs, networks"])
    assert path.read_text(encoding="utf-8").startswith(first)
    cells = read_records(path, Cell)
    keys = {(c.matched, c.downstream) for c in cells}
    assert len(keys) == len(cells) == 4 * 2
    report = (tmp_path / "stacking.md").read_text(encoding="utf-8")
    assert "| inputs, networks | head |" in report
    assert "## breast_cancer, mlp-steps" in report


def test_gains_over_random_rows_are_counted():
    cells = [
        Cell("digits", matched, ratio, "head", seed, score + seed / 10)
        for ratio, gain in ((0.8, 0.1), (0.9, 0.0), (0.95, -0.1))
        for matched, score in (("inputs", 0.5 + gain), (stacking.RANDOM, 0.5))
        for seed in range(3)
    ]
    shown = stacking.summary(stacking.by_run(cells)).splitlines()[2:]
    assert shown == ["| inputs | head | +0.0000 | 1 | 1 | 1 |"]


def test_the_readme_says_what_was_measured():
    scores = stacking.by_run(read_records(RESULTS / "stacking.csv", Cell))
    readme = " ".join(BENCHMARKS_README.read_text(encoding="utf-8").split())
    said = {
        "last layer": "by {} if its last layer",
        "checkpoints": "by {} with three checkpoints",
        "networks": "by {} with three networks",
        "inputs, last layer": "and by {} with its inputs",
        "inputs": "the inputs alone (`estimator=None`) gave {}",
    }
    for matched, words in said.items():
        keys = [key for key in scores if key[1] == matched and key[3] == "mlp-steps"]
        mean = counted_gains(scores, keys, stacking.RANDOM)[0]
        assert words.format(f"{float(mean):.3f}") in readme, matched
