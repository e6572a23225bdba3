"""Scores by seed, and what one method gains over another, with Student's interval over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

from ._common import markdown_table

LEVEL = 0.95
# Column names of `counted_gains`.
GAINS = ("mean gain", "better", "even", "worse")

T = TypeVar("T")
Run = dict[int, float]
# Data set (or another job), method, share pruned, model.
ScoreKey = tuple[str, str, float, str]
Scores = dict[ScoreKey, Run]


@dataclass(frozen=True)
class Gain:
    """A mean difference over seeds.

    half : half of its interval; infinite for a single seed.
    n_seeds : seeds of both. Without any, mean and half are nan.
    """

    mean: float
    half: float
    n_seeds: int

    @property
    def verdict(self) -> str:
        """Better or worse where the interval leaves out 0; empty where there is no interval."""
        if not np.isfinite(self.half):
            return ""
        if abs(self.mean) <= self.half:
            return "even"
        return "better" if self.mean > 0 else "worse"

    def __str__(self) -> str:
        if np.isnan(self.mean):
            return ""
        return f"{self.mean:+.4f}" + (f" ± {self.half:.4f}" if np.isfinite(self.half) else "")


def collected(measured: Iterable[tuple[ScoreKey, int, float]]) -> Scores:
    """Return scores by seed of keys, seeds and scores."""
    scores: Scores = {}
    for key, seed, score in measured:
        scores.setdefault(key, {})[seed] = score
    return scores


def gain(run: Run, other: Run) -> Gain:
    """Return what one run gains over another."""
    paired = np.array([run[seed] - other[seed] for seed in sorted(run.keys() & other.keys())])
    if len(paired) < 2:
        return Gain(paired[0], np.inf, 1) if len(paired) else Gain(np.nan, np.nan, 0)
    quantile = stats.t.ppf((1 + LEVEL) / 2, len(paired) - 1)
    half = float(quantile * paired.std(ddof=1) / np.sqrt(len(paired)))
    return Gain(float(paired.mean()), half, len(paired))


def gain_over(scores: Scores, key: ScoreKey, other: str) -> Gain:
    """Return what a method gains over another one with the same job, ratio and model."""
    job, _, ratio, model = key
    return gain(scores.get(key, {}), scores.get((job, other, ratio, model), {}))


def mean_of(run: Run) -> float:
    return float(np.mean(list(run.values())))


def shown_mean(run: Run | None, missing: str = "") -> str:
    return f"{mean_of(run):.4f}" if run else missing


def distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def table(scores: Scores, job: str, model: str, baseline: str, reference: str = "") -> str:
    """Return mean score by method and ratio; in brackets the gain over the baseline.

    reference : a method that has no line.
    """
    keys = [key for key in scores if (key[0], key[3]) == (job, model) and key[1] != reference]
    ratios = sorted({key[2] for key in keys})
    rows = []
    for method in distinct(key[1] for key in keys):
        line = [method]
        for key in ((job, method, ratio, model) for ratio in ratios):
            shown = shown_mean(scores.get(key))
            over = str(gain_over(scores, key, baseline)) if method != baseline else ""
            line.append(f"{shown} ({over})" if over else shown)
        rows.append(line)
    return markdown_table(["pruner", *(f"{ratio:.0%}" for ratio in ratios)], rows)


def counted_gains(scores: Scores, keys: Sequence[ScoreKey], baseline: str) -> list[str]:
    """Return the mean gain over the baseline, and how often it is better, even and worse."""
    gains = [gain_over(scores, key, baseline) for key in keys]
    verdicts = [gain.verdict for gain in gains]
    counts = [str(verdicts.count(name)) for name in GAINS[1:]]
    return [f"{np.mean([gain.mean for gain in gains]):+.4f}", *counts]
