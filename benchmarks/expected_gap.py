"""Expected against observed effects of dropping good, random and harmful sets of rows.

    python -m benchmarks.expected_gap                        # all four data sets, then the report
    python -m benchmarks.expected_gap --job digits           # one of them; writes nothing
    python -m benchmarks.expected_gap --subset 500           # a trial of the script; writes nothing

For each share of rows that goes, the sets dropped are

- ours: what `InfluencePruner` drops;
- random: as many of each class, two draws;
- highest influence: those of each class that move the head most, each alone;
- same direction: those of each class that together move it far: ``w`` climbs ``||Z^T w||`` from
  the set above by taking the rows of largest ``Z (Z^T w)`` until that changes nothing.

The head is retrained on what is kept, from zero, and `retraining_check` compares.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import ExpectedGapDisplay, RetrainingCheck, retraining_check

from ._common import (
    Figure,
    argument_parser,
    limit_threads,
    markdown_table,
    output_folder,
    read_figures,
    with_release,
    write_figures,
)
from .data import Split, load

Quantity = Literal["train_gap", "test_gap", "loss_change", "parameter_change"]

RATIOS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)
N_DRAWS = 2
# Of the mean loss, as in the other benchmarks.
DAMPING = {"digits": 1e-3, "breast_cancer": 1e-3, "adult": 1e-4, "diamonds": 1e-4}
PREFIX = "gap: "
SETS = ("ours", "random", "highest influence", "same direction")
CHANGES: tuple[Quantity, ...] = ("loss_change", "parameter_change")
QUANTITIES: tuple[Quantity, ...] = (*CHANGES, "train_gap", "test_gap")
DRAWN: tuple[Quantity, ...] = ("loss_change", "test_gap")
FORECASTS = ("first_order", "kept_hessian")
# Up to this share pruned, the kept rows' Hessian must predict the change, and this closely.
FAR, CLOSE = 0.9, 0.1


def top_of_each_class(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mask of the `counts[c]` rows of largest score of each class c."""
    chosen = np.zeros(len(scores), dtype=bool)
    for label, count in enumerate(counts):
        rows = np.flatnonzero(labels == label)
        chosen[rows[np.argsort(-scores[rows], kind="stable")[:count]]] = True
    return chosen


def same_direction(pruner: InfluencePruner, labels: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Mask of rows to drop, as many of each class as in `start`, that move the head far.

    ``||Z^T w||`` is convex in w, so that taking the rows of largest ``Z (Z^T w)`` never lowers it.
    """
    influence, drop = pruner.matched_.coordinates.Z, start
    counts = np.bincount(labels[start], minlength=int(labels.max()) + 1)
    for _ in range(50):
        scores = influence @ (influence.T @ drop.astype(np.float64))
        further = top_of_each_class(scores, labels, counts)
        if np.array_equal(further, drop):
            break
        drop = further
    return drop


def sets(
    split: Split, pruner: InfluencePruner, ratio: float
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield name, seed and mask of the rows kept."""
    X, y = split.X_train, split.y_train
    ours = pruner.select(prune_ratio=ratio)
    yield "ours", 0, ours
    for seed in range(N_DRAWS):
        random = RandomPruner(prune_ratio=ratio, random_state=seed).fit(X, y)
        yield "random", seed, random.get_support()
    labels = y if split.is_classification else np.zeros(len(y), dtype=np.int64)
    counts = np.bincount(labels[~ours], minlength=int(labels.max()) + 1)
    highest = top_of_each_class(pruner.influence_norms_, labels, counts)
    yield "highest influence", 0, ~highest
    yield "same direction", 0, ~same_direction(pruner, labels, highest)


def measure(split: Split) -> Iterator[Figure]:
    """Every number of every check on a data set."""
    pruner = InfluencePruner(
        prune_ratio=RATIOS[0], damping=DAMPING[split.name], random_state=0
    ).fit(split.X_train, split.y_train)
    for ratio in RATIOS:
        for name, seed, support in sets(split, pruner, ratio):
            check = retraining_check(
                pruner,
                split.X_train,
                split.y_train,
                X_test=split.X_test,
                y_test=split.y_test,
                support=support,
            )
            print(f"{split.name} {ratio:.0%} {name}\n{check}", file=sys.stderr, flush=True)
            for metric, value in numbers(check):
                yield Figure(PREFIX + split.name, name, ratio, seed, metric, value)


def numbers(check: RetrainingCheck) -> Iterator[tuple[str, float]]:
    """Yield each number of a check, as quantity.field."""
    for quantity, value in asdict(check).items():
        if isinstance(value, dict):
            yield from ((f"{quantity}.{field}", number) for field, number in value.items())
    yield "parameter_bound", check.parameter_bound


@dataclass(frozen=True)
class Point:
    """One check, read back."""

    data: str
    name: str
    ratio: float
    values: dict[str, float]

    def deviation(self, quantity: Quantity = "loss_change") -> float:
        """By what share the observed change is off what the kept rows' Hessian says."""
        return self.values[f"{quantity}.observed"] / self.values[f"{quantity}.kept_hessian"] - 1

    def is_within(self, gap: str, bound: str) -> bool:
        return abs(self.values[f"{gap}.observed"]) <= self.values[f"{gap}.{bound}"]


def points(figures: Iterable[Figure]) -> list[Point]:
    grouped: dict[tuple[str, str, float, int | None], dict[str, float]] = {}
    for figure in figures:
        if figure.job.startswith(PREFIX) and figure.prune_ratio is not None:
            key = (figure.job, figure.method, figure.prune_ratio, figure.seed)
            grouped.setdefault(key, {})[figure.metric] = figure.value
    return [
        Point(job.removeprefix(PREFIX), name, ratio, values)
        for (job, name, ratio, _), values in grouped.items()
    ]


def ranges(measured: Sequence[Point]) -> Iterator[tuple[str, str, list[Point]]]:
    """Yield data, range of ratios and the points there; none that are empty."""
    for data in dict.fromkeys(point.data for point in measured):
        for label, is_far in ((f"to {FAR:.0%}", False), (f"above {FAR:.0%}", True)):
            inside = [p for p in measured if p.data == data and (p.ratio > FAR) == is_far]
            if inside:
                yield data.replace("_", " "), label.replace("%", " %"), inside


def line_through(expected: np.ndarray, observed: np.ndarray) -> tuple[float, float]:
    """Least-squares slope of observed against expected, and Pearson's correlation."""
    correlation = float(np.corrcoef(expected, observed)[0, 1])
    return correlation * float(observed.std() / expected.std()), correlation


def agreement_table(measured: Sequence[Point]) -> str:
    rows = []
    for data, label, inside in ranges(measured):
        for forecast in FORECASTS:
            cells = []
            for quantity in QUANTITIES:
                expected, observed = (
                    np.array([point.values[f"{quantity}.{field}"] for point in inside])
                    for field in (forecast, "observed")
                )
                if quantity in CHANGES:
                    expected, observed = np.log(expected), np.log(observed)
                slope, correlation = line_through(expected, observed)
                cells.append(f"{slope:.2f} ({correlation:.3f})")
            rows.append([data, label, str(len(inside)), forecast.replace("_", " "), *cells])
    header = ["data", "pruned", "sets", "expected by", "log loss change", "log parameter change"]
    return markdown_table([*header, "train gap", "test gap"], rows)


def bound_table(measured: Sequence[Point]) -> str:
    rows = []
    for data, label, inside in ranges(measured):
        cells = []
        for bound in ("stated_bound", "proven_bound"):
            for gap in ("train_gap", "test_gap"):
                share = np.mean([point.is_within(gap, bound) for point in inside])
                cells.append(percent(float(share)))
            factors = [
                point.values[f"test_gap.{bound}"] / abs(point.values["test_gap.observed"])
                for point in inside
            ]
            cells.append(f"{np.median(factors):.2g}")
        rows.append([data, label, *cells])
    header = ["data", "pruned"]
    for bound in ("stated", "proven"):
        header += [f"train gap within {bound}", f"test gap within {bound}", f"{bound} / observed"]
    return markdown_table(header, rows)


def deviation_table(measured: Sequence[Point]) -> str:
    ratios = sorted({point.ratio for point in measured})
    rows = []
    for data in dict.fromkeys(point.data for point in measured):
        for name in SETS:
            of_set = [p for p in measured if (p.data, p.name) == (data, name)]
            if not of_set:
                continue
            cells = [deviation_cell([p for p in of_set if p.ratio == r]) for r in ratios]
            met = all(abs(p.deviation()) <= CLOSE for p in of_set if p.ratio <= FAR)
            rows.append([data.replace("_", " "), name, *cells, "yes" if met else "no"])
    header = ["data", "set", *(percent(ratio) for ratio in ratios)]
    return markdown_table([*header, f"within {percent(CLOSE)} to {percent(FAR)}"], rows)


def deviation_cell(group: Sequence[Point]) -> str:
    if not group:
        return ""
    worst = max((point.deviation() for point in group), key=abs)
    return f"{100 * worst:+.{1 if abs(worst) < CLOSE else 0}f} %"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def summary(measured: Sequence[Point]) -> str:
    """Count the sets of each kind whose change the kept rows' Hessian predicts closely."""
    near = [point for point in measured if point.ratio <= FAR]
    rows = []
    for name in SETS:
        of_set = [point for point in near if point.name == name]
        close = [sum(abs(p.deviation(of)) <= CLOSE for p in of_set) for of in CHANGES]
        rows.append([name, *(f"{count} of {len(of_set)}" for count in close)])
    within = f"within {percent(CLOSE)}, to {percent(FAR)} pruned"
    return markdown_table(["set", *(f"{of.replace('_', ' ')} {within}" for of in CHANGES)], rows)


def markdown(measured: Sequence[Point]) -> str:
    """The report: three tables, each under what it shows."""
    parts = {
        "Observed change of the loss, ½ ΔᵀHΔ, over that of the kept rows' Hessian, less 1; of two "
        "draws, the worse": (deviation_table(measured), summary(measured)),
        "Observed against expected: slope of the least-squares line (correlation), in which the "
        "largest gaps decide": (agreement_table(measured),),
        "Share of sets within the bounds of the loss gap; median of bound over observed gap": (
            bound_table(measured),
        ),
    }
    sections = ["\n\n".join([f"## {title}", *part]) for title, part in parts.items()]
    return with_release("expected_gap", "\n\n".join(sections))


def draw(measured: Sequence[Point], path: Path) -> None:
    """One column a data set: the change of the loss, and the gap on the test rows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    data_sets = list(dict.fromkeys(point.data for point in measured))
    figure, axes = plt.subplots(
        2, len(data_sets), figsize=(4 * len(data_sets), 8), layout="constrained", squeeze=False
    )
    for column, data in zip(axes.T, data_sets, strict=True):
        of_data = [point for point in measured if point.data == data]
        for axis, quantity in zip(column, DRAWN, strict=True):
            ExpectedGapDisplay(
                expected=np.array([p.values[f"{quantity}.kept_hessian"] for p in of_data]),
                observed=np.array([p.values[f"{quantity}.observed"] for p in of_data]),
                quantity=quantity,
                labels=np.array([p.name for p in of_data]),
            ).plot(ax=axis)
        column[0].set_title(data.replace("_", " "))
    figure.savefig(path, dpi=80)
    plt.close(figure)


def write_report(folder: Path) -> None:
    """Write expected_gap.md and expected_gap.png from expected_gap.csv."""
    measured = points(read_figures(folder))
    (folder / "expected_gap.md").write_text(markdown(measured) + "\n", encoding="utf-8")
    draw(measured, folder / "expected_gap.png")


def splits(args: argparse.Namespace) -> Iterator[Split]:
    for name in DAMPING if args.job == "all" else [args.job]:
        yield load(name, args.data_dir).subset(args.subset)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.expected_gap", __doc__)
    parser.add_argument("--job", choices=["all", *DAMPING], default="all")
    args = parser.parse_args(argv)
    limit_threads()
    # Results of a single data set must not overwrite those of all.
    folder = output_folder(args) if args.job == "all" or args.out else None
    try:
        figures = [figure for split in splits(args) for figure in measure(split)]
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    print(markdown(points(figures)))
    if folder:
        write_figures(folder, "expected_gap", figures)
        write_report(folder)


if __name__ == "__main__":
    main()
