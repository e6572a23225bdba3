"""Deep networks on CIFAR-10 images: prune, retrain from zero, and compare.

    python -m benchmarks.cifar10                                  # the fast protocol, all cells
    python -m benchmarks.cifar10 --protocol literature            # 200 epochs, as the papers
    python -m benchmarks.cifar10 --subset 2000 --epochs 1 --architecture tiny   # a trial

A network is trained on all images; the pruners choose from it, or from a fixed embedding; a new
network of the same and of two other architectures is trained on the images kept, for as many
epochs. Measured are the accuracy on the test images after the last epoch, and the seconds until it
first is within 1.3 points of that of all images.

Images come from `cifar10_jpeg.npz`, or from the original `cifar-10-batches-py` folder where there
is one in the data folder. Lossy JPEG costs some tenths of a point. A GPU is used where torch sees
one; without, the whole protocol takes weeks. One line a cell goes to `results/cifar10_images.csv`
as soon as it is measured, and a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import io
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner

from . import networks
from ._common import RESULTS, append_record, argument_parser, markdown_table, read_records
from .data import load

RATIOS = (0.3, 0.4, 0.5, 0.7, 0.8, 0.9)
TRANSFERS = ("vgg11", "convmixer")
# Points below the accuracy of all images that count as reached.
MARGIN = 0.013
DAMPING = 1e-3
FULL = "all images"
# The best of the literature for ResNet-18 and 200 epochs, in percent.
LITERATURE = {0.3: 95.5, 0.5: 95.2, 0.7: 93.0, 0.8: 91.4, 0.9: 87.1}


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


@dataclass(frozen=True)
class Cell:
    """One network that was trained on what a pruner kept.

    seconds_to_margin : seconds of training until the accuracy first was within 1.3 points of that
        of all images; nan where it never was.
    """

    protocol: str
    n_epochs: int
    pruner: str
    prune_ratio: float
    architecture: str
    seed: int
    n_kept: int
    accuracy: float
    seconds: float
    seconds_to_margin: float

    @property
    def key(self) -> tuple[Any, ...]:
        return (
            self.protocol,
            self.n_epochs,
            self.pruner,
            self.prune_ratio,
            self.architecture,
            self.seed,
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


def last_layer(images: Images, net: NeuralNetClassifier, ratio: float, seed: int) -> np.ndarray:
    """InfluencePruner on the last layer of the network trained on all images."""
    pruner = InfluencePruner(
        FrozenEstimator(net), prune_ratio=ratio, damping=DAMPING, random_state=seed
    )
    return pruner.fit(images.X_train, images.y_train).get_support(indices=True)


def embedding(images: Images, net: NeuralNetClassifier, ratio: float, seed: int) -> np.ndarray:
    """InfluencePruner on a linear model of a fixed embedding, which no training moves."""
    if images.embedding is None:
        raise FileNotFoundError("cifar10_embedding.npz is not in the data folder.")
    pruner = InfluencePruner(prune_ratio=ratio, damping=DAMPING, random_state=seed)
    return pruner.fit(images.embedding, images.y_train).get_support(indices=True)


def random(images: Images, net: NeuralNetClassifier, ratio: float, seed: int) -> np.ndarray:
    """Random images, as many of each class."""
    pruner = RandomPruner(prune_ratio=ratio, random_state=seed)
    flat = images.y_train.reshape(-1, 1)
    return pruner.fit(flat, images.y_train).get_support(indices=True)


PRUNERS: dict[str, Callable[[Images, NeuralNetClassifier, float, int], np.ndarray]] = {
    "influence, last layer": last_layer,
    "influence, embedding": embedding,
    "random": random,
}


def train(
    images: Images, rows: np.ndarray, architecture: str, protocol: networks.Protocol, seed: int
) -> tuple[NeuralNetClassifier, networks.TestScore]:
    """Train a new network on these rows."""
    torch.manual_seed(seed)
    watch = networks.TestScore(images.X_test, images.y_test)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = networks.classifier(
        architecture, protocol, len(rows), callbacks=[("test", watch)], device=device
    )
    net.fit(images.X_train[rows], images.y_train[rows])
    return net, net.callbacks[-1][1]


def seconds_until(watch: networks.TestScore, accuracy: float) -> float:
    """Seconds of training until the test accuracy first was at least this; nan if never."""
    reached = np.flatnonzero(np.asarray(watch.accuracies) >= accuracy)
    return watch.seconds[reached[0]] if len(reached) else float("nan")


def run(
    images: Images, args: argparse.Namespace, known: Sequence[Cell], keep: Callable[[Cell], None]
) -> None:
    """Measure the cells that are not known yet."""
    protocol = networks.PROTOCOLS[args.protocol]
    if args.epochs:
        protocol = replace(protocol, n_epochs=args.epochs)
    done = {cell.key: cell for cell in known}
    everything = np.arange(len(images.y_train))
    architectures = list(dict.fromkeys([args.architecture, *args.transfer]))

    def key(*cell: Any) -> tuple[Any, ...]:
        return (args.protocol, protocol.n_epochs, *cell)

    def measure(watch: networks.TestScore, n_kept: int, aim: float, *cell: Any) -> Cell:
        until = seconds_until(watch, aim - MARGIN)
        values = (*key(*cell), n_kept, watch.accuracies[-1], watch.seconds[-1], until)
        measured = Cell(*values)
        keep(measured)
        print(measured, file=sys.stderr, flush=True)
        return measured

    for seed in range(args.seeds):
        full, net = {}, None
        for architecture in architectures:
            cell = (FULL, 0.0, architecture, seed)
            if key(*cell) not in done:
                trained, watch = train(images, everything, architecture, protocol, seed)
                net = trained if architecture == args.architecture else net
                accuracy = watch.accuracies[-1]
                done[key(*cell)] = measure(watch, len(everything), accuracy, *cell)
            full[architecture] = done[key(*cell)].accuracy
        for ratio, pruner in product(args.ratio, args.pruner):
            missing = [a for a in architectures if key(pruner, ratio, a, seed) not in done]
            if not missing:
                continue
            if net is None:
                net, _ = train(images, everything, args.architecture, protocol, seed)
            rows = PRUNERS[pruner](images, net, ratio, seed)
            for architecture in missing:
                _, watch = train(images, rows, architecture, protocol, seed)
                measure(watch, len(rows), full[architecture], pruner, ratio, architecture, seed)


def table(cells: Sequence[Cell]) -> str:
    """Return mean accuracy by pruner and ratio, a table for each protocol and architecture."""
    parts = []
    settings = dict.fromkeys((c.protocol, c.n_epochs, c.architecture) for c in cells)
    for protocol, n_epochs, architecture in settings:
        here = [
            c
            for c in cells
            if (c.protocol, c.n_epochs, c.architecture) == (protocol, n_epochs, architecture)
        ]
        ratios = sorted({c.prune_ratio for c in here if c.pruner != FULL})
        rows = []
        for pruner in dict.fromkeys(c.pruner for c in here if c.pruner != FULL):
            found = [[c for c in here if (c.pruner, c.prune_ratio) == (pruner, r)] for r in ratios]
            rows.append([pruner, *(_shown(cells) for cells in found)])
        header = ["pruner", *(f"{ratio:.0%}" for ratio in ratios)]
        full = _shown([c for c in here if c.pruner == FULL])
        title = f"## {architecture}, {protocol} protocol, {n_epochs} epochs; all images: {full}"
        parts += [title, markdown_table(header, rows)]
    best = ", ".join(f"{value} at {ratio:.0%}" for ratio, value in LITERATURE.items())
    parts.append(f"The literature's best for ResNet-18 in 200 epochs: {best}.")
    return "\n\n".join(parts)


def _shown(cells: Sequence[Cell]) -> str:
    if not cells:
        return ""
    accuracy = 100 * np.array([cell.accuracy for cell in cells])
    until = np.array([cell.seconds_to_margin for cell in cells])
    time = "" if np.isnan(until).any() else f", {until.mean():.0f} s"
    spread = f" ± {accuracy.std(ddof=1):.2f}" if len(cells) > 1 else ""
    return f"{accuracy.mean():.2f}{spread}{time}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.cifar10", __doc__)
    parser.add_argument("--protocol", choices=networks.PROTOCOLS, default="fast")
    parser.add_argument("--epochs", type=int, help="instead of the protocol's")
    parser.add_argument("--architecture", choices=networks.ARCHITECTURES, default="resnet18")
    parser.add_argument("--transfer", nargs="*", default=list(TRANSFERS))
    parser.add_argument("--pruner", nargs="+", choices=PRUNERS, default=list(PRUNERS))
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args(argv)
    try:
        images = read_images(args.data_dir).subset(args.subset)
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    folder = args.out or (None if args.subset else RESULTS)
    path = folder / "cifar10_images.csv" if folder else None
    cells = read_records(path, Cell) if path else []

    def keep(cell: Cell) -> None:
        cells.append(cell)
        if path:
            append_record(path, cell)

    run(images, args, list(cells), keep)
    print(table(cells))
    if folder:
        (folder / "cifar10_images.md").write_text(table(cells) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
