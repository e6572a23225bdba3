"""What does pruning a Dask collection cost, and is it as good as on one machine?

    python -m benchmarks.distributed                                 # all cells that are missing
    python -m benchmarks.distributed --job scale killed --seeds 1

Each measurement runs in a process of its own, the client, beside a `LocalCluster` of two workers of
one thread and 1.5 GB each. Peak memory is that of the process, the imports included (200 to 300
MB). Rows of the jobs `million`, `scale` and `killed` are drawn anew in each pass, by a seed for
each partition of at most 100,000 rows, so that no process ever holds them all.

- `million`: ten million rows of 20 columns and two classes, 99 % pruned.
- `scale`: the same, from 100,000 to three million rows.
- `quality`: 300,000 such rows in 16 partitions, shuffled and sorted by the target, pruned here and
  on one machine; the change of the refitted head is measured by the influences of one machine, the
  distribution's error is that of each certificate.
- `lightgbm`: Adult in 1, 4 and 30 copies with noise, 95 % pruned, and `DaskLGBMClassifier` trained
  on these rows, on random ones and on all.
- `killed`: a worker is killed halfway; was it lost in the fit, and are the rows the same?

One line a cell goes to `results/distributed.csv`; a run that was cut off goes on where it stopped.
The report is `results/distributed.md`, and time against rows is `results/distributed.png`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ._common import argument_parser, limit_threads, markdown_table, output_folder
from .cells import Done, Key, measure
from .data import load

ROOT = Path(__file__).parents[1]
N_WORKERS, MEMORY_LIMIT = 2, "1.5GB"
N_COLUMNS, PARTITION_ROWS = 20, 100_000
RATIO, LIGHTGBM_RATIO = 0.99, 0.95
# A dask collection or estimator, which have no types.
Collection: TypeAlias = Any
Client: TypeAlias = Any

PARTITIONS, ONE_MACHINE, RANDOM, ALL = "partitions", "one machine", "random", "all rows"
SECONDS, TRAINING = "seconds", "training, s"
CLIENT_PEAK, WORKER_PEAK = "client, MB", "worker, MB"
PASSES, MEGABYTES, LOST, SAME_ROWS = "passes", "moved, MB", "worker lost", "same rows"
CHANGE, DISTRIBUTION = "refitted change", "distribution"
ACCURACY, LOG_LOSS = "accuracy", "log loss"
SHUFFLED, SORTED, DRAWN, ADULT = "shuffled", "sorted by target", "drawn", "adult"
DOWNSTREAM = ("logistic", "boosting")


@dataclass(frozen=True)
class Task:
    """What one process measures."""

    job: str
    data: str
    n_samples: int
    seed: int


@dataclass(frozen=True)
class Cell:
    """One number of one fit."""

    job: str
    data: str
    n_samples: int
    seed: int
    method: str
    measure: str
    value: float

    @property
    def key(self) -> Key:
        return self.job, self.data, self.n_samples, self.seed, self.method, self.measure


# A method, what is measured of it, and the value.
Figure: TypeAlias = tuple[str, str, float]

SIZES = {
    "million": (10_000_000,),
    "scale": (100_000, 300_000, 1_000_000, 3_000_000),
    "quality": (300_000,),
    "lightgbm": (32_561, 4 * 32_561, 30 * 32_561),
    "killed": (1_000_000,),
}
DATA = {"quality": (SHUFFLED, SORTED), "lightgbm": (ADULT,)}


def tasks(jobs: Sequence[str], n_seeds: int, subset: int | None) -> Iterator[Task]:
    """Yield what is to be measured; only quality and accuracy are worth several seeds."""
    for job in jobs:
        for data in DATA.get(job, (DRAWN,)):
            for n_samples in SIZES[job]:
                for seed in range(n_seeds if job in ("quality", "lightgbm") else 1):
                    yield Task(job, data, min(n_samples, subset or n_samples), seed)


def drawn_rows(n_rows: int, seed: int, position: int) -> np.ndarray:
    """Return the rows of a partition, with their class as the last column."""
    rng = np.random.default_rng((seed, position))
    table = rng.standard_normal((n_rows, N_COLUMNS + 1))
    noise = table[:, -1].copy()
    table[:, -1] = table[:, 0] + 0.5 * table[:, 1] ** 2 + noise > 0.5
    return table


def drawn(n_samples: int, seed: int) -> tuple[Collection, Collection]:
    """Return rows and classes as arrays of Dask that are drawn when they are computed."""

    # A single partition would be pruned as on one machine.
    length = min(PARTITION_ROWS, -(-n_samples // 4))
    lengths = [min(length, n_samples - start) for start in range(0, n_samples, length)]
    return apart(drawn_rows, [(n, seed, i) for i, n in enumerate(lengths)], lengths, N_COLUMNS)


def apart(
    make: Callable[..., np.ndarray],
    arguments: Sequence[tuple[Any, ...]],
    lengths: Sequence[int],
    n_columns: int,
    dtype: type[np.floating[Any]] = np.float64,
) -> tuple[Collection, Collection]:
    """Return tables, a partition each, as rows and as classes, which are their last column."""
    import dask.array as da
    from dask.delayed import delayed

    lazily = delayed(make, pure=True)
    parts = [
        da.from_delayed(lazily(*given), (length, n_columns + 1), dtype=dtype)
        for given, length in zip(arguments, lengths, strict=True)
    ]
    table = da.concatenate(parts)
    return table[:, :-1], table[:, -1].astype(np.int64)


@contextmanager
def cluster() -> Iterator[Client]:
    """Start the workers, and connect to them."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=N_WORKERS,
            threads_per_worker=1,
            memory_limit=MEMORY_LIMIT,
            dashboard_address=":0",
        ) as workers,
        Client(workers) as client,
    ):
        yield client


def peak_memory_mb() -> float:
    """Return this process's peak; ru_maxrss would count that of the process that forked it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10


def peaks(client: Client) -> Iterator[Figure]:
    """Yield the peaks of the client and of the worker that used most."""
    yield PARTITIONS, WORKER_PEAK, max(client.run(peak_memory_mb).values())
    yield PARTITIONS, CLIENT_PEAK, peak_memory_mb()


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def pruner_of(ratio: float, seed: int) -> Any:
    from sklearn_prune import InfluencePruner

    return InfluencePruner(prune_ratio=ratio, random_state=seed)


def measure_cost(task: Task, data_dir: Path) -> Iterator[Figure]:
    """Prune drawn rows once."""
    X, y = drawn(task.n_samples, task.seed)
    with cluster() as client:
        pruner, seconds = timed(lambda: pruner_of(RATIO, task.seed).fit(X, y))
        certificate = pruner.certificate_
        yield PARTITIONS, SECONDS, seconds
        yield PARTITIONS, PASSES, certificate.n_passes
        yield PARTITIONS, MEGABYTES, certificate.bytes_moved / 1e6
        yield PARTITIONS, CHANGE, certificate.actual_change
        yield RANDOM, CHANGE, certificate.random_actual_change
        yield PARTITIONS, DISTRIBUTION, certificate.distribution_error
        yield RANDOM, DISTRIBUTION, certificate.random_distribution_error
        yield from peaks(client)


def measure_killed(task: Task, data_dir: Path) -> Iterator[Figure]:
    """Prune drawn rows twice, and kill a worker in the middle of the second fit."""
    X, y = drawn(task.n_samples, task.seed)
    with cluster() as client:
        before, seconds = timed(lambda: pruner_of(RATIO, task.seed).fit(X, y))
        victim = min(client.run(os.getpid).values())
        killer = threading.Timer(seconds / 2, os.kill, (victim, signal.SIGKILL))
        killer.start()
        after, seconds_killed = timed(lambda: pruner_of(RATIO, task.seed).fit(X, y))
        # A fit that ends before its worker is killed has lost none.
        killer.cancel()
        killer.join()
        is_lost = victim not in client.run(os.getpid).values()
        same = np.array_equal(before.sample_indices_, after.sample_indices_)
        yield PARTITIONS, SECONDS, seconds
        yield "worker killed", SECONDS, seconds_killed
        yield "worker killed", LOST, float(is_lost)
        yield "worker killed", SAME_ROWS, float(same)
        yield from peaks(client)


def measure_quality(task: Task, data_dir: Path) -> Iterator[Figure]:
    """Prune the same rows in partitions, on one machine and at random."""
    import dask.array as da

    from sklearn_prune.baselines import RandomPruner

    test_rows = max(task.n_samples // 6, 100)
    table = drawn_rows(task.n_samples + test_rows, task.seed, 0)
    train, test = np.split(table, [task.n_samples])
    if task.data == SORTED:
        train = train[np.argsort(train[:, -1], kind="stable")]
    X, y = train[:, :-1], train[:, -1].astype(np.int64)
    length = -(-len(y) // 16)
    single, seconds = timed(lambda: pruner_of(RATIO, task.seed).fit(X, y))
    yield ONE_MACHINE, SECONDS, seconds
    with cluster() as client:
        parts = da.from_array(X, chunks=(length, -1)), da.from_array(y, chunks=length)
        many, seconds = timed(lambda: pruner_of(RATIO, task.seed).fit(*parts))
        yield PARTITIONS, SECONDS, seconds
        random = RandomPruner(RATIO, random_state=task.seed).fit(X, y)
        kept = {ONE_MACHINE: single, PARTITIONS: many, RANDOM: random}
        for method, pruner in kept.items():
            rows = pruner.get_support(indices=True)
            dropped = np.ones(len(y))
            dropped[rows] = 0
            yield method, CHANGE, single.influence_.refitted_change(dropped)
            for name in DOWNSTREAM:
                model = downstream(name).fit(X[rows], y[rows])
                score = float(model.score(test[:, :-1], test[:, -1].astype(np.int64)))
                yield method, f"{ACCURACY}, {name}", score
        yield ONE_MACHINE, DISTRIBUTION, single.certificate_.distribution_error
        yield PARTITIONS, DISTRIBUTION, many.certificate_.distribution_error
        yield RANDOM, DISTRIBUTION, single.certificate_.random_distribution_error
        yield from peaks(client)


def downstream(name: str) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if name == "logistic":
        return LogisticRegression()
    return HistGradientBoostingClassifier(random_state=0, early_stopping=False)


@cache
def adult(data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """Return Adult's training rows and classes, kept by the worker that loads them."""
    split = load("adult", Path(data_dir))
    return split.X_train, split.y_train


def noisy_copy(data_dir: str, n_rows: int, seed: int, position: int) -> np.ndarray:
    """Return Adult's rows with noise on the columns that are no categories, and their class."""
    X, y = adult(data_dir)
    rng = np.random.default_rng((seed, position))
    is_number = ~np.isin(X, (0.0, 1.0)).all(axis=0)
    noise = rng.normal(0, 0.1, X.shape) * is_number
    return np.column_stack([X + noise, y])[:n_rows].astype(np.float32)


def adult_copies(task: Task, data_dir: Path) -> tuple[Collection, Collection]:
    """Return copies of Adult, a partition each; a single copy in eight."""
    X, _ = adult(str(data_dir))
    n_rows = min(len(X), task.n_samples)
    n_copies = -(-task.n_samples // n_rows)
    arguments = [(str(data_dir), n_rows, task.seed, i) for i in range(n_copies)]
    # LightGBM holds all rows twice while it bins them.
    rows, classes = apart(noisy_copy, arguments, [n_rows] * n_copies, X.shape[1], np.float32)
    if n_copies > 1:
        return rows, classes
    length = -(-n_rows // 8)
    return rows.rechunk({0: length}), classes.rechunk({0: length})


def measure_lightgbm(task: Task, data_dir: Path) -> Iterator[Figure]:
    """Train LightGBM on the rows chosen, on random ones and on all; score it on Adult's test."""
    from lightgbm.dask import DaskLGBMClassifier
    from sklearn.metrics import log_loss

    from sklearn_prune.baselines import RandomPruner

    test = load("adult", data_dir)
    X, y = adult_copies(task, data_dir)
    random = RandomPruner(LIGHTGBM_RATIO, random_state=task.seed)
    pruners = {PARTITIONS: pruner_of(LIGHTGBM_RATIO, task.seed), RANDOM: random, ALL: None}
    with cluster() as client:
        for method, pruner in pruners.items():
            rows = X, y
            if pruner is not None:
                _, seconds = timed(partial(pruner.fit, X, y))
                yield method, SECONDS, seconds
                rows = pruner.prune(X, y)
            model = DaskLGBMClassifier(client=client, random_state=task.seed, verbose=-1)
            _, seconds = timed(partial(model.fit, *rows))
            yield method, TRAINING, seconds
            guess = np.asarray(model.to_local().predict_proba(test.X_test.astype(np.float32)))
            yield method, ACCURACY, float(np.mean(guess.argmax(axis=1) == test.y_test))
            yield method, LOG_LOSS, float(log_loss(test.y_test, guess))
        yield from peaks(client)


MEASURES: dict[str, Callable[[Task, Path], Iterator[Figure]]] = {
    "million": measure_cost,
    "scale": measure_cost,
    "quality": measure_quality,
    "lightgbm": measure_lightgbm,
    "killed": measure_killed,
}


def measured(task: Task, data_dir: Path) -> list[Figure]:
    """Measure in a process of its own, whose peak memory can be told."""
    if task.job == "lightgbm":
        # Said here, where a missing file ends the program in one line.
        load("adult", data_dir)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.distributed"]
    command += ["--child", json.dumps(asdict(task)), "--data-dir", str(data_dir.resolve())]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [
        (method, name, value) for method, name, value in json.loads(done.stdout.splitlines()[-1])
    ]


def missing(todo: Sequence[Task], data_dir: Path, done: Done) -> Iterator[Cell]:
    for task in todo:
        names = task.job, task.data, task.n_samples, task.seed
        # The last figure of each task.
        if (*names, PARTITIONS, CLIENT_PEAK) not in done:
            for figure in measured(task, data_dir):
                cell = Cell(*names, *figure)
                if cell.key not in done:
                    yield cell


class Found:
    """The cells, by what was measured."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells

    def sizes(self, *jobs: str) -> list[int]:
        """Return how many rows were measured, ascending."""
        return sorted({cell.n_samples for cell in self.cells if cell.job in jobs})

    def mean(self, job: str, data: str, n_samples: int, method: str, name: str) -> float:
        """Return the mean over seeds; nan if there is none."""
        wanted = job, data, n_samples, method, name
        values = [
            cell.value
            for cell in self.cells
            if (cell.job, cell.data, cell.n_samples, cell.method, cell.measure) == wanted
        ]
        return float(np.mean(values)) if values else np.nan

    def shown(self, job: str, data: str, n_samples: int, method: str, name: str) -> str:
        """Return the mean as the cell of a table."""
        mean = self.mean(job, data, n_samples, method, name)
        return "" if np.isnan(mean) else f"{mean:.4g}"

    def cost(self, n_samples: int, name: str) -> float:
        """Return what pruning so many drawn rows took."""
        job = "million" if n_samples in self.sizes("million") else "scale"
        return self.mean(job, DRAWN, n_samples, PARTITIONS, name)


def cost_table(found: Found) -> str:
    """Return what pruning costs, by the number of rows."""
    names = (SECONDS, PASSES, MEGABYTES, CLIENT_PEAK, WORKER_PEAK)
    rows = [
        [f"{n:,}", *(f"{found.cost(n, name):,.1f}" for name in names)]
        for n in found.sizes("million", "scale")
    ]
    return markdown_table(["rows", *names], rows)


@dataclass(frozen=True)
class Line:
    """Seconds and megabytes, as they grow with the rows."""

    start: float
    seconds_a_million: float
    mb_a_million: float


def line_of(found: Found) -> Line | None:
    """Fit a line through seconds and one through megabytes; None with fewer than two sizes."""
    sizes = found.sizes("million", "scale")
    if len(sizes) < 2:
        return None
    millions = np.array(sizes) / 1e6
    seconds = np.array([found.cost(n, SECONDS) for n in sizes])
    moved = np.array([found.cost(n, MEGABYTES) for n in sizes])
    # Relative errors count, so that few rows say where the line starts.
    slope, start = np.polyfit(millions, seconds, 1, w=1 / seconds)
    return Line(float(start), float(slope), float(np.polyfit(millions, moved, 1)[0]))


def extrapolation(found: Found) -> str:
    """Say what 10⁹ rows on 100 workers would take, if all grows as measured."""
    line = line_of(found)
    if line is None:
        return ""
    seconds = line.start + line.seconds_a_million * 1_000 * N_WORKERS / 100
    return (
        f"Seconds ≈ {line.start:.1f} + {line.seconds_a_million:.2f} a million rows on {N_WORKERS} "
        f"workers; {line.mb_a_million:.2f} MB move a million rows. On paper, 10⁹ rows on 100 "
        f"workers take {seconds:,.0f} s, and {line.mb_a_million:,.1f} GB move."
    )


def quality_table(found: Found) -> str:
    """Return, by arrangement, how the partitions' rows compare with those of one machine."""
    names = (CHANGE, DISTRIBUTION, *(f"{ACCURACY}, {name}" for name in DOWNSTREAM), SECONDS)
    ways = product(found.sizes("quality"), DATA["quality"], (ONE_MACHINE, PARTITIONS, RANDOM))
    rows = [
        [f"{n:,}", data, method, *(found.shown("quality", data, n, method, name) for name in names)]
        for n, data, method in ways
    ]
    return markdown_table(["rows", "order", "chosen by", *names], rows)


def lightgbm_table(found: Found) -> str:
    """Return accuracy and times of LightGBM, by the rows that it is trained on."""
    names = (ACCURACY, LOG_LOSS, SECONDS, TRAINING)
    rows = [
        [f"{n:,}", method, *(found.shown("lightgbm", ADULT, n, method, name) for name in names)]
        for n in found.sizes("lightgbm")
        for method in (ALL, PARTITIONS, RANDOM)
    ]
    return markdown_table(["rows", "trained on", ACCURACY, LOG_LOSS, "pruning, s", TRAINING], rows)


def killed_table(found: Found) -> str:
    """Return whether a killed worker changes the rows, and what it costs."""
    killed, shown = "worker killed", {1.0: "yes", 0.0: "no"}
    rows = []
    for n in found.sizes("killed"):
        undisturbed = found.mean("killed", DRAWN, n, PARTITIONS, SECONDS)
        disturbed = found.mean("killed", DRAWN, n, killed, SECONDS)
        answers = (found.mean("killed", DRAWN, n, killed, name) for name in (LOST, SAME_ROWS))
        # An answer that was not measured is left open.
        cells = [shown.get(answer, "") for answer in answers]
        rows.append([f"{n:,}", f"{undisturbed:.1f}", f"{disturbed:.1f}", *cells])
    return markdown_table(["rows", SECONDS, f"with a {killed}, s", LOST, SAME_ROWS], rows)


def report(cells: Sequence[Cell]) -> str:
    """Return the text of distributed.md."""
    found = Found(cells)
    parts = {
        "Cost": (("million", "scale"), f"{cost_table(found)}\n\n{extrapolation(found)}".strip()),
        "Against one machine": (("quality",), quality_table(found)),
        "LightGBM": (("lightgbm",), lightgbm_table(found)),
        "A killed worker": (("killed",), killed_table(found)),
    }
    return "\n\n".join(
        f"## {title}\n\n{text}" for title, (jobs, text) in parts.items() if found.sizes(*jobs)
    )


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Draw time against rows, with the line."""
    from matplotlib.figure import Figure as Canvas

    found = Found(cells)
    line, sizes = line_of(found), np.array(found.sizes("million", "scale"))
    if line is None:
        return
    canvas = Canvas(figsize=(5, 3.2), layout="constrained")
    axes = canvas.subplots()
    axes.loglog(sizes, [found.cost(n, SECONDS) for n in sizes], "o", label="measured")
    fitted = line.start + line.seconds_a_million * sizes / 1e6
    axes.loglog(
        sizes, fitted, "-", label=f"{line.start:.0f} s + {line.seconds_a_million:.1f} s/10⁶"
    )
    axes.set(xlabel="rows", ylabel="seconds, two workers of one thread")
    axes.legend()
    canvas.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.distributed", __doc__)
    parser.add_argument("--job", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--seeds", type=int, default=3, help="of quality and lightgbm")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        limit_threads()
        task = Task(**json.loads(args.child))
        print(json.dumps(list(MEASURES[task.job](task, args.data_dir))))
        return
    # A subset makes several sizes one.
    todo = list(dict.fromkeys(tasks(args.job, args.seeds, args.subset)))
    folder = output_folder(args)

    def written(cells: Sequence[Cell]) -> str:
        if folder:
            draw(cells, folder / "distributed.png")
        return report(cells)

    measure(
        "distributed",
        Cell,
        lambda done: missing(todo, args.data_dir, done),
        written,
        folder,
        parser,
    )


if __name__ == "__main__":
    main()
