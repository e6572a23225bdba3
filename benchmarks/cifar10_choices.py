"""Which images stay: the pruners of the speed protocol, on what a proxy has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.baselines._scored import ScoredPruner

from .cifar10_proxies import Proxy
from .cifar10_pruners import (
    DAMPING,
    SELECTION_SECONDS,
    kept_by,
    watched_coverage,
    watched_dual,
)


@dataclass(frozen=True)
class Choice:
    """The images that a pruner keeps, and the seconds it took.

    support : mask of shape (n_images,), True where kept.
    seconds : without the proxy's training. Influences are computed in the first choice by them.
    """

    support: np.ndarray
    seconds: float

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, packed=np.packbits(self.support), n=len(self.support), seconds=self.seconds)

    @classmethod
    def load(cls, path: Path) -> Choice:
        with np.load(path) as archive:
            support = np.unpackbits(archive["packed"], count=int(archive["n"])).astype(bool)
            return cls(support, float(archive["seconds"]))


class GivenScores(ScoredPruner):
    """Keeps the images of the highest scores, which are given."""

    given: np.ndarray

    def _score(self, job: Any) -> np.ndarray:
        return self.given.astype(np.float64)


class Chooser:
    """Chooses images with what one proxy has seen.

    Parameters
    ----------
    y : labels of the images that the proxy was trained on.
    proxy : None serves pruners that need none.
    seed : of what pruners draw.
    """

    def __init__(self, y: np.ndarray, proxy: Proxy | None, seed: int) -> None:
        self.y, self.seed = y, seed
        self._proxy = proxy
        self._fitted: dict[str, InfluencePruner] = {}

    @property
    def proxy(self) -> Proxy:
        if self._proxy is None:
            raise FileNotFoundError("this pruner needs a proxy; run --stage proxy first.")
        return self._proxy

    def choose(self, pruner: str, ratio: float) -> Choice:
        started = perf_counter()
        support = PRUNERS[pruner](self, ratio)
        return Choice(support, perf_counter() - started)

    def by_score(self, scores: np.ndarray, ratio: float) -> np.ndarray:
        """Return the images of the highest scores of each class."""
        pruner = GivenScores(prune_ratio=ratio, random_state=self.seed)
        pruner.given = scores
        return kept_by(pruner, self.y)

    def by_influence(self, name: str, priority: np.ndarray, ratio: float) -> np.ndarray:
        """Return what an InfluencePruner keeps; influences are computed once for all ratios.

        name : of the priority.
        """
        if name not in self._fitted:
            pruner = InfluencePruner(
                prune_ratio=ratio,
                damping=DAMPING,
                time_limit=SELECTION_SECONDS,
                random_state=self.seed,
            )
            X = self.proxy.features.astype(np.float32)
            self._fitted[name] = pruner.fit(X, self.y, sample_priority=priority)
        return self._fitted[name].select(prune_ratio=ratio)


def random(chooser: Chooser, ratio: float) -> np.ndarray:
    """Random images, in each class the same share."""
    pruner = RandomPruner(prune_ratio=ratio, random_state=chooser.seed)
    return kept_by(pruner, chooser.y)


def el2n(chooser: Chooser, ratio: float) -> np.ndarray:
    """The images of the largest error, a mean over the proxy's training."""
    return chooser.by_score(chooser.proxy.error.mean(0, dtype=np.float64), ratio)


def least_confidence(chooser: Chooser, ratio: float) -> np.ndarray:
    """The images whose likeliest class is least likely at the end of the proxy's training."""
    proxy = chooser.proxy
    own, margin = (part[-1].astype(np.float64) for part in (proxy.probability, proxy.margin))
    return chooser.by_score(-np.maximum(own, own - margin), ratio)


def forgetting(chooser: Chooser, ratio: float) -> np.ndarray:
    """The images that were forgotten most often, and before these the ones never learned."""
    is_right = chooser.proxy.margin > 0
    n_forgotten = (is_right[:-1] & ~is_right[1:]).sum(0)
    return chooser.by_score(np.where(is_right.any(0), n_forgotten, len(is_right)), ratio)


def coverage(chooser: Chooser, ratio: float) -> np.ndarray:
    """CCS on the margins of the proxy's training."""
    pruner = watched_coverage(chooser.proxy.margin, ratio, chooser.seed)
    return kept_by(pruner, chooser.y)


def dual(chooser: Chooser, ratio: float) -> np.ndarray:
    """DUAL on the probabilities of the proxy's training, in windows of a third of it."""
    probability = chooser.proxy.probability
    pruner = watched_dual(probability, len(probability), ratio, chooser.seed)
    return kept_by(pruner, chooser.y)


def moso(chooser: Chooser, ratio: float) -> np.ndarray:
    """MoSo: images whose gradients agree with the others', in the proxy's last layer."""
    return chooser.by_score(chooser.proxy.agreement.mean(0, dtype=np.float64), ratio)


def hard(chooser: Chooser, ratio: float) -> np.ndarray:
    """InfluencePruner on the proxy's features; the priority is the square of the mean error."""
    return chooser.by_influence("hard", chooser.proxy.error.mean(0, dtype=np.float64) ** 2, ratio)


def sure(chooser: Chooser, ratio: float) -> np.ndarray:
    """The same; images that the proxy is unsure of have priority, less so those it gets wrong."""
    p = chooser.proxy.probability[-1].astype(np.float64)
    return chooser.by_influence("sure", p * np.sqrt(p * (1 - p)), ratio)


PRUNERS: dict[str, Callable[[Chooser, float], np.ndarray]] = {
    "random": random,
    "el2n": el2n,
    "least confidence": least_confidence,
    "forgetting": forgetting,
    "coverage": coverage,
    "dual": dual,
    "moso": moso,
    "influence, hard": hard,
    "influence, sure": sure,
}
