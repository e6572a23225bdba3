"""Are 1,500 of 30,000 rows enough for kernel machines, and which rows?

    python -m benchmarks.kernels                                      # all missing cells
    python -m benchmarks.kernels --dataset adult --model svm --seeds 1

Kernel machines take time quadratic or cubic in the number of rows, so people train them on a part.
Each pruner keeps 1,500 of 30,000 rows; an RBF support vector machine and a Gaussian process are
trained on them. Kernels and penalties are chosen once for a data set, on random training rows, and
are the same for all pruners. The Gaussian process is scored on the first 4,000 test rows.

- score: accuracy, or for diamonds minus the root mean squared error of the logarithm of the price;
- seconds: of processor time, which other jobs on the machine hardly change.

A seed draws the 30,000 rows and the pruner's choice. One line a cell goes to `results/kernels.csv`;
a run that was cut off goes on where it stopped. The report is `results/kernels.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from time import process_time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import accuracy_score, root_mean_squared_error
from sklearn.model_selection import cross_val_score

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import KCenterPruner, KMeansPruner, RandomPruner

from ._common import argument_parser, markdown_table, output_folder
from .cells import Done, Key, measure
from .data import Split, load
from .models import fit, kernel_svm, median_gamma, tune_kernel_penalty
from .scores import ScoreKey, Scores, collected, gain_over, mean_of

DATASETS = ("adult", "cifar10", "diamonds")
MODELS = ("svm", "gp")
FULL, RIVALS = "all rows", ("kmeans", "kcenter", "random")
N_ROWS, N_KEPT, N_SEEDS = 30_000, 1_500, 3
RATIO = 1 - N_KEPT / N_ROWS
GP_TUNING_ROWS, GP_TEST_ROWS = 600, 4_000
# Never reached: a search that is cut short depends on what else the machine does.
TIME_LIMIT = 3_600.0
# Variances of a Gaussian process of classes.
AMPLITUDES = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Cell:
    """One model on the rows kept.

    prune_seconds, train_seconds : processor time.
    """

    dataset: str
    model: str
    pruner: str
    seed: int
    n_kept: int
    score: float
    prune_seconds: float
    train_seconds: float

    @property
    def key(self) -> Key:
        return self.dataset, self.model, self.pruner, self.seed


def pruners(ratio: float, seed: int) -> dict[str, Any]:
    return {
        "influence": InfluencePruner(prune_ratio=ratio, time_limit=TIME_LIMIT, random_state=seed),
        "random": RandomPruner(ratio, random_state=seed),
        "kmeans": KMeansPruner(prune_ratio=ratio, random_state=seed),
        "kcenter": KCenterPruner(prune_ratio=ratio, random_state=seed),
    }


PRUNERS = tuple(pruners(0.5, 0))


def gaussian_process(split: Split, gamma: float) -> BaseEstimator:
    """Return a Gaussian process whose kernel is chosen on random training rows."""
    part = split.subset(min(GP_TUNING_ROWS, len(split.y_train) - 1))
    X, y = part.X_train, part.y_train
    rbf = RBF(1 / np.sqrt(2 * gamma))
    if not split.is_classification:
        kernel = ConstantKernel() * rbf + WhiteKernel()
        kernel = GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y).kernel_
        return GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True)
    models = [
        GaussianProcessClassifier(ConstantKernel(amplitude) * rbf, optimizer=None)
        for amplitude in AMPLITUDES
    ]
    return max(models, key=lambda model: cross_val_score(model, X, y, cv=3).mean())


def tuned_model(split: Split, name: str) -> BaseEstimator:
    """Return the unfitted model, tuned on random training rows."""
    gamma = median_gamma(split)
    if name == "svm":
        return kernel_svm(split, gamma, tune_kernel_penalty(split, gamma))
    return gaussian_process(split, gamma)


def score_of(model: Any, split: Split, name: str) -> float:
    n_scored = GP_TEST_ROWS if name == "gp" else None
    predicted, y = model.predict(split.X_test[:n_scored]), split.y_test[:n_scored]
    if split.is_classification:
        return float(accuracy_score(y, predicted))
    return -float(root_mean_squared_error(y, predicted))


def timed_fit(model: Any, split: Split, rows: np.ndarray) -> float:
    """Fit on these rows; return the processor time."""
    started = process_time()
    fit(model, split.X_train[rows], split.y_train[rows])
    return process_time() - started


def cells(whole: Split, args: argparse.Namespace, done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set that are asked for and not done."""
    model_of = cache(lambda name: tuned_model(whole, name))
    for seed, pruner in product(range(args.seeds), (*args.pruner, FULL)):
        # A Gaussian process of all rows has matrices of 7 GB.
        names = [name for name in args.model if pruner != FULL or name == "svm"]
        names = [name for name in names if (whole.name, name, pruner, seed) not in done]
        if not names or (pruner == FULL and seed >= args.full_seeds):
            continue
        split = whole.subset(N_ROWS, seed)
        rows, prune_seconds = np.arange(len(split.y_train)), 0.0
        if pruner != FULL:
            chosen = pruners(1 - N_KEPT / N_ROWS, seed)[pruner]
            prune_seconds = timed_fit(chosen, split, rows)
            rows = chosen.get_support(indices=True)
        for name in names:
            model = model_of(name)
            seconds = timed_fit(model, split, rows)
            score = score_of(model, split, name)
            yield Cell(whole.name, name, pruner, seed, len(rows), score, prune_seconds, seconds)


def _line(key: ScoreKey, scores: Scores, own: Sequence[Cell]) -> list[str]:
    """Return the means over the seeds of one model on one pruner's rows."""
    dataset, pruner, ratio, model = key
    ours = (dataset, "influence", ratio, model)
    return [
        f"{dataset}, {model}",
        pruner,
        f"{np.mean([cell.n_kept for cell in own]):,.0f}",
        str(len(own)),
        f"{mean_of(scores[key]):.4f}",
        str(gain_over(scores, ours, pruner)) if pruner in RIVALS else "",
        f"{np.mean([cell.prune_seconds for cell in own]):.1f}",
        f"{np.mean([cell.train_seconds for cell in own]):.1f}",
    ]


def report(measured: Sequence[Cell]) -> str:
    runs: dict[ScoreKey, list[Cell]] = {}
    for cell in measured:
        runs.setdefault((cell.dataset, cell.pruner, RATIO, cell.model), []).append(cell)
    scores = collected((key, cell.seed, cell.score) for key, own in runs.items() for cell in own)
    # Sorting is stable, and keeps the order of the pruners.
    keys = sorted(runs, key=lambda key: (key[0], key[3]))
    rows = [_line(key, scores, runs[key]) for key in keys]
    header = ["data, model", "rows of", "rows", "seeds", "score", "ours against these"]
    header += ["pruning, s", "training, s"]
    return "\n\n".join(
        [
            "# Kernel machines on few rows",
            f"Made by `python -m benchmarks.kernels` from `kernels.csv`: {N_KEPT:,} of {N_ROWS:,} "
            "rows. The score is accuracy, or minus the root mean squared error for diamonds; more "
            "is better. Gains are paired by seed, with 95 % intervals. Seconds are of processor "
            "time.",
            markdown_table(header, rows),
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.kernels", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--pruner", nargs="+", choices=PRUNERS, default=list(PRUNERS))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument(
        "--full-seeds", type=int, default=1, help="seeds for which all rows are trained on, too"
    )
    args = parser.parse_args(argv)

    def missing(done: Done) -> Iterator[Cell]:
        for dataset in args.dataset:
            yield from cells(load(dataset, args.data_dir), args, done)

    measure("kernels", Cell, missing, report, output_folder(args), parser)


if __name__ == "__main__":
    main()
