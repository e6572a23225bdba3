"""CIFAR-10 as images: bytes, labels, and a fixed embedding of the training rows."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .data import load

# Of the training images, by colour.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
N_CLASSES = 10


@dataclass(frozen=True)
class Images:
    """CIFAR-10: bytes of shape (n, 3, 32, 32), labels, a fixed embedding of the training rows."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    embedding: np.ndarray | None

    def subset(self, n: int | None) -> Images:
        """At most n training images, and as many test images."""
        if n is None:
            return self
        embedding = None if self.embedding is None else self.embedding[:n]
        return Images(
            self.X_train[:n], self.y_train[:n], self.X_test[:n], self.y_test[:n], embedding
        )


def read_images(data_dir: Path) -> Images:
    """Read the original batches where they are, else the JPEG pack."""
    folder = data_dir / "cifar-10-batches-py"
    X, y, is_test = _read_batches(folder) if folder.is_dir() else _read_jpegs(data_dir)
    try:
        embedding = load("cifar10", data_dir).X_train
    except FileNotFoundError:
        embedding = None
    return Images(X[~is_test], y[~is_test], X[is_test], y[is_test], embedding)


def _read_batches(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, y, is_test = [], [], []
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = pickle.loads((folder / name).read_bytes(), encoding="bytes")
        X.append(batch[b"data"].reshape(-1, 3, 32, 32))
        y.append(np.asarray(batch[b"labels"]))
        is_test.append(np.full(len(y[-1]), name == "test_batch"))
    return np.concatenate(X), np.concatenate(y), np.concatenate(is_test)


def _read_jpegs(data_dir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from PIL import Image

    path = data_dir / "cifar10_jpeg.npz"
    if not path.is_file():
        raise FileNotFoundError(f"neither cifar-10-batches-py nor {path.name} is in {data_dir}.")
    with np.load(path) as archive:
        jpeg, offset = archive["jpeg"].tobytes(), archive["offset"]
        y, is_test = archive["label"].astype(np.int64), archive["is_test"].astype(bool)
    X = np.empty((len(y), 3, 32, 32), dtype=np.uint8)
    for i in range(len(y)):
        with Image.open(io.BytesIO(jpeg[offset[i] : offset[i + 1]])) as image:
            X[i] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return X, y, is_test
