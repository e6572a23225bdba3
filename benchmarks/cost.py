"""What a fit costs, stage by stage, and what a grid of ratios costs where ``memory=`` is given.

    python -m benchmarks.cost
    python -m benchmarks.cost --job digits adult          # some of the jobs
    python -m benchmarks.cost --earlier ../release-0.1     # a checkout to compare with, in one run

Each job runs in a process of its own, so that its peak memory can be told. Seconds are those of the
processor (`cpu`), after all imports that the first fit of another size makes, and of the wall clock
(`wall`), with the threads that BLAS is allowed. With `--earlier`, the package in that folder takes
turns with this one on the jobs that both can do.

Before each fit, `estimate_cost` foretells the seconds and the memory: `estimated` and
`estimated_memory_mb` are what it says, and `trial` is what its trial takes. The job grid searches
eight ratios in five folds of Adult, and one ratio, each from an empty memory:
once for the pruner's own linear network, once for a network of one hidden layer (`cost_grid.py`).

Figures go to `results/cost.csv`, where those of jobs that are not asked for stay; what they were
measured on goes to `results/cost.json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from ._common import (
    BENCHMARKS_README,
    RESULTS,
    Figure,
    argument_parser,
    insert_table,
    limit_threads,
    markdown_table,
    output_folder,
    read_figures,
    write_figures,
)

ROOT = Path(__file__).parents[1]
N_ROUNDS = {
    "small": 3,
    "breast_cancer": 3,
    "digits": 3,
    "adult": 3,
    "diamonds": 3,
    "cifar10": 2,
    "million": 1,
    "grid": 1,
}
RATIO = {
    "small": 0.4,
    "breast_cancer": 0.9,
    "digits": 0.4,
    "adult": 0.9,
    "diamonds": 0.9,
    "cifar10": 0.9,
    "million": 0.4,
    "grid": 0.9,
}
README_TABLE = "cost"
METRICS = {"cpu": "processor, s", "wall": "wall clock, s", "peak_memory_mb": "peak memory, MB"}
ESTIMATES = {
    "estimated": "estimated, s",
    "trial": "its trial, s",
    "estimated_memory_mb": "estimated beside the data, MB",
}


def rows_of(job: str, data_dir: Path, subset: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and labels of a job."""
    if job in ("small", "million"):
        rng = np.random.default_rng(0)
        n_rows, n_columns = (1_000, 10) if job == "small" else (1_000_000, 30)
        X = rng.standard_normal((subset or n_rows, n_columns))
        noise = rng.standard_normal(len(X))
        return X, (X[:, 0] + 0.5 * X[:, 1] ** 2 + noise > 0.5).astype(np.int64)
    if job == "digits":
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)
    from .data import load

    split = load(job, data_dir).subset(subset)
    return split.X_train, split.y_train


def fit_and_print(job: str, package: Path, data_dir: Path, subset: int | None) -> None:
    """Fit once, by the package in a folder, and print what it cost; in a process of its own."""
    sys.path.insert(0, str(package))
    import sklearn_prune
    from sklearn_prune import InfluencePruner

    assert package in Path(sklearn_prune.__file__).parents
    limit_threads()
    warm = np.random.default_rng(0).standard_normal((60, 3))
    InfluencePruner(random_state=0).fit(warm, np.arange(60) % 2)
    started, clock = process_time(), perf_counter()
    costs: dict[str, float] = {}
    if job == "grid":
        from . import cost_grid

        costs |= cost_grid.costs(data_dir, subset)
    else:
        X, y = rows_of(job, data_dir, subset)
        pruner = InfluencePruner(prune_ratio=RATIO[job], random_state=0)
        costs |= estimates(pruner, X, y)
        started, clock = process_time(), perf_counter()
        pruner.fit(X, y)
        costs |= {f"wall, {stage}": seconds for stage, seconds in pruner.certificate_.seconds}
    costs |= {"cpu": process_time() - started, "wall": perf_counter() - clock}
    costs["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps(costs))


def estimates(pruner: Any, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return what the pruner says that its fit will cost; nothing if it cannot say it."""
    if not hasattr(pruner, "estimate_cost"):
        return {}
    clock = perf_counter()
    estimate = pruner.estimate_cost(X, y)
    return {
        "trial": perf_counter() - clock,
        "estimated": sum(estimate.seconds.values()),
        "estimated_memory_mb": estimate.memory / 2**20,
    }


def measured(job: str, package: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return what one fit by the package in a folder costs."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.cost", "--child", job]
    command += ["--package", str(package.resolve()), "--data-dir", str(args.data_dir.resolve())]
    if args.subset:
        command += ["--subset", str(args.subset)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def figures(args: argparse.Namespace) -> Iterator[Figure]:
    """Measure every job; packages take turns."""
    packages = {"this": ROOT}
    if args.earlier is not None:
        packages["earlier"] = args.earlier
    for job in args.job:
        for turn in range(N_ROUNDS[job]):
            for name, folder in packages.items():
                for metric, value in measured(job, folder, args).items():
                    yield Figure(job, name, RATIO[job], turn, metric, value)


def table(figures: Sequence[Figure]) -> str:
    """Return the mean cost of a fit by job, of this package and of the earlier one."""
    rows = []
    for job, name in product(RATIO, ("this", "earlier")):
        fits = [f for f in figures if (f.job, f.method, f.prune_ratio) == (job, name, RATIO[job])]
        runs = [[f.value for f in fits if f.metric == m] for m in (*METRICS, *ESTIMATES)]
        if all(runs[: len(METRICS)]):
            shown = [f"{np.mean(values):,.1f}" if values else "" for values in runs]
            rows.append([job, f"{RATIO[job]:.0%}", name, str(len(runs[0])), *shown])
    header = ["job", "pruned", "package", "fits", *METRICS.values(), *ESTIMATES.values()]
    return markdown_table(header, rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.cost", __doc__)
    parser.add_argument("--job", nargs="+", choices=RATIO, default=list(RATIO))
    parser.add_argument("--earlier", type=Path, help="folder of another release's checkout")
    parser.add_argument("--child", choices=RATIO, help=argparse.SUPPRESS)
    parser.add_argument("--package", type=Path, default=ROOT, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        fit_and_print(args.child, args.package, args.data_dir, args.subset)
        return
    folder = output_folder(args)
    before = read_figures(folder, "cost.csv") if folder else []
    taken = []
    for figure in figures(args):
        print(
            f"{figure.job:13} {figure.method:8} {figure.seed} {figure.metric:30} {figure.value:.2f}"
        )
        taken.append(figure)
    if not folder:
        return
    taken = [figure for figure in before if figure.job not in args.job] + taken
    write_figures(folder, "cost", taken)
    if folder == RESULTS:
        # The file holds rounded values, and a test compares the table with them.
        written = read_figures(folder, "cost.csv")
        insert_table(BENCHMARKS_README, README_TABLE, table(written))


if __name__ == "__main__":
    main()
