"""The table of the speed protocol: proxies, choices, trained networks, and the report.

Three stages, each of which keeps what it has done and goes on where it stopped, also on another
machine if ``--cache`` and the results come along: proxies are trained, pruners choose images
(no GPU is needed), new networks are trained on these.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np

from . import cifar10_speed as speed
from ._common import argument_parser, output_folder
from .cells import Key, append_record, read_records
from .cifar10_images import Images, read_images
from .cifar10_proxies import Proxy, train_proxy

FULL = "all images"
N_EPOCHS, PROXY_SHARE = 12.0, 0.25
# Seeds of proxies and draws; networks of further seeds are trained on the same choices again.
N_CHOICES = 3
STAGES = ("proxy", "choose", "train")
# Ours: at each ratio the rule that is better on images to validate on.
OURS, RULES = "influence", ("influence, hard", "influence, sure")
TABLE_PRUNERS = (
    *("random", "el2n", "least confidence", "forgetting", "coverage", "dual", "moso", OURS),
)
# Up to this share pruned, as many epochs are the budget that matters, and beyond, as many steps.
MOST_BY_EPOCHS = 0.5
TABLE_RATIOS = (0.3, 0.4, 0.5, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class SpeedCell:
    """One network.

    split : "test", or "validation", whose images all come from the training images.
    n_epochs : passes over the images kept.
    seed : of the network; choices are of seed modulo N_CHOICES.
    accuracy : at the end, each image seen with its mirror image.
    seconds : of training this network.
    """

    split: str
    pruner: str
    prune_ratio: float
    design: str
    n_epochs: float
    seed: int
    n_kept: int
    n_steps: int
    accuracy: float
    seconds: float
    hardware: str

    @property
    def key(self) -> Key:
        return _key(self)


@dataclass(frozen=True)
class Job:
    """A network to train."""

    split: str
    pruner: str
    prune_ratio: float
    n_epochs: float
    seed: int
    design: str = "standard"

    @property
    def key(self) -> Key:
        return _key(self)


def _key(of: SpeedCell | Job) -> Key:
    """Return what tells networks apart; files hold rounded numbers."""
    numbers = (f"{of.prune_ratio:.3f}", f"{of.n_epochs:.3f}", of.seed)
    return (of.split, of.pruner, of.design, *numbers)


class Lab:
    """The images, and the folder that keeps proxies and choices."""

    def __init__(self, images: Images, cache: Path, n_epochs: float) -> None:
        self.images, self.cache, self.n_epochs = images, cache, n_epochs
        self._sets: dict[str, tuple[speed.ImageSet, speed.ImageSet]] = {}
        self.rules: dict[float, str] = {}

    def sets(self, split: str) -> tuple[speed.ImageSet, speed.ImageSet]:
        if split not in self._sets:
            is_validation = split == "validation"
            self._sets[split] = speed.splits(self.images, is_validation=is_validation)
        return self._sets[split]

    def proxy_path(self, split: str, seed: int) -> Path:
        return self.cache / f"proxy-{split}-{seed}.npz"

    def choice_path(self, split: str, pruner: str, ratio: float, seed: int) -> Path:
        return self.cache / split / f"{pruner.replace(' ', '_')}-{ratio:.2f}-{seed}.npz"

    def train_proxies(self, split: str, n_seeds: int) -> None:
        for seed in range(n_seeds):
            path = self.proxy_path(split, seed)
            if not path.is_file():
                proxy = train_proxy(*self.sets(split), PROXY_SHARE * self.n_epochs, seed)
                proxy.save(path)
                _say(f"proxy {split} {seed}: {proxy.seconds:.2f} s, accuracy {proxy.accuracy:.4f}")

    def choose(self, split: str, pruners: Sequence[str], ratios: Sequence[float], n: int) -> None:
        from .cifar10_choices import Chooser

        for seed in range(n):
            path = self.proxy_path(split, seed)
            proxy = Proxy.load(path) if path.is_file() else None
            y = self.images.y_train
            y = y[: len(y) * 4 // 5] if split == "validation" else y
            embedding = self.images.embedding
            embedding = None if embedding is None else embedding[: len(y)]
            chooser = Chooser(y, proxy, embedding, seed)
            for pruner, ratio in product(pruners, ratios):
                path = self.choice_path(split, pruner, ratio, seed)
                if not path.is_file():
                    choice = chooser.choose(pruner, ratio)
                    choice.save(path)
                    _say(f"{split} {pruner} {ratio:.0%} {seed}: {choice.seconds:.1f} s")

    def kept(self, job: Job) -> np.ndarray | None:
        """Return the positions that a pruner keeps; None if it has not chosen yet."""
        if job.pruner == FULL:
            return np.arange(len(self.sets(job.split)[0]))
        pruner = self.rules.get(job.prune_ratio, "") if job.pruner == OURS else job.pruner
        seed = 0 if job.split == "validation" else job.seed % N_CHOICES
        path = self.choice_path(job.split, pruner, job.prune_ratio, seed)
        if not path.is_file():
            return None
        with np.load(path) as archive:
            packed, n = archive["packed"], int(archive["n"])
        return np.flatnonzero(np.unpackbits(packed, count=n))

    def train(self, job: Job) -> SpeedCell | None:
        rows = self.kept(job)
        if rows is None:
            _say(f"not chosen yet: {job}")
            return None
        images, others = self.sets(job.split)
        chosen = images if len(rows) == len(images) else images.rows(rows)
        trained = speed.train(chosen, job.n_epochs, job.seed, design=DESIGNS[job.design])
        return SpeedCell(
            *(job.split, job.pruner, job.prune_ratio, job.design, job.n_epochs, job.seed),
            n_kept=len(rows),
            n_steps=trained.n_steps,
            accuracy=speed.accuracy(trained.net, others),
            seconds=trained.seconds,
            hardware=speed.hardware(),
        )


def _searched_designs() -> Iterator[tuple[str, speed.Design]]:
    for widths, (depth, skips), kernel, pooling in product(
        ((16, 32, 32), (32, 64, 64)), ((1, False), (2, False), (3, True)), (3, 5), ("max", "mean")
    ):
        name = f"{widths[0]}-{depth}-{kernel}-{pooling}"
        yield name, speed.Design(widths, depth, kernel, pooling, skips)


# The standard one, and the 24 of the architecture search.
DESIGNS = {"standard": speed.Design(), **dict(_searched_designs())}
# Networks that are trained on rows that another one chose.
TRANSFERS = ("32-3-3-max", "32-2-5-mean")
# Passes of the search: over all images, and over a tenth of them, which takes half as long.
SEARCH_EPOCHS, SEARCH_EPOCHS_PRUNED = 8.0, 40.0


def table_jobs(n_epochs: float) -> Iterator[Job]:
    """Yield the networks of the committed table, the most important first."""
    main, at_ninety = ("random", "el2n", OURS), ("random", OURS, "coverage", "dual")

    def jobs(pruners: Sequence[str], ratio: float, seeds: range, *budgets: str) -> Iterator[Job]:
        for seed, pruner, budget in product(seeds, pruners, budgets):
            passes = n_epochs if budget == "epochs" else n_epochs / (1 - ratio)
            yield Job("test", pruner, ratio, passes, seed)

    for ratio, seed, rule in product(TABLE_RATIOS, range(2), RULES):
        passes = n_epochs if ratio <= MOST_BY_EPOCHS else n_epochs / (1 - ratio)
        yield Job("validation", rule, ratio, passes, seed)
    yield from (Job("test", FULL, 0.0, n_epochs, seed) for seed in range(5))
    yield from jobs(main, 0.4, range(5), "epochs")
    yield from jobs(at_ninety, 0.9, range(5), "steps")
    yield from jobs(main, 0.4, range(3), "steps")
    yield from jobs(at_ninety, 0.9, range(3), "epochs")
    others = [name for name in TABLE_PRUNERS if name not in main]
    yield from jobs(others, 0.4, range(1), "epochs", "steps")
    others = [name for name in TABLE_PRUNERS if name not in at_ninety]
    yield from jobs(others, 0.9, range(1), "epochs", "steps")
    for seed in range(2):
        for passes in (5.0, 6.0, 7.0, 8.0, 9.0, 10.0):
            yield Job("test", FULL, 0.0, passes, seed)
        for passes in (8.0, 10.0, 14.0, 16.0):
            yield Job("test", OURS, 0.4, passes, seed)
    yield from (Job("test", "el2n", 0.4, passes, 0) for passes in (8.0, 10.0, 14.0, 16.0))
    for name, _ in _searched_designs():
        yield Job("test", FULL, 0.0, SEARCH_EPOCHS, 0, name)
        for pruner in ("random", "el2n", "dual", OURS):
            yield Job("test", pruner, 0.9, SEARCH_EPOCHS_PRUNED, 0, name)
    for name, pruner in product(TRANSFERS, (FULL, *main)):
        yield Job("test", pruner, 0.0 if pruner == FULL else 0.4, n_epochs, 0, name)
    for ratio in (0.8, 0.5, 0.7, 0.3):
        budget = "epochs" if ratio <= MOST_BY_EPOCHS else "steps"
        yield from jobs(TABLE_PRUNERS, ratio, range(1), budget)
    yield from (Job("test", FULL, 0.0, n_epochs, seed) for seed in range(5, 10))
    yield from jobs(main, 0.4, range(5, 10), "epochs")
    yield from jobs(at_ninety, 0.9, range(5, 10), "steps")


def jobs_of(args: argparse.Namespace) -> Iterator[Job]:
    """Yield the networks that the arguments ask for."""
    if args.table:
        yield from table_jobs(args.epochs)
        return
    for seed in range(args.full_seeds):
        for n_epochs in args.full_epochs or [args.epochs]:
            yield Job(args.split, FULL, 0.0, n_epochs, seed)
    for ratio, seed, pruner, budget in product(
        args.ratio, range(args.seeds), args.pruner, args.budget
    ):
        n_epochs = args.epochs if budget == "epochs" else args.epochs / (1 - ratio)
        yield Job(args.split, pruner, ratio, n_epochs, seed)


def run(args: argparse.Namespace) -> None:
    """Run the stages."""
    started = perf_counter()
    images = read_images(args.data_dir).subset(args.subset)
    _say(f"images read: {perf_counter() - started:.1f} s; {speed.hardware()}")
    lab = Lab(images, args.cache, args.epochs)
    n_choices = min(args.seeds, N_CHOICES)
    if "proxy" in args.stage:
        lab.train_proxies(args.split, n_choices)
    if "choose" in args.stage:
        pruners = (*TABLE_PRUNERS[:-1], *RULES) if args.table else args.pruner
        ratios = TABLE_RATIOS if args.table else args.ratio
        lab.choose(args.split, pruners, ratios, n_choices)
    folder = output_folder(args)
    if "train" in args.stage:
        _train_all(lab, jobs_of(args), folder, started + 60 * args.minutes)
    if folder:
        _write_report(folder)


def _train_all(lab: Lab, jobs: Iterator[Job], folder: Path | None, deadline: float) -> None:
    path = folder / "cifar10_speed.csv" if folder else None
    cells = read_records(path, SpeedCell) if path else []
    done = {cell.key for cell in cells}
    for job in jobs:
        lab.rules = best_rules(cells)
        if perf_counter() > deadline:
            _say("time is up")
            return
        if job.key in done:
            continue
        done.add(job.key)
        cell = lab.train(job)
        if cell is not None:
            _say(f"{cell}")
            cells.append(cell)
            if path:
                append_record(path, cell)


def _write_report(folder: Path) -> None:
    from .cifar10_speed_report import report

    cells = read_records(folder / "cifar10_speed.csv", SpeedCell)
    (folder / "cifar10_speed.md").write_text(report(cells) + "\n", encoding="utf-8")


def best_rules(cells: Sequence[SpeedCell]) -> dict[float, str]:
    """Return the rule of highest mean accuracy on the images to validate on, by ratio."""
    scores: dict[float, dict[str, list[float]]] = {}
    for cell in cells:
        if cell.split == "validation" and cell.pruner in RULES:
            scores.setdefault(cell.prune_ratio, {}).setdefault(cell.pruner, []).append(
                cell.accuracy
            )
    return {
        ratio: max(by_rule, key=lambda rule: float(np.mean(by_rule[rule])))
        for ratio, by_rule in scores.items()
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    arguments = argument_parser("python -m benchmarks.cifar10 --protocol speed", __doc__)
    arguments.add_argument("--protocol", choices=["speed"], default="speed")
    arguments.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES))
    arguments.add_argument("--split", choices=["test", "validation"], default="test")
    arguments.add_argument("--epochs", type=float, default=N_EPOCHS, help="on all images")
    arguments.add_argument("--pruner", nargs="+", default=["random", "el2n"])
    arguments.add_argument("--ratio", nargs="*", type=float, default=[0.4])
    arguments.add_argument(
        "--budget", nargs="+", choices=["epochs", "steps"], default=["epochs", "steps"]
    )
    arguments.add_argument(
        "--table", action="store_true", help="the committed table's networks, first things first"
    )
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--full-seeds", type=int, default=3, help="networks on all images")
    arguments.add_argument("--full-epochs", nargs="+", type=float, help="of these")
    arguments.add_argument("--cache", type=Path, required=True, help="folder of what is chosen")
    arguments.add_argument("--minutes", type=float, default=np.inf, help="start none afterwards")
    return arguments


def main(argv: Sequence[str]) -> None:
    arguments = parser()
    args = arguments.parse_args(argv)
    try:
        run(args)
    except FileNotFoundError as error:
        arguments.exit(2, f"{error}\n")
