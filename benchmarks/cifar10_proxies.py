"""Proxies: networks trained for fewer epochs, and what they say about each image meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from . import cifar10_speed as speed

# Times that a proxy is watched in its training, and principal axes of its features that are kept.
N_WATCHED, N_AXES = 6, 96


@dataclass(frozen=True)
class Proxy:
    """What a network said of its n training images.

    probability : of the own class each time it was watched, of shape (N_WATCHED, n).
    margin : what that is ahead of the likeliest other class; same shape.
    error : length of the vector of probabilities minus the one-hot label (EL2N); same shape.
    agreement : ``lr g_i · Σ_{j≠i} g_j / (n - 1)`` (MoSo); same shape. g_i is the gradient of an
        image's loss in the last layer, up to the constant by which logits are scaled down.
    features : of shape (n, N_AXES): the last layer's inputs at the end, centred, on their principal
        axes, of mean square 1.
    seconds : of training and watching; accuracy : on images that it was not trained on.
    """

    probability: np.ndarray
    margin: np.ndarray
    error: np.ndarray
    agreement: np.ndarray
    features: np.ndarray
    seconds: np.ndarray
    accuracy: np.ndarray

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Proxy:
        with np.load(path) as archive:
            return cls(**{f.name: archive[f.name] for f in fields(cls)})


def train_proxy(
    images: speed.ImageSet, others: speed.ImageSet, n_epochs: float, seed: int
) -> Proxy:
    """Train a proxy on these images, watch it, and test it on the others."""
    seen: list[list[torch.Tensor]] = []

    def watch(net: speed.SpeedNet, lr: float) -> None:
        seen.append(_seen(net, images, lr))

    trained = speed.train(images, n_epochs, seed, watch=watch, n_watched=N_WATCHED)
    probability, margin, error, agreement = (
        torch.stack(part).cpu().numpy() for part in zip(*seen, strict=True)
    )
    features = torch.cat([part for part, _ in speed.read(trained.net, images.X)])
    features = features - features.mean(0)
    _, axes = torch.linalg.eigh((features.T @ features).double())
    leading = (features @ axes.flip(1)[:, :N_AXES].float()).cpu().numpy()
    # Their scale is free, and numbers near 1 suit float16.
    leading /= np.sqrt(np.mean(leading**2))
    return Proxy(
        probability.astype(np.float16),
        margin.astype(np.float16),
        error.astype(np.float16),
        agreement=agreement.astype(np.float32),
        features=leading.astype(np.float16),
        seconds=np.array(trained.seconds),
        accuracy=np.array(speed.accuracy(trained.net, others)),
    )


def _seen(net: speed.SpeedNet, images: speed.ImageSet, lr: float) -> list[torch.Tensor]:
    features, logits = (torch.cat(part) for part in zip(*speed.read(net, images.X), strict=True))
    p = logits.softmax(1)
    rows = torch.arange(len(p), device=p.device)
    own = p[rows, images.y]
    others = p.clone()
    others[rows, images.y] = -1
    residual = p.clone()
    residual[rows, images.y] -= 1
    # g_i is the outer product of residual i and features i.
    n = len(p)
    total = residual.T @ features
    product = torch.einsum("ij,jk,ik->i", residual, total, features)
    itself = residual.square().sum(1) * features.square().sum(1)
    agreement = lr * (product - itself) / (n - 1)
    return [own, own - others.amax(1), residual.norm(dim=1), agreement]
