"""The README and the benchmarks' README keep their word: examples, tables, commands of CI."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import (
    cifar10,
    cifar10_speed_jobs,
    cifar10_speed_report,
    cost,
    damping,
    distributed,
    distribution,
    expected_gap,
    influence_report,
    kernels,
    native_categories,
    priorities,
    quality_report,
    reference_report,
    search_on_kept,
    selection_report,
    weights,
)
from benchmarks._common import (
    BENCHMARKS_README,
    README,
    RESULTS,
    around_table,
    read_figures,
)
from benchmarks.cells import read_records
from benchmarks.scores import gain_over

ROOT = Path(__file__).resolve().parents[1]
TEXT = README.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, flags=re.DOTALL)
FRACTION = r"\d+\.\d+(?:e[+-]\d+)?|\d+e[+-]\d+"
MOST_LINES = 150


def assert_prints(printed: str, shown: str) -> None:
    """Words and whole numbers are the same, fractions within a factor of three.

    Where a search ends depends a little on the rounding of the machine's BLAS. A line of three dots
    stands for any lines.
    """
    parts = [re.split(f"({FRACTION})", part) for part in re.split(r"(?m)^ *\.\.\.\n", shown)]
    patterns = [
        "".join(f"({FRACTION})" if i % 2 else re.escape(text) for i, text in enumerate(part))
        for part in parts
    ]
    match = re.fullmatch(r"(?:.*\n)*?".join(patterns), printed)
    assert match, f"{printed}is not\n{shown}"
    written = [fraction for part in parts for fraction in part[1::2]]
    for measured, said in zip(match.groups(), written, strict=True):
        assert float(said) / 3 <= float(measured) <= 3 * float(said)


@pytest.mark.parametrize("printed", ["cost 0.31", "cost 3.2e-02", "costs 0.1", "cost 0.1 (2)"])
def test_figures_and_words_that_differ_are_noticed(printed):
    with pytest.raises(AssertionError):
        assert_prints(f"{printed}\n", "cost 0.1\n")


def test_three_dots_stand_for_any_lines_and_nothing_else():
    assert_prints("a 0.1\nb\nc\nd 2\ne\n", "a 0.2\n  ...\nd 2\n  ...\n")
    for printed in ("a 0.1\nd 3\n", "b\na 0.1\nd 2\n", "a 0.1 b\nd 2\n"):
        with pytest.raises(AssertionError):
            assert_prints(printed, "a 0.2\n  ...\nd 2\n")


def test_the_readme_is_short_and_every_python_block_shows_what_it_prints():
    assert len(TEXT.splitlines()) <= MOST_LINES
    assert len(EXAMPLES) == TEXT.count("```python") > 0


def test_examples_one_after_another_print_what_the_readme_says(capsys):
    names = {"__name__": "example"}
    for code, shown in EXAMPLES:
        exec(compile(code, "README.md", "exec"), names)
        assert_prints(capsys.readouterr().out, shown)


def test_tables_in_the_readmes_are_made_of_the_figures_in_the_results():
    cells = read_records(RESULTS / "quality.csv", quality_report.Cell)
    reference = read_records(RESULTS / "reference.csv", reference_report.Cell)
    searches = read_records(RESULTS / "search_on_kept.csv", search_on_kept.Cell)
    shown = {
        **quality_report.benchmarks_tables(cells),
        "reference rows": reference_report.readme_table(reference),
        cost.README_TABLE: cost.table(read_figures(RESULTS)),
        search_on_kept.README_TABLE: search_on_kept.box(searches),
    }
    for name, table in shown.items():
        assert around_table(BENCHMARKS_README, name).table == table
    assert around_table(README, quality_report.README_TABLE).table == (
        quality_report.readme_table(cells)
    )


def test_tables_beside_the_results_are_made_of_them():
    written = {
        "selection": selection_report.markdown(selection_report.read(RESULTS)),
        "expected_gap": expected_gap.markdown(expected_gap.points(read_figures(RESULTS))),
        "influence": influence_report.markdown(RESULTS),
    }
    for name, kind, report in (
        ("quality", quality_report.Cell, quality_report.markdown),
        ("distribution", quality_report.Cell, distribution.report),
        ("reference", reference_report.Cell, reference_report.markdown),
        ("weights", weights.Cell, weights.report),
        ("damping", damping.Cell, damping.report),
        ("cifar10_images", cifar10.Cell, cifar10.table),
        ("cifar10_speed", cifar10_speed_jobs.SpeedCell, cifar10_speed_report.report),
        ("search_on_kept", search_on_kept.Cell, search_on_kept.report),
        ("distributed", distributed.Cell, distributed.report),
        ("kernels", kernels.Cell, kernels.report),
        ("native_categories", native_categories.Cell, native_categories.report),
        ("priorities", priorities.Cell, priorities.report),
    ):
        written[name] = report(read_records(RESULTS / f"{name}.csv", kind))
    for path in RESULTS.glob("*.md"):
        assert path.read_text(encoding="utf-8").strip() == written[path.stem]


@pytest.mark.parametrize("page", [README, BENCHMARKS_README], ids=["README", "benchmarks"])
def test_files_and_benchmarks_that_a_page_names_are_there(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / path).exists(), path
    for name in re.findall(r"python -m benchmarks\.(\w+)", text):
        assert (ROOT / "benchmarks" / f"{name}.py").exists(), name


def test_ci_runs_the_commands_that_the_readme_shows():
    listed = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run"), "--list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(listed) == 2
    assert "-m sklearn_prune" in listed[0]
    assert "-m pytest" in listed[1]
    for command in listed:
        assert f"```sh\n{command}\n```" in TEXT


def test_what_the_readme_says_of_when_it_helps_was_measured():
    scores = quality_report.by_run(read_records(RESULTS / "quality.csv", quality_report.Cell))

    def over(dataset: str, ratio: float, other: str) -> float:
        return gain_over(scores, (dataset, "influence", ratio, "head"), other).mean

    assert f"k-centers win by {-over('digits', 0.99, 'kcenter'):.2f}" in TEXT
    assert all(over(dataset, 0.4, "random") < 0 for dataset in ("digits", "breast_cancer"))
    comparisons = quality_report.compare(scores)
    light = [c for c in comparisons if c.downstream == "head" and c.ratio <= 0.6]
    small = [c for c in light if c.dataset in ("digits", "breast_cancer")]
    large = [c for c in light if c.dataset in ("adult", "diamonds")]
    assert small and all(c.over_best.mean < 0 for c in small)
    assert len(large) == 4 and all(c.over_random.mean < 0.001 for c in large)
    lines = quality_report.readme_table(
        read_records(RESULTS / "quality.csv", quality_report.Cell)
    ).splitlines()[2:]
    shares = [[int(share) for share in re.findall(r"(-?\d+)%", line)] for line in lines]
    assert sum(kmeans > ours for ours, kmeans in shares) == 3
    assert len(shares) == 5 and "k-means more on three of five data sets" in TEXT


def test_what_the_readme_says_of_deep_networks_was_measured():
    cells = read_records(RESULTS / "cifar10_speed.csv", cifar10_speed_jobs.SpeedCell)

    def mean(pruner: str, ratio: float, n_epochs: float) -> str:
        chosen = [
            cell.accuracy
            for cell in cells
            if (cell.split, cell.pruner, cell.design) == ("test", pruner, "standard")
            and cell.prune_ratio == ratio
            and cell.n_epochs == pytest.approx(n_epochs)
        ]
        return f"{100 * sum(chosen) / len(chosen):.1f}"

    full, names = mean("all images", 0.0, 12), ("influence", "random", "el2n")
    ours, random, el2n = (mean(name, 0.4, 12) for name in names)
    text = " ".join(TEXT.split())
    of_any = mean("el2n, any class", 0.4, 12)
    assert (
        f"40 % dropped, {ours} % (all {full}, random {random}, EL2N {el2n}, {of_any} if classes "
        "may shrink)"
    ) in text
    ours, random, el2n = (mean(name, 0.9, 120) for name in names)
    assert f"90 % dropped, {ours} % (random {random}, EL2N {el2n})" in text


def test_what_the_readme_says_of_when_pruning_pays_was_measured():
    table = around_table(BENCHMARKS_README, search_on_kept.README_TABLE).table
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    fits = {line[0]: line[6] for line in lines}
    text = " ".join(TEXT.split())
    of_svc = fits["adult, svc"]
    fit = "fit" if of_svc == "1" else "fits"
    assert f"from** {of_svc} {fit} of an RBF SVC on 8,000 rows of Adult" in text
    assert (
        f"from {fits['digits, boosting']} of boosting, but {fits['digits, forest']} of a forest, "
        f"{fits['digits, mlp']} of an MLP, {fits['digits, svc']} of an SVC and "
        f"{fits['digits, logistic']} of a logistic regression"
    ) in text


def test_what_the_readme_says_of_more_rows_than_fit_was_measured():
    cells = read_records(RESULTS / "distributed.csv", distributed.Cell)
    peaks = [
        cell.value
        for cell in cells
        if cell.n_samples == 10_000_000
        and cell.measure in (distributed.CLIENT_PEAK, distributed.WORKER_PEAK)
    ]
    assert len(peaks) == 2 and max(peaks) < 1_500
    assert (distributed.N_COLUMNS, distributed.N_WORKERS) == (20, 2)
    assert distributed.MEMORY_LIMIT == "1.5GB"
    claim = "Ten million rows of 20 columns fit two workers of 1.5 GB."
    assert claim in " ".join(TEXT.split())


def test_what_the_readme_says_of_trusted_rows_was_measured():
    cells = read_records(RESULTS / "reference.csv", reference_report.Cell)
    table = reference_report.figures(cells)
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in table.splitlines()]
    column = {name: position for position, name in enumerate(lines[0])}
    (shift,) = (
        line
        for line in lines
        if line[:3]
        == ["adult, another population, 300 reference rows", "40%", "rows kept and reference"]
    )
    above = f"above {reference_report.NOISY}", f"above {reference_report.ALONE}"
    assert [shift[column[name]] for name in above] == ["4 of 4", "4 of 4"]
    claim = "train on both: better than on either for four of four models"
    assert claim in " ".join(TEXT.split())
