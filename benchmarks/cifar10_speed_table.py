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


@dataclass(frozen=True)
class SpeedCell:
    """One network.

    split : "test", or "validation", whose images all come from the training images.
    n_epochs : passes over the images kept.
    seed : of the network; choices are of seed modulo N_CHOICES.
    accuracy : at the end, each image seen with its mirror image.
    seconds : of training this network.
    choice_seconds, proxy_seconds : of the pruner and of the proxy it looked at; nan for FULL.
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
        setting = (self.split, self.pruner, round(self.prune_ratio, 4), self.design)
        return (*setting, round(self.n_epochs, 3), self.seed)


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
        setting = (self.split, self.pruner, round(self.prune_ratio, 4), self.design)
        return (*setting, round(self.n_epochs, 3), self.seed)


class Lab:
    """The images, and the folder that keeps proxies and choices."""

    def __init__(self, images: Images, cache: Path, n_epochs: float) -> None:
        self.images, self.cache, self.n_epochs = images, cache, n_epochs
        self._sets: dict[str, tuple[speed.ImageSet, speed.ImageSet]] = {}

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
        seed = job.seed % N_CHOICES
        path = self.choice_path(job.split, job.pruner, job.prune_ratio, seed)
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


DESIGNS = {"standard": speed.Design()}


def jobs_of(args: argparse.Namespace) -> Iterator[Job]:
    """Yield the networks that the arguments ask for."""
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
        lab.choose(args.split, args.pruner, args.ratio, n_choices)
    if "train" in args.stage:
        _train_all(lab, jobs_of(args), output_folder(args), started + 60 * args.minutes)


def _train_all(lab: Lab, jobs: Iterator[Job], folder: Path | None, deadline: float) -> None:
    path = folder / "cifar10_speed.csv" if folder else None
    done = {cell.key for cell in read_records(path, SpeedCell)} if path else set()
    for job in jobs:
        if perf_counter() > deadline:
            _say("time is up")
            return
        if job.key in done:
            continue
        done.add(job.key)
        cell = lab.train(job)
        if cell is not None:
            _say(f"{cell}")
            if path:
                append_record(path, cell)


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
