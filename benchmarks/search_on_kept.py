"""Does a search on the rows kept find what a search on all rows finds, and in what time?

    python -m benchmarks.search_on_kept                                   # all missing searches
    python -m benchmarks.search_on_kept --dataset digits --learner logistic svc --seeds 1

Each search goes over 50 settings or more of a learner, in three folds of at most 12,000 training
rows. `PrunedSearchCV` runs it on the rows that a pruner keeps, pruned once a fold, and refits the
winner on all rows; scikit-learn's `GridSearchCV` runs it on all. With four finalists, the four best
settings on kept rows are scored on all rows, and the best of these wins: about as many as leave the
kernel SVM's search on Adult ten times faster. A seed draws training rows, folds and the
pruner's choice, and is the same for all pruners.

- tau: Kendall's rank correlation (tau-b) between the mean scores of the settings on kept rows and
  on all rows;
- regret: test accuracy of the winner on all rows, less that of the winner on kept rows. Both are
  fitted on all training rows;
- seconds: of processor time, which other jobs on the machine hardly change. Those of the search
  are without the last fit; those of pruning and of the finalists are counted in. Pruning is as
  large a share of the search as on the wall clock.

One line a search goes to `results/search_on_kept.csv`, with the mean score of every setting; a run
that was cut off goes on where it stopped. The report is `results/search_on_kept.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np
from scipy.stats import kendalltau
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import KMeansPruner, RandomPruner
from sklearn_prune.model_selection import PrunedSearchCV

from ._common import (
    BENCHMARKS_README,
    RESULTS,
    argument_parser,
    insert_table,
    markdown_table,
    output_folder,
)
from .cells import Done, Key, measure, read_records
from .data import Split, load
from .models import fit, median_gamma
from .scores import Run, gain, mean_of

DATASETS = ("adult", "digits", "cifar10")
FULL = "all rows"
README_TABLE = "when pruning pays"
N_ROWS, N_FOLDS, N_SEEDS, RATIO = 12_000, 3, 5, 0.9
N_FINALISTS = (1, 4)
# Never reached: a search that is cut short depends on what else the machine does.
TIME_LIMIT = 3_600.0
# gamma of the kernel SVM, in units of 1 / (median squared distance).
GAMMAS = np.array([0.03, 0.1, 0.3, 1.0, 3.0, 10.0])

# Model and settings, by name.
LEARNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "logistic": (
        LogisticRegression(max_iter=1000),
        {"C": np.logspace(-4, 1, 25), "class_weight": [None, "balanced"]},
    ),
    "svc": (SVC(cache_size=500), {"C": np.logspace(-1, 3, 9), "gamma": GAMMAS}),
    "boosting": (
        HistGradientBoostingClassifier(),
        {
            "learning_rate": [0.03, 0.1, 0.3],
            "max_leaf_nodes": [7, 15, 31],
            "l2_regularization": [0.0, 1.0, 10.0],
            "min_samples_leaf": [5, 20],
        },
    ),
    "forest": (
        RandomForestClassifier(n_estimators=50),
        {
            "max_features": ["sqrt", 0.2, 0.5],
            "min_samples_leaf": [1, 3, 10],
            "max_depth": [4, 10, None],
            "criterion": ["gini", "entropy"],
        },
    ),
    "mlp": (
        MLPClassifier(max_iter=30),
        {
            "hidden_layer_sizes": [(16,), (64,), (128,)],
            "alpha": np.logspace(-4, 1, 6),
            "learning_rate_init": [3e-4, 1e-3, 3e-3],
        },
    ),
}


# Data set, learner, pruner, share pruned and finalists.
Search: TypeAlias = tuple[str, str, str, float, int]
OF_FULL = FULL, 0.0, 1


@dataclass(frozen=True)
class Cell:
    """One search, and the test score of its winner, refitted on all training rows.

    n_kept : rows of all folds together that the search trained on.
    seconds : processor time of the search, with pruning and finalists, without the refit.
    scores : mean score of each setting, in the grid's order, with spaces in between.
    """

    dataset: str
    learner: str
    pruner: str
    prune_ratio: float
    n_finalists: int
    seed: int
    n_kept: int
    seconds: float
    prune_seconds: float
    refit_seconds: float
    test_score: float
    scores: str

    @property
    def key(self) -> Key:
        return *self.search, self.seed

    @property
    def search(self) -> Search:
        return self.dataset, self.learner, self.pruner, self.prune_ratio, self.n_finalists

    @property
    def setting_scores(self) -> np.ndarray:
        return np.array([float(score) for score in self.scores.split()])


def pruners(ratio: float, seed: int) -> dict[str, Any]:
    return {
        "influence": InfluencePruner(prune_ratio=ratio, time_limit=TIME_LIMIT, random_state=seed),
        "random": RandomPruner(ratio, stratify=False, random_state=seed),
        "stratified": RandomPruner(ratio, random_state=seed),
        "kmeans": KMeansPruner(prune_ratio=ratio, random_state=seed),
    }


PRUNERS = tuple(pruners(RATIO, 0))


def grid_search(split: Split, learner: str, seed: int) -> GridSearchCV:
    """Return the search over a learner's settings."""
    model, grid = LEARNERS[learner]
    if learner == "svc":
        grid = {**grid, "gamma": GAMMAS * median_gamma(split)}
    if "random_state" in model.get_params():
        model = type(model)(**{**model.get_params(), "random_state": seed})
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    return GridSearchCV(model, grid, cv=folds, refit=False)


def measured(
    split: Split, learner: str, pruner: str, ratio: float, n_finalists: int, seed: int
) -> Cell:
    """Run one search."""
    search: Any = grid_search(split, learner, seed)
    model = search.estimator
    if pruner != FULL:
        search = PrunedSearchCV(search, pruners(ratio, seed)[pruner], n_finalists=n_finalists)
    clock, busy = perf_counter(), process_time()
    fit(search, split.X_train, split.y_train)
    clock, busy = perf_counter() - clock, process_time() - busy
    winner = clone(model).set_params(**search.best_params_)
    refit = process_time()
    fit(winner, split.X_train, split.y_train)
    refit = process_time() - refit
    report = getattr(search, "pruning_report_", None)
    return Cell(
        split.name,
        learner,
        pruner,
        ratio,
        n_finalists,
        seed,
        sum(report.n_kept) if report else (N_FOLDS - 1) * len(split.y_train),
        busy,
        busy * sum(report.prune_seconds if report else ()) / clock,
        refit,
        float(winner.score(split.X_test, split.y_test)),
        " ".join(f"{score:.6f}" for score in search.cv_results_["mean_test_score"]),
    )


def tau(cell: Cell, full: Cell) -> float:
    """Return Kendall's tau-b of the settings' scores; nan where all of one are alike."""
    return float(kendalltau(cell.setting_scores, full.setting_scores).statistic)


def _line(key: Search, cells: dict[int, Cell], full: dict[int, Cell]) -> list[str]:
    """Return the means over the seeds that both have."""
    dataset, learner, pruner, ratio, n_finalists = key
    seeds = sorted(cells.keys() & full.keys())
    if not seeds:
        return []
    own, theirs = ([runs[seed] for seed in seeds] for runs in (cells, full))
    ours, best = (test_scores(runs, seeds) for runs in (cells, full))
    pairs = list(zip(own, theirs, strict=True))
    seconds, of_full = (np.mean([cell.seconds for cell in part]) for part in (own, theirs))
    return [
        f"{dataset}, {learner}",
        f"{ratio:.0%}",
        pruner,
        str(n_finalists),
        str(len(seeds)),
        f"{np.mean([tau(cell, other) for cell, other in pairs]):.2f}",
        f"{mean_of(best):.4f}",
        str(gain(best, ours)),
        f"{of_full:.1f}",
        f"{seconds:.1f}",
        f"{np.mean([cell.prune_seconds for cell in own]):.1f}",
        f"{of_full / seconds:.1f}",
    ]


def test_scores(cells: dict[int, Cell], seeds: Sequence[int]) -> Run:
    return {seed: cells[seed].test_score for seed in seeds}


def by_search(cells: Sequence[Cell]) -> dict[Search, dict[int, Cell]]:
    """Return the cells of each search, by seed."""
    runs: dict[Search, dict[int, Cell]] = {}
    for cell in cells:
        runs.setdefault(cell.search, {})[cell.seed] = cell
    return runs


def box(cells: Sequence[Cell]) -> str:
    """Return for each search from how many fits on pruning pays, and what the winner is worth.

    With p seconds of pruning, and f and k seconds of a fit on all rows and on those kept, the
    scoring included, pruning pays from ``p / (f - k)`` fits on the same rows.
    """
    runs = by_search(cells)
    lines = []
    for dataset, learner in dict.fromkeys(key[:2] for key in runs):
        full, ours, random = (
            runs.get((dataset, learner, *way), {})
            for way in (OF_FULL, ("influence", RATIO, 1), ("random", RATIO, 1))
        )
        seeds = sorted(full.keys() & ours.keys() & random.keys())
        if not seeds:
            continue
        best = test_scores(full, seeds)
        of_all, of_kept, pruning = np.mean(
            [
                (
                    full[seed].seconds / (N_FOLDS * len(full[seed].setting_scores)),
                    (ours[seed].seconds - ours[seed].prune_seconds)
                    / (N_FOLDS * len(ours[seed].setting_scores)),
                    ours[seed].prune_seconds / N_FOLDS,
                )
                for seed in seeds
            ],
            axis=0,
        )
        pays = f"{np.ceil(pruning / (of_all - of_kept)):,.0f}" if of_all > of_kept else "never"
        lines.append(
            [
                f"{dataset}, {learner}",
                f"{np.mean([full[seed].n_kept for seed in seeds]) / N_FOLDS:,.0f}",
                str(len(seeds)),
                *(f"{seconds:.2g}" for seconds in (of_all, of_kept, pruning)),
                pays,
                *(str(gain(best, test_scores(part, seeds))) for part in (ours, random)),
            ]
        )
    header = ["data, model", "rows", "seeds", "a fit on all rows, s", "on a tenth, s"]
    header += ["pruning, s", "pays from, fits", "regret: our rows", "random rows"]
    return markdown_table(header, lines)


def report(cells: Sequence[Cell]) -> str:
    runs = by_search(cells)
    lines = [
        _line(key, runs[key], runs.get((*key[:2], *OF_FULL), {}))
        for key in sorted(runs)
        if key[2] != FULL
    ]
    header = [
        "data, learner",
        "pruned",
        "pruner",
        "finalists",
        "seeds",
        "tau",
        "winner on all rows",
    ]
    header += ["regret", "all rows, s", "kept rows, s", "of these pruning, s", "times faster"]
    sizes = {len(cell.setting_scores) for cell in cells}
    return "\n\n".join(
        [
            "# Search on the rows kept",
            "Made by `python -m benchmarks.search_on_kept` from `search_on_kept.csv`. "
            f"{min(sizes, default=0)} settings or more, {N_FOLDS} folds, at most {N_ROWS:,} "
            "training rows. Tau is Kendall's, of the settings' scores on kept rows and on all; "
            "regret is the test accuracy of the winner on all rows less that of the winner on kept "
            "rows, both fitted on all training rows (intervals: 95 %, paired by seed).",
            markdown_table(header, [line for line in lines if line]),
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.search_on_kept", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--learner", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--pruner", nargs="+", choices=PRUNERS, default=list(PRUNERS))
    parser.add_argument("--ratio", nargs="+", type=float, default=[RATIO])
    parser.add_argument("--finalists", nargs="+", type=int, default=list(N_FINALISTS))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    args = parser.parse_args(argv)
    ways: list[tuple[str, float, int]] = [
        OF_FULL,
        *product(args.pruner, args.ratio, args.finalists),
    ]

    def missing(done: Done) -> Iterator[Cell]:
        for seed, dataset in product(range(args.seeds), args.dataset):
            split = load(dataset, args.data_dir).subset(min(N_ROWS, args.subset or N_ROWS), seed)
            for learner, way in product(args.learner, ways):
                if (dataset, learner, *way, seed) not in done:
                    yield measured(split, learner, *way, seed)

    folder = output_folder(args)
    measure("search_on_kept", Cell, missing, report, folder, parser)
    if folder == RESULTS:
        table = box(read_records(folder / "search_on_kept.csv", Cell))
        insert_table(BENCHMARKS_README, README_TABLE, table)


if __name__ == "__main__":
    main()
