"""Which options of InfluencePruner earn their place as defaults?

    python -m benchmarks.defaults                      # all cells that are missing, then the report
    python -m benchmarks.defaults --dataset digits --noise 0.2 --seeds 3

Test rows are never touched: each seed splits training rows anew into rows to fit and rows to
validate on. On some runs a share of the labels is wrong, each replaced at random by that of another
class; rows to validate on keep theirs. The pruner chooses with its defaults, then with one option
changed at a time, and each downstream model is trained on the rows kept.

One line a cell goes to `results/defaults.csv`; a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from sklearn_prune.baselines import RandomPruner

from . import quality
from ._common import argument_parser, markdown_table, output_folder, with_release
from .cells import Done, Key, measure
from .data import Split, load
from .models import Tuned, score_of, tune_damping
from .scores import GAINS, LEVEL, Scores, collected, counted_gains, distinct, table

# Rows to fit, and at most so many to validate on.
SIZES = {"digits": (1_000, 347), "adult": (6_000, 10_000), "cifar10": (6_000, 10_000)}
NOISES = (0.0, 0.1, 0.2)
RATIOS = (0.4, 0.8, 0.9, 0.95)
DOWNSTREAM = ("head", "mlp")
N_SEEDS = 5
DEFAULT, NORM, RANDOM = "default", "norm=parameter", "random rows"
# Keyword arguments of `select`.
CHANGES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    NORM: {},
    "quota=None": {"quota": None},
    "quota=equal": {"quota": "equal"},
    RANDOM: {},
}


@dataclass(frozen=True)
class Cell:
    """One score on the rows to validate on."""

    dataset: str
    noise: float
    option: str
    prune_ratio: float
    downstream: str
    seed: int
    score: float

    @property
    def key(self) -> Key:
        return (
            self.dataset,
            self.noise,
            self.option,
            self.prune_ratio,
            self.downstream,
            self.seed,
        )


def resplit(split: Split, noise: float, seed: int) -> Split:
    """Split training rows into rows to fit, some of them with wrong labels, and to validate on."""
    inner = split.inner(*SIZES[split.name], seed)
    y, rng = inner.y_train.copy(), np.random.default_rng(seed)
    n_rows, n_classes = len(y), int(split.y_train.max()) + 1
    wrong = rng.choice(n_rows, round(noise * n_rows), replace=False)
    y[wrong] = (y[wrong] + rng.integers(1, n_classes, len(wrong))) % n_classes
    return replace(inner, y_train=y)


def fitted(option: str, split: Split, tuned: Tuned, seed: int) -> Any:
    """Return the pruner that chooses with this option."""
    if option == RANDOM:
        pruner: Any = RandomPruner(random_state=seed)
    else:
        norm = "parameter" if option == NORM else "loss"
        pruner = quality.influence(split, tuned, RATIOS[0], seed, norm=norm)
    return pruner.fit(split.X_train, split.y_train)


def choices(
    split: Split, tuned: Tuned, tasks: Sequence[tuple[str, float]], seed: int
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield option, ratio, and which rows are kept."""
    own = {NORM, RANDOM}
    pruners = {
        option: fitted(option, split, tuned, seed)
        for option in {option if option in own else DEFAULT for option, _ in tasks}
    }
    for option, ratio in tasks:
        pruner = pruners[option if option in own else DEFAULT]
        yield option, ratio, np.flatnonzero(pruner.select(prune_ratio=ratio, **CHANGES[option]))


def cells(split: Split, args: argparse.Namespace, done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set that are asked for and not done."""

    def missing(option: str, ratio: float, seed: int, noise: float) -> list[str]:
        return [d for d in DOWNSTREAM if (split.name, noise, option, ratio, d, seed) not in done]

    for seed, noise in product(range(args.seeds), args.noise):
        tasks = [
            (option, ratio)
            for ratio, option in product(args.ratio, args.option)
            if missing(option, ratio, seed, noise)
        ]
        if not tasks:
            continue
        part = resplit(split, noise, seed)
        # No svm and no neighbours are trained here.
        tuned = Tuned(tune_damping(part), penalty=1.0, n_neighbors=1)
        for option, ratio, rows in choices(part, tuned, tasks, seed):
            for d in missing(option, ratio, seed, noise):
                score = score_of(d, part, tuned, rows, seed)
                yield Cell(split.name, noise, option, ratio, d, seed, score)


def by_run(measured: Sequence[Cell]) -> Scores:
    """Return the score of each seed by job (data and noise), option, ratio and model."""
    return collected(
        (
            (f"{c.dataset}, {c.noise:.0%} wrong labels", c.option, c.prune_ratio, c.downstream),
            c.seed,
            c.score,
        )
        for c in measured
    )


def summary(scores: Scores) -> str:
    """Return for each option how often it is better and worse than the defaults, and by how much.

    Counted are pairs of data and ratio, for each model, with right and with wrong labels.
    """
    rows = []
    for option in distinct(key[1] for key in scores if key[1] != DEFAULT):
        for labels, is_clean in (("right", True), ("some wrong", False)):
            for downstream in DOWNSTREAM:
                keys = [
                    key
                    for key in scores
                    if key[1] == option and key[3] == downstream
                    if key[0].endswith(", 0% wrong labels") == is_clean
                ]
                if keys:
                    rows.append([option, labels, downstream, *counted_gains(scores, keys, DEFAULT)])
    return markdown_table(["option", "labels", "model", *GAINS], rows)


def markdown(measured: Sequence[Cell]) -> str:
    scores = by_run(measured)
    parts = [
        "Accuracy on rows to validate on, split from the training rows; means over seeds, and the "
        f"gain over the default options, paired by seed, with its {LEVEL:.0%} interval.",
        "## Options against the defaults",
        summary(scores),
    ]
    for job, downstream in distinct((key[0], key[3]) for key in scores):
        parts += [f"## {job}, {downstream}", table(scores, job, downstream, DEFAULT)]
    return with_release("defaults", "\n\n".join(parts))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.defaults", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--noise", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--option", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    args = parser.parse_args(argv)

    def missing(done: Done) -> Iterator[Cell]:
        for dataset in args.dataset:
            yield from cells(load(dataset, args.data_dir), args, done)

    measure("defaults", Cell, missing, markdown, output_folder(args), parser)


if __name__ == "__main__":
    main()
