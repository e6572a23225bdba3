r"""The probability with which each row should be kept, for models that nothing is known about.

Kept rows with the distribution of all rows are not the best for such models: in dense regions they
repeat each other, and in sparse and uncertain regions there are too few. Survey sampling draws more
rows from strata that vary more (Neyman 1934) and calibrates the probabilities to known totals
(Deville and Särndal 1992). This module does the same: the rows kept are to look like a draw with
probabilities

.. math:: π_i \propto d_i\, σ_i\, p_i \exp(l \cdot a_i)

where d is the distance to a row's neighbours (large in sparse regions), σ the uncertainty of the
target according to trees, and p, for classes, the probability that the trees give to the row's own
class (a label that its neighbourhood contradicts is likely to be wrong, or rare). The vector a
holds the head's gradient and the trees' class probabilities; l is chosen so that their means over
the draw equal those over all rows. Numbers that the user gives as ``sample_priority`` stand for
σ p; no trees are grown then, and a holds the gradient alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.utils import gen_batches

from .._types import Array, Floats, Integers, Mask
from ..selection import SelectionProblem, inclusion_probabilities
from ..utils import joblib_threads, map_threads
from .distribution import standardised
from .feature_maps import CHUNK, Table

# With this many rows or fewer, all have equal priority.
FEWEST_ROWS = 32
# Most rows to grow trees on, most distances to compute, and fewest rows to compute them to. With
# fewer of these, the distance is a coarser measure of sparsity.
_GROWN_ROWS, _N_DISTANCES, _REFERENCE_ROWS = 10_000, 3e7, 1_000
_N_TREES, _N_FOLDS, _N_NEIGHBOURS = 42, 3, 5
# Rows in one group of the search for neighbours, and rows whose neighbours are searched at a time:
# a table of their distances to 1,000 rows stays in the processor's cache.
_GROUP, _SEARCHED = 16, 512
# Fewest rows in a leaf of the trees that predict the target, and of those for its variance.
_LEAST_IN_LEAF, _LEAST_IN_SMOOTH_LEAF = 5, 20
# Odds below this quantile, or below this share of the median, are raised to the larger of the two;
# the user's priorities only if they are below that share. The last number is the weight of the
# uniform distribution that is mixed into class probabilities.
_LEAST_ODDS, LEAST_RELATIVE_ODDS, _EVEN_SHARE = 0.05, 0.05, 0.02
# A class that keeps fewer rows prefers none: of a handful, typical rows teach most.
LEAST_KEPT = 5
# Most steps of the calibration, the step size in units of the largest that is stable at the start,
# and bounds on the change of an exponent by one step and by all steps.
_N_STEPS, _CAUTION, _LONGEST_STEP, _LONGEST = 60, 0.5, 1.5, 3.0
# The calibration ends once the totals are this share of a random draw's, since exchanges do the
# rest; or once two steps in a row gain less than the second share.
_CALIBRATED, _LEAST_GAIN = 0.05, 0.005


@dataclass(frozen=True)
class Priorities:
    """The factors of the probabilities, before the calibration to the head.

    Attributes
    ----------
    distance, spread, belief : ndarray of shape (n_samples,)
        d, σ and p, positive.
    expected : ndarray of shape (n_samples, n_classes - 1)
        Probability of each class but the first, float32; no columns for a regression.
    """

    distance: Floats
    spread: Floats
    belief: Floats
    expected: Floats

    def floors(self, *, is_given: bool = False) -> tuple[float, float, float]:
        """Return the least distance, spread and belief that a row should have.

        is_given : whether the spread is the user's: then only the share of the median counts, so
            that zeros stay below equal positive numbers.
        """
        spread = _relative_floor(self.spread) if is_given else _floor(self.spread)
        return _floor(self.distance), spread, _floor(self.belief)

    def raised(self, floors: tuple[float, float, float]) -> Priorities:
        """Return the same with smaller factors raised to these."""
        distance, spread, belief = (
            np.maximum(factor, floor)
            for factor, floor in zip((self.distance, self.spread, self.belief), floors, strict=True)
        )
        return Priorities(distance, spread, belief, self.expected)

    @property
    def odds(self) -> Floats:
        """``d_i σ_i p_i``, shape (n_samples,)."""
        return self.distance / self.distance.mean() * self.spread / self.spread.mean() * self.belief


def row_priorities(
    table: Table,
    y: Array,
    sample_weight: Floats,
    *,
    is_labels: bool,
) -> Priorities:
    """Return the factors of each row's probability to be kept.

    Parameters
    ----------
    table : Table
        The inputs of the heads.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes, or numbers.
    sample_weight : ndarray of shape (n_samples,)
        Weights of the rows in the trees. In distances every row of positive weight counts once.
    is_labels : bool
        Whether y holds class codes.
    """
    if len(table.weighing) <= FEWEST_ROWS:
        even = np.ones(len(y))
        return Priorities(even, even, even, np.zeros((len(y), 0), dtype=np.float32))
    target = y if is_labels else standardised(y, sample_weight)
    scale = PriorityScale.fit(table, target, sample_weight, len(y), is_labels=is_labels)
    factors = scale.factors(table, target, np.arange(len(y)))
    return factors.raised(factors.floors())


def given_priorities(table: Table | None, sample_priority: Floats) -> Priorities:
    """Return priorities in which the user's numbers stand for uncertainty and belief.

    Parameters
    ----------
    table : Table or None
        As in `row_priorities`; None makes all distances equal.
    sample_priority : ndarray of shape (n_samples,)
        Not negative, and positive for some rows.
    """
    every = np.arange(len(sample_priority))
    if table is None or len(table.weighing) <= FEWEST_ROWS:
        factors = _given(np.ones(len(every)), sample_priority)
    else:
        scale = DistanceScale.fit(table, len(every), len(every))
        factors = scale.factors(table, sample_priority, every)
    return factors.raised(factors.floors(is_given=True))


def _given(distance: Floats, sample_priority: Floats) -> Priorities:
    none_expected = np.zeros((len(distance), 0), dtype=np.float32)
    return Priorities(distance, sample_priority, np.ones(len(distance)), none_expected)


def kept_shares(
    problem: SelectionProblem, priorities: Priorities, *, deadline: float = np.inf
) -> Floats:
    """Return the probability with which each row should be kept, of shape (n_samples,).

    The probabilities are calibrated so that the coordinates of the dropped rows sum to about zero
    and their expected classes to their share of all rows. They are then scaled so that those of
    each group sum to the number of rows that it keeps. They are 1 in must_keep and 0 in must_drop.
    In a group that keeps fewer than five rows, all free rows have the same probability.

    Parameters
    ----------
    problem : SelectionProblem
        In the cardinality form.
    priorities : Priorities
        Of its rows.
    deadline : float, default=inf
        ``time.perf_counter()`` value after which no step of the calibration is started.
    """
    assert problem.n_drop is not None
    free, groups = problem.free, problem.groups[problem.free]
    n_dropped = problem.dropped_counts(problem.n_drop) - problem.count(problem.must_drop)
    n_kept = problem.count(problem.free) - n_dropped
    shares = problem.must_keep.astype(np.float64)
    shares[free] = inclusion_probabilities(priorities.odds[free], int(n_kept.sum()))
    free_shares = _calibrated(problem, priorities, shares, deadline)[free]
    for group, count in enumerate(n_kept):
        members = groups == group
        odds = free_shares[members] if count >= LEAST_KEPT else np.ones(int(members.sum()))
        free_shares[members] = inclusion_probabilities(odds, int(count))
    shares[free] = free_shares
    return shares


def _calibrated(
    problem: SelectionProblem, priorities: Priorities, shares: Floats, deadline: float
) -> Floats:
    """Return the shares tilted so that the totals of the dropped rows are close to zero.

    The tilt l minimises a convex function whose gradient these totals are, by accelerated gradient
    steps (Nesterov 1983). The steps of the expected classes and of the coordinates are scaled
    separately, since a class may vary a hundred times as much as a coordinate. A step that
    lengthens the gradient is undone: momentum restarts at zero, and if it was zero already, the
    step size is halved. Newton steps would need fewer passes, but where some rows are certain to be
    kept, or directions are many, rounding errors in them decide which rows are chosen.
    """
    free, totals = problem.free, _Totals(problem, priorities)
    movable = np.where(free & (shares < 1.0), shares, 0.0)
    chance = float(np.sqrt(movable @ totals.squared_norms))
    if chance == 0:
        return shares

    def at(scores: Floats) -> _Point:
        result = shares.copy()
        odds = shares[free] * np.exp(np.clip(scores, -_LONGEST, _LONGEST))
        result[free] = inclusion_probabilities(odds, shares[free].sum())
        return _Point(scores, result, totals.of(1.0 - result))

    best = point = _Point(np.zeros(int(free.sum())), shares, totals.of(1.0 - shares))
    last, n_momentum, n_stalled = best.scores, 0, 0
    step_size = _CAUTION / totals.curvature(movable)
    for _ in range(_N_STEPS):
        is_enough = best.norm <= _CALIBRATED * chance or n_stalled == 2
        if is_enough or time.perf_counter() > deadline:
            break
        moved = totals.scores(step_size * point.left)[free]
        longest = float(np.abs(moved).max())
        reached = point.scores + moved * min(1.0, _LONGEST_STEP / max(longest, 1e-300))
        point = at(reached + n_momentum / (n_momentum + 3) * (reached - last))
        if point.norm < best.norm:
            n_stalled = n_stalled + 1 if point.norm > (1 - _LEAST_GAIN) * best.norm else 0
            best, last, n_momentum = point, reached, n_momentum + 1
        else:
            step_size = step_size * (1.0 if n_momentum else 0.5)
            point, last, n_momentum = best, best.scores, 0
    return best.shares


@dataclass(frozen=True)
class _Point:
    """A point of the calibration: ``l · a_i`` of the free rows, the shares, and the totals left."""

    scores: Floats
    shares: Floats
    left: Floats

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.left))


# A product with the vectors of all rows, or with their transpose.
_Product: TypeAlias = Callable[[Floats], Floats]


class _Totals:
    """The vectors ``a_i`` to calibrate to: expected classes less their mean, and coordinates in Z.

    Each expected class has mean square 1 over the rows, and the coordinates mean squared length 1.

    Attributes
    ----------
    squared_norms : ndarray of shape (n_samples,)
        ``‖a_i‖²``.
    """

    def __init__(self, problem: SelectionProblem, priorities: Priorities) -> None:
        share = problem.sample_weight / problem.sample_weight.sum()
        expected = priorities.expected - share @ priorities.expected
        size = np.sqrt(np.mean(expected**2, axis=0))
        expected = expected / np.where(size > 0, size, 1.0)
        change = problem.coordinates.block(0)
        unit = np.sqrt(np.mean(change.squared_norms)) or 1.0
        self.squared_norms = (
            np.einsum("ij,ij->i", expected, expected) + change.squared_norms / unit**2
        )
        self._n_classes = expected.shape[1]
        self._parts: tuple[tuple[_Product, _Product], ...] = (
            (lambda v: expected @ v, lambda w: expected.T @ w),
            (lambda v: change.scores(v) / unit, lambda w: change.total(w) / unit),
        )

    def scores(self, v: Floats) -> Floats:
        """Return ``a_i · v`` for each row, of shape (n_samples,)."""
        of_expected, of_change = self._scores_by_part(v)
        return of_expected + of_change

    def of(self, w: Floats) -> Floats:
        """Return ``Σ w_i a_i``."""
        return np.concatenate([total(w) for _, total in self._parts])

    def curvature(self, w: Floats) -> Floats:
        """Return, for each entry of a, the largest eigenvalue of ``Σ w_i a_i a_iᵀ`` in its part.

        The parts are the expected classes and the coordinates. Power iterations find both.
        """
        v = self.of(w)
        for _ in range(8):
            lengths = self._lengths(v)
            pairs = zip(self._scores_by_part(v / lengths), self._parts, strict=True)
            v = np.concatenate([total(w * scores) for scores, (_, total) in pairs])
        return self._lengths(v)

    def _scores_by_part(self, v: Floats) -> list[Floats]:
        vectors = np.split(v, [self._n_classes])
        return [scores(part) for (scores, _), part in zip(self._parts, vectors, strict=True)]

    def _lengths(self, v: Floats) -> Floats:
        """Return the length of each entry's part of a vector, 1 instead of 0."""
        parts = np.split(v, [self._n_classes])
        return np.concatenate([np.full(len(part), np.linalg.norm(part) or 1.0) for part in parts])


@dataclass(frozen=True, eq=False)
class DistanceScale:
    """What the priorities of any rows are computed from, beside the user's: rows near them.

    Attributes
    ----------
    reference : ndarray of shape (n_reference, n_columns)
        Rows of a `Table` that distances are measured to.
    is_reference : ndarray of bool of shape (n_fitted_on,)
        Which of the rows that were fitted on these are.
    """

    reference: Floats
    is_reference: Mask

    @classmethod
    def fit(
        cls, table: Table, n_fitted: int, n_rows: int, rng: np.random.Generator | None = None
    ) -> DistanceScale:
        """Draw reference rows.

        Parameters
        ----------
        table : Table
            The rows to fit on.
        n_fitted : int
            How many these are.
        n_rows : int
            How many rows will be measured: the more, the fewer reference rows.
        rng : numpy.random.Generator, default=None
            Draws. None has a constant seed, so that odds depend on the data alone.
        """
        rng = np.random.default_rng(0) if rng is None else rng
        reference = table.some(max(_REFERENCE_ROWS, int(_N_DISTANCES / n_rows)), rng)
        return cls(table[reference], np.isin(np.arange(n_fitted), reference))

    def distances(self, table: Table, fitted: Integers) -> Floats:
        """Return the distance to the neighbours of each row of a table; see `factors`."""
        is_own = (fitted >= 0) & self.is_reference[fitted]
        return _distance_to_neighbours(table, self.reference, is_own)

    def factors(self, table: Table, sample_priority: Floats, fitted: Integers) -> Priorities:
        """Return the factors of a table's rows, some of which may be zero; see `Priorities.raised`.

        Parameters
        ----------
        table : Table
            The rows to measure.
        sample_priority : ndarray of shape (n_rows,)
            The user's numbers.
        fitted : ndarray of int of shape (n_rows,)
            Position of each row among those that were fitted on; -1 for other rows.
        """
        return _given(self.distances(table, fitted), sample_priority)


@dataclass(frozen=True, eq=False)
class PriorityScale:
    """What the priorities of any rows are computed from: rows near them, and forests.

    Attributes
    ----------
    sparsity : DistanceScale
        What distances are measured to.
    forest : CrossFitted
        Predicts class probabilities, or the variance of numbers.
    is_labels : bool
        Whether the target holds class codes.
    is_fast : bool, default=False
        Whether each row that no forest has seen is predicted by one of them instead of all: enough
        for very many rows.
    """

    sparsity: DistanceScale
    forest: CrossFitted
    is_labels: bool
    is_fast: bool = False

    @classmethod
    def fit(
        cls,
        table: Table,
        target: Array,
        sample_weight: Floats,
        n_rows: int,
        *,
        is_labels: bool,
        n_classes: int | None = None,
    ) -> PriorityScale:
        """Draw reference rows and grow forests.

        Parameters
        ----------
        table : Table
            The rows to fit on.
        target : ndarray of shape (n_fitted_on,) or (n_fitted_on, n_outputs)
            Class codes, or numbers of variance 1.
        sample_weight : ndarray of shape (n_fitted_on,)
            Weights of the rows in the trees.
        n_rows : int
            How many rows will be measured: the more, the fewer reference rows.
        is_labels : bool
            Whether the target holds class codes.
        n_classes : int, default=None
            Number of classes; None is that of the classes in the target.
        """
        # A constant seed, so that odds depend on the data alone.
        rng = np.random.default_rng(0)
        sparsity = DistanceScale.fit(table, len(target), n_rows, rng)
        trees = _Trees(table, table.some(_GROWN_ROWS, rng), sample_weight, rng)
        if is_labels:
            forest = trees.probabilities(
                target, int(target.max()) + 1 if n_classes is None else n_classes
            )
        else:
            forest = trees.variances(target)
        return cls(sparsity, forest, is_labels)

    def factors(self, table: Table, target: Array, fitted: Integers) -> Priorities:
        """Return the factors of a table's rows, some of which may be zero; see `Priorities.raised`.

        Parameters
        ----------
        table, target
            As in `fit`, of the rows to measure.
        fitted : ndarray of int of shape (n_rows,)
            Position of each row among those that were fitted on; -1 for other rows.
        """
        distance = self.sparsity.distances(table, fitted)
        forest = self.forest.spread(fitted) if self.is_fast else self.forest
        every = np.arange(len(target))
        predicted = forest.predict(table, every, every if self.is_fast else fitted)
        if not self.is_labels:
            spread = np.sqrt(np.maximum(predicted.ravel(), 0.0))
            expected = np.zeros((len(target), 0), dtype=np.float32)
            return Priorities(distance, spread, np.ones(len(target)), expected)
        probability = softened(predicted)
        spread = np.sqrt(np.sum(probability * (1 - probability), axis=1))
        belief = probability[np.arange(len(target)), target]
        return Priorities(distance, spread, belief, probability[:, 1:].astype(np.float32))


def softened(probability: Floats) -> Floats:
    """Return class probabilities, of shape (n_rows, n_classes), mixed with 2 % of equal ones."""
    return (1 - _EVEN_SHARE) * probability + _EVEN_SHARE / probability.shape[1]


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Forests, each grown without one fold of some rows.

    Attributes
    ----------
    forests : tuple of ExtraTreesClassifier or ExtraTreesRegressor
        One for each fold.
    fold : ndarray of int of shape (n_fitted_on,)
        The forest that was grown without the row; -1 where all were.
    n_columns : int
        Number of values to predict.
    """

    forests: tuple[Any, ...]
    fold: Integers
    n_columns: int

    def predict(self, table: Table, rows: Integers, fitted: Integers) -> Floats:
        """Return values, of shape (len(rows), n_columns), from trees that did not see the row.

        ``fitted`` is the position of each row among those that were fitted on, or -1.
        """
        fold = np.where(fitted >= 0, self.fold[fitted], -1)

        def of_rows(batch: slice) -> Floats:
            inputs = table[rows[batch]]
            predicted = np.zeros((len(inputs), self.n_columns))
            for number, forest in enumerate(self.forests):
                for which, n_forests in ((number, 1), (-1, len(self.forests))):
                    chosen = np.flatnonzero(fold[batch] == which)
                    if len(chosen):
                        predicted[chosen] += self._by(forest, inputs[chosen]) / n_forests
            return predicted

        return np.concatenate(map_threads(of_rows, list(gen_batches(len(rows), CHUNK))))

    def spread(self, fitted: Integers) -> CrossFitted:
        """Return the same for these rows, each of which one forest predicts.

        It is the one that was grown without the row; the forests take turns for other rows.
        """
        fold = np.where(fitted >= 0, self.fold[fitted], -1)
        turn = np.arange(len(fold)) % len(self.forests)
        return replace(self, fold=np.where(fold < 0, turn, fold))

    def _by(self, forest: Any, rows: Floats) -> Floats:
        """Return what a forest predicts, from its trees: it would check the rows once more."""
        total = sum(tree.tree_.predict(rows) for tree in forest.estimators_)
        predicted = np.zeros((len(rows), self.n_columns))
        columns = getattr(forest, "classes_", slice(None))
        predicted[:, columns] = total.reshape(len(rows), -1) / len(forest.estimators_)
        return predicted


class _Trees:
    """Grows forests on some rows, each without a fold of them."""

    def __init__(
        self,
        table: Table,
        grown_on: Integers,
        sample_weight: Floats,
        rng: np.random.Generator,
    ) -> None:
        self._table, self._weight, self._rng = table, sample_weight, rng
        self._grown_on = grown_on
        parts = np.array_split(rng.permutation(grown_on), _N_FOLDS)
        self._folds = [np.sort(part) for part in parts]

    def probabilities(self, y: Array, n_classes: int) -> CrossFitted:
        """Return forests for the probabilities of the classes."""
        forest = ExtraTreesClassifier(min_samples_leaf=_LEAST_IN_LEAF, **self._options())
        return self._grown(forest, y, n_classes)

    def variances(self, values: Floats) -> CrossFitted:
        """Return forests for the squared residuals of forests for the values."""
        means, grown_on = self._regression(values, _LEAST_IN_LEAF), self._grown_on
        residuals = values[grown_on] - means.predict(self._table, grown_on, grown_on)
        squares = np.zeros((len(values), 1))
        squares[grown_on] = (residuals**2).sum(axis=1, keepdims=True)
        return self._regression(squares, _LEAST_IN_SMOOTH_LEAF)

    def _regression(self, values: Floats, least_in_leaf: int) -> CrossFitted:
        forest = ExtraTreesRegressor(min_samples_leaf=least_in_leaf, **self._options())
        target = values.ravel() if values.shape[1] == 1 else values
        return self._grown(forest, target, values.shape[1])

    def _options(self) -> dict[str, Any]:
        seed = int(self._rng.integers(np.iinfo(np.int32).max))
        return {"n_estimators": _N_TREES // _N_FOLDS, "random_state": seed}

    def _grown(self, forest: Any, y: Array, n_columns: int) -> CrossFitted:
        forests, fold = [], np.full(len(y), -1)
        for number, held_out in enumerate(self._folds):
            rows = np.setdiff1d(self._grown_on, held_out)
            weight = self._weight[rows]
            with joblib_threads():
                forests.append(clone(forest).fit(self._table[rows], y[rows], sample_weight=weight))
            fold[held_out] = number
        return CrossFitted(tuple(forests), fold, n_columns)


def _distance_to_neighbours(
    table: Table,
    reference: Floats,
    is_reference: Mask,
) -> Floats:
    """Return each row's mean distance to the nearest five of other rows."""
    n_nearest = min(_N_NEIGHBOURS + 1, len(reference))
    nearest = _Nearest(reference, n_nearest)
    batches = list(gen_batches(len(is_reference), _SEARCHED))
    distances = np.concatenate(map_threads(lambda rows: nearest(table[rows]), batches))
    mean = distances[:, :_N_NEIGHBOURS].mean(axis=1)
    # A reference row is its own nearest one.
    mean[is_reference] = distances[is_reference, -_N_NEIGHBOURS:].mean(axis=1)
    return np.asarray(mean)


class _Nearest:
    """The distances from rows to the nearest of some others.

    The candidates are found in float32: the nearest k lie in the k groups of others whose minima
    are smallest. Their distances are then computed from differences, since a difference of squares
    loses digits where rows are nearly equal.
    """

    def __init__(self, others: Floats, n_nearest: int) -> None:
        self._others, self._n_nearest = others, n_nearest
        self._n_groups = -(-len(others) // _GROUP)
        # Others that fill the last groups are infinitely far.
        self._terms = np.zeros((others.shape[1] + 1, _GROUP * self._n_groups), np.float32)
        self._terms[-1] = np.inf
        self._terms[:-1, : len(others)] = -others.T
        self._terms[-1, : len(others)] = np.einsum("ij,ij->i", others, others) / 2

    def __call__(self, rows: Floats) -> Floats:
        """Return the distances in ascending order, float64 of shape (n_rows, n_nearest)."""
        # Half the squared distance, less that of the row from zero.
        order = np.column_stack([rows, np.ones(len(rows), np.float32)]) @ self._terms
        groups = order.reshape(len(rows), _GROUP, self._n_groups)
        n_best = min(self._n_nearest, self._n_groups)
        best = np.argpartition(groups.min(axis=1), n_best - 1, axis=1)[:, None, :n_best]
        members = np.arange(_GROUP)[:, None] * self._n_groups + best
        candidates = members.reshape(len(rows), -1)
        order = np.take_along_axis(order, candidates, axis=1)
        chosen = np.argpartition(order, self._n_nearest - 1, axis=1)[:, : self._n_nearest]
        nearest = np.take_along_axis(candidates, chosen, axis=1)
        squared = [
            np.sum((rows - self._others[column]) ** 2, axis=1, dtype=np.float64)
            for column in nearest.T
        ]
        return np.sort(np.sqrt(np.column_stack(squared)), axis=1)


def _floor(odds: Floats) -> float:
    """Return what very small odds are raised to; 1 if none is positive."""
    positive = odds[odds > 0]
    if not positive.size:
        return 1.0
    return max(float(np.quantile(positive, _LEAST_ODDS)), _relative_floor(odds))


def _relative_floor(odds: Floats) -> float:
    """Return a share of the median of what is positive; 1 if nothing is."""
    positive = odds[odds > 0]
    return float(LEAST_RELATIVE_ODDS * np.median(positive)) if positive.size else 1.0
