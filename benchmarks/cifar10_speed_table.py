"""The table of the speed protocol: proxies, choices, trained networks, and the report.

    python -m benchmarks.cifar10 --protocol speed --table --cache FOLDER
    python -m benchmarks.cifar10 --protocol speed --pruner el2n --ratio 0.5 --cache FOLDER

Three stages, each of which keeps what it has done and goes on where it stopped, also on another
machine if ``--cache`` and the results come along: proxies are trained, pruners choose images
(no GPU is needed), new networks are trained on these.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from time import perf_counter

import numpy as np

from . import cifar10_speed as speed
from ._common import argument_parser, output_folder
from .cells import append_record, read_records
from .cifar10_choices import PRUNERS, Choice, Chooser, choice_path
from .cifar10_images import Images, read_images
from .cifar10_proxies import Proxy, train_proxy
from .cifar10_speed_jobs import (
    DESIGNS,
    FULL,
    MAIN_RATIO,
    N_EPOCHS,
    OURS,
    PROXY_SHARE,
    TABLE,
    Block,
    ChoiceKey,
    Job,
    SpeedCell,
    best_rules,
)
from .cifar10_speed_report import report

STAGES = ("proxy", "choose", "train")


class Lab:
    """The images, and the folder that keeps proxies and choices.

    n_epochs : passes over all images.
    """

    def __init__(self, images: Images, cache: Path, n_epochs: float) -> None:
        self.images, self.cache, self.n_epochs = images, cache, n_epochs
        self._sets: dict[str, tuple[speed.ImageSet, speed.ImageSet]] = {}

    def sets(self, split: str) -> tuple[speed.ImageSet, speed.ImageSet]:
        """Return images to train and to test on."""
        if split not in self._sets:
            is_validation = split == "validation"
            self._sets[split] = speed.splits(self.images, is_validation=is_validation)
        return self._sets[split]

    def _proxy_path(self, split: str, seed: int) -> Path:
        return self.cache / f"proxy-{split}-{seed}.npz"

    def _choice_path(self, key: ChoiceKey) -> Path:
        return choice_path(self.cache, key.split, key.pruner, key.prune_ratio, key.seed)

    def train_proxies(self, keys: Iterable[ChoiceKey]) -> None:
        """Train the proxies of these choices."""
        for split, seed in sorted({(key.split, key.seed) for key in keys}):
            path = self._proxy_path(split, seed)
            if not path.is_file():
                proxy = train_proxy(*self.sets(split), PROXY_SHARE * self.n_epochs, seed)
                proxy.save(path)
                _say(f"proxy {split} {seed}: {proxy.seconds:.2f} s, accuracy {proxy.accuracy:.4f}")

    def choose(self, keys: Iterable[ChoiceKey]) -> None:
        """Choose images, with one proxy after the other."""
        missing = sorted(key for key in set(keys) if not self._choice_path(key).is_file())
        for (split, seed), group in groupby(missing, key=lambda key: (key.split, key.seed)):
            path = self._proxy_path(split, seed)
            proxy = Proxy.load(path) if path.is_file() else None
            chooser = Chooser(self.sets(split)[0].y.cpu().numpy(), proxy, seed)
            for key in group:
                choice = chooser.choose(key.pruner, key.prune_ratio)
                choice.save(self._choice_path(key))
                _say(f"{key}: {choice.seconds:.1f} s")

    def kept(self, job: Job, rules: Mapping[float, str]) -> np.ndarray | None:
        """Return the positions that a pruner keeps; None if it has not chosen yet.

        rules : which rule is ours, by ratio.
        """
        if job.pruner == FULL:
            return np.arange(len(self.sets(job.split)[0]))
        pruner = rules.get(job.prune_ratio) if job.pruner == OURS else job.pruner
        path = None if pruner is None else self._choice_path(job.choice(pruner))
        if path is None or not path.is_file():
            return None
        return np.flatnonzero(Choice.load(path).support)

    def train(self, job: Job, rows: np.ndarray) -> SpeedCell:
        """Train a network on these rows and test it."""
        images, others = self.sets(job.split)
        design = DESIGNS[job.design]
        trained = speed.train(images.rows(rows), job.n_epochs, job.seed, design=design)
        return SpeedCell(
            **asdict(job),
            n_kept=len(rows),
            n_steps=trained.n_steps,
            accuracy=speed.accuracy(trained.net, others),
            seconds=trained.seconds,
            hardware=speed.hardware(),
        )


def jobs_of(args: argparse.Namespace) -> Iterator[Job]:
    """Yield the networks that the arguments ask for."""
    blocks = list(TABLE)
    if not args.table:
        full_budgets = args.full_epochs or ["epochs"]
        blocks = [Block([FULL], 0.0, range(args.full_seeds), full_budgets, split=args.split)]
        blocks += [
            Block(args.pruner, ratio, range(args.seeds), args.budget, split=args.split)
            for ratio in args.ratio
        ]
    for block in blocks:
        yield from block.jobs(args.epochs)


def run(args: argparse.Namespace) -> None:
    """Run the stages."""
    started = perf_counter()
    images = read_images(args.data_dir).subset(args.subset)
    _say(f"images read: {perf_counter() - started:.1f} s; {speed.hardware()}")
    lab = Lab(images, args.cache, args.epochs)
    jobs = list(jobs_of(args))
    keys = [key for job in jobs for key in job.choices]
    if "proxy" in args.stage:
        lab.train_proxies(keys)
    if "choose" in args.stage:
        lab.choose(keys)
    folder = output_folder(args)
    if "train" in args.stage:
        _train_all(lab, jobs, folder, started + 60 * args.minutes)
    if folder:
        _write_report(folder)


def _train_all(lab: Lab, jobs: Iterable[Job], folder: Path | None, deadline: float) -> None:
    path = folder / "cifar10_speed.csv" if folder else None
    cells = read_records(path, SpeedCell) if path else []
    done = {cell.key for cell in cells}
    for job in jobs:
        if perf_counter() > deadline:
            _say("time is up")
            return
        if job.key in done:
            continue
        rows = lab.kept(job, best_rules(cells))
        if rows is None:
            _say(f"not chosen yet: {job}")
            continue
        cell = lab.train(job, rows)
        _say(f"{cell}")
        done.add(cell.key)
        cells.append(cell)
        if path:
            append_record(path, cell)


def _write_report(folder: Path) -> None:
    cells = read_records(folder / "cifar10_speed.csv", SpeedCell)
    (folder / "cifar10_speed.md").write_text(report(cells) + "\n", encoding="utf-8")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    arguments = argument_parser("python -m benchmarks.cifar10 --protocol speed", __doc__)
    arguments.add_argument("--protocol", choices=["speed"], default="speed")
    arguments.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES))
    arguments.add_argument(
        "--table",
        action="store_true",
        help="the committed table's networks, first things first; of the other arguments, only "
        "those on folders, stages and minutes count",
    )
    arguments.add_argument("--split", choices=["test", "validation"], default="test")
    arguments.add_argument("--epochs", type=float, default=N_EPOCHS, help="on all images")
    arguments.add_argument(
        "--pruner", nargs="+", choices=[*PRUNERS, OURS], default=["random", "el2n"]
    )
    arguments.add_argument("--ratio", nargs="*", type=float, default=[MAIN_RATIO])
    arguments.add_argument(
        "--budget", nargs="+", choices=["epochs", "steps"], default=["epochs", "steps"]
    )
    arguments.add_argument("--seeds", type=int, default=3, help="networks on each pruner's images")
    arguments.add_argument("--full-seeds", type=int, default=3, help="networks on all images")
    arguments.add_argument("--full-epochs", nargs="+", type=float, help="of these")
    arguments.add_argument(
        "--cache",
        type=Path,
        required=True,
        help="folder of proxies and choices, one for each --epochs and --subset",
    )
    arguments.add_argument("--minutes", type=float, default=np.inf, help="start none afterwards")
    return arguments


def main(argv: Sequence[str]) -> None:
    arguments = parser()
    args = arguments.parse_args(argv)
    if args.table and args.epochs != N_EPOCHS:
        arguments.error(f"--table is of {N_EPOCHS:g} epochs; leave out --epochs.")
    try:
        run(args)
    except FileNotFoundError as error:
        arguments.exit(2, f"{error}\n")
