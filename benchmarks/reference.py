"""What are trusted rows worth beside many rows with wrong labels, or beside another population?

    python -m benchmarks.reference                             # all cells that are missing
    python -m benchmarks.reference --figures --seeds 3         # those that figures are asked of
    python -m benchmarks.reference --dataset digits --kind symmetric --noise 0.2 --ratio 0.4

Each seed draws reference rows and training rows (at most 8,000) from a data set's training rows.
Then either some labels of the training rows are made wrong, evenly (``symmetric``: any other class)
or all in one direction (``one way``: to class 0), or the reference rows are of another population
than the training rows (``shift``: the self-employed of Adult, and those in private employment).
What pruners choose, and rows as they are, is compared by four models that are trained on them from
zero and scored on the test rows (of a shift: those of the reference's population). In a ``hidden
shift`` the columns that have one value in all training rows are left out, such as "is
self-employed": what tells the two populations apart there, only reference rows could teach.

- all noisy rows, all clean rows: the training rows as they are, and with their right labels;
- reference alone, reference and all noisy rows;
- influence: `InfluencePruner` with reference rows, and the rows kept together with these; and
  without reference rows;
- least loss: the rows of the least loss at a logistic regression on the reference rows;
- random rows; cleanlab: the rows that its filter leaves, where the package is installed.

One line a cell goes to `results/reference.csv`; a run that was cut off goes on where it stopped.
The report is `results/reference.md`. ``--validate`` scores on training rows that are held out
instead, and writes nothing: that is where options were decided.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner

from . import reference_report
from ._common import (
    BENCHMARKS_README,
    RESULTS,
    argument_parser,
    insert_table,
    output_folder,
)
from .cells import Done, measure, read_records
from .data import Split, load, load_adult_frame
from .models import Tuned, fit, model_of, tune_damping
from .reference_report import SHIFTS, WITH_REFERENCE, Cell, Task

DOWNSTREAM = ("head", "boosting", "forest", "mlp")
KINDS = ("symmetric", "one way", *SHIFTS)
NOISES = (0.2, 0.1, 0.4)
RATIOS = (0.4, 0.2, 0.6, 0.8)
N_REFERENCE = {"adult": (1000, 300), "digits": (300,)}
N_SEEDS, N_TRAINING, N_VALIDATED = 10, 8_000, 8_000
# Seconds. So long that a busy machine does not end a search.
TIME_LIMIT = 3600.0
REFERENCE_CLASSES, TRAINING_CLASSES = ("Self-emp-not-inc", "Self-emp-inc"), ("Private",)


@dataclass(frozen=True)
class Setting:
    """One draw of a task: training rows, reference rows, and rows to score on.

    clean : the right labels of the training rows.
    """

    X: np.ndarray
    y: np.ndarray
    clean: np.ndarray
    X_ref: np.ndarray
    y_ref: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


# Training rows of a method: X and y.
Rows = tuple[np.ndarray, np.ndarray]
# Maps ratios to pairs of ratio and kept rows.
Choose = Callable[[Sequence[float]], Iterator[tuple[float, np.ndarray]]]


def tasks(args: argparse.Namespace) -> list[Task]:
    """Return what is asked for; the cells that figures are asked of come first."""
    first = [
        Task("adult", "symmetric", 0.2, 1000),
        Task("digits", "symmetric", 0.2, 300),
        Task("adult", "shift", 0.0, 300),
    ]
    others = [Task("adult", "hidden shift", 0.0, 300)]
    others += [
        Task(dataset, kind, noise, n_reference)
        for kind, noise, dataset in product(KINDS[:2], NOISES, N_REFERENCE)
        for n_reference in N_REFERENCE[dataset]
    ]
    wanted = first if args.figures else list(dict.fromkeys([*first, *others]))
    return [
        task
        for task in wanted
        if task.dataset in args.dataset
        and task.kind in args.kind
        and (task.is_shift or task.noise in args.noise)
    ]


@lru_cache
def loaded(dataset: str, data_dir: Path) -> Split:
    return load(dataset, data_dir)


@lru_cache
def tuned(dataset: str, data_dir: Path) -> Tuned:
    """The damping of the downstream head, by training rows with right labels; all get the same."""
    return Tuned(tune_damping(loaded(dataset, data_dir)), 1.0, 5)


@lru_cache
def work_classes(data_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of Adult's training rows and test rows."""
    frame, _, is_test = load_adult_frame(data_dir)
    classes = frame["workclass"].to_numpy()
    return classes[~is_test], classes[is_test]


def draw(task: Task, seed: int, data_dir: Path, *, validate: bool = False) -> Setting:
    """Draw the rows of a task."""
    split, rng = loaded(task.dataset, data_dir), np.random.default_rng(seed)
    n = len(split.y_train)
    of_reference = of_training = np.ones(n, dtype=bool)
    tested = np.ones(len(split.y_test), dtype=bool)
    if task.is_shift:
        known, test_known = work_classes(data_dir)
        of_reference, of_training = (
            np.isin(known, classes) for classes in (REFERENCE_CLASSES, TRAINING_CLASSES)
        )
        tested = np.isin(test_known, REFERENCE_CLASSES)
    order = rng.permutation(n)
    X_test, y_test = split.X_test[tested], split.y_test[tested]
    if validate:
        held_out, order = _held_out(order, of_reference)
        X_test, y_test = split.X_train[held_out], split.y_train[held_out]
    reference = order[of_reference[order]][: task.n_reference]
    training = np.setdiff1d(order[of_training[order]], reference, assume_unique=True)
    training = rng.permutation(training)[:N_TRAINING]
    clean, columns = split.y_train[training], np.ones(split.X_train.shape[1], dtype=bool)
    if task.kind == "hidden shift":
        columns = np.ptp(split.X_train[training], axis=0) > 0
    return Setting(
        split.X_train[training][:, columns],
        with_wrong_labels(clean, task, rng),
        clean,
        split.X_train[reference][:, columns],
        split.y_train[reference],
        X_test[:, columns],
        y_test,
    )


def _held_out(order: np.ndarray, of_reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a fifth of the rows of the reference's population, and all others."""
    candidates = order[of_reference[order]]
    held_out = candidates[: min(N_VALIDATED, len(candidates) // 5)]
    return held_out, order[~np.isin(order, held_out)]


def with_wrong_labels(y: np.ndarray, task: Task, rng: np.random.Generator) -> np.ndarray:
    """Return labels of which the task's share is wrong."""
    noisy, n_classes = y.copy(), int(y.max()) + 1
    if task.kind == "symmetric":
        wrong = rng.random(len(y)) < task.noise
        noisy[wrong] = (y[wrong] + rng.integers(1, n_classes, int(wrong.sum()))) % n_classes
    elif task.kind == "one way":
        noisy[rng.random(len(y)) < task.noise] = 0
    return noisy


def as_they_are(setting: Setting) -> dict[str, Callable[[], Rows]]:
    """Return the methods that drop nothing."""
    s = setting
    return {
        "all noisy rows": lambda: (s.X, s.y),
        "all clean rows": lambda: (s.X, s.clean),
        "reference alone": lambda: (s.X_ref, s.y_ref),
        "reference and all noisy rows": lambda: (
            np.vstack([s.X, s.X_ref]),
            np.r_[s.y, s.y_ref],
        ),
        "cleanlab": lambda: left_by_cleanlab(s),
    }


def left_by_cleanlab(setting: Setting) -> Rows:
    """The rows that cleanlab's filter finds no issue with, by a forest's held-out answers."""
    from cleanlab.filter import find_label_issues

    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
    answers = cross_val_predict(forest, setting.X, setting.y, cv=5, method="predict_proba")
    kept = ~find_label_issues(setting.y, answers, n_jobs=1)
    return setting.X[kept], setting.y[kept]


def least_loss(setting: Setting, ratio: float) -> np.ndarray:
    """The rows of the least loss at a logistic regression on the reference rows."""
    model = LogisticRegressionCV(
        Cs=[1e-3, 1e-2, 1e-1, 1.0, 10.0],
        cv=5,
        scoring="neg_log_loss",
        max_iter=500,
        use_legacy_attributes=False,
        l1_ratios=(0.0,),
    ).fit(setting.X_ref, setting.y_ref)
    shares = model.predict_proba(setting.X)
    own = shares[np.arange(len(setting.y)), np.searchsorted(model.classes_, setting.y)]
    n_keep = len(own) - round(ratio * len(own))
    return np.sort(np.argsort(-own, kind="stable")[:n_keep])


def pruned(setting: Setting, seed: int) -> dict[str, Choose]:
    """Return by pruner a function that yields ratios and kept rows, from one fit for all."""
    s = setting

    def chosen(pruner: Any, **led: Any) -> Choose:
        def rows(ratios: Sequence[float]) -> Iterator[tuple[float, np.ndarray]]:
            if not hasattr(pruner, "support_"):
                pruner.set_params(prune_ratio=max(ratios)).fit(s.X, s.y, **led)
            for ratio in ratios:
                yield ratio, np.flatnonzero(pruner.select(prune_ratio=ratio))

        return rows

    def ranked(ratios: Sequence[float]) -> Iterator[tuple[float, np.ndarray]]:
        for ratio in ratios:
            yield ratio, least_loss(s, ratio)

    influence = InfluencePruner(time_limit=TIME_LIMIT, random_state=seed)
    led = chosen(influence, X_ref=s.X_ref, y_ref=s.y_ref)
    return {
        "influence": led,
        WITH_REFERENCE: led,
        "least loss": ranked,
        "random": chosen(RandomPruner(random_state=seed)),
        "influence, no reference": chosen(clone(influence)),
    }


METHODS = (
    "all noisy rows",
    "all clean rows",
    "reference alone",
    "reference and all noisy rows",
    "influence",
    WITH_REFERENCE,
    "least loss",
    "random",
    "influence, no reference",
    "cleanlab",
)


def scores(model: Any, X_test: np.ndarray, y_test: np.ndarray) -> tuple[float, float, float]:
    """Return accuracy, area under the curve and log loss of a fitted classifier."""
    n_classes = int(y_test.max()) + 1
    shares = np.zeros((len(y_test), n_classes))
    shares[:, model.classes_] = model.predict_proba(X_test)
    accuracy = float((shares.argmax(axis=1) == y_test).mean())
    of_one = shares[:, 1] if n_classes == 2 else shares / shares.sum(axis=1, keepdims=True)
    area = roc_auc_score(y_test, of_one, multi_class="ovr")
    # Clip, so that no single row dominates the log loss.
    clipped = np.clip(shares, 1e-4, 1.0)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return accuracy, float(area), float(log_loss(y_test, clipped))


def training_rows(
    method: str, setting: Setting, pruners: dict[str, Choose], ratios: Sequence[float]
) -> Iterator[tuple[float, Rows]]:
    """Yield each ratio and the rows that a method trains on; 0 for rows as they are."""
    plain = as_they_are(setting)
    if method in plain:
        yield 0.0, plain[method]()
        return
    for ratio, kept in pruners[method](ratios):
        X, y = setting.X[kept], setting.y[kept]
        if method == WITH_REFERENCE:
            X, y = np.vstack([X, setting.X_ref]), np.r_[y, setting.y_ref]
        yield ratio, (X, y)


def cells(task: Task, seed: int, args: argparse.Namespace, done: Done) -> Iterator[Cell]:
    """Yield the cells of one task and seed that are not done."""

    def missing(method: str, ratio: float) -> list[str]:
        return [d for d in args.downstream if (task, method, ratio, d, seed) not in done]

    setting, pruners = None, {}
    for method in args.method:
        if method == "cleanlab" and find_spec("cleanlab") is None:
            continue
        asked = [0.0] if method in METHODS[:4] or method == "cleanlab" else list(args.ratio)
        ratios = [ratio for ratio in asked if missing(method, ratio)]
        if not ratios:
            continue
        if setting is None:
            setting = draw(task, seed, args.data_dir, validate=args.validate)
            pruners = pruned(setting, seed)
        split, tuned_to = loaded(task.dataset, args.data_dir), tuned(task.dataset, args.data_dir)
        for ratio, rows in training_rows(method, setting, pruners, ratios):
            for downstream in missing(method, ratio):
                model = fit(model_of(downstream, split, tuned_to, len(rows[1]), seed), *rows)
                accuracy, auc, loss = scores(model, setting.X_test, setting.y_test)
                yield Cell(
                    **vars(task),
                    method=method,
                    prune_ratio=ratio,
                    downstream=downstream,
                    seed=seed,
                    n_rows=len(rows[1]),
                    accuracy=accuracy,
                    auc=auc,
                    log_loss=loss,
                )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.reference", __doc__)
    parser.add_argument("--dataset", nargs="+", choices=N_REFERENCE, default=list(N_REFERENCE))
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--noise", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--ratio", nargs="+", type=float, default=list(RATIOS))
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--downstream", nargs="+", choices=DOWNSTREAM, default=list(DOWNSTREAM))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument("--figures", action="store_true", help="40 %% pruned, of three tasks")
    parser.add_argument("--validate", action="store_true", help="score on held-out training rows")
    args = parser.parse_args(argv)
    if args.figures:
        args.ratio = [0.4]
    folder = None if args.validate and args.out is None else output_folder(args)

    def missing(done: Done) -> Iterator[Cell]:
        for seed, task in product(range(args.seeds), tasks(args)):
            yield from cells(task, seed, args, done)

    measure("reference", Cell, missing, reference_report.markdown, folder, parser)
    if folder == RESULTS:
        measured = read_records(RESULTS / "reference.csv", Cell)
        insert_table(BENCHMARKS_README, "reference rows", reference_report.readme_table(measured))


if __name__ == "__main__":
    main()
