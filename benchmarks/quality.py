"""Every pruner on every data set: how good are models trained on the rows kept?

    python -m benchmarks.quality                                # all cells that are missing
    python -m benchmarks.quality --dataset adult --pruner influence random --ratio 0.9
    python -m benchmarks.quality --quick                        # two minutes; writes nothing

The split into training and test rows is fixed first, and pruners see training rows only. What is to
be tuned (the damping of the head, neighbours, penalties) is chosen once a data set by
cross-validation on training rows, before anything is pruned. Then, for each seed, on each data set
each pruner is fitted once and chooses rows for every ratio, and each downstream model is trained on
them from zero:

- head: the linear model whose influences were matched;
- mlp, mlp-steps: one hidden layer, trained for as many epochs, or for as many steps of gradient
  descent, as on all rows;
- svm (linear), boosting, neighbours, forest: others that the pruner knows nothing of;
- kernel-svm: one more, with an RBF kernel whose width is the median distance between training rows.
  It learns from at most 10,000 of the rows kept, drawn with the seed and by class, for its time
  grows with the square of their number. So all rows, and what light pruning keeps of large data,
  are capped to the same number.

The scores (accuracy, or R² for a regression, on the test rows) go to `results/quality.csv`, one
line a cell, as soon as a cell is done; a run that was cut off goes on where it stopped. Tables are
made from that file by `python -m benchmarks.quality_report`. On a machine that is busy, start with
LOKY_MAX_CPU_COUNT=1: two threads of OpenMP wait for each other, and k-means takes fifteen times as
long.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner, baselines
from sklearn_prune.base import BasePruner

from . import quality_report
from ._common import argument_parser, output_folder
from .cells import Done, measure
from .data import Split, load
from .models import N_EPOCHS, Tuned, score_of, tune
from .quality_report import Cell

DATASETS = ("digits", "breast_cancer", "adult", "diamonds", "cifar10")
RATIOS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)
DOWNSTREAM = (
    "head",
    "mlp",
    "mlp-steps",
    "svm",
    "boosting",
    "neighbours",
    "forest",
    "kernel-svm",
)
N_SEEDS = 5


@dataclass(frozen=True)
class Bench:
    """A data set, with what is computed once for it.

    known : rows kept, by pruner and ratio, where they are the same for every seed.
    """

    split: Split
    known: dict[tuple[str, float], np.ndarray]

    @cached_property
    def tuned(self) -> Tuned:
        return tune(self.split)


def network(split: Split, seed: int) -> Any:
    """A linear softmax network, whose training is watched; None stands for the default one."""
    torch.manual_seed(seed)
    n_classes = int(split.y_train.max()) + 1
    return NeuralNetClassifier(
        nn.Linear,
        module__in_features=split.X_train.shape[1],
        module__out_features=n_classes,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=N_EPOCHS,
        batch_size=max(32, min(256, len(split.y_train) // 20)),
        classes=list(range(n_classes)),
        verbose=0,
    )


def influence(split: Split, tuned: Tuned, ratio: float, seed: int, **options: Any) -> BasePruner:
    """Match the head that is trained downstream, on the columns as they are, but for its bias.

    Scikit-learn leaves the bias undamped. A regression is left to the default, which standardises
    columns: damped as little as Diamonds is, the head is the same.
    """
    damping = tuned.damping
    if split.is_classification:
        # The network is its last layer, which is refitted, so one epoch is enough.
        options["estimator"] = network(split, seed).set_params(max_epochs=1)
        if split.y_train.max() == 1:
            # Two logits split scikit-learn's one, which halves the squared parameters.
            damping *= 2
    return InfluencePruner(prune_ratio=ratio, damping=damping, random_state=seed, **options)


# These read only the inputs of the last layer: here the columns, however long it trains.
FROM_COLUMNS = (
    "GeometricMedianPruner",
    "HerdingPruner",
    "KCenterPruner",
    "KMeansPruner",
    "ModeratePruner",
    "RefinedCoresetPruner",
    "ZeroShotCoveragePruner",
)


def rival(name: str) -> Callable[..., BasePruner]:
    """Return a factory of the pruner of this class name."""

    def make(split: Split, tuned: Tuned, ratio: float, seed: int) -> BasePruner:
        options: dict[str, Any] = {"prune_ratio": ratio, "random_state": seed}
        cls = getattr(baselines, name)
        if split.is_classification and "estimator" in cls().get_params():
            options["estimator"] = network(split, seed)
            if name in FROM_COLUMNS:
                options["estimator"].set_params(max_epochs=1)
        return cls(**options)

    return make


PRUNERS: dict[str, Callable[..., BasePruner]] = {
    "influence": influence,
    **{
        name.removesuffix("Pruner").lower(): rival(name)
        for name in baselines.__all__
        if name.endswith("Pruner")
    },
}
# Deterministic pruners: they read only the columns.
WITHOUT_CHANCE = ("herding", "kcenter", "geometricmedian")
# Pruners that need no classes.
FOR_REGRESSION = (
    "influence",
    "random",
    "herding",
    "kcenter",
    "kmeans",
    "distribution",
    "influencescore",
    "geometricmedian",
    "refinedcoreset",
    "zeroshotcoverage",
)


def cells(bench: Bench, args: argparse.Namespace, seed: int, done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set and seed that are asked for and not done."""
    split = bench.split

    def missing(pruner: str, ratio: float) -> list[str]:
        return [d for d in args.downstream if (split.name, pruner, ratio, d, seed) not in done]

    pruners = [p for p in args.pruner if split.is_classification or p in FOR_REGRESSION]
    for pruner, asked in [("all rows", [0.0]), *((pruner, args.ratio) for pruner in pruners)]:
        ratios = [ratio for ratio in asked if missing(pruner, ratio)]
        if not ratios:
            continue
        for ratio, rows in kept_rows(pruner, split, bench.tuned, ratios, seed, bench.known):
            for downstream in missing(pruner, ratio):
                score = score_of(downstream, split, bench.tuned, rows, seed)
                yield Cell(split.name, pruner, ratio, downstream, seed, len(rows), score)


def kept_rows(
    name: str,
    split: Split,
    tuned: Tuned,
    ratios: Sequence[float],
    seed: int,
    known: dict[tuple[str, float], np.ndarray],
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield each ratio and the rows that are kept at it, by one fit of the pruner.

    What is the same for every seed is looked up in ``known``, and stored there.
    """
    pruner = None
    for ratio in ratios:
        if (name, ratio) in known:
            yield ratio, known[name, ratio]
            continue
        if name == "all rows":
            support = np.ones(len(split.y_train), dtype=bool)
        elif pruner is None:
            pruner = PRUNERS[name](split, tuned, ratio, seed).fit(split.X_train, split.y_train)
            support = pruner.get_support()
        else:
            support = pruner.select(prune_ratio=ratio)
        rows = np.flatnonzero(support)
        if name in WITHOUT_CHANCE:
            known[name, ratio] = rows
        yield ratio, rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.quality", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--pruner", nargs="+", choices=PRUNERS, default=list(PRUNERS))
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--downstream", nargs="+", choices=DOWNSTREAM, default=list(DOWNSTREAM))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument("--quick", action="store_true", help="two bundled sets, three ratios")
    args = parser.parse_args(argv)
    if args.quick:
        args.dataset, args.ratio, args.seeds = ["digits", "breast_cancer"], [0.5, 0.8, 0.9], 2
        args.subset = args.subset or 500
        args.downstream = ["head", "neighbours"]

    def missing(done: Done) -> Iterator[Cell]:
        benches = [
            Bench(load(name, args.data_dir).subset(args.subset), {}) for name in args.dataset
        ]
        # Finish one seed of every data set before the next seed.
        for seed, bench in product(range(args.seeds), benches):
            yield from cells(bench, args, seed, done)

    measure("quality", Cell, missing, quality_report.markdown, output_folder(args), parser)


if __name__ == "__main__":
    main()
