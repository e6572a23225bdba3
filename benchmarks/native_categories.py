"""What pruning costs, and what it leaves, of a model that reads categories and gaps by itself.

    python -m benchmarks.native_categories
    python -m benchmarks.native_categories --subset 2000     # a trial; writes nothing

Adult as it is read goes to `PrunedClassifier` around histogram boosting with native categories, so
the pruner reads the default encoding, and the model the table. `pruning` is the fit of
`PrunedClassifier` without the fit of the model on the rows kept, which is timed by itself. Seconds
are those of the wall clock and, in brackets, of the processor, after a fit of a few rows that does
all imports. Means over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier

from sklearn_prune import InfluencePruner, PrunedClassifier
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import RandomPruner

from ._common import argument_parser, markdown_table, output_folder
from .cells import Done, Key, measure
from .data import load_adult_frame

RATIO = 0.9
SEEDS = range(2)
METHODS: dict[str, type[BasePruner] | None] = {
    "all rows": None,
    "ours": InfluencePruner,
    "random": RandomPruner,
}
CLOCKS = ("wall", "cpu")
# Rows of the fit that does all imports.
N_WARM = 300


@dataclass(frozen=True)
class Cell:
    """One method and seed; seconds of the wall clock and of the processor."""

    method: str
    seed: int
    n_trained: int
    accuracy: float
    prune_wall: float
    prune_cpu: float
    train_wall: float
    train_cpu: float

    @property
    def key(self) -> Key:
        return self.method, self.seed


@dataclass(frozen=True)
class Table:
    """Adult as it is read, text as categories; those of the test rows are the training rows'."""

    X_train: pd.DataFrame
    y_train: pd.Series
    X_test: pd.DataFrame
    y_test: pd.Series

    def first(self, n_rows: int | None) -> Table:
        return Table(self.X_train[:n_rows], self.y_train[:n_rows], self.X_test, self.y_test)


def adult(data_dir: Path) -> Table:
    frame, y, is_test = load_adult_frame(data_dir)
    text = frame.select_dtypes(exclude=np.number).columns
    train = frame[~is_test].astype(dict.fromkeys(text, "category"))
    return Table(train, y[~is_test], frame[is_test].astype(train.dtypes.to_dict()), y[is_test])


def timed(do: Callable[[], object]) -> np.ndarray:
    """Return the seconds that a call takes, of the wall clock and of the processor."""
    wall, cpu = perf_counter(), process_time()
    do()
    return np.array([perf_counter() - wall, process_time() - cpu])


def measured(table: Table, method: str, seed: int) -> Cell:
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed)
    X, y, pruning = table.X_train, table.y_train, np.zeros(2)
    pruner = METHODS[method]
    if pruner is not None:
        pruned = PrunedClassifier(model, pruner(prune_ratio=RATIO, random_state=seed))
        pruning = timed(partial(pruned.fit, X, y))
        X, y = pruned.pruner_.prune(X, y)
    model = clone(model)
    training = timed(partial(model.fit, X, y))
    if pruner is not None:
        pruning = pruning - training
    return Cell(method, seed, len(y), model.score(table.X_test, table.y_test), *pruning, *training)


def missing_cells(data_dir: Path, subset: int | None, done: Done) -> Iterator[Cell]:
    todo = [(method, seed) for seed in SEEDS for method in METHODS if (method, seed) not in done]
    if not todo:
        return
    table = adult(data_dir)
    for method in METHODS:
        measured(table.first(N_WARM), method, seed=0)
    table = table.first(subset)
    for method, seed in todo:
        yield measured(table, method, seed)


def report(cells: Sequence[Cell]) -> str:
    """Return a line for each method."""

    def seconds(chosen: Sequence[Cell], part: str) -> str:
        wall, cpu = (np.mean([getattr(cell, f"{part}_{of}") for cell in chosen]) for of in CLOCKS)
        return f"{wall:.2f} ({cpu:.2f})"

    rows = []
    for method in METHODS:
        chosen = [cell for cell in cells if cell.method == method]
        if chosen:
            accuracy = np.mean([cell.accuracy for cell in chosen])
            costs = [seconds(chosen, part) for part in ("prune", "train")]
            rows.append([method, f"{chosen[0].n_trained:,}", f"{accuracy:.4f}", *costs])
    header = ["rows", "trained on", "test accuracy", "pruning, s", "training, s"]
    return markdown_table(header, rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.native_categories", __doc__)
    args = parser.parse_args(argv)
    missing = partial(missing_cells, args.data_dir, args.subset)
    measure("native_categories", Cell, missing, report, output_folder(args), parser)


if __name__ == "__main__":
    main()
