"""Every pruner on every data set: what is a model worth that was trained on the rows kept?

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
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner, baselines
from sklearn_prune.base import BasePruner

from . import quality_report
from ._common import RESULTS, append_record, argument_parser, limit_threads, read_records
from .data import Split, load
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
# Of the network that training dynamics are watched on, and of the downstream MLP.
N_EPOCHS = 30
DAMPINGS = (1e-5, 1e-4, 1e-3, 1e-2)
# Tuning looks at so many training rows.
TUNING_ROWS = 5_000
# Of the kernel SVM: rows it is tuned on, whose distances set its width, and that it learns from.
KERNEL_TUNING_ROWS = 2_500
MEDIAN_ROWS = 1_000
KERNEL_ROWS = 10_000
KERNEL_PENALTIES = (1.0, 10.0)


@dataclass(frozen=True)
class Tuned:
    """What was chosen for a data set, by training rows alone.

    gamma, kernel_penalty : of the kernel SVM, where a benchmark trains one.
    """

    damping: float
    penalty: float
    n_neighbors: int
    gamma: float = 1.0
    kernel_penalty: float = 1.0


@dataclass(frozen=True)
class Bench:
    """A data set, and what is found out about it once.

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
        # Its last layer is all of it, and that is refitted.
        options["estimator"] = network(split, seed).set_params(max_epochs=1)
        if split.y_train.max() == 1:
            # Two logits share what scikit-learn has in one: their squares sum to half of its.
            damping *= 2
    return InfluencePruner(prune_ratio=ratio, damping=damping, random_state=seed, **options)


# What enters the last layer is all that they read of a network: here the columns, trained or not.
FROM_COLUMNS = ("HerdingPruner", "KCenterPruner", "KMeansPruner", "ModeratePruner")


def rival(name: str) -> Callable[..., BasePruner]:
    """Return what makes the rival of this class name."""

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
# What picks by the rows alone: here what enters the last layer are the columns themselves.
WITHOUT_CHANCE = ("herding", "kcenter")
# What needs no classes.
FOR_REGRESSION = (
    "influence",
    "random",
    "herding",
    "kcenter",
    "kmeans",
    "distribution",
    "influencescore",
)


def tune(split: Split) -> Tuned:
    """Choose by cross-validation on training rows what every pruner and model then gets."""
    part = split.subset(TUNING_ROWS)
    X, y = part.X_train, part.y_train
    cls = LinearSVC if split.is_classification else LinearSVR
    svm = GridSearchCV(cls(random_state=0, max_iter=2000), {"C": [0.01, 0.1, 1.0]}, cv=3)
    near = KNeighborsClassifier() if split.is_classification else KNeighborsRegressor()
    near = GridSearchCV(near, {"n_neighbors": [1, 5, 15]}, cv=3)
    gamma = median_gamma(split)
    return Tuned(
        tune_damping(split),
        svm.fit(X, y).best_params_["C"],
        near.fit(X, y).best_params_["n_neighbors"],
        gamma,
        tune_kernel_penalty(split, gamma),
    )


def median_gamma(split: Split) -> float:
    """Return 1 / (median squared distance between training rows)."""
    rows = split.subset(MEDIAN_ROWS).X_train
    return float(1 / np.median(pdist(rows, "sqeuclidean")))


def tune_kernel_penalty(split: Split, gamma: float) -> float:
    """Choose the penalty of the kernel SVM by cross-validation on training rows."""
    part = split.subset(KERNEL_TUNING_ROWS)

    def score(penalty: float) -> float:
        model = kernel_svm(split, gamma, penalty)
        return float(cross_val_score(model, part.X_train, part.y_train, cv=3).mean())

    return max(KERNEL_PENALTIES, key=score)


def tune_damping(split: Split) -> float:
    """Choose the damping of the head by cross-validation on training rows."""
    part = split.subset(TUNING_ROWS)
    n_rows = int(len(part.y_train) * 2 / 3)

    def score(damping: float) -> float:
        model = head(split, damping, n_rows)
        return float(cross_val_score(model, part.X_train, part.y_train, cv=3).mean())

    return max(DAMPINGS, key=score)


def head(split: Split, damping: float, n_rows: int) -> BaseEstimator:
    """The linear model with the damping of the mean loss that the pruner has."""
    if split.is_classification:
        return LogisticRegression(C=1 / (n_rows * damping), tol=1e-5, max_iter=2000)
    return Ridge(alpha=n_rows * damping / 2)


def kernel_svm(split: Split, gamma: float, penalty: float) -> BaseEstimator:
    """The SVM with an RBF kernel; numbers to learn are standardised, as its margin is absolute."""
    # In MB: room for all of its kernel matrix.
    options = {"gamma": gamma, "C": penalty, "cache_size": 500}
    if split.is_classification:
        return SVC(**options)
    return TransformedTargetRegressor(SVR(**options), transformer=StandardScaler())


def model_of(name: str, split: Split, tuned: Tuned, n_rows: int, seed: int) -> BaseEstimator:
    """Return the downstream model for so many training rows."""
    classes = split.is_classification
    if name == "head":
        return head(split, tuned.damping, n_rows)
    if name == "svm":
        cls = LinearSVC if classes else LinearSVR
        return cls(C=tuned.penalty, random_state=seed, max_iter=2000)
    if name == "boosting":
        return (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
            min_samples_leaf=max(1, min(20, n_rows // 20)), random_state=seed
        )
    if name == "neighbours":
        cls = KNeighborsClassifier if classes else KNeighborsRegressor
        return cls(min(tuned.n_neighbors, n_rows))
    if name == "forest":
        cls = RandomForestClassifier if classes else RandomForestRegressor
        return cls(n_estimators=100, n_jobs=1, random_state=seed)
    if name == "kernel-svm":
        return kernel_svm(split, tuned.gamma, tuned.kernel_penalty)
    n_epochs = N_EPOCHS
    if name == "mlp-steps":
        n_epochs = round(N_EPOCHS * len(split.y_train) / n_rows)
    return (MLPClassifier if classes else MLPRegressor)(
        hidden_layer_sizes=(64,),
        batch_size=min(128, n_rows),
        max_iter=n_epochs,
        n_iter_no_change=n_epochs + 1,
        random_state=seed,
    )


def score_of(name: str, split: Split, tuned: Tuned, rows: np.ndarray, seed: int) -> float:
    """Train the downstream model on these rows from zero; return its score on the test rows."""
    model = model_of(name, split, tuned, len(rows), seed)
    part = replace(split, X_train=split.X_train[rows], y_train=split.y_train[rows])
    if name == "kernel-svm":
        part = part.subset(KERNEL_ROWS, seed)
    with warnings.catch_warnings():
        # Models that are trained for a fixed time are not meant to converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(part.X_train, part.y_train)
    return float(model.score(split.X_test, split.y_test))


def cells(
    bench: Bench, args: argparse.Namespace, seed: int, done: set[tuple[Any, ...]]
) -> Iterator[Cell]:
    """Yield the cells of one data set and seed that are asked for and not done."""
    split = bench.split

    def missing(pruner: str, ratio: float) -> list[str]:
        return [d for d in args.downstream if (split.name, pruner, ratio, d, seed) not in done]

    pruners = [p for p in args.pruner if split.is_classification or p in FOR_REGRESSION]
    plan = [("all rows", [0.0]), *((pruner, args.ratio) for pruner in pruners)]
    for pruner, asked in plan:
        ratios = [ratio for ratio in asked if missing(pruner, ratio)]
        if not ratios:
            continue
        tuned = bench.tuned
        started = perf_counter()
        for ratio, rows in kept_rows(pruner, split, tuned, ratios, seed, bench.known):
            chosen = perf_counter()
            for downstream in missing(pruner, ratio):
                score = score_of(downstream, split, tuned, rows, seed)
                yield Cell(split.name, pruner, ratio, downstream, seed, len(rows), score)
            ended = perf_counter()
            times = f"{chosen - started:.1f} s + {ended - chosen:.1f} s"
            print(f"{split.name} {pruner} {ratio:.0%} seed {seed}: {times}", file=sys.stderr)
            started = ended


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
    limit_threads()
    if args.quick:
        args.dataset, args.ratio, args.seeds = ["digits", "breast_cancer"], [0.5, 0.8, 0.9], 2
        args.subset = args.subset or 500
        args.downstream = ["head", "neighbours"]
    path = None if args.subset and args.out is None else (args.out or RESULTS) / "quality.csv"
    measured = read_records(path, Cell) if path else []
    done = {(c.dataset, c.pruner, c.prune_ratio, c.downstream, c.seed) for c in measured}
    try:
        benches = [
            Bench(load(name, args.data_dir).subset(args.subset), {}) for name in args.dataset
        ]
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    # One seed of everything comes first.
    for seed, bench in product(range(args.seeds), benches):
        for cell in cells(bench, args, seed, done):
            measured.append(cell)
            if path:
                append_record(path, cell)
    print(quality_report.tables(measured))


if __name__ == "__main__":
    main()
