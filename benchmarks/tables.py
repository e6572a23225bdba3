"""Tables from the figures in `results/`; `python -m benchmarks.tables` writes them anew.

`core.md` stands in the benchmarks' README, between two comments; `targets.md` holds each figure
against what it must reach; `forecast.md` shows how well retraining is foreseen.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ._common import BENCHMARKS_README, RESULTS, Figure, insert_table, markdown_table, with_release

README_TABLE = "core"


@dataclass(frozen=True)
class Shown:
    """One line of that table: a score of a job, as people know them."""

    job: str
    prune_ratio: float
    metric: str
    data: str
    score: str


LINES = (
    Shown("adult", 0.9, "accuracy", "Adult, logistic regression", "accuracy"),
    Shown("adult", 0.9, "auc", "Adult, logistic regression", "AUC"),
    Shown("adult", 0.99, "accuracy", "Adult, logistic regression", "accuracy"),
    Shown("adult", 0.99, "auc", "Adult, logistic regression", "AUC"),
    Shown("cifar10", 0.9, "accuracy", "CIFAR-10 embedding, softmax regression", "accuracy"),
    Shown("diamonds", 0.95, "r2", "Diamonds, least squares", "R²"),
)


class Figures:
    """Figures and their means over seeds; nan where nothing was measured."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = figures

    def values(self, job: str, method: str, prune_ratio: float, metric: str) -> list[float]:
        wanted = (job, method, prune_ratio, metric)
        return [
            figure.value
            for figure in self._figures
            if (figure.job, figure.method, figure.prune_ratio, figure.metric) == wanted
        ]

    def mean(self, job: str, method: str, prune_ratio: float, metric: str) -> float:
        values = self.values(job, method, prune_ratio, metric)
        return float(np.mean(values)) if values else np.nan


def read_figures(folder: Path, pattern: str = "*.csv") -> list[Figure]:
    """Read every such file of the folder that holds figures; other benchmarks have their own."""
    figures = []
    columns = {field.name for field in fields(Figure)}
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not columns <= set(reader.fieldnames or ()):
                continue
            for line in reader:
                figures.append(
                    Figure(
                        line["job"],
                        line["method"],
                        float(line["prune_ratio"]) if line["prune_ratio"] else None,
                        int(line["seed"]) if line["seed"] else None,
                        line["metric"],
                        float(line["value"]),
                    )
                )
    return figures


def core_table(figures: Figures) -> str:
    rows = []
    for line in LINES:
        key = (line.prune_ratio, line.metric)
        chosen = figures.values(line.job, "pruned", *key)
        if not chosen:
            continue
        full = figures.mean(line.job, "full", 0.0, line.metric)
        n_kept = figures.mean(line.job, "pruned", line.prune_ratio, "n_kept")
        random = figures.mean(line.job, "random", *key)
        rows.append(
            [
                line.data,
                f"{line.prune_ratio:.0%}".replace("%", " %"),
                f"{n_kept:,.0f}",
                line.score,
                f"{full:.4f}",
                f"{np.mean(chosen):.4f}",
                f"{random:.4f}",
            ]
        )
    header = ["data, model", "pruned", "rows kept", "test score", "all rows", "chosen", "random"]
    return markdown_table(header, rows)


def _targets(figures: Figures) -> Iterator[tuple[str, str, float, float, Callable[..., bool]]]:
    """Yield (job, rule, value, bound, whether value meets bound)."""

    def at_least(value: float, bound: float) -> bool:
        return value >= bound

    def at_most(value: float, bound: float) -> bool:
        return value <= bound

    mean = figures.mean
    for metric, loss in (("accuracy", 0.0005), ("auc", 0.0003)):
        full = mean("adult", "full", 0.0, metric)
        chosen = mean("adult", "pruned", 0.9, metric)
        yield f"Adult, 90 %, {metric}", f"full - {loss}", chosen, full - loss, at_least
    for metric, bound in (("accuracy", 0.852), ("auc", 0.904)):
        chosen = mean("adult", "pruned", 0.99, metric)
        yield f"Adult, 99 %, {metric}", f"{bound}", chosen, bound, at_least

    full = mean("cifar10", "full", 0.0, "accuracy")
    chosen = mean("cifar10", "pruned", 0.9, "accuracy")
    yield "CIFAR-10, 90 %, accuracy", "full - 0.002", chosen, full - 0.002, at_least
    distance, random = (mean("cifar10", m, 0.9, "distance") for m in ("pruned", "random"))
    yield "CIFAR-10, 90 %, distance", "random / 12", distance, random / 12, at_most
    seconds = mean("cifar10", "pruned", 0.9, "fit_seconds")
    for way in ("refit_head", "sklearn-newton-cg", "sklearn-lbfgs"):
        full = mean("cifar10", way, 0.0, "fit_seconds")
        yield f"CIFAR-10, fit, seconds, against {way}", "3 x", seconds, 3 * full, at_most
    peak = mean("cifar10", "pruned", 0.9, "peak_memory_mb")
    yield "CIFAR-10, load and fit, peak memory, MB", "1536", peak, 1536.0, at_most

    full = mean("diamonds", "full", 0.0, "r2")
    chosen = mean("diamonds", "pruned", 0.95, "r2")
    yield "Diamonds, 95 %, R²", "full - 0.0005", chosen, full - 0.0005, at_least


def target_table(figures: Figures) -> str:
    rows = [
        [job, rule, f"{bound:.5g}", f"{value:.5g}", "yes" if meets(value, bound) else "no"]
        for job, rule, value, bound, meets in _targets(figures)
        if np.isfinite(value) and np.isfinite(bound)
    ]
    return markdown_table(["job", "must reach", "that is", "reached", "met"], rows)


def forecast_table(figures: Figures) -> str:
    shares = (0.01, 0.1, 0.4)
    rows = []
    for name in ("digits", "breast_cancer", "diabetes"):
        for forecast in ("first_order", "kept_hessian", "two_steps"):
            cells = []
            for share in shares:
                error = figures.mean(name, forecast, share, "median_relative_error")
                correlation = figures.mean(name, forecast, share, "correlation")
                cells.append(f"{error:.2g} ({correlation:.4f})")
            if "nan" not in "".join(cells):
                rows.append([name.replace("_", " "), forecast.replace("_", " "), *cells])
    header = ["data", "forecast", *(f"{share:.0%} dropped".replace("%", " %") for share in shares)]
    return markdown_table(header, rows)


def all_tables(figures: Figures) -> dict[str, str]:
    """File name, without its ending, and what stands in the file; no empty tables."""
    tables = {
        "core": core_table(figures),
        "targets": target_table(figures),
        "forecast": forecast_table(figures),
    }
    return {
        name: with_release(name, table) for name, table in tables.items() if table.count("\n") > 1
    }


def write(folder: Path) -> None:
    """Write the tables beside the figures; of those in `results/`, one goes into the README."""
    figures = Figures(read_figures(folder))
    for name, table in all_tables(figures).items():
        (folder / f"{name}.md").write_text(table + "\n", encoding="utf-8")
    if folder == RESULTS:
        insert_table(BENCHMARKS_README, README_TABLE, core_table(figures))


if __name__ == "__main__":
    write(RESULTS)
