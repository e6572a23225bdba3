"""The core's figures: what is left of a model when 90, 95 or 99 % of the training rows go.

    python -m benchmarks.core                   # all jobs, then the tables
    python -m benchmarks.core --job adult       # one of them
    python -m benchmarks.core --subset 2000     # a trial of the script; writes nothing

Every model that is scored was trained from zero by scikit-learn, on the rows in question only,
with the damping of the mean loss that the pruner was given. Test rows are only ever scored on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.demo import loss_change, random_rows, retrain
from sklearn_prune.influence import HeadObjective, refit_head
from sklearn_prune.losses import SoftmaxCrossEntropy

from . import core_forecast as forecast
from . import tables
from ._common import N_THREADS, Figure, argument_parser, limit_threads, output_folder, write_figures
from .data import Split, load

N_SEEDS = 5
Scores = dict[str, float]
Evaluate = Callable[[np.ndarray], Scores]


def compare(
    split: Split,
    prune_ratio: float,
    damping: float,
    evaluate: Evaluate,
    *,
    estimator: object = None,
    seeds: Sequence[int] = range(N_SEEDS),
) -> Iterator[Figure]:
    """Scores of rows chosen by the pruner and of as many random rows, one draw a seed."""

    def figures(method: str, seed: int, scores: Scores) -> Iterator[Figure]:
        for metric, value in scores.items():
            yield Figure(split.name, method, prune_ratio, seed, metric, value)

    n_kept = 0
    for seed in seeds:
        start = perf_counter()
        pruner = InfluencePruner(
            estimator, prune_ratio=prune_ratio, damping=damping, random_state=seed
        ).fit(split.X_train, split.y_train)
        seconds = perf_counter() - start
        rows, certificate = pruner.get_support(indices=True), pruner.certificate_
        n_kept = len(rows)
        report(f"{split.name} {prune_ratio:.0%}, seed {seed}: {seconds:.1f} s\n{certificate!r}")
        scores = {
            **evaluate(rows),
            "n_kept": n_kept,
            "predicted_change": certificate.predicted_change,
            "actual_change": certificate.actual_change,
            "random_change": certificate.random_change,
            "fit_seconds": seconds,
        }
        yield from figures("pruned", seed, scores)
    for seed in range(N_SEEDS):
        rows = random_rows(split.y_train, n_kept, seed, stratify=split.is_classification)
        yield from figures("random", seed, evaluate(rows))


def full_figures(split: Split, scores: Scores) -> Iterator[Figure]:
    for metric, value in scores.items():
        yield Figure(split.name, "full", 0.0, None, metric, value)


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def all_rows(split: Split) -> np.ndarray:
    return np.arange(len(split.y_train))


def adult(args: argparse.Namespace) -> Iterator[Figure]:
    """Logistic regression on one-hot and scaled columns, damping 1e-4, 90 and 99 % pruned."""
    split = load("adult", args.data_dir).subset(args.subset)
    damping = 1e-4

    def evaluate(rows: np.ndarray) -> Scores:
        model = LogisticRegression(C=1 / (len(rows) * damping), tol=1e-6, max_iter=10_000)
        model.fit(split.X_train[rows], split.y_train[rows])
        positive = model.predict_proba(split.X_test)[:, 1]
        return {
            "accuracy": model.score(split.X_test, split.y_test),
            "auc": roc_auc_score(split.y_test, positive),
        }

    yield from full_figures(split, evaluate(all_rows(split)))
    for prune_ratio in (0.9, 0.99):
        yield from compare(split, prune_ratio, damping, evaluate, seeds=range(args.seeds))


def diamonds(args: argparse.Namespace) -> Iterator[Figure]:
    """Least squares for the logarithm of the price, default damping, 95 % pruned."""
    split = load("diamonds", args.data_dir).subset(args.subset)
    damping = 1e-4

    def evaluate(rows: np.ndarray) -> Scores:
        # n times the mean squared error plus n damping / 2 times the squared parameters.
        model = Ridge(alpha=len(rows) * damping / 2).fit(split.X_train[rows], split.y_train[rows])
        return {"r2": model.score(split.X_test, split.y_test)}

    yield from full_figures(split, evaluate(all_rows(split)))
    yield from compare(split, 0.95, damping, evaluate, seeds=range(args.seeds))


CIFAR_DAMPING = 1e-3


def embedding_head(split: Split) -> FrozenEstimator:
    """A linear network on the embedding as it is; its weights are refitted from a fixed start."""
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        nn.Linear,
        module__in_features=split.X_train.shape[1],
        module__out_features=int(split.y_train.max()) + 1,
        criterion=nn.CrossEntropyLoss,
        classes=list(range(int(split.y_train.max()) + 1)),
        verbose=0,
    )
    return FrozenEstimator(net.initialize())


def cifar10(args: argparse.Namespace) -> Iterator[Figure]:
    """Softmax regression on the CIFAR-10 embedding, damping 1e-3, 90 % pruned."""
    split = load("cifar10", args.data_dir).subset(args.subset)
    design, test_design = (
        np.c_[X, np.ones(len(X), dtype=X.dtype)].astype(np.float64)
        for X in (split.X_train, split.X_test)
    )
    timings, theta = train_full_heads(split, design)
    yield from timings

    def evaluate(rows: np.ndarray) -> Scores:
        model = retrain(design[rows], split.y_train[rows], CIFAR_DAMPING)
        change = loss_change(design, theta, model.coef_, CIFAR_DAMPING)
        return {
            "accuracy": model.score(test_design, split.y_test),
            "distance": float(np.sqrt(change)),
        }

    accuracy = float(np.mean(np.argmax(test_design @ theta.T, axis=1) == split.y_test))
    yield from full_figures(split, {"accuracy": accuracy})
    yield from compare(
        split,
        0.9,
        CIFAR_DAMPING,
        evaluate,
        estimator=embedding_head(split),
        seeds=range(min(args.seeds, args.cifar_seeds)),
    )
    yield Figure("cifar10", "pruned", 0.9, 0, "peak_memory_mb", peak_memory(args))


def train_full_heads(split: Split, design: np.ndarray) -> tuple[list[Figure], np.ndarray]:
    """Train the head on all rows in three ways, each down to a gradient norm of 1e-8 if it can.

    Returns seconds and the gradient norm of each, and the parameters of scikit-learn's newton-cg.
    """
    objective = HeadObjective(design, split.y_train, SoftmaxCrossEntropy(), CIFAR_DAMPING)
    single = HeadObjective(
        design.astype(np.float32), split.y_train, SoftmaxCrossEntropy(), CIFAR_DAMPING
    )

    def by_solver(solver: str) -> np.ndarray:
        # scikit-learn stops at the largest entry of the gradient, not at its norm.
        tol = 1e-8 / np.sqrt(objective.n_params)
        return retrain(
            design, split.y_train, CIFAR_DAMPING, solver=solver, tol=tol, max_iter=5000
        ).coef_

    ways: dict[str, Callable[[], np.ndarray]] = {
        "refit_head": lambda: refit_head(single).theta,
        "sklearn-lbfgs": lambda: by_solver("lbfgs"),
        "sklearn-newton-cg": lambda: by_solver("newton-cg"),
    }
    figures, theta = [], np.empty(0)
    for way, train in ways.items():
        start = perf_counter()
        theta = train()
        seconds = perf_counter() - start
        norm = float(np.linalg.norm(objective.gradient(theta)))
        report(f"cifar10 {way}: {seconds:.1f} s to a gradient norm of {norm:.2g}")
        figures.append(Figure("cifar10", way, 0.0, None, "fit_seconds", seconds))
        figures.append(Figure("cifar10", way, 0.0, None, "gradient_norm", norm))
    return figures, theta


def peak_memory(args: argparse.Namespace) -> float:
    """Largest resident memory, in MB of 2**20 bytes, of a process that loads, fits and ends."""
    command = [sys.executable, "-m", "benchmarks.core", "--job", "cifar10-memory"]
    command += ["--data-dir", str(args.data_dir)]
    if args.subset:
        command += ["--subset", str(args.subset)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(N_THREADS))
    done = subprocess.run(
        command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout)["peak_memory_mb"])


def fit_and_print_peak(args: argparse.Namespace) -> None:
    split = load("cifar10", args.data_dir).subset(args.subset)
    pruner = InfluencePruner(
        embedding_head(split), prune_ratio=0.9, damping=CIFAR_DAMPING, random_state=0
    )
    pruner.fit(split.X_train, split.y_train)
    print(json.dumps({"peak_memory_mb": peak_resident_mb()}))


def peak_resident_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent process had before exec.
        line = next(x for x in status.read_text(encoding="utf-8").splitlines() if "VmHWM" in x)
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others kilobytes.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


JOBS: dict[str, Callable[[argparse.Namespace], Iterator[Figure]]] = {
    "adult": adult,
    "cifar10": cifar10,
    "diamonds": diamonds,
    "forecast": forecast.figures,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.core", __doc__)
    parser.add_argument("--job", choices=["all", *JOBS, "cifar10-memory"], default="all")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help="runs of the pruner")
    parser.add_argument("--cifar-seeds", type=int, default=1, help="the same on CIFAR-10")
    args = parser.parse_args(argv)
    limit_threads()
    if args.job == "cifar10-memory":
        fit_and_print_peak(args)
        return
    folder = output_folder(args)
    measured: list[Figure] = []
    for job in JOBS if args.job == "all" else [args.job]:
        try:
            figures = list(JOBS[job](args))
        except FileNotFoundError as error:
            parser.exit(2, f"{error}\n")
        measured += figures
        if folder:
            write_figures(folder, job, figures)
    print("\n\n".join(tables.all_tables(tables.Figures(measured)).values()))
    if folder:
        tables.write(folder)


if __name__ == "__main__":
    main()
