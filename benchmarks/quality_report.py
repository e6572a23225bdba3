"""Tables and the figure of `benchmarks.quality`, made from the csv file it wrote.

python -m benchmarks.quality_report        # anew from benchmarks/results/quality.csv
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy import stats

from sklearn_prune.inspection import PruningCurveDisplay

from ._common import RESULTS, insert_into_readme, markdown_table, read_records

LEVEL = 0.95
SAME_HEAD, BASELINE, FULL, OURS = "head", "random", "all rows", "influence"
# Data whose unseen models the README speaks of; the others are in quality.md.
UNSEEN_IN_README = ("adult", "cifar10", "diamonds")

T = TypeVar("T")
Scores = dict[tuple[str, str, float, str], dict[int, float]]


@dataclass(frozen=True)
class Cell:
    """One measured score.

    pruner : "all rows" for the model that nothing was dropped for (prune_ratio 0).
    """

    dataset: str
    pruner: str
    prune_ratio: float
    downstream: str
    seed: int
    n_kept: int
    score: float


def by_run(cells: Iterable[Cell]) -> Scores:
    """Return, for each data set, pruner, ratio and downstream model, the score of each seed."""
    scores: Scores = defaultdict(dict)
    for cell in cells:
        key = (cell.dataset, cell.pruner, cell.prune_ratio, cell.downstream)
        scores[key][cell.seed] = cell.score
    return scores


def difference(scores: Scores, key: tuple[str, str, float, str], other: str) -> tuple[float, float]:
    """Return the mean over seeds of score minus the other pruner's, and half its interval.

    The interval is Student's for paired differences; infinite for a single seed.
    """
    dataset, _, ratio, downstream = key
    mine, theirs = scores.get(key, {}), scores.get((dataset, other, ratio, downstream), {})
    paired = np.array([mine[seed] - theirs[seed] for seed in mine.keys() & theirs.keys()])
    if len(paired) == 0:
        return np.nan, np.nan
    if len(paired) == 1:
        return float(paired[0]), np.inf
    quantile = stats.t.ppf((1 + LEVEL) / 2, len(paired) - 1)
    return float(paired.mean()), float(quantile * paired.std(ddof=1) / np.sqrt(len(paired)))


def distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def table(scores: Scores, dataset: str, downstream: str, baseline: str = BASELINE) -> str:
    """Return mean score by pruner and ratio; in brackets the gain over the baseline."""
    keys = [key for key in scores if key[0] == dataset and key[3] == downstream]
    ratios = sorted({key[2] for key in keys if key[1] != FULL})
    rows = []
    for pruner in distinct(key[1] for key in keys if key[1] != FULL):
        line = [pruner]
        for ratio in ratios:
            key = (dataset, pruner, ratio, downstream)
            if key not in scores:
                line.append("")
                continue
            mean = float(np.mean(list(scores[key].values())))
            gain, half = difference(scores, key, baseline)
            shown = f"{mean:.4f}"
            if pruner != baseline and np.isfinite(gain):
                shown += f" ({gain:+.4f} ± {half:.4f})"
            line.append(shown)
        rows.append(line)
    header = ["pruner", *(f"{ratio:.0%}" for ratio in ratios)]
    return markdown_table(header, rows)


@dataclass(frozen=True)
class Comparison:
    """Ours against the best other pruner and against random rows, at one ratio.

    over_best, over_random : (mean difference, half its interval), paired by seed.
    n_paired : seeds that ours and random rows both have.
    """

    dataset: str
    downstream: str
    ratio: float
    n_seeds: int
    n_others: int
    mine: float
    best: str
    over_best: tuple[float, float]
    over_random: tuple[float, float]
    n_paired: int


def compare(scores: Scores) -> list[Comparison]:
    """Compare ours with all others, wherever there is another."""
    found = []
    for dataset, downstream, ratio in sorted({(k[0], k[3], k[2]) for k in scores if k[1] == OURS}):
        key = (dataset, OURS, ratio, downstream)
        others = {
            k[1]: difference(scores, key, k[1])
            for k in scores
            if (k[0], k[2], k[3]) == (dataset, ratio, downstream) and k[1] != OURS
        }
        others = {name: gain for name, gain in others.items() if np.isfinite(gain[0])}
        if not others:
            continue
        best = min(others, key=lambda name: others[name][0])
        mine = list(scores[key].values())
        found.append(
            Comparison(
                dataset,
                downstream,
                ratio,
                len(mine),
                len(others),
                float(np.mean(mine)),
                best,
                others[best],
                others.get(BASELINE, (np.nan, np.nan)),
                len(scores[key].keys() & scores.get((dataset, BASELINE, ratio, downstream), {})),
            )
        )
    return found


def targets(comparisons: Iterable[Comparison]) -> str:
    """Return where ours is the best, and where it is significantly worse than random rows."""
    rows = [
        [
            c.dataset,
            c.downstream,
            f"{c.ratio:.0%}",
            f"{c.mine:.4f}",
            c.best,
            f"{c.over_best[0]:+.4f} ± {c.over_best[1]:.4f}",
            verdict(*c.over_best),
            verdict(*c.over_random),
        ]
        for c in comparisons
    ]
    header = ["data", "model", "pruned", OURS, "best other", "difference", "is", "against random"]
    return markdown_table(header, rows)


def same_head(comparisons: Sequence[Comparison]) -> str:
    """Return for each data set at how many ratios ours is the best, from 40 % and from 80 % up.

    It is the best where no other has a higher mean, and surely so where the interval says it too.
    """
    rows = []
    for dataset in distinct(c.dataset for c in comparisons):
        group = [
            c
            for c in comparisons
            if (c.dataset, c.downstream) == (dataset, SAME_HEAD) and c.ratio >= 0.4
        ]
        many = [c for c in group if c.ratio >= 0.8]
        best = [c for c in group if c.over_best[0] >= 0]
        surely = [c for c in many if verdict(*c.over_best) == "better"]
        beaten = [
            f"{c.ratio:.0%} by {c.best} ({c.over_best[0]:+.4f})" for c in group if c not in best
        ]
        rows.append(
            [
                dataset,
                _range(c.n_seeds for c in group),
                _range(c.n_others for c in group),
                f"{len(best)} of {len(group)}",
                f"{len(surely)} of {len(many)}",
                ", ".join(beaten) or "none",
            ]
        )
    header = ["data", "seeds", "others", "best, 40% up", "surely, 80% up", "beaten at"]
    return markdown_table(header, rows)


def unseen(comparisons: Sequence[Comparison]) -> str:
    """Return for each data set and unseen model how ours does against random rows."""
    rows = []
    for dataset, downstream in distinct((c.dataset, c.downstream) for c in comparisons):
        group = [
            c
            for c in comparisons
            if (c.dataset, c.downstream) == (dataset, downstream) and np.isfinite(c.over_random[1])
        ]
        if downstream == SAME_HEAD or not group:
            continue
        verdicts = [verdict(*c.over_random) for c in group]
        gains = [c.over_random[0] for c in group if 0.8 <= c.ratio <= 0.98]
        worse = [f"{c.ratio:.0%}" for c in group if verdict(*c.over_random) == "worse"]
        rows.append(
            [
                dataset,
                downstream,
                _range(c.n_paired for c in group),
                *(f"{verdicts.count(name)} of {len(group)}" for name in ("better", "even")),
                ", ".join(worse) or "none",
                f"{np.mean(gains):+.4f}" if gains else "",
            ]
        )
    header = ["data", "model", "seeds", "better", "even", "worse at", "mean gain, 80-98%"]
    return markdown_table(header, rows)


def _range(counts: Iterable[int]) -> str:
    found = sorted(set(counts))
    return "-".join(map(str, found[:1] + found[1:][-1:]))


def verdict(mean: float, half: float) -> str:
    if not np.isfinite(half):
        return ""
    if abs(mean) <= half:
        return "even"
    return "better" if mean > 0 else "worse"


def tables(cells: Sequence[Cell]) -> str:
    """Return the targets, ours against the best other, and a table for each data and model."""
    scores = by_run(cells)
    comparisons = compare(scores)
    parts = ["## The model whose influences are matched: ours against all others"]
    parts += [same_head(comparisons)]
    parts += ["## Models that the pruner knows nothing of: ours against random rows"]
    parts += [unseen(comparisons), "## Ours against the best other pruner", targets(comparisons)]
    for dataset in distinct(key[0] for key in scores):
        for downstream in distinct(key[3] for key in scores if key[0] == dataset):
            parts.append(f"## {dataset}, {downstream}")
            full = list(scores.get((dataset, FULL, 0.0, downstream), {}).values())
            parts.append(f"All rows: {np.mean(full):.4f}" if full else "All rows: not measured")
            parts.append(table(scores, dataset, downstream))
    return "\n\n".join(parts)


def readme_tables(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the tables that the README shows, by name."""
    scores = by_run(cells)
    comparisons = compare(scores)
    shown = [c for c in comparisons if c.dataset in UNSEEN_IN_README]
    return {"same head": best_others(scores, comparisons), "unseen models": unseen(shown)}


def best_others(scores: Scores, comparisons: Sequence[Comparison]) -> str:
    """Return the scores of the matched head by ratio: ours, the best other's and random rows'."""
    found = {(c.dataset, c.ratio): c for c in comparisons if c.downstream == SAME_HEAD}
    ratios = sorted({ratio for _, ratio in found})
    rows = []
    for dataset in distinct(dataset for dataset, _ in found):
        shown = [_three_scores(scores, found.get((dataset, ratio))) for ratio in ratios]
        full = f"{dataset}, all rows {_mean_score(scores, dataset, FULL, 0.0):.4f}"
        names = ((full, OURS), ("", "best other"), ("", BASELINE))
        rows += [[*name, *line] for name, line in zip(names, zip(*shown, strict=True), strict=True)]
    return markdown_table(["data", "rows of", *(f"{ratio:.0%}" for ratio in ratios)], rows)


def _three_scores(scores: Scores, c: Comparison | None) -> tuple[str, str, str]:
    """Return ours with its sign against the best other, that with its name, and random rows'."""
    if c is None:
        return "", "", ""
    best, random = (_mean_score(scores, c.dataset, name, c.ratio) for name in (c.best, BASELINE))
    sign = {"better": " +", "worse": " −"}.get(verdict(*c.over_best), "")
    return f"{c.mine:.4f}{sign}", f"{best:.4f} {c.best}", f"{random:.4f}"


def _mean_score(scores: Scores, dataset: str, pruner: str, ratio: float) -> float:
    return float(np.mean(list(scores[dataset, pruner, ratio, SAME_HEAD].values())))


def curves(scores: Scores, dataset: str, downstream: str) -> PruningCurveDisplay:
    """Return the curves of ours, of random rows, and of the two others with the best means."""
    keys = [key for key in scores if (key[0], key[3]) == (dataset, downstream) and key[1] != FULL]
    means: dict[str, list[float]] = defaultdict(list)
    for key in keys:
        means[key[1]].append(float(np.mean(list(scores[key].values()))))
    others = sorted(means.keys() - {OURS, BASELINE}, key=lambda name: -float(np.mean(means[name])))
    ratios: dict[str, np.ndarray] = {}
    values: dict[str, np.ndarray] = {}
    for pruner in [name for name in (OURS, BASELINE, *others[:2]) if name in means]:
        runs = [scores[key] for key in sorted(keys, key=lambda key: key[2]) if key[1] == pruner]
        seeds = set.intersection(*(set(run) for run in runs))
        ratios[pruner] = np.array(sorted(key[2] for key in keys if key[1] == pruner))
        values[pruner] = np.array([[run[seed] for seed in sorted(seeds)] for run in runs])
    return PruningCurveDisplay(
        prune_ratios=ratios, test_scores=values, score_name=f"{dataset}, {downstream}"
    )


def draw(scores: Scores, path: Path) -> None:
    """Write one panel for each data set and downstream model."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    datasets = distinct(key[0] for key in scores)
    models = distinct(key[3] for key in scores)
    figure, axes = plt.subplots(
        len(datasets),
        len(models),
        figsize=(4.2 * len(models), 3.2 * len(datasets)),
        squeeze=False,
        layout="constrained",
    )
    for (dataset, downstream), ax in zip(product(datasets, models), axes.flat, strict=True):
        if any((key[0], key[3]) == (dataset, downstream) and key[1] != FULL for key in scores):
            display = curves(scores, dataset, downstream).plot(ax=ax, markersize=3)
            ratios = distinct(r for found in display.prune_ratios.values() for r in found)
            # Near 100 %, each step that halves the rows kept is as wide.
            ax.set_xscale("logit")
            ax.minorticks_off()
            ax.set_xticks(ratios, [f"{ratio:.0%}" for ratio in ratios])
        else:
            ax.set_axis_off()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def markdown(cells: Sequence[Cell]) -> str:
    note = (
        "Means over seeds; in brackets the gain over random rows of the same class shares, paired "
        f"by seed, with its {LEVEL:.0%} interval. R² for diamonds, else accuracy."
    )
    return f"{note}\n\n{tables(cells)}"


def main() -> None:
    cells = read_records(RESULTS / "quality.csv", Cell)
    draw(by_run(cells), RESULTS / "quality.png")
    (RESULTS / "quality.md").write_text(markdown(cells) + "\n", encoding="utf-8")
    for name, table in readme_tables(cells).items():
        insert_into_readme(name, table)


if __name__ == "__main__":
    main()
