"""Tables and the picture of `benchmarks.quality`, made from the csv file it wrote.

python -m benchmarks.quality_report        # anew from benchmarks/results/quality.csv
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from sklearn_prune.inspection import PruningCurveDisplay

from ._common import BENCHMARKS_README, README, RESULTS, insert_table, markdown_table
from .cells import Key, read_records
from .scores import (
    LEVEL,
    Gain,
    Run,
    ScoreKey,
    Scores,
    collected,
    distinct,
    gain_over,
    mean_of,
    shown_mean,
    table,
)

SAME_HEAD, BASELINE, FULL, OURS = "head", "random", "all rows", "influence"
# Our previous release: shown for reference, never counted as a rival.
EARLIER = "influence-0.1"
# From this ratio on, random rows lose something.
MANY = 0.8
# Data whose unseen models the benchmarks' README speaks of; the others are in quality.md.
UNSEEN_IN_README = ("adult", "cifar10", "diamonds")
# Rows and columns of the picture.
DRAWN_DATA = {"adult": "Adult", "diamonds": "Diamonds", "cifar10": "CIFAR-10 embedding"}
DRAWN_MODELS = {
    SAME_HEAD: "linear model (matched)",
    "forest": "random forest",
    "kernel-svm": "kernel SVM",
    "neighbours": "nearest neighbours",
}
# The small table of README.md.
README_TABLE, README_RATIO = "when it helps", 0.9

WON_BACK_NOTE = (
    "(pruner - random) / (all rows - random), of mean scores over seeds: 0 is as good as random "
    "rows, 1 as good as all rows. From 80 % up, where random rows lose more than the standard "
    "deviation of their score over seeds. Of each data set the pruners measured in most cases come "
    "first, the best of them on top; a mean over fewer cases compares with ours in the same ones."
)

# The nearest rivals: one part of ours alone, and k-means prototypes.
KMEANS = "kmeans"
NEAREST = (OURS, "distribution", KMEANS)


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

    @property
    def key(self) -> Key:
        return self.dataset, self.pruner, self.prune_ratio, self.downstream, self.seed


def by_run(cells: Iterable[Cell]) -> Scores:
    """Return, for each data set, pruner, ratio and downstream model, the score of each seed."""
    return collected(
        ((c.dataset, c.pruner, c.prune_ratio, c.downstream), c.seed, c.score) for c in cells
    )


@dataclass(frozen=True)
class Comparison:
    """Ours against the best other pruner and against random rows, at one ratio."""

    dataset: str
    downstream: str
    ratio: float
    n_seeds: int
    n_others: int
    mine: float
    best: str
    over_best: Gain
    over_random: Gain


def compare(scores: Scores) -> list[Comparison]:
    """Compare ours with all others but its earlier release, wherever there is another."""
    comparisons = []
    for key in sorted((k for k in scores if k[1] == OURS), key=lambda k: (k[0], k[3], k[2])):
        dataset, _, ratio, downstream = key
        gains = {
            k[1]: gain_over(scores, key, k[1])
            for k in scores
            if (k[0], k[2], k[3]) == (dataset, ratio, downstream) and k[1] not in (OURS, EARLIER)
        }
        gains = {name: gain for name, gain in gains.items() if gain.n_seeds}
        if gains:
            best = min(gains, key=lambda name: gains[name].mean)
            comparisons.append(
                Comparison(
                    dataset,
                    downstream,
                    ratio,
                    len(scores[key]),
                    len(gains),
                    mean_of(scores[key]),
                    best,
                    gains[best],
                    gain_over(scores, key, BASELINE),
                )
            )
    return comparisons


def targets(comparisons: Iterable[Comparison]) -> str:
    """Return where ours is the best, and where it is significantly worse than random rows."""
    rows = [
        [
            c.dataset,
            c.downstream,
            f"{c.ratio:.0%}",
            f"{c.mine:.4f}",
            c.best,
            str(c.over_best),
            c.over_best.verdict,
            c.over_random.verdict,
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
        best = [c for c in group if c.over_best.mean >= 0]
        surely = [c for c in many if c.over_best.verdict == "better"]
        beaten = [
            f"{c.ratio:.0%} by {c.best} ({c.over_best.mean:+.4f})" for c in group if c not in best
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
            if (c.dataset, c.downstream) == (dataset, downstream) and c.over_random.verdict
        ]
        if downstream == SAME_HEAD or not group:
            continue
        verdicts = [c.over_random.verdict for c in group]
        gains = [c.over_random.mean for c in group if MANY <= c.ratio <= 0.98]
        worse = [f"{c.ratio:.0%}" for c in group if c.over_random.verdict == "worse"]
        rows.append(
            [
                dataset,
                downstream,
                _range(c.over_random.n_seeds for c in group),
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
    cases = []
    for dataset, downstream, ratio in distinct(
        (k[0], k[3], k[2]) for k in scores if k[1] == BASELINE and k[2] >= MANY
    ):
        random = scores[dataset, BASELINE, ratio, downstream]
        full = scores.get((dataset, FULL, 0.0, downstream), {})
        if downstream == SAME_HEAD or len(random) < 2 or not full:
            continue
        lost = mean_of(full) - mean_of(random)
        if lost <= np.std(list(random.values()), ddof=1):
            continue
        here = (k for k in scores if (k[0], k[2], k[3]) == (dataset, ratio, downstream))
        gains = {k[1]: gain_over(scores, k, BASELINE).mean for k in here if k[1] != BASELINE}
        shares = {name: gain / lost for name, gain in gains.items() if np.isfinite(gain)}
        cases.append(WonBack(dataset, downstream, ratio, lost, shares))
    return sorted(cases, key=lambda case: (case.dataset, case.downstream, case.ratio))


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
    cases = [c for c in comparisons if c.downstream != SAME_HEAD and c.over_random.verdict]
    many = [c for c in cases if c.ratio >= MANY]
    n_worse, n_worse_many = (
        sum(c.over_random.verdict == "worse" for c in group) for group in (cases, many)
    )
    return (
        f"Ours is surely worse than random rows (the interval of the difference is below zero) in "
        f"{n_worse_many} of {len(many)} cases from {MANY:.0%} up, in {n_worse} of {len(cases)} at "
        "all ratios."
    )


def _range(counts: Iterable[int]) -> str:
    sizes = sorted(set(counts))
    return "-".join(map(str, sizes[:1] + sizes[1:][-1:]))


def markdown(cells: Sequence[Cell]) -> str:
    """Return the targets, ours against the best other, and a table for each data and model."""
    scores = by_run(cells)
    comparisons = compare(scores)
    parts = [
        "Means over seeds; in brackets the gain over random rows of the same class shares, paired "
        f"by seed, with its {LEVEL:.0%} interval. R² for diamonds, else accuracy."
    ]
    parts += ["## The model whose influences are matched: ours against all others"]
    parts += [same_head(comparisons), best_others(scores, comparisons)]
    parts += ["## Models that the pruner knows nothing of: ours against random rows"]
    parts += [unseen(comparisons), surely_worse(comparisons)]
    cases = won_back(scores)
    parts += ["## Models that the pruner knows nothing of: won back of what random rows lose"]
    parts += [WON_BACK_NOTE, won_back_means(cases), won_back_cases(cases)]
    parts += ["## Ours against the best other pruner", targets(comparisons)]
    for dataset, downstream in _by_dataset((key[0], key[3]) for key in scores):
        parts.append(f"## {dataset}, {downstream}")
        full = scores.get((dataset, FULL, 0.0, downstream))
        parts.append(f"All rows: {shown_mean(full, 'not measured')}")
        pruned = {key: run for key, run in scores.items() if key[1] != FULL}
        parts.append(table(pruned, dataset, downstream, BASELINE))
    return "\n\n".join(parts)


def _by_dataset(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return distinct pairs of data set and model, those of a data set together."""
    pairs = distinct(pairs)
    order = distinct(dataset for dataset, _ in pairs)
    return sorted(pairs, key=lambda pair: order.index(pair[0]))


def benchmarks_tables(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the tables that the benchmarks' README shows, by name."""
    scores = by_run(cells)
    comparisons = compare(scores)
    shown = [c for c in comparisons if c.dataset in UNSEEN_IN_README]
    return {
        "same head": best_others(scores, comparisons),
        "unseen models": unseen(shown),
        "won back": won_back_together(won_back(scores)),
    }


def readme_table(cells: Sequence[Cell]) -> str:
    """Return README's table: at one ratio the matched model's scores, and what others win back."""
    scores = by_run(cells)
    cases = [case for case in won_back(scores) if case.ratio == README_RATIO]
    cases = [case for case in cases if case.shares.keys() >= set(NEAREST)]
    rows = []
    for dataset in distinct(case.dataset for case in cases):
        group = [case for case in cases if case.dataset == dataset]
        runs = [(FULL, 0.0), *((name, README_RATIO) for name in (BASELINE, OURS, KMEANS))]
        heads = [scores.get((dataset, name, ratio, SAME_HEAD)) for name, ratio in runs]
        shares = [f"{_mean_share(group, name):.0%}" for name in (OURS, KMEANS)]
        rows.append([dataset, *map(shown_mean, heads), str(len(group)), *shares])
    header = ["data", "matched: all rows", BASELINE, "ours", KMEANS]
    return markdown_table([*header, "other models", "ours win back", f"{KMEANS} win back"], rows)


def best_others(scores: Scores, comparisons: Sequence[Comparison]) -> str:
    """Return the scores of the matched head by ratio: ours, the best other's and random rows'.

    Where the earlier release was measured, a last line has ours minus its, with the interval.
    """
    heads = {(c.dataset, c.ratio): c for c in comparisons if c.downstream == SAME_HEAD}
    ratios = sorted({ratio for _, ratio in heads})
    rows = []
    for dataset in distinct(dataset for dataset, _ in heads):
        shown = [_three_scores(scores, heads.get((dataset, ratio))) for ratio in ratios]
        full = f"{dataset}, all rows {_head_score(scores, dataset, FULL, 0.0)}"
        names = ((full, OURS), ("", "best other"), ("", BASELINE))
        rows += [[*name, *line] for name, line in zip(names, zip(*shown, strict=True), strict=True)]
        keys: list[ScoreKey] = [(dataset, OURS, ratio, SAME_HEAD) for ratio in ratios]
        earlier = [str(gain_over(scores, key, EARLIER)) for key in keys]
        if any(earlier):
            rows.append(["", f"{OURS} minus {EARLIER}", *earlier])
    return markdown_table(["data", "rows of", *(f"{ratio:.0%}" for ratio in ratios)], rows)


def _three_scores(scores: Scores, c: Comparison | None) -> tuple[str, str, str]:
    """Return ours with its sign against the best other, that with its name, and random rows'."""
    if c is None:
        return "", "", ""
    best, random = (_head_score(scores, c.dataset, name, c.ratio) for name in (c.best, BASELINE))
    sign = {"better": " +", "worse": " −"}.get(c.over_best.verdict, "")
    return f"{c.mine:.4f}{sign}", f"{best} {c.best}", random


def _head_score(scores: Scores, dataset: str, pruner: str, ratio: float) -> str:
    return shown_mean(scores.get((dataset, pruner, ratio, SAME_HEAD)), "not measured")


def curves(scores: Scores, dataset: str, downstream: str) -> PruningCurveDisplay:
    """Return the curves of ours and of random rows, at the ratios and seeds that both have."""
    runs: dict[str, dict[float, Run]] = {}
    for shown, pruner in (("rows kept", OURS), ("random rows", BASELINE)):
        curve = (dataset, pruner, downstream)
        runs[shown] = {k[2]: run for k, run in scores.items() if (k[0], k[1], k[3]) == curve}
    ratios = sorted(set.intersection(*map(set, runs.values())))
    seeds = set.intersection(*(set(run[ratio]) for run in runs.values() for ratio in ratios))
    return PruningCurveDisplay(
        prune_ratios=dict.fromkeys(runs, np.array(ratios)),
        test_scores={
            shown: np.array([[run[ratio][seed] for seed in sorted(seeds)] for ratio in ratios])
            for shown, run in runs.items()
        },
        score_name="",
    )


def draw(scores: Scores, path: Path) -> None:
    """Draw score against share dropped: rows kept, random rows and all rows, for several models."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(DRAWN_DATA),
        len(DRAWN_MODELS),
        figsize=(11, 6.5),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for (dataset, downstream), ax in zip(product(DRAWN_DATA, DRAWN_MODELS), axes.flat, strict=True):
        pruners = {key[1] for key in scores if (key[0], key[3]) == (dataset, downstream)}
        if not pruners >= {OURS, BASELINE, FULL}:
            ax.set_axis_off()
            continue
        display = curves(scores, dataset, downstream).plot(ax=ax, markersize=3)
        full = mean_of(scores[dataset, FULL, 0.0, downstream])
        ax.axhline(full, color="gray", linestyle="--", label="all rows")
        # On this scale, halving the kept rows is the same step everywhere near 100 %.
        ax.set_xscale("logit")
        ax.minorticks_off()
        ratios = display.prune_ratios["rows kept"]
        ax.set_xticks(ratios, [f"{ratio:.0%}" for ratio in ratios])
        ax.set(xlabel="", ylabel="")
        ax.get_legend().remove()
    for ax, name in zip(axes[0], DRAWN_MODELS.values(), strict=True):
        ax.set_title(name)
    for ax, (dataset, name) in zip(axes[:, 0], DRAWN_DATA.items(), strict=True):
        ax.set_ylabel(f"{name}\n{'R²' if dataset == 'diamonds' else 'accuracy'}")
    figure.supxlabel("share of training rows dropped")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main() -> None:
    cells = read_records(RESULTS / "quality.csv", Cell)
    draw(by_run(cells), RESULTS / "quality.png")
    (RESULTS / "quality.md").write_text(markdown(cells) + "\n", encoding="utf-8")
    for name, shown in benchmarks_tables(cells).items():
        insert_table(BENCHMARKS_README, name, shown)
    insert_table(README, README_TABLE, readme_table(cells))


if __name__ == "__main__":
    main()
