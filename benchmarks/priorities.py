"""Which rows serve a network that is trained anew on them, with right and with wrong labels?

    python -m benchmarks.priorities                    # all cells that are missing, then the report
    python -m benchmarks.priorities --dataset digits --noise 0 --seeds 1

A new network is trained on the rows kept, for as many epochs as on all rows. They are chosen

- at random, of each class the same share;
- by `InfluencePruner` with that network, its priorities being the default, or `sample_priority`
  the squared error of networks that did not see the row ("hard");
- by `UncertaintyPruner` with that network.

Test rows are never touched: each seed splits training rows anew into rows to fit and rows to
validate on. On some runs a share of the labels is wrong, each replaced at random by that of another
class; rows to validate on keep theirs. One line a cell goes to `results/priorities.csv`; a run that
was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner, UncertaintyPruner

from . import models
from ._common import argument_parser, markdown_table, output_folder
from .cells import Done, Key, measure
from .data import Split, load
from .scores import (
    GAINS,
    LEVEL,
    Scores,
    collected,
    counted_gains,
    distinct,
    gain_over,
    mean_of,
    table,
)

# Rows to fit, and at most so many to validate on.
SIZES = {"digits": (1_000, 347), "adult": (6_000, 10_000), "cifar10": (6_000, 10_000)}
NOISES = (0.0, 0.1, 0.2)
RATIOS = (0.4, 0.9)
N_SEEDS = 3
N_FOLDS = 3
# Hidden units, as in the mlp of `models`.
N_HIDDEN = 64
# Seconds for each choice, never reached.
TIME_LIMIT = 3600.0
ALL, RANDOM = "all rows", "random"
DEFAULT, HARD, UNCERTAIN = "influence", "influence, hard", "uncertainty"
WAYS = (RANDOM, DEFAULT, HARD, UNCERTAIN)


@dataclass(frozen=True)
class Cell:
    """One score on the rows to validate on.

    wrong : share of wrong labels among the rows kept.
    """

    dataset: str
    noise: float
    way: str
    prune_ratio: float
    seed: int
    score: float
    wrong: float

    @property
    def key(self) -> Key:
        return self.dataset, self.noise, self.way, self.prune_ratio, self.seed


class Mlp(nn.Sequential):
    """A class rather than an instance, so that each network gets its own random start."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(nn.Linear(n_features, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, n_classes))


class DigitsConvolution(nn.Sequential):
    """Two convolutions on the 8 x 8 pixels of a digit."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, n_classes),
        )


def resplit(split: Split, noise: float, seed: int) -> Split:
    """Split training rows into rows to fit, some of them with wrong labels, and to validate on."""
    inner = split.inner(*SIZES[split.name], seed)
    y, rng = inner.y_train.copy(), np.random.default_rng(seed)
    n_rows, n_classes = len(y), int(split.y_train.max()) + 1
    wrong = rng.choice(n_rows, round(noise * n_rows), replace=False)
    y[wrong] = (y[wrong] + rng.integers(1, n_classes, len(wrong))) % n_classes
    return replace(inner, y_train=y)


def as_floats(split: Split) -> Split:
    """Return the split with columns in float32, as skorch takes them."""
    return replace(
        split, X_train=split.X_train.astype(np.float32), X_test=split.X_test.astype(np.float32)
    )


def network_for(split: Split) -> NeuralNetClassifier:
    """Return a convolution for digits, and for others the mlp of `models`, as skorch networks."""
    n_classes = int(split.y_train.max()) + 1
    return NeuralNetClassifier(
        DigitsConvolution if split.name == "digits" else Mlp,
        module__n_features=split.X_train.shape[1],
        module__n_classes=n_classes,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.001,
        max_epochs=models.N_EPOCHS,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=None,
        classes=list(range(n_classes)),
        verbose=0,
    )


def squared_error(net: NeuralNetClassifier, split: Split, seed: int) -> np.ndarray:
    """Return ``(1 - p_y)²`` of each row, with probabilities of networks that did not see it."""
    torch.manual_seed(seed)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    p = cross_val_predict(net, split.X_train, split.y_train, cv=folds, method="predict_proba")
    own = p[np.arange(len(p)), split.y_train].astype(np.float64)
    return np.asarray((1 - own) ** 2)


def fitted(way: str, net: NeuralNetClassifier, split: Split, ratio: float, seed: int) -> Any:
    """Return the pruner that chooses in this way."""
    options: dict[str, Any] = {"prune_ratio": ratio, "random_state": seed}
    X, y = split.X_train, split.y_train
    if way == RANDOM:
        return RandomPruner(**options).fit(X, y)
    if way == UNCERTAIN:
        return UncertaintyPruner(net, **options).fit(X, y)
    priority = squared_error(net, split, seed) if way == HARD else None
    pruner = InfluencePruner(net, time_limit=TIME_LIMIT, **options)
    return pruner.fit(X, y, sample_priority=priority)


def choices(
    net: NeuralNetClassifier, split: Split, tasks: Sequence[tuple[str, float]], seed: int
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield way, ratio, and the mask of rows kept; each way is fitted once."""
    for way in distinct(way for way, _ in tasks):
        ratios = [ratio for other, ratio in tasks if other == way]
        if way == ALL:
            yield way, ratios[0], np.ones(len(split.y_train), dtype=bool)
            continue
        pruner = fitted(way, net, split, ratios[0], seed)
        for ratio in ratios:
            yield way, ratio, pruner.select(prune_ratio=ratio)


def cells(split: Split, args: argparse.Namespace, done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set that are asked for and not done."""
    for seed, noise in product(range(args.seeds), args.noise):
        asked = [(ALL, 0.0), *product(args.way, args.ratio)]
        tasks = [task for task in asked if (split.name, noise, *task, seed) not in done]
        if not tasks:
            continue
        right, part = (as_floats(resplit(split, share, seed)) for share in (0.0, noise))
        is_wrong, net = part.y_train != right.y_train, network_for(part)
        for way, ratio, kept in choices(net, part, tasks, seed):
            torch.manual_seed(seed)
            trained = clone(net).fit(part.X_train[kept], part.y_train[kept])
            score = float(trained.score(part.X_test, part.y_test))
            wrong = float(is_wrong[kept].mean())
            yield Cell(split.name, noise, way, ratio, seed, score, wrong)


def by_run(measured: Sequence[Cell], value: str) -> Scores:
    """Return a field of the cells, by job (data and noise), way and ratio; there is one model."""
    return collected(
        (
            (f"{c.dataset}, {c.noise:.0%} wrong labels", c.way, c.prune_ratio, ""),
            c.seed,
            getattr(c, value),
        )
        for c in measured
    )


def summary(scores: Scores, baseline: str) -> str:
    """Return for each way how often it is better and worse than another, and by how much.

    Counted are pairs of data and ratio that were measured for both, with right and with wrong
    labels.
    """
    rows = []
    ways = distinct(key[1] for key in scores if key[1] not in (ALL, baseline))
    for labels, way in product(("right", "some wrong"), ways):
        keys = [
            (job, other, ratio, model)
            for job, other, ratio, model in scores
            if other == way and job.endswith(", 0% wrong labels") == (labels == "right")
            if (job, baseline, ratio, model) in scores
        ]
        if keys:
            least = min(gain_over(scores, key, baseline).mean for key in keys)
            counts = counted_gains(scores, keys, baseline)
            rows.append([labels, way, *counts, f"{least:+.4f}"])
    return markdown_table(["labels", "rows kept", *GAINS, "least gain"], rows)


def report(measured: Sequence[Cell]) -> str:
    scores, wrong = by_run(measured, "score"), by_run(measured, "wrong")
    parts = [
        "Accuracy on rows to validate on, split from the training rows, of a network trained on "
        "the rows kept; means over seeds. In brackets the gain over random rows, paired by seed, "
        f"with its {LEVEL:.0%} interval. `benchmarks/priorities.py` describes the ways to choose. "
        "What is missing was not run.",
    ]
    for baseline in (RANDOM, DEFAULT):
        parts += [f"## Against {baseline}", summary(scores, baseline)]
    for job in distinct(key[0] for key in scores):
        parts += [f"## {job}", f"All rows: {mean_of(scores[job, ALL, 0.0, '']):.4f}."]
        parts += [table(scores, job, "", RANDOM, ALL)]
        if any(share for share in wrong[job, ALL, 0.0, ""].values()):
            kept = {key: run for key, run in wrong.items() if key[0] == job}
            parts += ["Share of wrong labels among the rows kept:", table(kept, job, "", "", ALL)]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.priorities", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--noise", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--way", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    args = parser.parse_args(argv)

    def missing(done: Done) -> Iterator[Cell]:
        for dataset in args.dataset:
            split = load(dataset, args.data_dir).subset(args.subset)
            yield from cells(split, args, done)

    measure("priorities", Cell, missing, report, output_folder(args), parser)


if __name__ == "__main__":
    main()
