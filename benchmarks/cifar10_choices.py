"""Which images stay: the pruners of the speed protocol, on what a proxy has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import (
    GeometricMedianPruner,
    RandomPruner,
    ZeroShotCoveragePruner,
)
from sklearn_prune.baselines._scored import ScoredPruner

from .cifar10_images import N_CLASSES
from .cifar10_proxies import Proxy
from .cifar10_pruners import (
    DAMPING,
    SELECTION_SECONDS,
    ZERO_SHOT_DRAWS,
    kept_by,
    watched_coverage,
    watched_d2,
    watched_dual,
)

# Candidates for each image kept.
_CANDIDATES = 1.5


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


def choice_path(cache: Path, split: str, pruner: str, ratio: float, seed: int) -> Path:
    """Return the file in which a choice is kept."""
    return cache / split / f"{pruner.replace(' ', '_')}-{ratio:.2f}-{seed}.npz"


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
        self._fitted: dict[str, BasePruner] = {}

    @property
    def proxy(self) -> Proxy:
        if self._proxy is None:
            raise FileNotFoundError("this pruner needs a proxy; run --stage proxy first.")
        return self._proxy

    def choose(self, pruner: str, ratio: float) -> Choice:
        started = perf_counter()
        support = PRUNERS[pruner](self, ratio)
        return Choice(support, perf_counter() - started)

    def by_score(self, scores: np.ndarray, ratio: float, *, stratify: bool = True) -> np.ndarray:
        """Return the images of the highest scores, of each class or of all."""
        pruner = GivenScores(prune_ratio=ratio, stratify=stratify, random_state=self.seed)
        pruner.given = scores
        return kept_by(pruner, self.y)

    def fitted(self, name: str, fit: Callable[[], BasePruner]) -> BasePruner:
        """Return the pruner that the first call with this name made; it selects for any ratio."""
        if name not in self._fitted:
            self._fitted[name] = fit()
        return self._fitted[name]

    def influence(
        self,
        ratio: float,
        priority: np.ndarray,
        *,
        quota: Literal["class"] | None = "class",
        must_drop: np.ndarray | None = None,
    ) -> InfluencePruner:
        """Return an InfluencePruner fitted to the proxy's features."""
        pruner = InfluencePruner(
            prune_ratio=ratio,
            quota=quota,
            damping=DAMPING,
            time_limit=SELECTION_SECONDS,
            random_state=self.seed,
        )
        X = self.proxy.features.astype(np.float32)
        return pruner.fit(X, self.y, sample_priority=priority, must_drop=must_drop)

    def by_influence(self, name: str, priority: np.ndarray, ratio: float) -> np.ndarray:
        """Return what an InfluencePruner keeps; influences are computed once for all ratios.

        name : of the priority.
        """
        pruner = self.fitted(name, lambda: self.influence(ratio, priority))
        return pruner.select(prune_ratio=ratio)


def random(chooser: Chooser, ratio: float) -> np.ndarray:
    """Random images, in each class the same share."""
    pruner = RandomPruner(prune_ratio=ratio, random_state=chooser.seed)
    return kept_by(pruner, chooser.y)


def el2n(chooser: Chooser, ratio: float) -> np.ndarray:
    """The images of the largest error, a mean over the proxy's training."""
    return chooser.by_score(_mean_error(chooser), ratio)


def el2n_of_all(chooser: Chooser, ratio: float) -> np.ndarray:
    """The same, whatever their class."""
    return chooser.by_score(_mean_error(chooser), ratio, stratify=False)


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


def d2(chooser: Chooser, ratio: float) -> np.ndarray:
    """D2 on the proxy's features, with the margins and the cutoff of `coverage`."""
    X = chooser.proxy.features.astype(np.float32)
    pruner = watched_d2(as_they_are(X.shape[1]), chooser.proxy.margin, ratio, chooser.seed)
    return kept_by(pruner, chooser.y, X)


def geometric_median(chooser: Chooser, ratio: float) -> np.ndarray:
    """Images whose mean feature is near the geometric median of their class's features."""
    X = chooser.proxy.features.astype(np.float32)
    pruner = GeometricMedianPruner(
        as_they_are(X.shape[1]), prune_ratio=ratio, random_state=chooser.seed
    )
    return kept_by(pruner, chooser.y, X)


def zero_shot(chooser: Chooser, ratio: float) -> np.ndarray:
    """ZCore on the proxy's features."""
    X = chooser.proxy.features.astype(np.float32)
    pruner = ZeroShotCoveragePruner(
        as_they_are(X.shape[1]), n_draws=ZERO_SHOT_DRAWS, random_state=chooser.seed
    )
    fitted = chooser.fitted("zero-shot coverage", lambda: pruner.fit(X, chooser.y))
    return fitted.select(prune_ratio=ratio)


def as_they_are(n_features: int) -> FrozenEstimator:
    """Return a network whose last layer reads these features; without one, they are scaled."""
    net = NeuralNetClassifier(
        nn.Linear,
        module__in_features=n_features,
        module__out_features=N_CLASSES,
        criterion=nn.CrossEntropyLoss,
        classes=list(range(N_CLASSES)),
        train_split=None,
        verbose=0,
    )
    return FrozenEstimator(net.initialize())


def hard(chooser: Chooser, ratio: float) -> np.ndarray:
    """InfluencePruner on the proxy's features; the priority is the square of the mean error."""
    return chooser.by_influence("hard", _mean_error(chooser) ** 2, ratio)


def hardest(chooser: Chooser, ratio: float) -> np.ndarray:
    """The same; of what goes in each class, three quarters are its images of the least error."""
    return _without_easiest(chooser, ratio, 0.75, quota="class")


def hardest_of_all(chooser: Chooser, ratio: float) -> np.ndarray:
    """The same; seven eighths of what goes are the images of the least error, of any class."""
    return _without_easiest(chooser, ratio, 0.875, quota=None)


def _without_easiest(
    chooser: Chooser, ratio: float, share: float, *, quota: Literal["class"] | None
) -> np.ndarray:
    """Return what `hard` keeps if this share of what goes are the easiest images."""
    error = _mean_error(chooser)
    is_harder = chooser.by_score(error, share * ratio, stratify=quota is not None)
    pruner = chooser.influence(ratio, error**2, quota=quota, must_drop=~is_harder)
    return pruner.get_support()


def sure(chooser: Chooser, ratio: float) -> np.ndarray:
    """As `hard`; images that the proxy is unsure of have priority, less so those it gets wrong."""
    return chooser.by_influence("sure", _unsureness(chooser), ratio)


def spread(chooser: Chooser, ratio: float) -> np.ndarray:
    """InfluencePruner, with equal priorities, among images spread over the proxy's features.

    These are the ones nearest the k-means centres of their class, half as many again as are kept.
    In the means, images weigh what their priority is in `sure`.
    """
    X, weight = chooser.proxy.features.astype(np.float32), _unsureness(chooser)
    is_candidate = np.zeros(len(X), dtype=bool)
    for label in np.unique(chooser.y):
        rows = np.flatnonzero(chooser.y == label)
        n_candidates = min(len(rows), round(_CANDIDATES * (1 - ratio) * len(rows)))
        k_means = MiniBatchKMeans(
            n_candidates, batch_size=2048, max_iter=30, n_init=1, random_state=chooser.seed
        ).fit(X[rows], sample_weight=weight[rows])
        distance = np.linalg.norm(X[rows] - k_means.cluster_centers_[k_means.labels_], axis=1)
        # In each cluster, the first of its members by distance.
        order = np.lexsort((distance, k_means.labels_))
        _, first = np.unique(k_means.labels_[order], return_index=True)
        is_candidate[rows[order[first]]] = True
    even = np.ones(len(X))
    return chooser.influence(ratio, even, must_drop=~is_candidate).get_support()


def _mean_error(chooser: Chooser) -> np.ndarray:
    return chooser.proxy.error.mean(0, dtype=np.float64)


def _unsureness(chooser: Chooser) -> np.ndarray:
    p = chooser.proxy.probability[-1].astype(np.float64)
    return p * np.sqrt(p * (1 - p))


PRUNERS: dict[str, Callable[[Chooser, float], np.ndarray]] = {
    "random": random,
    "el2n": el2n,
    "el2n, any class": el2n_of_all,
    "least confidence": least_confidence,
    "forgetting": forgetting,
    "coverage": coverage,
    "dual": dual,
    "moso": moso,
    "d2": d2,
    "geometric median": geometric_median,
    "zero-shot coverage": zero_shot,
    "influence, hard": hard,
    "influence, hardest": hardest,
    "influence, hardest of all": hardest_of_all,
    "influence, sure": sure,
    "influence, spread": spread,
}
