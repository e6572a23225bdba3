"""The networks of the speed protocol: those of the table, and what is measured of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from .cells import Key
from .cifar10_speed import Design

FULL = "all images"
# Ours: at each ratio the rule that is best on validation images.
OURS = "influence"
# Passes over all images, and a proxy's share of these.
N_EPOCHS, PROXY_SHARE = 12.0, 0.25
# Seeds of proxies and choices on all training images; of validation there is one.
N_CHOICES = 3


@dataclass(frozen=True, order=True)
class ChoiceKey:
    """What tells the images chosen by a pruner from others; the proxy has the same seed."""

    split: str
    seed: int
    pruner: str
    prune_ratio: float


@dataclass(frozen=True)
class Job:
    """A network to train.

    split : "test", or "validation", whose images are all from the training images.
    design : a key of DESIGNS.
    n_epochs : passes over the images kept.
    seed : of the network. The images are of one of few choices, see `choice`.
    """

    split: str
    pruner: str
    prune_ratio: float
    design: str
    n_epochs: float
    seed: int

    @property
    def key(self) -> Key:
        """What tells networks apart; files hold rounded numbers."""
        numbers = (f"{self.prune_ratio:.3f}", f"{self.n_epochs:.3f}", self.seed)
        return (self.split, self.pruner, self.design, *numbers)

    def choice(self, pruner: str) -> ChoiceKey:
        """Return the choice that this network is trained on if this pruner makes it."""
        seed = 0 if self.split == "validation" else self.seed % N_CHOICES
        return ChoiceKey(self.split, seed, pruner, self.prune_ratio)

    @property
    def choices(self) -> list[ChoiceKey]:
        """The choices to make before it; of ours all rules', since the best one is not known."""
        if self.pruner == FULL:
            return []
        pruners = rules_at(self.prune_ratio) if self.pruner == OURS else [self.pruner]
        return [self.choice(pruner) for pruner in pruners]


@dataclass(frozen=True)
class SpeedCell(Job):
    """A network that was trained.

    accuracy : at the end, each image seen with its mirror image.
    seconds : of training this network.
    """

    n_kept: int
    n_steps: int
    accuracy: float
    seconds: float
    hardware: str


@dataclass(frozen=True)
class Block:
    """Jobs of all combinations.

    budgets : passes over the images kept, or "epochs" (as many as on all images), or "steps" (as
        many as on all images).
    """

    pruners: Sequence[str]
    prune_ratio: float
    seeds: range
    budgets: Sequence[str | float]
    designs: Sequence[str] = ("standard",)
    split: str = "test"

    def jobs(self, n_epochs: float = N_EPOCHS) -> Iterator[Job]:
        """Yield them; ``n_epochs`` are the passes over all images."""
        for design, seed, pruner, budget in product(
            self.designs, self.seeds, self.pruners, self.budgets
        ):
            if isinstance(budget, str):
                budget = passes(budget, self.prune_ratio, n_epochs)
            yield Job(self.split, pruner, self.prune_ratio, design, budget, seed)


def passes(budget: str, prune_ratio: float, n_epochs: float = N_EPOCHS) -> float:
    """Return the passes over the images kept that are as many epochs or steps as on all images."""
    return n_epochs if budget == "epochs" else n_epochs / (1 - prune_ratio)


def main_budget(prune_ratio: float) -> str:
    """Return the budget that matters more: with few images kept, as many epochs are too short."""
    return "epochs" if prune_ratio <= 0.5 else "steps"


def rules_at(prune_ratio: float) -> Sequence[str]:
    """Return the rules that compete at a ratio; those that keep the hardest up to 50 % only."""
    common = ("influence, hard", "influence, sure")
    if prune_ratio <= 0.5:
        return (*common, "influence, hardest", "influence, hardest of all")
    return (*common, "influence, spread")


def _searched_designs() -> Iterator[tuple[str, Design]]:
    for widths, (depth, skips), kernel, pooling in product(
        ((16, 32, 32), (32, 64, 64)), ((1, False), (2, False), (3, True)), (3, 5), ("max", "mean")
    ):
        name = f"{widths[0]}-{depth}-{kernel}-{pooling}"
        yield name, Design(widths, depth, kernel, pooling, skips)


_SEARCHED = dict(_searched_designs())
# The standard one, and the 24 of the architecture search.
DESIGNS = {"standard": Design(), **_SEARCHED}
# Networks of the search that are also trained on what is kept at MAIN_RATIO.
TRANSFERS = ("32-3-3-max", "32-2-5-mean")

MAIN_RATIO, SEARCH_RATIO = 0.4, 0.9
# Passes of the search: over all images, and over the tenth kept, which takes half as long.
SEARCH_EPOCHS, SEARCH_EPOCHS_PRUNED = 8.0, 40.0

_PRUNERS = ("random", "el2n", "least confidence", "forgetting", "coverage", "dual", "moso", OURS)
_KEEP_HARD = "el2n, any class"
_AT_MAIN, _AT_NINETY = ("random", "el2n", OURS), ("random", OURS, "coverage", "dual")
_NEWER = ("d2", "geometric median", "zero-shot coverage")
_NOT_AT_MAIN = tuple(name for name in _PRUNERS if name not in _AT_MAIN)
_NOT_AT_NINETY = tuple(name for name in _PRUNERS if name not in _AT_NINETY)
# The committed table, the most important first.
TABLE = (
    # Which rule is ours.
    *(
        Block(rules_at(ratio), ratio, range(2), [main_budget(ratio)], split="validation")
        for ratio in (0.3, 0.4, 0.5, 0.7, 0.8, 0.9)
    ),
    # Accuracy at two ratios.
    Block([FULL], 0.0, range(5), ["epochs"]),
    Block(_AT_MAIN, MAIN_RATIO, range(5), ["epochs"]),
    Block(_AT_NINETY, 0.9, range(5), ["steps"]),
    Block(_AT_MAIN, MAIN_RATIO, range(3), ["steps"]),
    Block(_AT_NINETY, 0.9, range(3), ["epochs"]),
    Block(_NOT_AT_MAIN, MAIN_RATIO, range(1), ["epochs", "steps"]),
    Block(_NOT_AT_NINETY, 0.9, range(1), ["epochs", "steps"]),
    # Time to an accuracy.
    Block([FULL], 0.0, range(2), [5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 16.0]),
    Block([OURS], MAIN_RATIO, range(2), [8.0, 10.0, 14.0, 16.0]),
    Block(["el2n"], MAIN_RATIO, range(1), [8.0, 10.0, 14.0, 16.0]),
    # Architecture search.
    Block([FULL], 0.0, range(1), [SEARCH_EPOCHS], tuple(_SEARCHED)),
    Block(
        ["random", "el2n", "dual", OURS],
        SEARCH_RATIO,
        range(1),
        [SEARCH_EPOCHS_PRUNED],
        tuple(_SEARCHED),
    ),
    # Networks that did not choose.
    Block([FULL], 0.0, range(1), ["epochs"], TRANSFERS),
    Block(_AT_MAIN, MAIN_RATIO, range(1), ["epochs"], TRANSFERS),
    # The rules of an earlier table, which were the best of fewer.
    Block(["influence, hard"], MAIN_RATIO, range(5), ["epochs"]),
    Block(["influence, sure"], 0.9, range(5), ["steps"]),
    # Further seeds.
    Block([_KEEP_HARD], MAIN_RATIO, range(5), ["epochs"]),
    Block(_AT_MAIN, MAIN_RATIO, range(5, 10), ["epochs"]),
    Block(["random", OURS], 0.9, range(5, 10), ["steps"]),
    # Accuracy at other ratios.
    *(Block(_PRUNERS, ratio, range(1), [main_budget(ratio)]) for ratio in (0.8, 0.5, 0.7, 0.3)),
    # Newer rivals.
    *(Block(_NEWER, ratio, range(1), [main_budget(ratio)]) for ratio in (MAIN_RATIO, 0.9, 0.7)),
    # The rest of the table.
    *(Block(_NEWER, ratio, range(1), [main_budget(ratio)]) for ratio in (0.8, 0.5, 0.3)),
    Block([FULL], 0.0, range(5, 10), ["epochs"]),
    Block(["coverage", "dual"], 0.9, range(5, 10), ["steps"]),
)


def best_rules(cells: Sequence[SpeedCell]) -> dict[float, str]:
    """Return the rule of highest mean validation accuracy by ratio, once all were measured."""
    scores: dict[float, dict[str, list[float]]] = {}
    for cell in cells:
        if cell.split == "validation":
            by_rule = scores.setdefault(cell.prune_ratio, {})
            by_rule.setdefault(cell.pruner, []).append(cell.accuracy)
    return {
        ratio: max(rules_at(ratio), key=lambda rule: float(np.mean(by_rule[rule])))
        for ratio, by_rule in scores.items()
        if set(rules_at(ratio)) <= set(by_rule)
    }
