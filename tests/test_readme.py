"""The README keeps its word: its table, its examples, and the commands that CI runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks._common import RESULTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, flags=re.DOTALL)


def without_fractions(text: str) -> str:
    """Mask what differs between machines: seconds, rounding, and how a search went."""
    return re.sub(r"\d+\.\d+(e[+-]\d+)?%?|\d+e[+-]\d+|after \d+", "#", text)


def test_every_python_block_shows_what_it_prints():
    assert len(EXAMPLES) == README.count("```python") > 0


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_examples_print_what_the_readme_says(code, printed, capsys):
    exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    assert without_fractions(capsys.readouterr().out) == without_fractions(printed)


def test_table_is_made_of_the_figures_in_the_results():
    shown = README.partition(tables.BEGIN)[2].partition(tables.END)[0].strip()
    measured = tables.core_table(tables.Figures(tables.read_figures(RESULTS)))
    assert shown == measured


def test_tables_beside_the_results_are_made_of_them():
    written = tables.all_tables(tables.Figures(tables.read_figures(RESULTS)))
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
