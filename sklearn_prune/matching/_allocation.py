r"""How likely each row should be to stay, for the sake of models that nothing is known about.

Rows that mirror the training rows teach a flexible model little where rows are sparse or the target
is uncertain, and much that it knows already where they are dense. Survey sampling draws more where
strata vary more (Neyman 1934) and calibrates the probabilities to known totals (Deville and
Särndal 1992). So does this module: the rows kept are to look like a draw with probabilities

.. math:: π_i \propto d_i\, σ_i\, p_i \exp(l \cdot a_i)

where d is the distance to a row's neighbours (more where rows are sparse), σ how uncertain trees
are of the target there, and p, for classes, the probability that they give the row's own class (a
label that its neighbourhood contradicts is likely to be wrong, or rare). The multipliers l hold the
totals of a: the gradient of the head, which so stays where it is, and the class shares that the
trees expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches

from ..influence import map_threads
from ..selection import SelectionProblem, inclusion_probabilities
from ._feature_maps import CHUNK, Floats, Table

# Rows that trees are grown on at most; distances to take in all, and rows to take them from at
# least: the fewer these are, the coarser what counts as sparse.
_GROWN_ROWS, _N_DISTANCES, _REFERENCE_ROWS = 10_000, 3e8, 1_000
_N_TREES, _N_NEIGHBOURS = 40, 5
# Rows in a leaf at least: of trees that predict the target, and of those that smooth its spread.
_LEAST_IN_LEAF, _LEAST_IN_SMOOTH_LEAF = 5, 20
# Quantiles below which odds are not lowered further, and the share of even odds in each class.
_LEAST_ODDS, _LEAST_BELIEF, _EVEN_SHARE = 0.05, 0.02, 0.02
# Newton steps of the calibration, iterations of each, and bounds on what a step and all of them do.
_N_STEPS, _N_ITERATIONS, _LONGEST_STEP, _LONGEST = 6, 20, 1.5, 3.0


@dataclass(frozen=True)
class Priorities:
    """What the probabilities to stay are made of, before the head is calibrated for.

    Attributes
    ----------
    distance, spread, belief : ndarray of shape (n_samples,)
        d, σ and p, positive.
    expected : ndarray of shape (n_samples, n_classes - 1)
        Probability of each class but the first; no column for numbers.
    """

    distance: NDArray[np.float64]
    spread: NDArray[np.float64]
    belief: NDArray[np.float64]
    expected: NDArray[np.float64]

    @property
    def odds(self) -> NDArray[np.float64]:
        """``d_i σ_i p_i``, shape (n_samples,)."""
        return self.distance / self.distance.mean() * self.spread / self.spread.mean() * self.belief


@dataclass(frozen=True)
class _Expectation:
    """What trees expect of each row's target, from other rows: ``p``, ``σ`` and the classes."""

    belief: NDArray[np.float64]
    spread: NDArray[np.float64]
    expected: NDArray[np.float64]


def row_priorities(
    table: Table, y: NDArray[Any], *, is_labels: bool, random_state: int = 0
) -> Priorities:
    """Return the odds of each row to stay.

    Parameters
    ----------
    table : Table
        What enters the heads.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes, or numbers.
    is_labels : bool
        Whether y holds class codes.
    random_state : int, default=0
        Seeds trees and reference rows. A constant, so that odds depend on the data alone.
    """
    rng = np.random.default_rng(random_state)
    grown_on = table.some(_GROWN_ROWS, rng)
    if is_labels:
        expectation = _expected_classes(table, y, grown_on, rng)
    else:
        expectation = _expected_numbers(table, y, grown_on, rng)
    return Priorities(
        _floored(_distance_to_neighbours(table, len(y), rng), _LEAST_ODDS),
        _floored(expectation.spread, _LEAST_ODDS),
        _floored(expectation.belief, _LEAST_BELIEF),
        expectation.expected,
    )


def kept_shares(problem: SelectionProblem, priorities: Priorities) -> Floats:
    """Return the probability with which each row should stay, of shape (n_samples,).

    They are calibrated to the totals of the change, which is zero, and of the expected classes, and
    sum to the number of rows that each group keeps. 1 and 0 where a row's fate is decided.

    Parameters
    ----------
    problem : SelectionProblem
        In the cardinality form.
    priorities : Priorities
        Of its rows.
    """
    assert problem.n_drop is not None
    free, groups = problem.free, problem.groups[problem.free]
    n_kept = problem.count(problem.free) - problem.dropped_counts(problem.n_drop)
    n_kept += problem.count(problem.must_drop)
    shares = problem.must_keep.astype(np.float64)
    shares[free] = inclusion_probabilities(priorities.odds[free], int(n_kept.sum()))
    shares[free] = _calibrated(problem, priorities, shares)[free]
    of_free = shares[free]
    for group, count in enumerate(n_kept):
        members = groups == group
        if members.any():
            of_free[members] = inclusion_probabilities(of_free[members], int(count))
    shares[free] = of_free
    return shares


def _calibrated(problem: SelectionProblem, priorities: Priorities, shares: Floats) -> Floats:
    """Return the shares tilted so that the totals of the dropped rows come near zero.

    By Newton steps on l, each solved by a few conjugate gradients, which leave directions alone
    that hardly any row has.
    """
    free, change = problem.free, problem.coordinates.block(0)
    expected = priorities.expected - priorities.expected.mean(axis=0)
    size = np.sqrt(np.mean(expected**2, axis=0))
    expected = expected / np.where(size > 0, size, 1.0)
    unit = np.sqrt(np.mean(change.squared_norms)) or 1.0
    n_classes, n_kept = expected.shape[1], shares[free].sum()

    def scores(v: Floats) -> Floats:
        return np.asarray(expected @ v[:n_classes] + change.scores(v[n_classes:]) / unit)

    def total(w: Floats) -> Floats:
        return np.concatenate([expected.T @ w, change.total(w) / unit])

    base, exponent = shares[free], np.zeros(int(free.sum()))
    size_of_l = n_classes + change.n_coordinates
    for _ in range(_N_STEPS):
        movable = np.where(free & (shares < 1.0), shares, 0.0)
        hessian = LinearOperator(
            (size_of_l, size_of_l), matvec=lambda v, w=movable: total(w * scores(v)), dtype=float
        )
        step, _ = cg(hessian, total(1.0 - shares), maxiter=_N_ITERATIONS, rtol=1e-3)
        moved = scores(step)[free]
        longest = float(np.abs(moved).max(initial=0.0))
        if longest < 1e-6:
            break
        exponent += min(1.0, _LONGEST_STEP / longest) * moved
        odds = base * np.exp(np.clip(exponent, -_LONGEST, _LONGEST))
        shares = shares.copy()
        shares[free] = inclusion_probabilities(odds, n_kept)
    return shares


def _expected_classes(
    table: Table, y: NDArray[Any], grown_on: NDArray[np.int64], rng: np.random.Generator
) -> _Expectation:
    forest = _forest(ExtraTreesClassifier, _LEAST_IN_LEAF, rng, max_features="sqrt")
    forest.fit(table[grown_on], y[grown_on])
    n_classes = int(y.max()) + 1
    probability = np.zeros((len(y), n_classes))
    probability[:, forest.classes_] = _predicted(
        table, forest.predict_proba, grown_on, forest.oob_decision_function_, len(y)
    )
    probability = (1 - _EVEN_SHARE) * probability + _EVEN_SHARE / n_classes
    spread = np.sqrt(np.sum(probability * (1 - probability), axis=1))
    belief = probability[np.arange(len(y)), y]
    return _Expectation(belief, spread, probability[:, 1:])


def _expected_numbers(
    table: Table, y: NDArray[Any], grown_on: NDArray[np.int64], rng: np.random.Generator
) -> _Expectation:
    """Trees of squared residuals smooth them to a variance; which row is right stays open."""
    columns = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    deviation = columns[grown_on].std(axis=0)
    columns = columns / np.where(deviation > 0, deviation, 1.0)

    def expected(values: Floats, least_in_leaf: int) -> Floats:
        forest = _forest(ExtraTreesRegressor, least_in_leaf, rng, max_features=1.0)
        target = values[grown_on]
        forest.fit(table[grown_on], target.ravel() if target.shape[1] == 1 else target)
        of_grown = forest.oob_prediction_
        return _predicted(table, forest.predict, grown_on, of_grown, len(y))

    residuals = columns - expected(columns, _LEAST_IN_LEAF).reshape(columns.shape)
    squares = np.sum(residuals**2, axis=1, keepdims=True)
    variance = expected(squares, _LEAST_IN_SMOOTH_LEAF).ravel()
    return _Expectation(np.ones(len(y)), np.sqrt(np.maximum(variance, 0.0)), np.empty((len(y), 0)))


def _forest(kind: Any, least_in_leaf: int, rng: np.random.Generator, **options: Any) -> Any:
    return kind(
        n_estimators=_N_TREES,
        min_samples_leaf=least_in_leaf,
        bootstrap=True,
        oob_score=True,
        n_jobs=1,
        random_state=int(rng.integers(np.iinfo(np.int32).max)),
        **options,
    )


def _predicted(
    table: Table, predict: Any, grown_on: NDArray[np.int64], out_of_bag: Floats, n_rows: int
) -> Floats:
    """Return predictions; of rows that trees were grown on, by the trees that did not see them."""
    batches = list(gen_batches(n_rows, CHUNK))
    predicted = np.concatenate(map_threads(lambda rows: predict(table[rows]), batches))
    seen = ~np.isnan(out_of_bag).reshape(len(grown_on), -1).any(axis=1)
    predicted[grown_on[seen]] = out_of_bag[seen]
    return np.asarray(predicted, dtype=np.float64)


def _distance_to_neighbours(
    table: Table, n_rows: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean distance of each row to the nearest of some other rows."""
    most = max(_REFERENCE_ROWS, int(_N_DISTANCES / n_rows))
    reference = table.some(most, rng)
    n_neighbours = min(_N_NEIGHBOURS + 1, len(reference))
    model = NearestNeighbors(n_neighbors=n_neighbours, algorithm="brute", n_jobs=1)
    model.fit(table[reference])
    batches = list(gen_batches(n_rows, CHUNK))
    distances = np.concatenate(
        map_threads(lambda rows: model.kneighbors(table[rows])[0], batches)
    ).astype(np.float64)
    # A reference row is its own nearest one.
    nearest = distances[:, :_N_NEIGHBOURS].mean(axis=1)
    nearest[reference] = distances[reference, -_N_NEIGHBOURS:].mean(axis=1)
    return np.asarray(nearest)


def _floored(odds: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """Return the odds, raised to their quantile; 1 where that is zero."""
    floored = np.maximum(odds, np.quantile(odds, quantile))
    return np.where(floored > 0, floored, 1.0)
