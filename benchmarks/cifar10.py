"""Deep networks on CIFAR-10 images: prune, retrain from zero, and compare.

    python -m benchmarks.cifar10                                  # the fast protocol, all cells
    python -m benchmarks.cifar10 --protocol literature            # 200 epochs, as the papers
    python -m benchmarks.cifar10 --protocol cpu --architecture small --transfer --ratio 0.9
    python -m benchmarks.cifar10 --transfer --ratio 0.4 --choices FOLDER \
        --pruner random "influence, hardest, speed proxy" "el2n, speed proxy"
    python -m benchmarks.cifar10 --subset 2000 --epochs 2 --architecture tiny --transfer  # a trial

Pruners choose images (`cifar10_pruners.py` says how); new networks, of the architecture that
the pruners looked at and of two others, are trained on these, for as many epochs as on all images
(with the protocol `cpu`, more). Measured is the accuracy on the test images after the last epoch,
and on the way there; the table also has the seconds until it first is within 1.3 points of that of
all images. Pruners named `speed proxy` look at the small network of the protocol `speed` instead,
whose --cache is then the folder of --choices.

Images come from `cifar10_jpeg.npz`, or from the original `cifar-10-batches-py` folder where there
is one in the data folder. Lossy JPEG probably costs some points. A GPU is used where there is one;
without, only the protocol `cpu` ends within hours. One line a cell goes to
`results/cifar10_images.csv` as soon as it is measured, and a run that was cut off goes on where it
stopped; with `--cache FOLDER` it need not train the pruners' network again either.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from . import cifar10_networks as networks
from . import cifar10_speed_table
from ._common import argument_parser, markdown_table, output_folder
from .cells import Key, append_record, read_records
from .cifar10_choices import PRUNERS as SPEED_PRUNERS
from .cifar10_choices import Choice, choice_path
from .cifar10_images import Images, read_images
from .cifar10_pruners import PRUNERS, Lab
from .cifar10_speed import hardware
from .cifar10_speed_jobs import FULL, N_CHOICES
from .cifar10_speed_report import BASELINE, MARGIN
from .scores import LEVEL, Gain, gain

RATIOS = (0.3, 0.4, 0.5, 0.7, 0.8, 0.9)
TRANSFERS = ("vgg11", "convmixer")
# Pruners that look at the proxies of the speed protocol, a smaller network, instead.
BY_PROXY = {f"{name}, speed proxy": name for name in SPEED_PRUNERS}
# The best of the literature for ResNet-18 and 200 epochs, in percent.
LITERATURE = {0.3: 95.5, 0.5: 95.2, 0.7: 93.0, 0.8: 91.4, 0.9: 87.1}


@dataclass(frozen=True)
class Cell:
    """One network that was trained on what a pruner kept.

    n_epochs : of the protocol, on all images.
    seed : of the pruner's draw and of this network.
    n_trained : epochs that this network was trained for.
    accuracy : on the test images, after the last epoch.
    seconds : of training.
    times, accuracies : at each test, separated by spaces: seconds of training until then, accuracy.
    hardware : that the network was trained on.
    """

    protocol: str
    n_epochs: int
    pruner: str
    prune_ratio: float
    architecture: str
    seed: int
    n_kept: int
    n_trained: int
    accuracy: float
    seconds: float
    times: str
    accuracies: str
    hardware: str

    @property
    def key(self) -> Key:
        setting = (self.protocol, self.n_epochs)
        return (*setting, self.pruner, self.prune_ratio, self.architecture, self.seed)

    def seconds_until(self, accuracy: float) -> float:
        """Seconds of training until the test accuracy first was at least this; nan if never."""
        pairs = zip(self.times.split(), self.accuracies.split(), strict=True)
        reached = (float(time) for time, score in pairs if float(score) >= accuracy)
        return next(reached, float("nan"))


def run(
    images: Images, args: argparse.Namespace, known: Sequence[Cell], keep: Callable[[Cell], None]
) -> None:
    """Measure the cells that are not known yet: networks on all images last."""
    protocol = networks.PROTOCOLS[args.protocol]
    if args.epochs:
        protocol = replace(protocol, n_epochs=args.epochs, kept_epochs=None)
    done = {cell.key for cell in known}
    n_images = len(images.y_train)

    def measured(pruner: str, ratio: float, architecture: str, seed: int) -> bool:
        return (args.protocol, protocol.n_epochs, pruner, ratio, architecture, seed) in done

    def note(
        test: networks.TestScore, n_kept: int, pruner: str, ratio: float, name: str, seed: int
    ) -> None:
        cell = Cell(
            *(args.protocol, protocol.n_epochs, pruner, ratio, name, seed, n_kept),
            n_trained=protocol.epochs(is_pruned=n_kept < n_images),
            accuracy=test.accuracies[-1],
            seconds=test.seconds[-1],
            times=" ".join(f"{time:.1f}" for time in test.seconds),
            accuracies=" ".join(f"{accuracy:.4f}" for accuracy in test.accuracies),
            hardware=hardware(),
        )
        if cell.key not in done:
            done.add(cell.key)
            keep(cell)
            print(cell, file=sys.stderr, flush=True)

    lab = Lab(
        images,
        args.architecture,
        protocol,
        cache=args.cache,
        on_trained=lambda test: note(test, n_images, FULL, 0.0, args.architecture, 0),
    )
    architectures = list(dict.fromkeys([args.architecture, *args.transfer]))
    # Seeds innermost: the lab keeps the influences of one pruner at a time.
    for pruner, ratio, seed in product(args.pruner, args.ratio, range(args.seeds)):
        missing = [name for name in architectures if not measured(pruner, ratio, name, seed)]
        if not missing:
            continue
        if pruner in BY_PROXY:
            rows = chosen_by_proxy(args.choices, BY_PROXY[pruner], ratio, seed)
        else:
            rows = PRUNERS[pruner](lab, ratio, seed)
        for name in missing:
            test = networks.train(images, rows, name, protocol, seed)
            note(test, len(rows), pruner, ratio, name, seed)
    for seed, name in product(range(args.full_seeds), architectures):
        if not measured(FULL, 0.0, name, seed):
            test = networks.train(images, np.arange(n_images), name, protocol, seed)
            note(test, n_images, FULL, 0.0, name, seed)


def chosen_by_proxy(cache: Path, pruner: str, ratio: float, seed: int) -> np.ndarray:
    """Return the images that a pruner of the speed protocol keeps, from its cache.

    Further seeds are of networks trained on the same choices.
    """
    path = choice_path(cache, "test", pruner, ratio, seed % N_CHOICES)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; let --protocol speed --stage proxy choose write it."
        )
    return np.flatnonzero(Choice.load(path).support)


def table(cells: Sequence[Cell]) -> str:
    """Return mean accuracy by pruner and ratio, a table for each protocol and architecture."""
    parts = [
        "Accuracy on the test images in percent, mean over seeds; in brackets the gain over random "
        f"images of the same class shares, paired by seed, with its {LEVEL:.0%} interval and the "
        "number of seeds. Seeds are of what a pruner draws and of the networks trained on it; "
        "whatever looks at a network looks at the same one in all seeds."
    ]
    settings = dict.fromkeys((c.protocol, c.n_epochs, c.architecture) for c in cells)
    for setting in settings:
        here = [c for c in cells if (c.protocol, c.n_epochs, c.architecture) == setting]
        full = [c.accuracy for c in here if c.pruner == FULL]
        aim = np.mean(full) - MARGIN if full else np.inf
        ratios = sorted({c.prune_ratio for c in here if c.pruner != FULL})
        rows = []
        for pruner in dict.fromkeys(c.pruner for c in here if c.pruner != FULL):
            shown = [_shown(here, pruner, ratio, float(aim)) for ratio in ratios]
            rows.append([pruner, *shown])
        kept = {c.n_trained for c in here if c.pruner != FULL}
        epochs = ", ".join(map(str, sorted(kept))) or "no"
        protocol, n_epochs, architecture = setting
        parts.append(
            f"## {architecture}, {protocol} protocol: {n_epochs} epochs on all images, {epochs} on "
            "kept ones"
        )
        trained_on = ", ".join(sorted({cell.hardware for cell in here}))
        parts.append(f"Trained on: {trained_on}." + (f" All images: {_mean(full)}" if full else ""))
        parts.append(markdown_table(["pruner", *(f"{r:.0%}" for r in ratios)], rows))
    best = ", ".join(f"{value} at {ratio:.0%}" for ratio, value in LITERATURE.items())
    parts.append(f"The literature's best for ResNet-18 in 200 epochs: {best}.")
    return "\n\n".join(parts)


def gain_over_random(cells: Iterable[Cell], pruner: str, ratio: float) -> Gain:
    """Return the gain over random images, paired by seed."""
    by_seed: dict[str, dict[int, float]] = {pruner: {}, BASELINE: {}}
    for cell in cells:
        if cell.pruner in by_seed and cell.prune_ratio == ratio:
            by_seed[cell.pruner][cell.seed] = cell.accuracy
    return gain(by_seed[pruner], by_seed[BASELINE])


def _shown(cells: Sequence[Cell], pruner: str, ratio: float, aim: float) -> str:
    trained = [c for c in cells if (c.pruner, c.prune_ratio) == (pruner, ratio)]
    if not trained:
        return ""
    shown = _mean([cell.accuracy for cell in trained])
    until = np.array([cell.seconds_until(aim) for cell in trained])
    if not np.isnan(until).any():
        shown += f", {until.mean():.0f} s"
    over = gain_over_random(cells, pruner, ratio)
    if pruner == BASELINE or not over.n_seeds:
        return shown
    interval = f" ± {100 * over.half:.2f}" if np.isfinite(over.half) else ""
    return f"{shown} ({100 * over.mean:+.2f}{interval}, {over.n_seeds})"


def _mean(accuracies: Sequence[float]) -> str:
    return f"{100 * np.mean(accuracies):.2f}"


def _protocol(argv: Sequence[str]) -> str | None:
    """Return the protocol that the command line names."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--protocol")
    return parser.parse_known_args(argv)[0].protocol


def main(argv: Sequence[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    if _protocol(argv) == "speed":
        cifar10_speed_table.main(argv)
        return
    parser = argument_parser("python -m benchmarks.cifar10", __doc__)
    parser.add_argument("--protocol", choices=networks.PROTOCOLS, default="fast")
    parser.add_argument("--epochs", type=int, help="instead of the protocol's")
    parser.add_argument("--architecture", choices=networks.ARCHITECTURES, default="resnet18")
    parser.add_argument("--transfer", nargs="*", default=list(TRANSFERS))
    parser.add_argument(
        "--pruner", nargs="+", choices=[*PRUNERS, *BY_PROXY], default=list(PRUNERS), metavar="NAME"
    )
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--full-seeds", type=int, default=1, help="networks on all images")
    parser.add_argument("--cache", type=Path, help="folder that keeps the pruners' network")
    parser.add_argument("--choices", type=Path, help="the --cache of the speed protocol")
    args = parser.parse_args(argv)
    if not BY_PROXY.keys().isdisjoint(args.pruner) and (args.choices is None or args.subset):
        parser.error("pruners of the speed proxy need --choices, which are of all images.")
    try:
        images = read_images(args.data_dir).subset(args.subset)
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    folder = output_folder(args)
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
