"""Show what pruning costs on real data: ``python -m sklearn_prune``, or ``sklearn-prune demo``.

The data are scikit-learn's 1,797 handwritten digits, a quarter of them held out as test rows. For
each prune ratio, scikit-learn trains a softmax regression on the rows that `InfluencePruner` keeps,
and on equally many random rows with the same class shares.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from ._influence_pruner import InfluencePruner
from ._types import Array

__all__ = ["loss_change", "main", "random_rows", "retrain"]


RATIOS = (0.5, 0.8, 0.9, 0.95, 0.98)
# The power of ten with the best cross-validated accuracy on all training rows.
DAMPING = 1e-3
N_RANDOM = 5

HEADER = f"""\
{"rows":>12} | {"test accuracy":^20} | {"change of the model, nats":^29} |
{"pruned":>6} {"kept":>5} | {"full":>6} {"pruned":>6} {"random":>6} \
| {"predicted":>9} {"observed":>9} {"random":>9} | {"seconds":>7}
{"-" * 77}"""

LEGEND = """\
change: 1/2 D'HD in nats, with D from the parameters of all rows to the retrained ones.
predicted: to first order, as minimised by the pruner. observed: scikit-learn's
LogisticRegression, trained from zero on the kept rows. seconds: pruner.fit."""


@dataclass(frozen=True)
class Line:
    """A line of the table. Accuracies are on the test rows, changes in nats."""

    prune_ratio: float
    n_kept: int
    accuracy: float
    random_accuracy: float
    predicted: float
    observed: float
    random_observed: float
    seconds: float


def retrain(design: Array, y: Array, damping: float) -> LogisticRegression:
    """Minimise ``(1/n) sum_i loss_i + (damping/2) ||Theta||^2`` with scikit-learn.

    Parameters
    ----------
    design : ndarray of shape (n_samples, n_features)
        Features, and a column of ones for the intercept, which is damped like the rest.
    y : ndarray of shape (n_samples,)
        Class labels.
    damping : float
        Damping λ of the mean loss: ``C = 1 / (n_samples * damping)``.

    Returns
    -------
    model : LogisticRegression
        Fitted from zero on these rows.
    """
    C = 1 / (len(y) * damping)
    model = LogisticRegression(C=C, fit_intercept=False, solver="newton-cg", tol=1e-8)
    return model.fit(design, y)


def loss_change(design: Array, theta: Array, theta_new: Array, damping: float) -> float:
    """Return ``1/2 D^T H D`` with ``D = theta_new - theta``, in nats.

    ``H`` is the Hessian at `theta` of the softmax regression's objective on all rows of `design`
    (n_samples, n_features), divided by n_samples; both thetas are (n_classes, n_features).
    """
    P = softmax(design @ theta.T, axis=1)
    U = design @ (theta_new - theta).T
    variance = np.sum(P * U**2, axis=1) - np.sum(P * U, axis=1) ** 2
    return float(np.mean(variance) + damping * np.sum((theta_new - theta) ** 2)) / 2


def random_rows(y: Array, n_rows: int, seed: int) -> Array:
    """Return `n_rows` random positions, so that the classes of y keep their shares."""
    positions = np.arange(len(y))
    return train_test_split(positions, train_size=n_rows, stratify=y, random_state=seed)[0]


def digits() -> tuple[Array, Array, Array, Array]:
    """Return X_train, X_test, y_train, y_test; X is scaled and ends in a column of ones."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = (
        np.c_[scaler.transform(part), np.ones(len(part))] for part in (X_train, X_test)
    )
    return X_train, X_test, y_train, y_test


def measure(data: tuple[Array, Array, Array, Array], prune_ratio: float, full: Array) -> Line:
    """Prune and retrain on the kept rows, and on random rows."""
    design, test_design, y, y_test = data
    start = perf_counter()
    # The network adds its own intercept.
    pruner = InfluencePruner(prune_ratio=prune_ratio, damping=DAMPING, random_state=0)
    pruner.fit(design[:, :-1], y)
    seconds = perf_counter() - start

    def outcome(rows: Array) -> tuple[float, float]:
        model = retrain(design[rows], y[rows], DAMPING)
        return model.score(test_design, y_test), loss_change(design, full, model.coef_, DAMPING)

    accuracy, observed = outcome(pruner.get_support(indices=True))
    n_kept = len(pruner.sample_indices_)
    drawn = [outcome(random_rows(y, n_kept, seed)) for seed in range(N_RANDOM)]
    random_accuracy, random_observed = np.mean(drawn, axis=0)
    return Line(
        prune_ratio, n_kept, accuracy, random_accuracy, pruner.certificate_.predicted_change,
        observed, random_observed, seconds,
    )  # fmt: skip


def format_line(full_accuracy: float, line: Line) -> str:
    """Return a line of the table under `HEADER`."""
    return (
        f"{line.prune_ratio:>6.0%} {line.n_kept:>5} | {full_accuracy:>6.3f} {line.accuracy:>6.3f} "
        f"{line.random_accuracy:>6.3f} | {line.predicted:>9.2g} {line.observed:>9.2g} "
        f"{line.random_observed:>9.2g} | {line.seconds:>7.1f}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="sklearn-prune demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--ratios",
        type=float,
        nargs="+",
        default=RATIOS,
        metavar="R",
        help="shares of the training rows to drop (default: %(default)s)",
    )
    ratios = parser.parse_args(argv).ratios
    outside = [ratio for ratio in ratios if not 0 <= ratio < 1]
    if outside:
        parser.error(f"--ratios must be in [0, 1), {outside[0]} is not; 0.9 drops 90 %")

    data = digits()
    design, test_design, y, y_test = data
    full = retrain(design, y, DAMPING)
    print(
        f"Handwritten digits: {len(y)} training rows, {len(y_test)} test rows, softmax regression"
    )
    print(f"random: equally many rows, same class shares, mean of {N_RANDOM} draws\n")
    print(HEADER, flush=True)
    accuracy = full.score(test_design, y_test)
    for ratio in ratios:
        print(format_line(accuracy, measure(data, ratio, full.coef_)), flush=True)
    print(f"\n{LEGEND}")
