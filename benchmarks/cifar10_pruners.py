"""Which images stay: the pruners of `benchmarks.cifar10`.

Whatever looks at a network looks at the same one, the reference: trained on all images with seed 0
and watched meanwhile, so that seeds of a pruner are of what it draws. What needs no network does
not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_prune import InfluencePruner
from sklearn_prune.base import BasePruner
from sklearn_prune.baselines import (
    CoveragePruner,
    D2Pruner,
    DUALPruner,
    GeometricMedianPruner,
    RandomPruner,
    ZeroShotCoveragePruner,
)
from sklearn_prune.baselines._dual import dual_scores
from sklearn_prune.baselines._scored import penultimate_features

from . import cifar10_networks as networks
from .cifar10_images import Images

DAMPING = 1e-3
N_CHECKPOINTS = 3
# Far more than needed, so that a busy machine chooses the same rows.
SELECTION_SECONDS = 900.0
# DUAL scores the first epochs only, in windows of a third of them.
_DUAL_EPOCHS, _DUAL_WINDOWS = 30, 3
# The hardest share that CCS drops first: its authors' for CIFAR-10 at these ratios and above.
_CUTOFFS = {0.0: 0.0, 0.7: 0.1, 0.9: 0.3}
# A quarter of ZCore's own, as each ratio draws anew.
ZERO_SHOT_DRAWS = 250_000


@dataclass(frozen=True)
class Reference:
    """A network that was watched while it was trained on all images.

    states : of its module at the checkpoints; the last is the end of training.
    probability, margin : as in `networks.Watch`.
    """

    states: list[dict[str, Any]]
    probability: np.ndarray
    margin: np.ndarray


class Lab:
    """What pruners may look at.

    Parameters
    ----------
    cache : folder that keeps the reference for the next run; None keeps nothing.
    on_trained : called with the test scores of the reference once it is trained.
    """

    def __init__(
        self,
        images: Images,
        architecture: str,
        protocol: networks.Protocol,
        *,
        cache: Path | None = None,
        on_trained: Callable[[networks.TestScore], None] = lambda test: None,
    ) -> None:
        self.images = images
        self.architecture = architecture
        self.protocol = protocol
        self.on_trained = on_trained
        name = f"{architecture}-{protocol.n_epochs}-{len(images.y_train)}.joblib"
        self._path = None if cache is None else cache / name
        self._fitted: tuple[str, InfluencePruner] | None = None

    @cached_property
    def reference(self) -> Reference:
        if self._path is not None and self._path.is_file():
            return joblib.load(self._path)
        n_epochs, images = self.protocol.n_epochs, self.images
        moments = {-(-n_epochs * j // N_CHECKPOINTS) for j in range(1, N_CHECKPOINTS + 1)}
        watch = networks.Watch(images.X_train, images.y_train, moments)
        everything = np.arange(len(images.y_train))
        test = networks.train(images, everything, self.architecture, self.protocol, 0, watch)
        self.on_trained(test)
        reference = Reference(watch.states, watch.probability, watch.margin)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            joblib.dump(reference, self._path)
        return reference

    def network(self, state: dict[str, Any]) -> FrozenEstimator:
        """Return the reference as it was at a checkpoint."""
        n_rows, n_epochs = len(self.images.y_train), self.protocol.n_epochs
        net = networks.classifier(
            self.architecture, self.protocol, n_rows, n_epochs, device=networks.device()
        )
        net.initialize().module_.load_state_dict(state)
        return FrozenEstimator(net)

    def embedding(self) -> np.ndarray:
        if self.images.embedding is None:
            raise FileNotFoundError("cifar10_embedding.npz is not in the data folder.")
        return self.images.embedding

    def influence(
        self, name: str, ratio: float, seed: int, X: np.ndarray, estimator: Any, features: Any
    ) -> np.ndarray:
        """Return what an InfluencePruner keeps; influences are computed once for all ratios."""
        if self._fitted is not None and self._fitted[0] == name:
            support = self._fitted[1].select(prune_ratio=ratio, random_state=seed)
            return np.flatnonzero(support)
        # Free the memory of the previous pruner first.
        self._fitted = None
        pruner = InfluencePruner(
            estimator,
            features=features,
            prune_ratio=ratio,
            damping=DAMPING,
            time_limit=SELECTION_SECONDS,
            random_state=seed,
        ).fit(X, self.images.y_train)
        self._fitted = name, pruner
        return pruner.get_support(indices=True)


def random(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """Random images, in each class the same share."""
    return _kept(lab, RandomPruner(prune_ratio=ratio, random_state=seed))


def embedding(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """InfluencePruner on a linear model of a fixed embedding, which no training moves."""
    return lab.influence("embedding", ratio, seed, lab.embedding(), None, None)


def geometric_median(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """Herding towards the geometric median of the embedding."""
    pruner = GeometricMedianPruner(prune_ratio=ratio, random_state=seed)
    return _kept(lab, pruner, lab.embedding())


def zero_shot(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """ZCore on the embedding."""
    pruner = ZeroShotCoveragePruner(prune_ratio=ratio, n_draws=ZERO_SHOT_DRAWS, random_state=seed)
    return _kept(lab, pruner, lab.embedding())


def last_layer(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """InfluencePruner on the last layer of the reference."""
    estimator = lab.network(lab.reference.states[-1])
    return lab.influence("last layer", ratio, seed, lab.images.X_train, estimator, None)


def checkpoints(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """InfluencePruner on the last layers of the reference at several moments of its training."""
    estimators = [lab.network(state) for state in lab.reference.states]
    return lab.influence("checkpoints", ratio, seed, lab.images.X_train, estimators, None)


def embedding_and_last_layer(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """InfluencePruner on both at once."""
    estimator = lab.network(lab.reference.states[-1])
    return lab.influence("both", ratio, seed, lab.images.X_train, estimator, lab.embedding())


class WatchedCoveragePruner(CoveragePruner):
    """CCS on a training that was watched already."""

    margin: np.ndarray

    def _score(self, job: Any) -> np.ndarray:
        return self.margin.mean(axis=0, dtype=np.float64)


class WatchedDUALPruner(DUALPruner):
    """DUAL on a training that was watched already."""

    probability: np.ndarray

    def _score(self, job: Any) -> np.ndarray:
        p = self.probability[: self.n_epochs].astype(np.float64)
        self._mean_probability_ = p.mean(axis=0)
        return dual_scores(p, self.window)


class WatchedD2Pruner(D2Pruner):
    """D2 on a training that was watched already; the network is as it was at its end."""

    margin: np.ndarray

    def _score(self, job: Any) -> np.ndarray:
        difficulty = (1 - self.margin.mean(axis=0, dtype=np.float64)) / 2
        return self._score_rows(job, penultimate_features(job), difficulty)


def _cutoff(ratio: float) -> float:
    return _CUTOFFS[max(least for least in _CUTOFFS if least <= ratio)]


def watched_coverage(margin: np.ndarray, ratio: float, seed: int) -> BasePruner:
    """Return CCS on margins of shape (n_epochs, n_images)."""
    pruner = WatchedCoveragePruner(prune_ratio=ratio, cutoff=_cutoff(ratio), random_state=seed)
    pruner.margin = margin
    return pruner


def watched_dual(probability: np.ndarray, n_epochs: int, ratio: float, seed: int) -> BasePruner:
    """Return DUAL on the first so many epochs of probabilities of shape (n_epochs, n_images)."""
    window = max(2, n_epochs // _DUAL_WINDOWS)
    pruner = WatchedDUALPruner(
        prune_ratio=ratio, n_epochs=n_epochs, window=window, random_state=seed
    )
    pruner.probability = probability
    return pruner


def watched_d2(estimator: Any, margin: np.ndarray, ratio: float, seed: int) -> BasePruner:
    """Return D2 on margins of shape (n_epochs, n_images), with CCS's cutoff."""
    pruner = WatchedD2Pruner(estimator, prune_ratio=ratio, cutoff=_cutoff(ratio), random_state=seed)
    pruner.margin = margin
    return pruner


def coverage(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """CCS, its margins those of the reference's training."""
    return _kept(lab, watched_coverage(lab.reference.margin, ratio, seed))


def d2(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """D2, with CCS's margins and cutoff, on the inputs of the reference's last layer."""
    estimator = lab.network(lab.reference.states[-1])
    pruner = watched_d2(estimator, lab.reference.margin, ratio, seed)
    return _kept(lab, pruner, lab.images.X_train)


def dual(lab: Lab, ratio: float, seed: int) -> np.ndarray:
    """DUAL, its probabilities those of the first epochs of the reference's training."""
    n_epochs = min(_DUAL_EPOCHS, lab.protocol.n_epochs)
    return _kept(lab, watched_dual(lab.reference.probability, n_epochs, ratio, seed))


def kept_by(pruner: BasePruner, y: np.ndarray, X: np.ndarray | None = None) -> np.ndarray:
    """Return the mask of what a pruner keeps; X is left out if it does not look at the images."""
    return pruner.fit(y.reshape(-1, 1) if X is None else X, y).get_support()


def _kept(lab: Lab, pruner: BasePruner, X: np.ndarray | None = None) -> np.ndarray:
    return np.flatnonzero(kept_by(pruner, lab.images.y_train, X))


PRUNERS: dict[str, Callable[[Lab, float, int], np.ndarray]] = {
    "random": random,
    "influence, embedding": embedding,
    "geometric median, embedding": geometric_median,
    "zero-shot coverage, embedding": zero_shot,
    "influence, last layer": last_layer,
    "influence, checkpoints": checkpoints,
    "influence, embedding and last layer": embedding_and_last_layer,
    "coverage": coverage,
    "d2": d2,
    "dual": dual,
}
