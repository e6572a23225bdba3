"""How good, how fast and how provable the selection is.

    python -m benchmarks.selection                  # all parts, then the tables and the figure
    python -m benchmarks.selection --part scale     # one of them
    python -m benchmarks.selection --quick          # a trial of the script; writes nothing

- rivals: simulated annealing, herding, pair exchange from random rows, and the solver, at equal
  wall time on one thread. Annealing and herding are compiled, and they and the exchange start from
  a dense float32 Z that costs them nothing; annealing also gets the best of several coolings. All
  that favours the rivals. The solver works on the pruner's own operator, without a dense Z
  ("ours"), and on CIFAR-10 also on the dense Z ("ours, dense"); where it ends early it starts again
  with the next seed and keeps the best.
- scale: time and memory from ten thousand rows to a million.
- exact: how often and how fast optimality is proven, and where that ends.
- plain_milp: what `scipy.optimize.milp` makes of all columns at once.

Values are ``||Z^T w||`` in mean row norms. Needs the extra `benchmarks`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from threadpoolctl import threadpool_limits

from sklearn_prune.selection import SelectionProblem, solve
from sklearn_prune.selection.exact.free_rows import FreeRows
from sklearn_prune.selection.exact.smallest_change import smallest_change
from sklearn_prune.selection.search.exchange import exchange_round

from . import selection_report
from ._common import (
    N_THREADS,
    argument_parser,
    limit_threads,
    output_folder,
    peak_resident_mb,
    report,
)
from .selection_jobs import JOBS, PRUNE_RATIO, Job, build, mean_row_norm
from .selection_report import Measured

# Seconds. Methods that can be stopped at any time are also read off in between.
BUDGETS, CHECKPOINTS = (1.0, 5.0, 20.0), (1.0, 3.0, 5.0, 10.0, 20.0)
# (start, end) of the cooling, in mean row norms. In a pilot over 30 of them on every job, one of
# these was best or within 5 % of it; swaps among small rows were better or as good on every job.
COOLINGS = ((60, 3), (30, 1), (30, 0.1), (10, 0.1), (3, 0.1), (3, 0.03), (1, 0.03))
# How many coolings get each time: all, then the best of the time before.
N_COOLINGS = (7, 2, 1)
History = list[tuple[float, float]]


def rivals(args: argparse.Namespace) -> Iterator[Measured]:
    from .selection_annealing import compile_rivals

    compile_rivals()
    scale = 0.1 if args.quick else 1.0
    for name in args.jobs or JOBS:
        with threadpool_limits(1):
            job = build(name, args)
            for measured in rivals_on(job, scale):
                report(str(measured))
                yield measured
        if name == "cifar10":
            with threadpool_limits(N_THREADS):
                value, seconds = one_solve(job, job.problem, 10 * scale)
            yield measured_at(job, "ours, 2 threads", "value", value, 10 * scale)
            yield measured_at(job, "ours, 2 threads", "seconds", seconds, 10 * scale)


def rivals_on(job: Job, scale: float) -> Iterator[Measured]:
    """Every method on one job; ``scale`` times the usual seconds."""
    budgets = [scale * budget for budget in BUDGETS]
    checkpoints = [scale * point for point in CHECKPOINTS]
    random_change = job.problem.random_objective(job.random_set(0)) / job.unit
    yield measured_at(job, "random", "value", random_change)
    yield from annealing(job, budgets)
    yield from herding(job, budgets)
    history = random_exchange(job, budgets[-1])
    for point in checkpoints:
        yield measured_at(job, "exchange", "value", best_by(history, point), point)
    variants = {"ours": job.Z}
    if job.name == "cifar10":
        variants["ours, dense"] = job.dense
    for method, Z in variants.items():
        problem = job.problem_on(Z)
        history = restarts(job, problem, budgets[-1])
        yield measured_at(job, method, "first_seconds", history[0][0])
        for point in checkpoints:
            value, seconds = best_by(history, point), point
            if not np.isfinite(value):
                value, seconds = one_solve(job, problem, point)
            yield measured_at(job, method, "value", value, point)
            yield measured_at(job, method, "seconds", seconds, point)


def annealing(job: Job, budgets: Sequence[float]) -> Iterator[Measured]:
    """Every cooling gets the shortest time, the best of them the longer ones."""
    from .selection_annealing import Schedule, anneal

    start, coolings = job.random_set(1), list(COOLINGS)
    for budget, n_coolings in zip(budgets, N_COOLINGS, strict=True):
        values = {}
        for cooling in coolings[:n_coolings]:
            schedule = Schedule(*cooling, windowed=True)
            drop = anneal(job.dense, job.labels, start, schedule, budget, seed=0)
            values[cooling] = job.value(drop)
            detail = "{} to {}".format(*cooling)
            yield measured_at(job, "annealing", "value", values[cooling], budget, detail)
        coolings = sorted(values, key=values.__getitem__)


def herding(job: Job, budgets: Sequence[float]) -> Iterator[Measured]:
    from .selection_annealing import herd

    value, cut_short = np.inf, True
    for budget in budgets:
        # Once every step looks at all rows of its class, more time changes nothing.
        if cut_short:
            started = perf_counter()
            drop = herd(job.dense, job.labels, job.random_set(0), budget, seed=0)
            cut_short = perf_counter() - started > 0.9 * budget
            value = job.value(drop)
        yield measured_at(job, "herding", "value", value, budget)


def random_exchange(job: Job, seconds: float) -> History:
    """Rounds of pair exchange from random rows, anew whenever a round finds nothing."""
    problem, rng, history = job.problem_on(job.dense), np.random.default_rng(0), []
    started, seed = perf_counter(), 0
    drop = job.random_set(seed)
    while perf_counter() - started < seconds:
        improved = exchange_round(problem.coordinates, problem.groups, drop, rng).drop
        history.append((perf_counter() - started, job.value(improved)))
        if np.array_equal(improved, drop):
            seed += 1
            improved = job.random_set(seed)
        drop = improved
    return history


def restarts(job: Job, problem: SelectionProblem, seconds: float) -> History:
    started, history, seed = perf_counter(), [], 0
    while (elapsed := perf_counter() - started) < seconds:
        selection = solve(problem, time_limit=seconds - elapsed, random_state=seed)
        history.append((perf_counter() - started, job.value(selection.drop)))
        seed += 1
    return history


def one_solve(job: Job, problem: SelectionProblem, seconds: float) -> tuple[float, float]:
    """Value and seconds of a single call that is told its limit."""
    started = perf_counter()
    selection = solve(problem, time_limit=seconds, random_state=0)
    elapsed = perf_counter() - started
    return job.value(selection.drop), elapsed


def best_by(history: History, seconds: float) -> float:
    return min((value for when, value in history if when <= seconds), default=np.inf)


def measured_at(
    job: Job, method: str, metric: str, value: float, budget: float | None = None, detail: str = ""
) -> Measured:
    n, k = job.dense.shape
    return Measured("rivals", job.name, method, PRUNE_RATIO, n, k, budget, 0, detail, metric, value)


SCALE_ROWS, SCALE_COORDINATES, SCALE_GROUPS = (10_000, 30_000, 100_000, 300_000, 1_000_000), 64, 4


def scale(args: argparse.Namespace) -> Iterator[Measured]:
    """A fresh process for each n, so that its memory is its own."""
    for n in (1_000, 3_000, 10_000) if args.quick else SCALE_ROWS:
        command = [sys.executable, "-m", "benchmarks.selection", "--scale-rows", str(n)]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(N_THREADS))
        done = subprocess.run(
            command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True
        )
        for metric, value in json.loads(done.stdout).items():
            job = f"gaussian{SCALE_COORDINATES}, {SCALE_GROUPS} quotas"
            measured = Measured(
                "scale", job, "ours", PRUNE_RATIO, n, SCALE_COORDINATES, None, 0, "", metric, value
            )
            report(str(measured))
            yield measured


def print_scale(n: int) -> None:
    """Solve one problem of n rows and print what it took."""
    rng = np.random.default_rng(0)
    Z = np.empty((n, SCALE_COORDINATES))
    rng.standard_normal(out=Z)
    groups = rng.integers(SCALE_GROUPS, size=n)
    before = peak_resident_mb() - Z.nbytes / 2**20
    started = perf_counter()
    problem = SelectionProblem(
        Z, n_drop=round(PRUNE_RATIO * n), groups=groups, quota="proportional"
    )
    selection = solve(problem, time_limit=600.0, random_state=0)
    seconds = perf_counter() - started
    figures = {
        "seconds": seconds,
        "value": selection.certificate.objective / mean_row_norm(problem),
        "share_of_random": selection.certificate.share_of_random,
        # Includes the interpreter and its libraries; the next line measures those alone.
        "peak_memory_above_Z_mb": peak_resident_mb() - Z.nbytes / 2**20,
        "memory_before_mb": before,
    }
    print(json.dumps(figures))


N_EXACT, EXACT_LIMIT = 200, 20.0
# (n, k) past the size up to which the solver tries to prove optimality, with the time they get.
BEYOND = [(n, k) for n in (36, 40) for k in (2, 4, 8)]
BEYOND_LIMIT = 30.0


def exact(args: argparse.Namespace) -> Iterator[Measured]:
    """Random problems with 20 to 90 % of the rows dropped; one process a core, one thread each."""
    n_problems = 8 if args.quick else N_EXACT
    rng = np.random.default_rng(0)
    tasks = [
        (int(rng.integers(8, 33)), int(rng.integers(1, 9)), float(rng.uniform(0.2, 0.9)), seed)
        for seed in range(n_problems)
    ]
    limit = 1.0 if args.quick else BEYOND_LIMIT
    with ProcessPoolExecutor(N_THREADS, initializer=_one_thread) as pool:
        for task, figures in zip(tasks, pool.map(_exact, *zip(*tasks, strict=True)), strict=True):
            n, k, ratio, seed = task
            for metric, value in figures.items():
                yield Measured(
                    "exact", "gaussian", "ours", ratio, n, k, EXACT_LIMIT, seed, "", metric, value
                )
        beyond = BEYOND[:2] if args.quick else BEYOND
        results = pool.map(_beyond, *zip(*beyond, strict=True), [limit] * len(beyond))
        for (n, k), figures in zip(beyond, results, strict=True):
            for metric, value in figures.items():
                yield Measured(
                    "exact", "gaussian, beyond", "ours", 0.5, n, k, limit, 0, "", metric, value
                )


def _one_thread() -> None:
    threadpool_limits(1)


def _exact(n: int, k: int, ratio: float, seed: int) -> dict[str, float]:
    Z = np.random.default_rng(seed).standard_normal((n, k))
    problem = SelectionProblem(Z, n_drop=max(1, round(ratio * n)))
    certificate = solve(problem, time_limit=EXACT_LIMIT, random_state=0).certificate
    return {
        "seconds": certificate.seconds,
        "proven": float(certificate.status == "optimal"),
        "value": certificate.objective / mean_row_norm(problem),
    }


def _beyond(n: int, k: int, limit: float) -> dict[str, float]:
    """Branch and bound on half of the rows, called directly."""
    Z = np.random.default_rng(0).standard_normal((n, k))
    problem = SelectionProblem(Z, n_drop=n // 2)
    heuristic = solve(problem, random_state=0).drop
    started = perf_counter()
    free = FreeRows.of(problem, problem.coordinates, n // 2, problem.is_feasible)
    result = smallest_change(free, heuristic, started + limit)
    assert result.drop is not None
    return {
        "seconds": perf_counter() - started,
        "proven": float(result.proven),
        "value": problem.change(result.drop) / mean_row_norm(problem),
        "bound": result.bound * problem.coordinates.scale / mean_row_norm(problem),
    }


MILP_SIZES = [(n, k) for n in (500, 2_000, 10_000) for k in (8, 16)]
MILP_LIMIT = 60.0
_N_TANGENTS = 64


def plain_milp(args: argparse.Namespace) -> Iterator[Measured]:
    """All columns in one MILP, 90 % dropped; beside it the solver on the same problem."""
    sizes = [(100, 4), (200, 4)] if args.quick else MILP_SIZES
    limit = 1.0 if args.quick else MILP_LIMIT
    with ProcessPoolExecutor(N_THREADS, initializer=_one_thread) as pool:
        both = pool.map(_plain_milp, *zip(*sizes, strict=True), [limit] * len(sizes))
        for (n, k), by_method in zip(sizes, both, strict=True):
            for method, figures in by_method.items():
                for metric, value in figures.items():
                    measured = Measured(
                        "plain_milp", f"gaussian{k}", method, PRUNE_RATIO, n, k, limit, 0, "",
                        metric, value,
                    )  # fmt: skip
                    report(str(measured))
                    yield measured


def _plain_milp(n: int, k: int, limit: float) -> dict[str, dict[str, float]]:
    r"""Minimise t with ``|Z^T w| <= t`` in every coordinate and ``u^T Z^T w <= t`` for tangents u.

    64 random tangents from the start, one more wherever an optimum violates ``||Z^T w|| <= t``.
    """
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((n, k))
    problem = SelectionProblem(Z, n_drop=round(PRUNE_RATIO * n))
    unit = mean_row_norm(problem)
    random_directions = rng.standard_normal((_N_TANGENTS, k))
    random_directions /= np.linalg.norm(random_directions, axis=1, keepdims=True)
    directions = np.vstack([np.eye(k), -np.eye(k), random_directions])
    started, best, bound, n_solved = perf_counter(), np.inf, 0.0, 0
    while (left := limit - (perf_counter() - started)) > 0:
        result = _milp_with(directions, Z, problem.n_drop, left)
        bound = max(bound, result.mip_dual_bound or 0.0)
        if result.x is None:
            break
        residual = Z.T @ (result.x[:n] > 0.5)
        length = float(np.linalg.norm(residual))
        best = min(best, length)
        if result.status != 0 or length <= bound * (1 + 1e-4) + 1e-6 * unit:
            break
        n_solved += 1
        directions = np.vstack([directions, residual / length])
    seconds = perf_counter() - started
    started = perf_counter()
    selection = solve(problem, time_limit=limit, random_state=0)
    return {
        "plain milp": {
            "seconds": seconds,
            "value": best / unit,
            "bound": bound / unit,
            "n_cuts": float(n_solved),
        },
        "ours": {
            "seconds": perf_counter() - started,
            "value": problem.change(selection.drop) / unit,
        },
    }


def _milp_with(directions: np.ndarray, Z: np.ndarray, n_drop: int | None, limit: float) -> Any:
    n = len(Z)
    return milp(
        np.r_[np.zeros(n), 1.0],
        integrality=np.r_[np.ones(n), 0.0],
        bounds=Bounds(0, np.r_[np.ones(n), np.inf]),
        constraints=[
            LinearConstraint(np.c_[directions @ Z.T, -np.ones(len(directions))], -np.inf, 0),
            LinearConstraint(np.r_[np.ones(n), 0.0], n_drop, n_drop),
        ],
        options={"time_limit": limit},
    )


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Measured]]] = {
    "rivals": rivals,
    "scale": scale,
    "exact": exact,
    "plain_milp": plain_milp,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.selection", __doc__)
    parser.add_argument("--part", choices=["all", *PARTS], default="all")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, help="jobs of the rivals (default: all)")
    parser.add_argument("--quick", action="store_true", help="small problems, a tenth of the time")
    parser.add_argument("--scale-rows", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.scale_rows:
        limit_threads()
        print_scale(args.scale_rows)
        return
    if args.quick:
        args.subset = args.subset or 2_000
    # Results of some jobs must not overwrite those of all.
    folder = args.out if args.jobs else output_folder(args)
    measured: list[Measured] = []
    for part in PARTS if args.part == "all" else [args.part]:
        try:
            measured += (of_part := list(PARTS[part](args)))
        except (FileNotFoundError, ModuleNotFoundError) as error:
            parser.exit(2, f"{error}\n")
        if folder:
            selection_report.write(folder, part, of_part)
    print("\n\n".join(selection_report.tables(measured).values()))
    if folder:
        selection_report.write_report(folder)


if __name__ == "__main__":
    main()
