"""Does matching several networks at once help a network that is trained anew?

    python -m benchmarks.stacking                      # all cells that are missing, then the report
    python -m benchmarks.stacking --dataset digits --seeds 2

A network whose hidden layers are trained again on the rows kept ends with other features than those
its last layer was matched in. So what is matched here is: the last layer of a network with one
hidden layer; those of three moments of its training; those of three such networks; a linear model
on the inputs, which no training moves; and inputs and last layers together. Models trained on the
rows kept: a new network of the same form, for as many steps as on all rows, and the linear model.

As in `benchmarks.defaults`, test rows are never touched: each seed splits training rows into rows
to fit and rows to validate on. One line a cell goes to `results/stacking.csv`; a run that was cut
off goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner, checkpoints
from sklearn_prune.baselines import RandomPruner

from . import models
from ._common import argument_parser, markdown_table, output_folder, with_release
from .cells import Done, Key, measure
from .data import Split, load
from .defaults import SIZES
from .models import Tuned, score_of, tune_damping
from .scores import GAINS, LEVEL, Scores, collected, counted_gains, distinct, table

RATIOS = (0.8, 0.9, 0.95)
DOWNSTREAM = ("mlp-steps", "head")
N_SEEDS = 5
# Number of networks, or of checkpoints, that are matched together.
N_TOGETHER = 3
# Seconds for each choice.
TIME_LIMIT = 15.0
# Hidden units, as in the mlp of `models`.
N_HIDDEN = 64
RANDOM = "random rows"


@dataclass(frozen=True)
class Cell:
    """One score on the rows to validate on."""

    dataset: str
    matched: str
    prune_ratio: float
    downstream: str
    seed: int
    score: float

    @property
    def key(self) -> Key:
        return self.dataset, self.matched, self.prune_ratio, self.downstream, self.seed


class Mlp(nn.Sequential):
    """A class rather than an instance, so that each network gets its own random start."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(nn.Linear(n_features, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, n_classes))


def network(split: Split) -> NeuralNetClassifier:
    """The mlp of `models` as a skorch network, whose last layer the pruner can read."""
    n_classes = int(split.y_train.max()) + 1
    return NeuralNetClassifier(
        Mlp,
        module__n_features=split.X_train.shape[1],
        module__n_classes=n_classes,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.001,
        max_epochs=models.N_EPOCHS,
        batch_size=128,
        iterator_train__shuffle=True,
        classes=list(range(n_classes)),
        verbose=0,
    )


def same(X: Any) -> Any:
    """The inputs as features."""
    return X


MATCHED: dict[str, Callable[[NeuralNetClassifier], dict[str, Any]]] = {
    "inputs": lambda net: {},
    "last layer": lambda net: {"estimator": net},
    "checkpoints": lambda net: {"estimator": checkpoints(net, N_TOGETHER)},
    "networks": lambda net: {"estimator": [net] * N_TOGETHER},
    "inputs, last layer": lambda net: {"estimator": net, "features": same},
    "inputs, networks": lambda net: {"estimator": [net] * N_TOGETHER, "features": same},
    "all layers": lambda net: {"estimator": net, "layers": "all"},
}


def fitted(matched: str, split: Split, tuned: Tuned, seed: int) -> Any:
    if matched == RANDOM:
        pruner: Any = RandomPruner(random_state=seed)
    else:
        options = MATCHED[matched](network(split))
        options |= {"damping": tuned.damping, "random_state": seed, "time_limit": TIME_LIMIT}
        pruner = InfluencePruner(**options)
    return pruner.fit(split.X_train, split.y_train)


def cells(split: Split, args: argparse.Namespace, done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set that are asked for and not done."""
    for seed in range(args.seeds):
        missing = {
            matched: [
                (ratio, downstream)
                for ratio, downstream in product(args.ratio, DOWNSTREAM)
                if (split.name, matched, ratio, downstream, seed) not in done
            ]
            for matched in [*args.matched, RANDOM]
        }
        if not any(missing.values()):
            continue
        part = split.inner(*SIZES[split.name], seed)
        # No svm and no neighbours are trained here.
        tuned = Tuned(tune_damping(part), penalty=1.0, n_neighbors=1)
        for matched, jobs in missing.items():
            if not jobs:
                continue
            pruner = fitted(matched, part, tuned, seed)
            rows = {r: np.flatnonzero(pruner.select(prune_ratio=r)) for r in dict(jobs)}
            for ratio, downstream in jobs:
                score = score_of(downstream, part, tuned, rows[ratio], seed)
                yield Cell(split.name, matched, ratio, downstream, seed, score)


def by_run(measured: Sequence[Cell]) -> Scores:
    return collected(
        ((c.dataset, c.matched, c.prune_ratio, c.downstream), c.seed, c.score) for c in measured
    )


def summary(scores: Scores) -> str:
    """Return for each thing matched the gain over random rows, over data sets and ratios."""
    rows = []
    for matched, downstream in product(distinct(key[1] for key in scores), DOWNSTREAM):
        keys = [key for key in scores if key[1] == matched and key[3] == downstream]
        if matched != RANDOM and keys:
            rows.append([matched, downstream, *counted_gains(scores, keys, RANDOM)])
    return markdown_table(["matched", "model", *GAINS], rows)


def markdown(measured: Sequence[Cell]) -> str:
    scores = by_run(measured)
    parts = [
        "Accuracy on rows to validate on, split from the training rows; means over seeds, and the "
        "gain over as many random rows of each class, paired by seed, with its "
        f"{LEVEL:.0%} interval.",
        "## Against random rows, over data sets and ratios",
        summary(scores),
    ]
    for dataset, downstream in distinct((key[0], key[3]) for key in scores):
        parts += [f"## {dataset}, {downstream}", table(scores, dataset, downstream, RANDOM)]
    return with_release("stacking", "\n\n".join(parts))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.stacking", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--matched", nargs="+", choices=MATCHED, default=list(MATCHED))
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    args = parser.parse_args(argv)

    def missing(done: Done) -> Iterator[Cell]:
        for dataset in args.dataset:
            yield from cells(load(dataset, args.data_dir), args, done)

    measure("stacking", Cell, missing, markdown, output_folder(args), parser)


if __name__ == "__main__":
    main()
