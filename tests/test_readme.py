"""The README keeps its word: its table, its examples, and the commands that CI runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import (
    cifar10,
    defaults,
    distribution,
    expected_gap,
    influence_report,
    quality_report,
    reference_report,
    selection_report,
    stacking,
    tables,
    weights,
)
from benchmarks._common import RESULTS, around_table, read_records

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, flags=re.DOTALL)


FRACTION = r"\d+\.\d+(?:e[+-]\d+)?|\d+e[+-]\d+"


def without_rounding(text: str) -> str:
    """Mask what is about the machine: seconds, and the gradient that rounding leaves."""
    text = re.sub(r"gradient norm .*", "gradient norm #", text)
    return re.sub(r"(?<=  seconds) .*", lambda line: re.sub(FRACTION, "#", line[0]), text)


def assert_prints(found: str, shown: str) -> None:
    """Words and whole numbers are the same, fractions within a factor of three.

    Where a search ends depends a little on the rounding of the machine's BLAS.
    """
    found, shown = without_rounding(found), without_rounding(shown)
    assert re.sub(FRACTION, "#", found) == re.sub(FRACTION, "#", shown)
    pairs = zip(re.findall(FRACTION, found), re.findall(FRACTION, shown), strict=True)
    for measured, written in pairs:
        assert float(written) / 3 <= float(measured) <= 3 * float(written)


@pytest.mark.parametrize("found", ["cost 0.31", "cost 3.2e-02", "costs 0.1", "cost 0.1 (2)"])
def test_figures_and_words_that_differ_are_noticed(found):
    with pytest.raises(AssertionError):
        assert_prints(found, "cost 0.1")


def test_every_python_block_shows_what_it_prints():
    assert len(EXAMPLES) == README.count("```python") > 0


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_examples_print_what_the_readme_says(code, printed, capsys):
    exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    assert_prints(capsys.readouterr().out, printed)


def test_tables_are_made_of_the_figures_in_the_results():
    cells = read_records(RESULTS / "quality.csv", quality_report.Cell)
    measured = {
        tables.README_TABLE: tables.core_table(tables.Figures(tables.read_figures(RESULTS))),
        **quality_report.readme_tables(cells),
        "reference rows": reference_report.readme_table(
            read_records(RESULTS / "reference.csv", reference_report.Cell)
        ),
    }
    for name, table in measured.items():
        assert around_table(README, name).table == table


def test_tables_beside_the_results_are_made_of_them():
    written = tables.all_tables(tables.Figures(tables.read_figures(RESULTS)))
    written["selection"] = selection_report.markdown(selection_report.read(RESULTS))
    written["reference"] = reference_report.markdown(
        read_records(RESULTS / "reference.csv", reference_report.Cell)
    )
    written["weights"] = weights.report(read_records(RESULTS / "weights.csv", weights.Cell))
    written["expected_gap"] = expected_gap.markdown(
        expected_gap.points(tables.read_figures(RESULTS))
    )
    cells = read_records(RESULTS / "quality.csv", quality_report.Cell)
    written["quality"] = quality_report.markdown(cells)
    written["defaults"] = defaults.markdown(read_records(RESULTS / "defaults.csv", defaults.Cell))
    written["influence"] = influence_report.markdown(RESULTS)
    written["stacking"] = stacking.markdown(read_records(RESULTS / "stacking.csv", stacking.Cell))
    options = read_records(RESULTS / "distribution.csv", quality_report.Cell)
    written["distribution"] = distribution.report(options)
    images = read_records(RESULTS / "cifar10_images.csv", cifar10.Cell)
    written["cifar10_images"] = cifar10.table(images)
    for path in RESULTS.glob("*.md"):
        assert path.read_text(encoding="utf-8").strip() == written[path.stem]


def test_ci_runs_the_commands_that_the_readme_shows():
    listed = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run"), "--list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(listed) == 2
    assert "-m sklearn_prune" in listed[0]
    assert "-m pytest" in listed[1]
    for command in listed:
        assert f"```sh\n{command}\n```" in README
