"""Which images stay: the pruners of the speed protocol, on a proxy or a fixed embedding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from sklearn_prune import InfluencePruner
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.baselines._scored import ScoredPruner

from .cifar10_proxies import Proxy
from .cifar10_pruners import CUTOFFS, SELECTION_SECONDS, WatchedCoveragePruner, WatchedDUALPruner


@dataclass(frozen=True)
class Choice:
    """The images that a pruner keeps, and the seconds it took, the proxy's training apart."""

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
    proxy : None serves pruners that need none.
    embedding : of the same images; None serves pruners that need none.
    """

    def __init__(
        self, y: np.ndarray, proxy: Proxy | None, embedding: np.ndarray | None, seed: int
    ) -> None:
        self.y, self.seed = y, seed
        self._proxy, self._embedding = proxy, embedding
        self._fitted: dict[str, InfluencePruner] = {}

    @property
    def proxy(self) -> Proxy:
        if self._proxy is None:
            raise FileNotFoundError("this pruner needs a proxy; run --stage proxy first.")
        return self._proxy

    @property
    def embedding(self) -> np.ndarray:
        if self._embedding is None:
            raise FileNotFoundError("cifar10_embedding.npz is not in the data folder.")
        return self._embedding

    def choose(self, pruner: str, ratio: float) -> Choice:
        started = perf_counter()
        support = PRUNERS[pruner](self, ratio)
        return Choice(support, perf_counter() - started)

    def scored(self, scores: np.ndarray, ratio: float) -> np.ndarray:
        pruner = GivenScores(prune_ratio=ratio, random_state=self.seed)
        pruner.given = scores
        return self.kept(pruner)

    def kept(self, pruner: BasePruner) -> np.ndarray:
        """Return what a pruner keeps that does not look at the images."""
        return pruner.fit(self.y.reshape(-1, 1), self.y).get_support()


def random(chooser: Chooser, ratio: float) -> np.ndarray:
    """Random images, as many of each class."""
    return chooser.kept(RandomPruner(prune_ratio=ratio, random_state=chooser.seed))


def el2n(chooser: Chooser, ratio: float) -> np.ndarray:
    """The images of the largest error, a mean over the proxy's training."""
    return chooser.scored(chooser.proxy.error.mean(0, dtype=np.float64), ratio)


def least_confidence(chooser: Chooser, ratio: float) -> np.ndarray:
    """The images whose likeliest class is least likely at the end of the proxy's training."""
    own, margin = (part[-1].astype(np.float64) for part in _own_and_margin(chooser))
    return chooser.scored(-np.maximum(own, own - margin), ratio)


def forgetting(chooser: Chooser, ratio: float) -> np.ndarray:
    """The images that were forgotten most often; those never learned first."""
    is_right = chooser.proxy.margin > 0
    n_forgotten = (is_right[:-1] & ~is_right[1:]).sum(0)
    return chooser.scored(np.where(is_right.any(0), n_forgotten, len(is_right)), ratio)


def coverage(chooser: Chooser, ratio: float) -> np.ndarray:
    """CCS on the margins of the proxy's training."""
    cutoff = CUTOFFS[max(least for least in CUTOFFS if least <= ratio)]
    pruner = WatchedCoveragePruner(prune_ratio=ratio, cutoff=cutoff, random_state=chooser.seed)
    pruner.margin = chooser.proxy.margin
    return chooser.kept(pruner)


def dual(chooser: Chooser, ratio: float) -> np.ndarray:
    """DUAL on the probabilities of the proxy's training, in windows of a third of it."""
    probability = chooser.proxy.probability
    n_epochs = len(probability)
    pruner = WatchedDUALPruner(
        prune_ratio=ratio,
        n_epochs=n_epochs,
        window=max(2, n_epochs // 3),
        random_state=chooser.seed,
    )
    pruner.probability = probability
    return chooser.kept(pruner)


def moso(chooser: Chooser, ratio: float) -> np.ndarray:
    """MoSo on the last layer's gradients in the proxy's training."""
    return chooser.scored(chooser.proxy.agreement.mean(0, dtype=np.float64), ratio)


def _own_and_margin(chooser: Chooser) -> tuple[np.ndarray, np.ndarray]:
    return chooser.proxy.probability, chooser.proxy.margin


PRUNERS: dict[str, Callable[[Chooser, float], np.ndarray]] = {
    "random": random,
    "el2n": el2n,
    "least confidence": least_confidence,
    "forgetting": forgetting,
    "coverage": coverage,
    "dual": dual,
    "moso": moso,
}
