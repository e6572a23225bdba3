"""What of the distribution is worth holding beside a head, and how much should it count?

    python -m benchmarks.distribution                        # all cells that are missing
    python -m benchmarks.distribution --dataset adult --seeds 2

This is where `distribution_weight` and the features of the embedding were decided. Test rows are
never touched: each seed splits training rows anew into rows to fit (at most 12,000) and rows to
validate on. One option is changed at a time: the weight, what is held beside the head (the
distribution, a nonlinear head, both), the features of the distribution (Fourier features of three
bandwidths, leaves of trees, both), and the draw that is aimed at (even, calibrated, or without one
of its three parts). Each model of `benchmarks.quality` but the MLPs, which
cost as much as all others, is trained on the rows kept.

One line a cell goes to `results/distribution.csv`; a run that was cut off goes on where it stopped.
The report is `results/distribution.md`: the share of what random rows lose that is won back, in the
mean over boosting, forest, neighbours and kernel SVM, and beside it that of the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, product
from time import perf_counter
from typing import Any, Literal

import numpy as np

from sklearn_prune.baselines import RandomPruner
from sklearn_prune.matching import DistributionEmbedding, choose_rows, target_labels
from sklearn_prune.matching.feature_maps import FourierFeatures, LeafIndicators, Table
from sklearn_prune.matching.features import TableFeatures
from sklearn_prune.selection import Request, make_terms

from . import quality
from ._common import argument_parser, markdown_table, output_folder
from .cells import Done, measure
from .data import Split, load
from .models import Tuned, score_of, tune
from .quality_report import FULL, Cell, by_run
from .scores import Scores, mean_of

DATASETS = ("adult", "diamonds", "digits", "breast_cancer", "cifar10")
RATIOS = (0.8, 0.9, 0.97)
DOWNSTREAM = ("head", "boosting", "forest", "neighbours", "kernel-svm")
N_SEEDS = 12
N_FITTED, N_VALIDATED = 12_000, 8_000
RANDOM = "random rows"
WEIGHTS = {f"weight {weight:g}": weight for weight in (0.0, 0.3, 0.5, 1.0, 2.0, 4.0)}
ALONE = ("distribution alone", "nonlinear head alone")
FEATURES = ("Fourier features", "leaves")
# The target distribution: with all of its parts, or without one of them. All other options target
# the distribution of all rows.
FACTORS = ("distance", "spread", "belief")
DRAWS = ("even draw", "calibrated draw", *(f"draw without {name}" for name in FACTORS))

OPTIONS = (*WEIGHTS, *ALONE, *FEATURES, *DRAWS)


def with_features(pruner: Any, split: Split, features: str, seed: int) -> DistributionEmbedding:
    """The embedding of what enters the pruner's head, with some of its features only."""
    objective = pruner.influence_.objective
    table, rng = Table([objective.design], objective.sample_weight), np.random.default_rng(seed)
    classes, y = split.is_classification, split.y_train
    feature_map: FourierFeatures | LeafIndicators = FourierFeatures.fit(table, rng)
    if features == "leaves":
        feature_map = LeafIndicators.fit(table, y, rng, is_labels=classes)
    labels = target_labels(y, objective.sample_weight, is_labels=classes)
    rows = TableFeatures(table, [feature_map], len(labels))
    return DistributionEmbedding(rows, labels, objective.sample_weight)


def choices(
    split: Split, tuned: Tuned, seed: int, wanted: Sequence[tuple[str, float]]
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield the name and ratio of each wanted option, and the rows kept."""
    X, y = split.X_train, split.y_train
    random = RandomPruner(random_state=seed).fit(X, y)
    for name, ratio in wanted:
        if name == RANDOM:
            yield name, ratio, random.select(prune_ratio=ratio)
    pruner = quality.influence(split, tuned, RATIOS[0], seed).fit(X, y)
    matched, even = pruner.matched_, np.ones(len(y))
    balance = distribution, nonlinear_head = matched.balance
    priorities = matched.priorities
    parts = [replace(priorities, **{name: even}) for name in FACTORS]
    options: dict[str, tuple[float | Literal["auto"], tuple[Any, ...], Any]] = {
        **{name: (weight, balance, None) for name, weight in WEIGHTS.items()},
        "distribution alone": (1.0, (distribution,), None),
        "nonlinear head alone": (1.0, (nonlinear_head,), None),
        **{
            name: (1.0, (with_features(pruner, split, name, seed), nonlinear_head), None)
            for name in FEATURES
        },
        **dict(zip(DRAWS, (("auto", balance, p) for p in (None, priorities, *parts)), strict=True)),
    }
    terms = make_terms(len(y), y if split.is_classification else None)
    for name, ratio in wanted:
        if name in options:
            weight, balance, priorities = options[name]
            # Without a table, no priorities are computed where there are to be none.
            held = replace(matched, balance=balance, priorities=priorities, table=None)
            request = Request(ratio, None, "class", weight)
            deadline = perf_counter() + pruner.time_limit
            # The seed that the pruner draws.
            drawn = int(np.random.RandomState(seed).randint(np.iinfo(np.int32).max))
            choice = choose_rows(held, terms, request, deadline=deadline, random_state=drawn)
            yield name, ratio, choice.support


def cells(split: Split, seed: int, names: Sequence[str], done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set and seed that are not done."""

    def missing(name: str, ratio: float) -> list[str]:
        return [d for d in DOWNSTREAM if (split.name, name, ratio, d, seed) not in done]

    wanted = [(n, ratio) for n in (RANDOM, *names) for ratio in RATIOS if missing(n, ratio)]
    if not wanted:
        return
    n_rows = len(split.y_train)
    inner = split.inner(min(N_FITTED, int(0.7 * n_rows)), N_VALIDATED, seed)
    tuned = tune(inner)
    every_row = (FULL, 0.0, np.ones(len(inner.y_train), dtype=bool))
    for name, ratio, support in chain([every_row], choices(inner, tuned, seed, wanted)):
        rows = np.flatnonzero(support)
        for downstream in missing(name, ratio):
            score = score_of(downstream, inner, tuned, rows, seed)
            yield Cell(split.name, name, ratio, downstream, seed, len(rows), score)


def report(measured: Sequence[Cell]) -> str:
    """Return, for each data set and ratio, what each option wins back of what random rows lose."""
    head = (
        "Share of what random rows lose that is won back, in the mean over boosting, forest, "
        "neighbours and kernel SVM (in brackets: the head), on rows to validate on inside the "
        "training rows, three seeds or more. In the first table the distribution of all rows is "
        "aimed at; where nothing else is said, the weight is 1 and both the distribution and a "
        "nonlinear head are held beside the head. In the second the weight is that of "
        '"auto"; what differs is the draw that is aimed at.'
    )
    scores = by_run(measured)
    tables = [table(scores, [*WEIGHTS, *ALONE, *FEATURES]), table(scores, DRAWS)]
    return "\n\n".join([head, *tables])


def table(scores: Scores, names: Sequence[str]) -> str:
    """Return what these options win back, a line for each data set and ratio."""
    lines = []
    measured = {key[0] for key in scores}
    for dataset in (d for d in DATASETS if d in measured):
        for ratio in RATIOS:
            line = [f"{dataset}, {ratio:.0%}"]
            for name in names:
                shares = {d: won_back(scores, dataset, name, ratio, d) for d in DOWNSTREAM}
                unseen = float(np.mean([share for d, share in shares.items() if d != "head"]))
                shown = f"{unseen:+.2f} ({shares['head']:+.2f})"
                line.append("" if np.isnan(unseen) else shown)
            lines.append(line)
    return markdown_table(["data, pruned", *names], lines)


def won_back(scores: Scores, dataset: str, name: str, ratio: float, downstream: str) -> float:
    """Return (option - random) / (all rows - random), of means over the seeds that all have."""
    keys = [(dataset, FULL, 0.0), (dataset, RANDOM, ratio), (dataset, name, ratio)]
    runs = [scores.get((*key, downstream), {}) for key in keys]
    seeds = set.intersection(*(set(run) for run in runs))
    if not seeds:
        return np.nan
    full, random, option = (mean_of({seed: run[seed] for seed in seeds}) for run in runs)
    return (option - random) / (full - random)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.distribution", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument("--option", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    args = parser.parse_args(argv)

    def missing(done: Done) -> Iterator[Cell]:
        for seed, name in product(range(args.seeds), args.dataset):
            split = load(name, args.data_dir).subset(args.subset)
            yield from cells(split, seed, args.option, done)

    measure("distribution", Cell, missing, report, output_folder(args), parser)


if __name__ == "__main__":
    main()
