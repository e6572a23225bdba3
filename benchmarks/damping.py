"""Which damping should the default network have: 1e-4, or scikit-learn's on as many rows?

    python -m benchmarks.damping                       # all cells that are missing, then the report
    python -m benchmarks.damping --dataset digits --seeds 3

`LogisticRegression(C=1)` on n rows has the damping 1/n of the mean loss. Test rows are never
touched: each seed splits training rows anew into rows to fit and rows to validate on. The pruner
chooses by either damping, and each downstream model is trained on the rows kept: linear models at
scikit-learn's defaults ("head"), with the penalty rescaled to the rows kept ("rescaled head"), and
models that the pruner does not match.

One line a cell goes to `results/damping.csv`; a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from sklearn_prune import InfluencePruner

from ._common import argument_parser, markdown_table, output_folder
from .cells import Done, Key, measure
from .data import Split, load
from .models import Tuned, fit, model_of
from .scores import GAINS, LEVEL, Scores, collected, counted_gains, distinct, table

# Rows to fit, and at most so many to validate on.
SIZES = {
    "digits": (1_000, 347),
    "breast_cancer": (320, 106),
    "adult": (8_000, 10_000),
    "diamonds": (8_000, 10_000),
}
RATIOS = (0.9, 0.97)
DOWNSTREAM = ("head", "rescaled head", "boosting", "forest", "neighbours")
N_SEEDS = 3
FIXED, BY_ROWS = "1e-4", "1/n"
# Neighbours are scikit-learn's default; no other value is read.
UNTUNED = Tuned(damping=np.nan, penalty=1.0, n_neighbors=5)


@dataclass(frozen=True)
class Cell:
    """One score on the rows to validate on: accuracy or R²."""

    dataset: str
    damping: str
    prune_ratio: float
    downstream: str
    seed: int
    score: float

    @property
    def key(self) -> Key:
        return self.dataset, self.damping, self.prune_ratio, self.downstream, self.seed


def downstream_model(name: str, split: Split, n_rows: int, seed: int) -> Any:
    """Return the model to train on so many of the split's rows."""
    if "head" not in name:
        return model_of(name, split, UNTUNED, n_rows, seed)
    share = n_rows / len(split.y_train) if name == "rescaled head" else 1.0
    return LogisticRegression(C=1 / share) if split.is_classification else Ridge(alpha=share)


def scored(split: Split, rows: np.ndarray, name: str, seed: int) -> float:
    model = downstream_model(name, split, len(rows), seed)
    fit(model, split.X_train[rows], split.y_train[rows])
    return float(model.score(split.X_test, split.y_test))


def cells(split: Split, args: argparse.Namespace, done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set that are not done."""
    for seed, damping in product(range(args.seeds), (FIXED, BY_ROWS)):
        todo = [
            (ratio, name)
            for ratio, name in product(RATIOS, DOWNSTREAM)
            if (split.name, damping, ratio, name, seed) not in done
        ]
        if not todo:
            continue
        part = split.inner(*SIZES[split.name], seed)
        value = 1e-4 if damping == FIXED else 1 / len(part.y_train)
        pruner = InfluencePruner(prune_ratio=RATIOS[0], damping=value, random_state=seed)
        pruner.fit(part.X_train, part.y_train)
        kept = {r: np.flatnonzero(pruner.select(prune_ratio=r)) for r in {r for r, _ in todo}}
        for ratio, name in todo:
            score = scored(part, kept[ratio], name, seed)
            yield Cell(split.name, damping, ratio, name, seed, score)


def summary(scores: Scores) -> str:
    """Return for each model how often 1/n is better and worse than 1e-4, and by how much."""
    rows = []
    for name in DOWNSTREAM:
        keys = [key for key in scores if key[1] == BY_ROWS and key[3] == name]
        if keys:
            rows.append([name, str(len(keys)), *counted_gains(scores, keys, FIXED)])
    return markdown_table(["model", "cases", *GAINS], rows)


def report(measured: Sequence[Cell]) -> str:
    scores = collected(
        ((c.dataset, c.damping, c.prune_ratio, c.downstream), c.seed, c.score) for c in measured
    )
    parts = [
        "# The default network's damping",
        "Accuracy (R² for diamonds) on rows to validate on, split from the training rows; means "
        f"over seeds. 1/n against 1e-4, paired by seed, with its {LEVEL:.0%} interval; a case is a "
        "data set and a share pruned.",
        summary(scores),
    ]
    for dataset, name in distinct((key[0], key[3]) for key in scores):
        parts += [f"## {dataset}, {name}", table(scores, dataset, name, FIXED)]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.damping", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    args = parser.parse_args(argv)

    def missing(done: Done) -> Iterator[Cell]:
        for dataset in args.dataset:
            yield from cells(load(dataset, args.data_dir), args, done)

    measure("damping", Cell, missing, report, output_folder(args), parser)


if __name__ == "__main__":
    main()
