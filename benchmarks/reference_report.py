"""Tables of `benchmarks.reference`, made from its cells alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as students_t

from ._common import markdown_table

NOISY, CLEAN, ALONE, OURS = "all noisy rows", "all clean rows", "reference alone", "influence"
MEASURES = ("accuracy", "auc", "log_loss")
# Within so much of all clean rows.
NEAR = 0.005


@dataclass(frozen=True)
class Task:
    """A data set, how its training rows are wrong, and how many reference rows there are."""

    dataset: str
    kind: str
    noise: float
    n_reference: int

    def __str__(self) -> str:
        wrong = "another population" if self.kind == "shift" else f"{self.noise:.0%} {self.kind}"
        return f"{self.dataset}, {wrong}, {self.n_reference} reference rows"


@dataclass(frozen=True)
class Cell:
    """Scores on the test rows of one model that was trained on one method's rows."""

    dataset: str
    kind: str
    noise: float
    n_reference: int
    method: str
    prune_ratio: float
    downstream: str
    seed: int
    n_rows: int
    accuracy: float
    auc: float
    log_loss: float

    @property
    def task(self) -> Task:
        return Task(self.dataset, self.kind, self.noise, self.n_reference)


# Scores by seed.
Run = dict[int, float]
# By task, method, ratio and model.
Runs = dict[tuple[Task, str, float, str], Run]


def by_run(cells: Iterable[Cell], measure: str) -> Runs:
    runs: Runs = defaultdict(dict)
    for cell in cells:
        key = (cell.task, cell.method, cell.prune_ratio, cell.downstream)
        runs[key][cell.seed] = getattr(cell, measure)
    return runs


def paired(run: Run, other: Run) -> tuple[float, float, int]:
    """Return the mean difference over the seeds of both, half of its 95 % interval, and the seeds.

    NaN without seeds, and without a second one for the interval.
    """
    seeds = sorted(run.keys() & other.keys())
    differences = np.array([run[seed] - other[seed] for seed in seeds])
    if len(seeds) < 2:
        return float(differences.mean()) if seeds else np.nan, np.nan, len(seeds)
    error = differences.std(ddof=1) / np.sqrt(len(seeds))
    return (
        float(differences.mean()),
        float(students_t.ppf(0.975, len(seeds) - 1) * error),
        len(seeds),
    )


def _shown(difference: tuple[float, float, int]) -> str:
    mean, half, _ = difference
    if np.isnan(mean):
        return ""
    return f"{mean:+.4f}" + ("" if np.isnan(half) else f" ± {half:.4f}")


def figures(cells: Sequence[Cell]) -> str:
    """Return, for each task and ratio, ours against what it is to beat, by accuracy."""
    runs = by_run(cells, "accuracy")
    rows = []
    for task, ratio in _ours(runs):
        models = _models(runs, task)
        others = [NOISY, ALONE] if task.kind == "shift" else [NOISY]
        above = {other: 0 for other in others}
        near, n_seeds, line = 0, 0, []
        for model in models:
            run = runs[task, OURS, ratio, model]
            for other in others:
                mean, _, n_seeds = paired(run, runs.get((task, other, 0.0, model), {}))
                above[other] += mean > 0
            clean = paired(run, runs.get((task, CLEAN, 0.0, model), {}))
            near += clean[0] > -NEAR
            over = paired(run, runs.get((task, NOISY, 0.0, model), {}))
            line.append(f"{model} {_shown(over)}")
        verdicts = [f"{count} of {len(models)}" for count in above.values()]
        verdicts += [""] * (2 - len(others))
        last = "" if task.kind == "shift" else f"{near} of {len(models)}"
        rows.append([str(task), f"{ratio:.0%}", str(n_seeds), ", ".join(line), *verdicts, last])
    header = ["task", "pruned", "seeds", "accuracy over all noisy rows", f"above {NOISY}"]
    return markdown_table([*header, f"above {ALONE}", f"within {NEAR} of {CLEAN}"], rows)


def _ours(runs: Runs) -> list[tuple[Task, float]]:
    keys = [(task, ratio) for task, method, ratio, _ in runs if method == OURS]
    return list(dict.fromkeys(keys))


def _models(runs: Runs, task: Task) -> list[str]:
    return list(dict.fromkeys(model for found, _, _, model in runs if found == task))


def means(cells: Sequence[Cell], task: Task, measure: str) -> str:
    """Return the mean of a measure for each method and ratio (a line) and model (a column)."""
    runs = by_run((cell for cell in cells if cell.task == task), measure)
    models = _models(runs, task)
    rows = []
    for method, ratio in dict.fromkeys((method, ratio) for _, method, ratio, _ in runs):
        found = [runs.get((task, method, ratio, model), {}) for model in models]
        pruned = f"{ratio:.0%}" if ratio else ""
        seeds = str(max(len(run) for run in found))
        scores = [f"{np.mean(list(run.values())):.4f}" if run else "" for run in found]
        rows.append([method, pruned, seeds, *scores])
    rows.sort(key=lambda row: row[1])
    return markdown_table([measure.replace("_", " "), "pruned", "seeds", *models], rows)


def markdown(cells: Sequence[Cell]) -> str:
    """Return the whole report."""
    parts = [
        "# Reference rows: pruning with trusted rows, or with rows of the population that counts",
        "Made by `python -m benchmarks.reference` from `reference.csv`. Differences are paired by "
        "seed, with 95 % intervals; a seed draws reference rows, training rows and wrong labels. "
        'Of a shift no label is wrong: "all noisy rows" and "all clean rows" are the same there.',
        figures(cells),
    ]
    for task in dict.fromkeys(cell.task for cell in cells):
        parts.append(f"## {task}")
        parts += [means(cells, task, measure) for measure in MEASURES]
    return "\n\n".join(parts)
