"""Rivals of the selection solver, compiled: simulated annealing and herding.

Both work on a dense float32 Z that fits in memory and never pay for making it, which favours them:
the solver computes the rows of real jobs from the network's design whenever it needs them. They
need numba (extra `benchmarks`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numba import njit

# Proposals between two looks at the clock.
_MIN_CHUNK, _MAX_CHUNK, _CHUNK_SECONDS = 1_000, 1_000_000, 0.01
# Below this share of accepted swaps the window of small rows shrinks, above the other it grows.
_FEW, _MANY = 0.05, 0.2
_LEAST_WINDOW = 200


@dataclass(frozen=True)
class Schedule:
    """Geometric cooling, and from where swaps are drawn.

    start, end : the temperature T at which the residual of k free coordinates is in equilibrium
        at this many mean row norms: ``E ||r||^2 = k T / 2`` for the density ``exp(-||r||^2 / T)``.
    windowed : draw half of the swaps among the rows of smallest norm, as few of them as keep the
        share of accepted swaps up. At a low temperature only short differences are accepted.
    """

    start: float
    end: float
    windowed: bool

    def temperature(self, elapsed: float, mean_square: float, k: int) -> float:
        """Temperature in units of Z squared, after this share of the time."""
        length = self.start ** (1 - elapsed) * self.end**elapsed
        return 2 * length**2 * mean_square / k


def anneal(
    Z: np.ndarray,
    labels: np.ndarray,
    drop: np.ndarray,
    schedule: Schedule,
    seconds: float,
    seed: int,
) -> np.ndarray:
    """Simulated annealing of ``||Z^T w||^2`` by swaps of two rows of one stratum.

    Z : float32 ndarray of shape (n, k), C order.
    labels : int64 ndarray of shape (n,), the stratum of each row.
    drop : boolean ndarray of shape (n,), the start; every stratum keeps its count.

    Returns the best set seen.
    """
    n, k = Z.shape
    _seed(seed)
    started = perf_counter()
    norms = np.einsum("ij,ij->i", Z, Z)
    order = np.lexsort((norms, labels)).astype(np.int64)
    starts = np.searchsorted(labels[order], np.arange(labels.max() + 2)).astype(np.int64)
    w, best = drop.copy(), drop.copy()
    residual = np.zeros(k)
    for i in range(0, n, 10_000):
        residual += Z[i : i + 10_000].T.astype(np.float64) @ w[i : i + 10_000]
    mean_square = float(np.mean(np.sqrt(norms))) ** 2
    best_square = np.array([residual @ residual])
    window, chunk = 1.0, _MIN_CHUNK
    while (elapsed := (perf_counter() - started) / seconds) < 1:
        temperature = schedule.temperature(elapsed, mean_square, k)
        began = perf_counter()
        accepted, tried = _swaps(
            Z, labels, order, starts, w, residual, best, best_square, temperature, chunk,
            window if schedule.windowed else 1.0, _LEAST_WINDOW,
        )  # fmt: skip
        speed = chunk / max(perf_counter() - began, 1e-6)
        chunk = int(min(_MAX_CHUNK, max(_MIN_CHUNK, _CHUNK_SECONDS * speed)))
        if accepted < _FEW * tried:
            window = max(0.9 * window, _LEAST_WINDOW / n)
        elif accepted > _MANY * tried:
            window = min(1.0, window / 0.9)
    return best


def compile_rivals() -> None:
    """Compile everything ahead of time, so that no measurement includes compilation."""
    Z = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    labels, drop = np.zeros(100, dtype=np.int64), np.arange(100) < 50
    # The first call compiles and may see its time run out.
    for _ in range(2):
        anneal(Z, labels, drop, Schedule(1.0, 0.1, True), 0.01, 0)
        herd(Z, labels, drop, 0.01, 0)


@njit
def _seed(seed):  # type: ignore[no-untyped-def]
    np.random.seed(seed)


@njit(fastmath=True)
def _swaps(  # type: ignore[no-untyped-def]
    Z, labels, order, starts, w, residual, best, best_square, temperature, n_swaps, window, least
):
    """Propose swaps at one temperature; return how many of those inside the window passed."""
    n, k = Z.shape
    single = residual.astype(np.float32)
    square = 0.0
    for a in range(k):
        square += residual[a] * residual[a]
    improved = False
    changed = np.empty(n_swaps * 2, dtype=np.int64)
    n_changed = since_best = 0
    accepted = tried = 0
    for step in range(n_swaps):
        windowed = window < 1.0 and step % 2 == 0
        # Strata are drawn in proportion to their rows.
        stratum = labels[np.random.randint(n)]
        start = starts[stratum]
        size = starts[stratum + 1] - start
        if windowed:
            size = min(size, max(least, int(window * size)))
        i = j = -1
        for _ in range(200):
            i = order[start + int(np.random.random() * size)]
            if w[i]:
                break
        for _ in range(200):
            j = order[start + int(np.random.random() * size)]
            if not w[j]:
                break
        if not w[i] or w[j]:
            continue
        change = np.float32(0.0)
        for a in range(k):
            d = Z[j, a] - Z[i, a]
            change += d * (np.float32(2.0) * single[a] + d)
        passed = change <= 0.0 or np.random.random() < math.exp(-change / temperature)
        if windowed or window >= 1.0:
            tried += 1
            accepted += int(passed)
        if not passed:
            continue
        w[i], w[j] = False, True
        square = 0.0
        for a in range(k):
            residual[a] += np.float64(Z[j, a]) - np.float64(Z[i, a])
            single[a] = residual[a]
            square += residual[a] * residual[a]
        changed[n_changed], changed[n_changed + 1] = i, j
        n_changed += 2
        if square < best_square[0]:
            best_square[0] = square
            since_best = n_changed
            improved = True
    if improved:
        # The best set is the one now, less what happened since.
        best[:] = w
        for t in range(n_changed - 1, since_best - 1, -1):
            best[changed[t]] = not best[changed[t]]
    return accepted, tried


def herd(
    Z: np.ndarray, labels: np.ndarray, drop: np.ndarray, seconds: float, seed: int
) -> np.ndarray:
    """Kernel herding: keep rows one by one so that the kept sum follows its share of the total.

    Strata take turns in proportion to their counts. Each step looks at all rows of its stratum, or
    at a random sample of them that is as large as the time allows (Mirzasoleiman et al. 2015).

    Parameters as in :func:`anneal`; ``drop`` only gives the counts.
    """
    n_strata = int(labels.max()) + 1
    turns = [np.linspace(0, 1, int(m), endpoint=False) for m in np.bincount(labels[~drop])]
    when = np.concatenate(turns)
    strata = np.repeat(np.arange(n_strata), [len(turn) for turn in turns])
    sequence = strata[np.argsort(when, kind="stable")].astype(np.int64)
    members = np.argsort(labels, kind="stable").astype(np.int64)
    starts = np.searchsorted(labels[members], np.arange(n_strata + 1)).astype(np.int64)
    started = perf_counter()
    total = np.zeros(Z.shape[1])
    for i in range(0, len(Z), 10_000):
        total += Z[i : i + 10_000].astype(np.float64).sum(axis=0)
    _seed(seed)
    keep = np.zeros(len(drop), dtype=bool)
    sums = np.zeros(Z.shape[1])
    sizes = np.diff(starts)
    position, sample, block = 0, 100, 8
    while position < len(sequence):
        began = perf_counter()
        stop = min(len(sequence), position + block)
        _herd(Z, members, starts, sizes, sequence, position, stop, total, sums, keep, sample)
        spent = perf_counter() - began
        speed = sample * (stop - position) / max(spent, 1e-6)
        position = stop
        left = max(0.0, 0.98 * seconds - (perf_counter() - started))
        sample = int(max(1, speed * left / max(1, len(sequence) - position)))
        sample = min(sample, int(sizes.max(initial=1)))
    return ~keep


@njit(fastmath=True)
def _herd(  # type: ignore[no-untyped-def]
    Z, members, starts, sizes, sequence, first, stop, total, sums, keep, sample
):
    k = Z.shape[1]
    wanted = np.empty(k, dtype=np.float32)
    for step in range(first, stop):
        stratum = sequence[step]
        start, size = starts[stratum], sizes[stratum]
        share = (step + 1) / len(sequence)
        for a in range(k):
            wanted[a] = 2.0 * (share * total[a] - sums[a])
        whole = sample >= size
        best, best_at = np.float32(np.inf), start
        for t in range(size if whole else sample):
            at = start + (t if whole else int(np.random.random() * size))
            row = members[at]
            distance = np.float32(0.0)
            for a in range(k):
                distance += Z[row, a] * (Z[row, a] - wanted[a])
            if distance < best:
                best, best_at = distance, at
        row = members[best_at]
        keep[row] = True
        for a in range(k):
            sums[a] += Z[row, a]
        # Rows kept already move behind the end of their stratum.
        sizes[stratum] -= 1
        last = start + sizes[stratum]
        members[best_at], members[last] = members[last], row
