"""What a search over the ratio costs where ``memory=`` keeps the network, and what Pipeline adds.

    python -m benchmarks.search                   # all parts, then the tables
    python -m benchmarks.search --part overhead   # one of them
    python -m benchmarks.search --subset 2000     # a trial of the script; writes nothing

Adult as it is read, strings and missing values included, goes through a ColumnTransformer, an
InfluencePruner and a logistic regression. Seconds are of processor time, which other jobs on the
machine hardly change.

- grid: `GridSearchCV` over eight ratios and five folds against the same over one ratio, both from
  an empty memory, in one run. Once with the pruner's own linear network, once with a skorch network
  of one hidden layer.
- overhead: the seconds of `Pipeline.fit` that are not spent in what one would call by hand
  (`fit_transform` of the encoder, `fit` and `prune` of the pruner, `fit` of the model), as a share
  of those that are. Two runs side by side differ by more than that.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_prune import InfluencePruner, Pipeline

from ._common import (
    N_THREADS,
    Figure,
    argument_parser,
    limit_threads,
    markdown_table,
    output_folder,
    write_figures,
)
from .data import load_adult_frame

RATIOS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)
N_FOLDS = 5
N_RUNS = 5
N_EPOCHS = 20
MOST_SEARCH, MOST_OVERHEAD = 2.0, 0.01
DAMPING = 1e-3


class HiddenLayer(nn.Module):
    """One hidden layer; its width does not depend on the columns that a fold happens to have."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.LazyLinear(32), nn.Linear(32, 2)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.hidden(X)))


def encoder() -> ColumnTransformer:
    text = make_plain_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    return ColumnTransformer(
        [
            ("text", text, make_column_selector(dtype_exclude=np.number)),
            ("number", StandardScaler(), make_column_selector(dtype_include=np.number)),
        ]
    )


def network() -> NeuralNetClassifier:
    return NeuralNetClassifier(
        HiddenLayer,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        max_epochs=N_EPOCHS,
        verbose=0,
    )


def pipeline(estimator: Any = None, memory: str | None = None) -> Pipeline:
    pruner = InfluencePruner(estimator, damping=DAMPING, memory=memory, random_state=0)
    model = LogisticRegression(max_iter=1000)
    return Pipeline([("encode", encoder()), ("prune", pruner), ("model", model)])


def adult(args: argparse.Namespace) -> tuple[pd.DataFrame, pd.Series]:
    X, y, is_test = load_adult_frame(args.data_dir)
    return X[~is_test][: args.subset], y[~is_test][: args.subset]


def seconds_of(do: Callable[[], object]) -> float:
    start = process_time()
    do()
    return process_time() - start


def grid(args: argparse.Namespace) -> Iterator[Figure]:
    """Seconds of a search over one ratio and over all, each from an empty memory."""
    X, y = adult(args)
    for name, estimator in (("linear", None), ("hidden layer", network())):
        for label, ratios in (("one ratio", (0.9,)), ("all ratios", RATIOS)):
            with tempfile.TemporaryDirectory() as folder:
                pipe = pipeline(estimator, memory=folder)
                grid = {"prune__prune_ratio": list(ratios)}
                search = GridSearchCV(pipe, grid, cv=N_FOLDS, refit=False, error_score="raise")
                seconds = seconds_of(partial(search.fit, X, y))
            yield Figure(f"search, {name}", label, None, 0, "seconds", seconds)
            for ratio, score in zip(ratios, search.cv_results_["mean_test_score"], strict=True):
                yield Figure(f"search, {name}", label, ratio, 0, "accuracy", float(score))


class Stopwatch:
    """Seconds inside the methods it was put on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def put_on(self, owner: object, name: str) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = process_time()
            result = method(*args, **kwargs)
            self.seconds += process_time() - start
            return result

        setattr(owner, name, timed)


def overhead(args: argparse.Namespace) -> Iterator[Figure]:
    """Seconds of `Pipeline.fit`, and of the steps inside it."""
    X, y = adult(args)
    for run in range(args.runs):
        pipe, watch = pipeline(), Stopwatch()
        encode, prune, model = (step for _, step in pipe.steps)
        for owner, name in ((encode, "fit_transform"), (prune, "fit"), (prune, "prune")):
            watch.put_on(owner, name)
        watch.put_on(model, "fit")
        seconds = seconds_of(partial(pipe.fit, X, y))
        yield Figure("overhead", "pipeline", None, run, "seconds", seconds)
        yield Figure("overhead", "by hand", None, run, "seconds", watch.seconds)


PARTS = {"grid": grid, "overhead": overhead}


def tables(figures: Sequence[Figure]) -> str:
    """Return what was measured against what must be reached."""

    def seconds(job: str, method: str) -> np.ndarray:
        values = [
            f.value for f in figures if (f.job, f.method, f.metric) == (job, method, "seconds")
        ]
        return np.array(values)

    rows = []
    for name in ("linear", "hidden layer"):
        one, all_ratios = (
            seconds(f"search, {name}", label) for label in ("one ratio", "all ratios")
        )
        if len(one):
            ratio = float(all_ratios[0] / one[0])
            shown = f"{all_ratios[0]:.1f} s / {one[0]:.1f} s = {ratio:.2f}"
            rule = f"{len(RATIOS)} ratios / one, {name} network"
            rows.append([rule, f"{MOST_SEARCH}", shown, "yes" if ratio <= MOST_SEARCH else "no"])
    by_hand, piped = seconds("overhead", "by hand"), seconds("overhead", "pipeline")
    if len(by_hand):
        extra = float(np.median(piped / by_hand)) - 1
        met = "yes" if extra <= MOST_OVERHEAD else "no"
        rows.append(["Pipeline over by hand", f"{MOST_OVERHEAD:.0%}", f"{extra:.2%}", met])
    return markdown_table(["what", "at most", "measured", "met"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argument_parser("python -m benchmarks.search", __doc__)
    parser.add_argument("--part", choices=["all", *PARTS], default="all")
    parser.add_argument("--runs", type=int, default=N_RUNS, help="runs of overhead")
    args = parser.parse_args(argv)
    limit_threads()
    folder = output_folder(args)
    measured: list[Figure] = []
    for part in PARTS if args.part == "all" else [args.part]:
        try:
            measured += PARTS[part](args)
        except FileNotFoundError as error:
            parser.exit(2, f"{error}\n")
    print(tables(measured))
    if folder and args.part == "all":
        write_figures(folder, "search", measured)
        (folder / "search.md").write_text(
            f"Adult, {N_FOLDS} folds, {N_THREADS} threads.\n\n{tables(measured)}\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
