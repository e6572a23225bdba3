"""Time one method on one job in its own process, taking turns with this package.

Only there can its peak memory be told, and only there can it be stopped. Seconds are those of the
processor: on one thread that is what the wall clock would show if nobody else used the machine.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np

from ._common import limit_threads
from .influence_jobs import Job
from .influence_methods import Method, methods

# Rounds of a method that takes less than so many seconds; others have one.
N_ROUNDS, _QUICK = 3, 10.0
# Shorter times are below the resolution of the processor's clock.
_CLOCK = 0.05
MEMORY_LIMIT_MB = 8 * 2**10
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")


def measured(job: Job, method: Method) -> tuple[dict[str, float], np.ndarray]:
    """Return seconds, their ratio to ours and peak memory where it can be told; the solution."""
    ours = methods(job)["ours"]
    # A warm-up call imports and compiles.
    for timed_method in (ours, method):
        timed_method.solve(job.few_rows())
    before = restart_peak()
    first, solution = timed(method.solve, job)
    peak = float(np.maximum(memory_mb("VmHWM") - before, 0.0))
    seconds, ratios = [first], []
    for turn in range(N_ROUNDS if first < _QUICK else 1):
        if turn > 0:
            seconds.append(timed(method.solve, job)[0])
        ratios.append(seconds[-1] / timed(ours.solve, job)[0])
    figures = {
        "processor_seconds": float(np.median(seconds)),
        "time_ratio": float(np.median(ratios)),
    }
    if np.isfinite(peak):
        figures["peak_memory_mb"] = peak
    return figures, solution


def timed(solve: Callable[[Job], np.ndarray], job: Job) -> tuple[float, np.ndarray]:
    """Return the seconds of one solve and what it found.

    A solve shorter than `_CLOCK` is repeated: on some machines the processor's clock moves in
    steps of ten milliseconds, and a small job would seem to take none.
    """
    start, n_solved = process_time(), 0
    while n_solved == 0 or process_time() - start < _CLOCK:
        solution = solve(job)
        n_solved += 1
    return (process_time() - start) / n_solved, solution


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


def in_a_process(path: Path, name: str, seconds: float) -> tuple[dict[str, float], np.ndarray]:
    """Return `measured` of this method and the job that was pickled, or the limit it met.

    seconds : of the processor for all of `measured`, turns of this package included.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.influence_alone", str(path), name]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [*command, str(seconds)], env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True
    )
    if done.returncode == -signal.SIGXCPU:
        return {"stopped_after_s": seconds}, np.empty(0)
    if done.returncode != 0:
        return {"failed": 1.0}, np.empty(0)
    figures = json.loads(done.stdout.splitlines()[-1])
    return figures, np.load(path.with_suffix(".npy")) if "time_ratio" in figures else np.empty(0)


def main() -> None:
    limit_threads(1)
    warnings.simplefilter("ignore")
    path, name = Path(sys.argv[1]), sys.argv[2]
    # Safe to unpickle: the parent process wrote this file.
    job = pickle.loads(path.read_bytes())
    method = methods(job)[name]
    restrict(float(sys.argv[3]))
    try:
        figures, solution = measured(job, method)
        np.save(path.with_suffix(".npy"), solution)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(x in str(error) for x in _OUT_OF_MEMORY):
            raise
        figures = {"stopped_at_mb": float(MEMORY_LIMIT_MB)}
    print(json.dumps(figures))


def restrict(seconds: float) -> None:
    """Have this process stopped after so many seconds more, or at `MEMORY_LIMIT_MB` more."""
    limit = int(np.ceil(process_time() + seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
    size = int((memory_mb("VmSize") + MEMORY_LIMIT_MB) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    main()
