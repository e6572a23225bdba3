"""One method on one job, in a process of its own, taking turns with this package.

Only there can its peak memory be told, and only there can it be stopped.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np

from ._common import limit_threads
from .influence_jobs import ByHand, Job
from .influence_methods import Method, methods

Exact = dict[str, np.ndarray]
# Rounds of a method that takes less than so many seconds; others have one.
N_ROUNDS, _QUICK = 3, 10.0
MEMORY_LIMIT_MB = 8 * 2**10
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")


def measured(job: Job, exact: Exact, method: Method) -> dict[str, float]:
    """Return seconds, their ratio to ours, peak memory where it can be told, and errors."""
    ours = methods(job)["ours"]
    few = job.few_rows()
    # Whatever is imported or compiled at the first call.
    for one in (ours, method):
        one.solve(few)
    seconds, ratios = [], []
    before = restart_peak()
    start = perf_counter()
    found = method.solve(job)
    seconds.append(perf_counter() - start)
    peak = float(np.maximum(memory_mb("VmHWM") - before, 0.0))
    for turn in range(N_ROUNDS if seconds[0] < _QUICK else 1):
        if turn > 0:
            start = perf_counter()
            method.solve(job)
            seconds.append(perf_counter() - start)
        start = perf_counter()
        ours.solve(job)
        ratios.append(seconds[-1] / (perf_counter() - start))
    figures = {"seconds": float(np.median(seconds)), "time_ratio": float(np.median(ratios))}
    if np.isfinite(peak):
        figures["peak_memory_mb"] = peak
    figures["relative_error"] = relative_error(job, exact["Gauss-Newton"], found, method)
    if method.matrix == "Hessian" and "Hessian" in exact:
        own = relative_error(job, exact["Hessian"], found, method)
        figures["relative_error_of_hessian"] = own
    return figures


def relative_error(job: Job, exact: np.ndarray, found: np.ndarray, method: Method) -> float:
    """Return the median over groups; of influences on all rows where these were found."""
    if method.on_rows:
        net = ByHand(job)
        step = 5_000
        parts = [net.gradients(slice(a, a + step)) for a in range(0, len(job.X), step)]
        exact = len(job.X) * np.concatenate([exact @ G.T.numpy() for G in parts], axis=1)
    lengths = np.linalg.norm(exact, axis=1)
    return float(np.median(np.linalg.norm(found - exact, axis=1) / lengths))


def memory_mb(line: str) -> float:
    """Return a line of this process' status, in MB of 2**20 bytes; nan where there is none."""
    status = Path("/proc/self/status")
    if not status.exists():
        return np.nan
    lines = status.read_text(encoding="utf-8").splitlines()
    return int(next(x for x in lines if x.startswith(line)).split()[1]) / 2**10


def restart_peak() -> float:
    """Make this process count its peak memory anew and return what it holds now, in MB."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return np.nan
    return memory_mb("VmRSS")


def in_a_process(path: Path, name: str, seconds: float) -> dict[str, float]:
    """Return `measured` of this method and the job that was pickled, or the limit it met.

    seconds : for the process, with its start and the turns of this package.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.alone", str(path), name]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    try:
        done = subprocess.run(
            command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True,
            timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"stopped_after_s": seconds}
    lines = done.stdout.splitlines()
    # A process that was killed has said nothing.
    return json.loads(lines[-1]) if lines else {"failed": 1.0}


def main() -> None:
    limit_threads(1)
    warnings.simplefilter("ignore")
    path, name = sys.argv[1:]
    # The parent wrote this file itself.
    job, exact = pickle.loads(Path(path).read_bytes())
    limit = int((memory_mb("VmSize") + MEMORY_LIMIT_MB) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        figures = measured(job, exact, methods(job)[name])
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(x in str(error) for x in _OUT_OF_MEMORY):
            raise
        figures = {"stopped_at_mb": float(MEMORY_LIMIT_MB)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
