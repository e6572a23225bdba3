"""What do weights of the kept rows gain, for the head that they hold and for other models?

    python -m benchmarks.weights                               # all cells that are missing
    python -m benchmarks.weights --dataset diamonds --seeds 1

For each seed a pruner is fitted once on all training rows and chooses rows for each ratio. For
these rows weights are solved (`InfluencePruner.weigh`); the head is refitted with and without them,
and each downstream model is trained with and without them and scored on the test rows. A linear
program finds how much, at least, any weights between 0.5 and 2 miss holding the head exactly.

``adult, frequent`` is Adult without the columns of categories that fewer than one row in a hundred
has. Of a category with a single row, that row's gradient is the whole of it: kept rows can hold the
head exactly only if it weighs as much as the share that is kept, far below a half, and not at all
if it is dropped. So weights between 0.5 and 2 cannot hold all of Adult's columns.

One line a cell goes to `results/weights.csv`; a run that was cut off goes on where it stopped. The
report is `results/weights.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog

from sklearn_prune import InfluencePruner
from sklearn_prune.influence import rows_of
from sklearn_prune.matching.weights import WEIGHT_BOUNDS

from ._common import argument_parser, markdown_table, output_folder
from .cells import Done, Key, measure
from .data import Split, load
from .models import Tuned, fit, model_of
from .scores import Scores, gain_over, mean_of, shown_mean

FREQUENT = "adult, frequent"
DATASETS = ("adult", FREQUENT, "diamonds")
RATIOS = (0.9, 0.98)
DOWNSTREAM = ("head", "boosting", "forest")
N_SEEDS = 5
WEIGHTED, EQUAL = "weighted", "equal weights"
# What the linear program finds, and below which value it is rounding (HiGHS's tolerance).
POSSIBLE, EXCESS, ROUNDING = "linear program", "least excess", 1e-6
CHANGE, LEAST, GREATEST, EFFECTIVE = "change", "least weight", "greatest weight", "effective share"
MEASURES = (CHANGE, LEAST, GREATEST, EFFECTIVE, *DOWNSTREAM)
# A category with a smaller share of the rows counts as rare.
RARE = 0.01
# Of both the pruner and the downstream head.
DAMPING = 1e-4


@dataclass(frozen=True)
class Cell:
    """One number of one choice of rows: what the refitted head loses, a weight, or a score."""

    dataset: str
    prune_ratio: float
    weights: str
    seed: int
    n_rows: int
    n_params: int
    measure: str
    value: float

    @property
    def key(self) -> Key:
        return self.dataset, self.prune_ratio, self.weights, self.seed, self.measure


def loaded(name: str, data_dir: Path) -> Split:
    if name != FREQUENT:
        return load(name, data_dir)
    split = load("adult", data_dir)
    is_category = np.isin(split.X_train, (0.0, 1.0)).all(axis=0)
    kept = ~is_category | (split.X_train.mean(axis=0) >= RARE)
    return replace(split, name=name, X_train=split.X_train[:, kept], X_test=split.X_test[:, kept])


def score(name: str, split: Split, kept: np.ndarray, weights: np.ndarray, seed: int) -> float:
    """Train a downstream model on weighted rows from zero; return its score on the test rows."""
    # A penalty against a sum of losses counts the weights, whose mean is 1.
    model = model_of(name, split, Tuned(DAMPING, 1.0, 5), len(kept), seed)
    fit(model, split.X_train[kept], split.y_train[kept], sample_weight=weights)
    return float(model.score(split.X_test, split.y_test))


def measured_on(
    split: Split, pruner: Any, support: np.ndarray, way: str, seed: int
) -> Iterator[tuple[str, float]]:
    """Yield each measure of the kept rows, weighted in one way."""
    kept = np.flatnonzero(support)
    if way == POSSIBLE:
        yield EXCESS, least_excess(rows_of(pruner.matched_.coordinates.Z, kept))
        return
    weights = pruner.weigh(support) if way == WEIGHTED else np.ones(len(kept))
    dropped = np.ones(len(support))
    dropped[support] = 1 - weights
    yield CHANGE, pruner.influence_.refitted_change(dropped)
    yield LEAST, float(weights.min())
    yield GREATEST, float(weights.max())
    yield EFFECTIVE, float(weights.sum() ** 2 / (weights @ weights) / len(weights))
    for name in DOWNSTREAM:
        yield name, score(name, split, kept, weights, seed)


def least_excess(Z: np.ndarray) -> float:
    """Return the least length of ``Zᵀv`` for weights v within the bounds, of mean 1.

    In the maximum norm, as a share of that of equal weights. Only weights with 0 leave the head
    where it is.

    Z : array of shape (n_kept, n_columns), the influences of the kept rows.
    """
    n_kept, n_columns = Z.shape
    Z = Z / np.abs(Z.sum(axis=0, dtype=np.float64)).max()
    # The last variable, t, is minimised: -t <= Zᵀv <= t.
    ones = np.ones((n_columns, 1))
    solution = linprog(
        np.r_[np.zeros(n_kept), 1.0],
        A_ub=np.vstack([np.hstack([Z.T, -ones]), np.hstack([-Z.T, -ones])]),
        b_ub=np.zeros(2 * n_columns),
        A_eq=np.r_[np.ones(n_kept), 0.0][None],
        b_eq=[n_kept],
        bounds=[*[WEIGHT_BOUNDS] * n_kept, (0, None)],
    )
    return float(solution.fun)


def cells(split: Split, ratios: Sequence[float], seed: int, done: Done) -> Iterator[Cell]:
    """Yield the cells of one data set and seed that are not done."""
    last = {WEIGHTED: MEASURES[-1], EQUAL: MEASURES[-1], POSSIBLE: EXCESS}

    def missing(ratio: float) -> list[str]:
        return [way for way in last if (split.name, ratio, way, seed, last[way]) not in done]

    asked = [ratio for ratio in ratios if missing(ratio)]
    if not asked:
        return
    pruner = InfluencePruner(prune_ratio=asked[0], damping=DAMPING, random_state=seed)
    pruner.fit(split.X_train, split.y_train)
    for ratio in asked:
        support = pruner.select(prune_ratio=ratio)
        n_rows, n_params = int(support.sum()), pruner.certificate_.n_parameters
        for way in missing(ratio):
            for name, value in measured_on(split, pruner, support, way, seed):
                if (split.name, ratio, way, seed, name) not in done:
                    yield Cell(split.name, ratio, way, seed, n_rows, n_params, name, value)


def by_run(cells: Sequence[Cell]) -> Scores:
    """Return values by seed for each data set, way of weighing, ratio and measure."""
    runs: Scores = {}
    for cell in cells:
        key = (cell.dataset, cell.weights, cell.prune_ratio, cell.measure)
        runs.setdefault(key, {})[cell.seed] = cell.value
    return runs


def held(cells: Sequence[Cell]) -> str:
    """Return how far the refitted head moves, and how far the weights are from 1."""
    runs, rows = by_run(cells), []
    sizes = {(c.dataset, c.prune_ratio): (c.n_rows, c.n_params) for c in cells}
    for (dataset, ratio), (n_rows, n_params) in sizes.items():
        weighted = {m: runs[dataset, WEIGHTED, ratio, m] for m in MEASURES[:4]}
        equal = runs[dataset, EQUAL, ratio, CHANGE]
        rows.append(
            [
                f"{dataset}, {ratio:.0%}",
                f"{n_rows:,}",
                f"{n_params:,}",
                str(len(equal)),
                f"{mean_of(equal):.1e}",
                f"{max(weighted[CHANGE].values()):.1e}",
                f"{min(weighted[LEAST].values()):.2f} to {max(weighted[GREATEST].values()):.2f}",
                f"{mean_of(weighted[EFFECTIVE]):.3f}",
                _possible(runs.get((dataset, POSSIBLE, ratio, EXCESS), {})),
            ]
        )
    header = ["data, pruned", "rows", "parameters", "seeds", "change, equal weights (mean)"]
    header += ["change, weighted (worst)", "weights", "effective share of rows"]
    header += ["exact weights in [0.5, 2] exist (least excess)"]
    return markdown_table(header, rows)


def _possible(excess: dict[int, float]) -> str:
    """Return for how many seeds exact weights exist, and the range of what the others miss."""
    missed = [value for value in excess.values() if value > ROUNDING]
    if not excess:
        return ""
    shown = f"{len(excess) - len(missed)} of {len(excess)} seeds"
    return f"{shown} ({min(missed):.2g} to {max(missed):.2g})" if missed else shown


def other_models(cells: Sequence[Cell]) -> str:
    """Return what each downstream model gains by weights, paired by seed."""
    runs, rows = by_run(cells), []
    for dataset, ratio in dict.fromkeys((c.dataset, c.prune_ratio) for c in cells):
        line = [f"{dataset}, {ratio:.0%}"]
        for name in DOWNSTREAM:
            equal = shown_mean(runs.get((dataset, EQUAL, ratio, name)))
            gain = str(gain_over(runs, (dataset, WEIGHTED, ratio, name), EQUAL))
            line.append(f"{equal}, {gain}" if gain else "")
        rows.append(line)
    return markdown_table(["data, pruned", *DOWNSTREAM], rows)


def report(cells: Sequence[Cell]) -> str:
    parts = [
        "# Weights of the kept rows",
        "Made by `python -m benchmarks.weights` from `weights.csv`. The change is that of the "
        "refitted head, in nats for Adult and in units of the standardised squared error for "
        "Diamonds.",
        held(cells),
        "Score on test rows of models that are trained on the kept rows alike (accuracy, R² for "
        "Diamonds), and what they gain by the weights, paired by seed, with 95 % intervals:",
        other_models(cells),
    ]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.weights", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    args = parser.parse_args(argv)

    def missing(done: Done) -> Iterator[Cell]:
        for seed, name in product(range(args.seeds), args.dataset):
            split = loaded(name, args.data_dir).subset(args.subset)
            yield from cells(split, args.ratio, seed, done)

    measure("weights", Cell, missing, report, output_folder(args), parser)


if __name__ == "__main__":
    main()
