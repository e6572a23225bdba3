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
# Ours as released before: a point of reference, never a rival.
EARLIER = "influence-0.1"
# Where rows are few enough for random ones to lose something.
MANY = 0.8
# Data whose unseen models the README speaks of; the others are in quality.md.
UNSEEN_IN_README = ("adult", "cifar10", "diamonds")

WON_BACK_NOTE = (
    "(pruner - random) / (all rows - random), of mean scores over seeds: 0 is as good as random "
    "rows, 1 as good as all rows. From 80 % up, where random rows lose more than the standard "
    "deviation of their score over seeds. Of each data set the pruners measured in most cases come "
    "first, the best of them on top; a mean over fewer cases compares with ours in the same ones."
)

# What each part of ours does alone, and what users of kernel machines do.
NEAREST = (OURS, "distribution", "kmeans")

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
    return dict(scores)


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
    """Compare ours with all others but its earlier release, wherever there is another."""
    found = []
    for dataset, downstream, ratio in sorted({(k[0], k[3], k[2]) for k in scores if k[1] == OURS}):
        key = (dataset, OURS, ratio, downstream)
        others = {
            k[1]: difference(scores, key, k[1])
            for k in scores
            if (k[0], k[2], k[3]) == (dataset, ratio, downstream) and k[1] not in (OURS, EARLIER)
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
        many = [c for c in group if c.ratio >= MANY]
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
        gains = [c.over_random[0] for c in group if MANY <= c.ratio <= 0.98]
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


@dataclass(frozen=True)
class WonBack:
    """What pruners win back of what random rows lose, for one unseen model at one ratio.

    lost : mean score of all rows minus that of random rows.
    shares : by pruner, its mean gain over random rows on the seeds of both, divided by ``lost``;
        0 is as good as random rows, 1 as good as all rows.
    """

    dataset: str
    downstream: str
    ratio: float
    lost: float
    shares: dict[str, float]


def won_back(scores: Scores) -> list[WonBack]:
    """Return the shares that are won back, from 80 % up, where random rows lose more than noise.

    The noise is the standard deviation (n - 1) of their score over seeds; for a single seed it is
    unknown, and the case left out.
    """
    found = []
    for dataset, downstream, ratio in distinct(
        (k[0], k[3], k[2]) for k in scores if k[1] == BASELINE and k[2] >= MANY
    ):
        random = list(scores[dataset, BASELINE, ratio, downstream].values())
        full = list(scores.get((dataset, FULL, 0.0, downstream), {}).values())
        if downstream == SAME_HEAD or len(random) < 2 or not full:
            continue
        lost = float(np.mean(full) - np.mean(random))
        if lost <= np.std(random, ddof=1):
            continue
        here = (k for k in scores if (k[0], k[2], k[3]) == (dataset, ratio, downstream))
        gains = {k[1]: difference(scores, k, BASELINE)[0] for k in here if k[1] != BASELINE}
        shares = {name: gain / lost for name, gain in gains.items() if np.isfinite(gain)}
        found.append(WonBack(dataset, downstream, ratio, lost, shares))
    return sorted(found, key=lambda case: (case.dataset, case.downstream, case.ratio))


def won_back_means(cases: Sequence[WonBack]) -> str:
    """Return the mean share that each pruner wins back, by data set and ratio, the best first.

    Pruners that were measured in all cases of a data set come first. Means over fewer cases compare
    with ours in the same cases alone.
    """
    ratios = sorted({case.ratio for case in cases})
    rows = []
    for dataset in [*distinct(case.dataset for case in cases), "all data sets"]:
        group = [case for case in cases if dataset in (case.dataset, "all data sets")]
        counts = {
            name: sum(name in case.shares for case in group)
            for name in distinct(name for case in group for name in case.shares)
        }
        means = {name: _mean_share(group, name) for name in counts}
        for name in sorted(counts, key=lambda name: (-counts[name], -means[name])):
            at = [_mean_share([c for c in group if c.ratio == ratio], name) for ratio in ratios]
            ours = _mean_share([c for c in group if name in c.shares], OURS)
            shown = ["" if np.isnan(mean) else f"{mean:+.2f}" for mean in [means[name], ours, *at]]
            rows.append([dataset, name, f"{counts[name]} of {len(group)}", *shown])
    header = [
        "data",
        "pruner",
        "cases",
        "mean",
        "ours there",
        *(f"{ratio:.0%}" for ratio in ratios),
    ]
    return markdown_table(header, rows)


def won_back_together(cases: Sequence[WonBack]) -> str:
    """Return the mean shares of ours and its nearest rivals, in the cases that all of them have."""
    cases = [case for case in cases if case.shares.keys() >= set(NEAREST)]
    ratios = sorted({case.ratio for case in cases})
    rows = []
    for dataset in distinct(case.dataset for case in cases):
        group = [case for case in cases if case.dataset == dataset]
        for name in NEAREST:
            at = [_mean_share([c for c in group if c.ratio == ratio], name) for ratio in ratios]
            shown = ["" if np.isnan(mean) else f"{mean:+.2f}" for mean in at]
            rows.append([dataset, name, str(len(group)), *shown])
    return markdown_table(["data", "pruner", "cases", *(f"{r:.0%}" for r in ratios)], rows)


def _mean_share(cases: Iterable[WonBack], pruner: str) -> float:
    shares = [case.shares[pruner] for case in cases if pruner in case.shares]
    return float(np.mean(shares)) if shares else np.nan


def won_back_cases(cases: Sequence[WonBack]) -> str:
    """Return the share that each pruner wins back, case by case."""
    pruners = sorted({name for case in cases for name in case.shares})
    rows = [
        [
            case.dataset,
            case.downstream,
            f"{case.ratio:.0%}",
            f"{case.lost:.4f}",
            *(f"{case.shares[name]:+.2f}" if name in case.shares else "" for name in pruners),
        ]
        for case in cases
    ]
    return markdown_table(["data", "model", "pruned", "random rows lose", *pruners], rows)


def surely_worse(comparisons: Iterable[Comparison]) -> str:
    """Return in how many cases of unseen models ours is surely worse than random rows."""
    cases = [c for c in comparisons if c.downstream != SAME_HEAD and np.isfinite(c.over_random[1])]
    many = [c for c in cases if c.ratio >= MANY]
    n_worse, n_worse_many = (
        sum(verdict(*c.over_random) == "worse" for c in group) for group in (cases, many)
    )
    return (
        f"Ours is surely worse than random rows (the interval of the difference is below zero) in "
        f"{n_worse_many} of {len(many)} cases from {MANY:.0%} up, in {n_worse} of {len(cases)} at "
        "all ratios."
    )


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
    parts += [same_head(comparisons), best_others(scores, comparisons)]
    parts += ["## Models that the pruner knows nothing of: ours against random rows"]
    parts += [unseen(comparisons), surely_worse(comparisons)]
    cases = won_back(scores)
    parts += ["## Models that the pruner knows nothing of: won back of what random rows lose"]
    parts += [WON_BACK_NOTE, won_back_means(cases), won_back_cases(cases)]
    parts += ["## Ours against the best other pruner", targets(comparisons)]
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
    return {
        "same head": best_others(scores, comparisons),
        "unseen models": unseen(shown),
        "won back": won_back_together(won_back(scores)),
    }


def best_others(scores: Scores, comparisons: Sequence[Comparison]) -> str:
    """Return the scores of the matched head by ratio: ours, the best other's and random rows'.

    Where the earlier release was measured, a last line has ours minus its, with the interval.
    """
    found = {(c.dataset, c.ratio): c for c in comparisons if c.downstream == SAME_HEAD}
    ratios = sorted({ratio for _, ratio in found})
    rows = []
    for dataset in distinct(dataset for dataset, _ in found):
        shown = [_three_scores(scores, found.get((dataset, ratio))) for ratio in ratios]
        full = f"{dataset}, all rows {_mean_score(scores, dataset, FULL, 0.0)}"
        names = ((full, OURS), ("", "best other"), ("", BASELINE))
        rows += [[*name, *line] for name, line in zip(names, zip(*shown, strict=True), strict=True)]
        earlier = [_over_earlier(scores, dataset, ratio) for ratio in ratios]
        if any(earlier):
            rows.append(["", f"{OURS} minus {EARLIER}", *earlier])
    return markdown_table(["data", "rows of", *(f"{ratio:.0%}" for ratio in ratios)], rows)


def _three_scores(scores: Scores, c: Comparison | None) -> tuple[str, str, str]:
    """Return ours with its sign against the best other, that with its name, and random rows'."""
    if c is None:
        return "", "", ""
    best, random = (_mean_score(scores, c.dataset, name, c.ratio) for name in (c.best, BASELINE))
    sign = {"better": " +", "worse": " −"}.get(verdict(*c.over_best), "")
    return f"{c.mine:.4f}{sign}", f"{best} {c.best}", random


def _over_earlier(scores: Scores, dataset: str, ratio: float) -> str:
    """Return ours minus its earlier release, paired by seed; nothing where either is missing."""
    gain, half = difference(scores, (dataset, OURS, ratio, SAME_HEAD), EARLIER)
    return "" if np.isnan(gain) else f"{gain:+.4f} ± {half:.4f}"


def _mean_score(scores: Scores, dataset: str, pruner: str, ratio: float) -> str:
    runs = scores.get((dataset, pruner, ratio, SAME_HEAD))
    return f"{np.mean(list(runs.values())):.4f}" if runs else "not measured"


def curves(scores: Scores, dataset: str, downstream: str) -> PruningCurveDisplay:
    """Return the curves of ours, of random rows, and of the two others with the best means."""
    keys = [key for key in scores if (key[0], key[3]) == (dataset, downstream) and key[1] != FULL]
    means: dict[str, list[float]] = defaultdict(list)
    for key in keys:
        means[key[1]].append(float(np.mean(list(scores[key].values()))))
    rivals = means.keys() - {OURS, EARLIER, BASELINE}
    others = sorted(rivals, key=lambda name: -float(np.mean(means[name])))
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
    figure.savefig(path, dpi=55)
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
