"""Tables of `benchmarks.reference`, made from its cells alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ._common import markdown_table
from .cells import Key
from .scores import Gain, Run, distinct, gain, shown_mean

NOISY, CLEAN, ALONE = "all noisy rows", "all clean rows", "reference alone"
OURS, WITH_REFERENCE = "influence", "influence and reference"
MEASURES = ("accuracy", "auc", "log_loss")
# Kinds of tasks whose reference rows are of another population.
SHIFTS = {"shift": "another population", "hidden shift": "another population, hidden"}
# Largest loss of accuracy that counts as near.
NEAR = 0.005


@dataclass(frozen=True)
class Task:
    """A data set, how its training rows are wrong, and how many reference rows there are."""

    dataset: str
    kind: str
    noise: float
    n_reference: int

    @property
    def is_shift(self) -> bool:
        return self.kind in SHIFTS

    def __str__(self) -> str:
        wrong = SHIFTS.get(self.kind, f"{self.noise:.0%} {self.kind}")
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

    @property
    def key(self) -> Key:
        return self.task, self.method, self.prune_ratio, self.downstream, self.seed


# By task, method, ratio and model.
Runs = dict[tuple[Task, str, float, str], Run]


def by_run(cells: Iterable[Cell], measure: str) -> Runs:
    runs: Runs = {}
    for cell in cells:
        key = (cell.task, cell.method, cell.prune_ratio, cell.downstream)
        runs.setdefault(key, {})[cell.seed] = getattr(cell, measure)
    return runs


def figures(cells: Sequence[Cell]) -> str:
    """Return, for each task and ratio, ours against what it is to beat, by accuracy."""
    runs = by_run(cells, "accuracy")
    header = ["task", "pruned", "trained on", "seeds", f"accuracy over {NOISY}", f"above {NOISY}"]
    header += [f"above {ALONE}", f"within {NEAR} of {CLEAN}"]
    lines = distinct((task, ratio, method) for task, method, ratio, _ in runs if method in NAMES)
    return markdown_table(header, [_figure(runs, *line) for line in lines])


# Display names of the methods.
NAMES = {OURS: "rows kept", WITH_REFERENCE: "rows kept and reference"}


def _figure(runs: Runs, task: Task, ratio: float, method: str) -> list[str]:
    models = [name for name in _models(runs, task) if (task, method, ratio, name) in runs]

    def over(other: str) -> list[Gain]:
        return [
            gain(runs[task, method, ratio, name], runs.get((task, other, 0.0, name), {}))
            for name in models
        ]

    def counted(other: str, least: float) -> str:
        return f"{sum(gain.mean > least for gain in over(other))} of {len(models)}"

    over_noisy = over(NOISY)
    gains = [f"{name} {gain}" for name, gain in zip(models, over_noisy, strict=True)]
    return [
        str(task),
        f"{ratio:.0%}",
        NAMES[method],
        str(max(gain.n_seeds for gain in over_noisy)),
        ", ".join(gains),
        counted(NOISY, 0.0),
        counted(ALONE, 0.0),
        "" if task.is_shift else counted(CLEAN, -NEAR),
    ]


def _models(runs: Runs, task: Task) -> list[str]:
    return distinct(model for other, _, _, model in runs if other == task)


# Methods and tasks in the table of the benchmarks' README, with their display names.
README_METHODS = (NOISY, OURS, WITH_REFERENCE, CLEAN)
README_TASKS = {
    Task("adult", "symmetric", 0.2, 1000): "Adult, 1,000 trusted rows",
    Task("digits", "symmetric", 0.2, 300): "digits, 300 trusted rows",
}


def readme_table(cells: Sequence[Cell]) -> str:
    """Return the table of the benchmarks' README: 40 % pruned, a fifth of the labels wrong."""
    runs, rows = by_run(cells, "accuracy"), []
    for task, name in README_TASKS.items():
        models = _models(runs, task)
        for method in README_METHODS:
            ratio = 0.4 if method in NAMES else 0.0
            of_models = [runs.get((task, method, ratio, model), {}) for model in models]
            seeds = str(max(map(len, of_models), default=0))
            rows.append([name, NAMES.get(method, method), seeds, *map(shown_mean, of_models)])
    models = distinct(cell.downstream for cell in cells)
    return markdown_table(["data", "trained on", "seeds", *models], rows)


def means(cells: Sequence[Cell], task: Task, measure: str) -> str:
    """Return the mean of a measure for each method and ratio (a line) and model (a column)."""
    runs = by_run((cell for cell in cells if cell.task == task), measure)
    models = _models(runs, task)
    rows = []
    for method, ratio in dict.fromkeys((method, ratio) for _, method, ratio, _ in runs):
        of_models = [runs.get((task, method, ratio, model), {}) for model in models]
        pruned = f"{ratio:.0%}" if ratio else ""
        rows.append([method, pruned, str(max(map(len, of_models))), *map(shown_mean, of_models)])
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
    for task in distinct(cell.task for cell in cells):
        parts.append(f"## {task}")
        parts += [means(cells, task, measure) for measure in MEASURES]
    return "\n\n".join(parts)
