"""Base classes of pruners that score rows and keep the best."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import distributed
from .._compat import Interval, check_parameters
from .._types import (
    Array,
    Constraints,
    Estimator,
    Floats,
    Integers,
    Mask,
    Metadata,
    Params,
    RandomState,
    Rows,
    Targets,
)
from ..base import BasePruner, KeptPartitions
from ..data import Kind, flat_rows, require_memory
from ..matching import default_network, unfrozen
from ..networks import Head, fit_network, network_codes, read_head, require_finite, target_kind
from ..selection import Request, count_problem, make_terms
from ..utils import drawn_seed


@dataclass(frozen=True)
class Stratum:
    """Rows that compete with each other, such as those of a class.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,)
        Positions of the rows, ascending.
    n_keep : int
        Number of these rows to keep.
    """

    rows: Integers
    n_keep: int


@dataclass(frozen=True, eq=False)
class ScoringJob:
    """Everything that a score may depend on.

    Attributes
    ----------
    estimator : skorch net, FrozenEstimator or None
        The pruner's parameter.
    X : ndarray or csr_array of shape (n_samples, n_features, ...)
        Validated rows. Without a network, of two dimensions.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Positions in ``classes``, or numbers.
    classes : ndarray of shape (n_classes,) or None
        The labels, sorted. None if y holds numbers.
    strata : list of Stratum
        Groups of rows that compete with each other.
    seed : int
        Seeds the training.
    """

    estimator: Estimator
    X: Rows
    y: Array
    classes: Array | None
    strata: Sequence[Stratum]
    seed: int


class RatioPruner(BasePruner):
    """Base class of pruners that can choose rows for any ratio once they are fitted.

    A subclass defines one hook, ``_choose()``, which reads ``prune_ratio`` and fitted attributes.
    If some of those depend on the ratio, it also defines ``_adapt()``, which recomputes them.
    """

    _parameter_constraints: Constraints = {
        "prune_ratio": [Interval(Real, 0, 1, closed="left")],
        "stratify": ["boolean"],
        "random_state": ["random_state"],
    }

    # Label of each row; None if y holds numbers.
    _labels_: Array | None

    def _choose(self) -> Mask:
        """Return the mask of rows to keep."""
        raise NotImplementedError(f"{type(self).__name__} must define _choose()")

    def _adapt(self) -> None:
        """Replace the fitted attributes that depend on the ratio, leaving the old arrays intact."""

    def _request(self) -> Request:
        return Request(self.prune_ratio, None, "class" if self.stratify else None, 0.0)

    def _choose_partitions(
        self, first: distributed.FirstPass, choose: Callable[[int], list[Mask]]
    ) -> KeptPartitions:
        """Return the rows to keep of a Dask collection: in several partitions ``choose(seed)``."""
        self._note_classes(first.target)
        # The mask of the only partition.
        masks = distributed.fitted_alone(first, self, "support_")
        if masks is None:
            masks = choose(drawn_seed(self.random_state))
        return distributed.KeptRows.of(first.partitioned, masks)

    def _refuse(self, fit_params: Params) -> None:
        """Raise if ``fit`` was given more than these pruners take."""
        if fit_params:
            raise TypeError(
                f"{type(self).__name__}.fit takes only X, y and target_kind, not "
                f"{', '.join(fit_params)}. Leave it out, or use InfluencePruner, which takes "
                "masks, weights, costs and groups."
            )

    def select(self, *, prune_ratio: float) -> Mask:
        """Choose rows for another ratio without training again.

        Parameters
        ----------
        prune_ratio : float in [0, 1)
            Share of the rows to *drop*.

        Returns
        -------
        support : ndarray of shape (n_samples,)
            True where a row is kept, as after `fit` with that ratio and the same seed. The pruner
            itself does not change.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the pruner is not fitted.
        ValueError
            If the ratio is malformed, or leaves too few rows.
        """
        check_is_fitted(self)
        require_memory("select", self.support_)
        changed = copy.copy(self).set_params(prune_ratio=prune_ratio)
        check_parameters(changed)
        changed._adapt()
        return changed._choose()

    def _strata(self, n_samples: int) -> list[Stratum]:
        return make_strata(n_samples, self._labels_, self.prune_ratio, self.stratify)


class ScoredPruner(RatioPruner):
    """Base class of pruners that score each row and keep the best.

    A subclass defines one hook, ``_score(job)``, which returns the scores, of shape (n_samples,).
    ``_keeps_highest`` says whether the rows with the highest or the lowest scores stay, and
    ``_needs_classes`` whether y must hold classes. A pruner that draws rows overrides ``_rank`` as
    well.
    """

    _parameter_constraints = {
        **RatioPruner._parameter_constraints,
        "estimator": [object, None],
    }

    _keeps_highest: ClassVar[bool] = True
    _needs_classes: ClassVar[bool] = True

    scores_: Floats

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        self.estimator = estimator
        self.prune_ratio = prune_ratio
        self.stratify = stratify
        self.random_state = random_state

    def _score(self, job: ScoringJob) -> Floats:
        """Return the score of each row, of shape (n_samples,)."""
        raise NotImplementedError(f"{type(self).__name__} must define _score(job)")

    def _rank(self, stratum: Stratum, rng: np.random.RandomState) -> Integers:
        """Return all rows of a stratum, those to keep first; ties are in random order."""
        rows = rng.permutation(stratum.rows)
        scores = self.scores_[rows]
        return rows[np.argsort(-scores if self._keeps_highest else scores, kind="stable")]

    def _select_rows(self, X: Rows, y: Array | None, **fit_params: Metadata) -> Mask:
        """Score the rows and keep the best of each stratum."""
        assert y is not None
        classes = getattr(self, "classes_", None)
        self._check_before_training(classes, fit_params)
        self._labels_ = None if classes is None else classes[y]
        strata = self._strata(len(y))
        rng = check_random_state(self.random_state)
        seed = drawn_seed(rng)
        if self.estimator is None:
            # Without a network, the values of an image are its columns.
            X = flat_rows(X)
        self.scores_ = self._score(ScoringJob(self.estimator, X, y, classes, strata, seed))
        # Infinite scores are valid: for example, those of rows that are never learned.
        require_finite("scores", np.where(np.isnan(self.scores_), np.nan, 0.0))
        # A copy, so that each choice makes the same draws.
        self._rng_ = copy.deepcopy(rng)
        return self._choose()

    def _choose(self) -> Mask:
        """Keep the best of each stratum."""
        strata, rng = self._strata(len(self.scores_)), copy.deepcopy(self._rng_)
        return keep_first(strata, [self._rank(stratum, rng) for stratum in strata], self._labels_)

    def _check_before_training(self, classes: Array | None, fit_params: Params) -> None:
        self._refuse(fit_params)
        if self._needs_classes and classes is None:
            raise ValueError(
                f"{type(self).__name__} is for classification, and y holds numbers; give labels "
                "(and a NeuralNetClassifier if you give a network), or use a pruner for "
                "regression, such as KCenterPruner or InfluencePruner."
            )

    def _target_kind(self, y: Targets) -> Kind | None:
        return None if self.estimator is None else target_kind(unfrozen(self.estimator), y)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: y is required, and images are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = not self._needs_classes
        tags.input_tags.three_d_array = True
        return tags


class JointPruner(ScoredPruner):
    """Base class of pruners that choose rows together: scores depend on how many rows stay.

    So `select` scores again. A subclass defines two hooks: ``_read(job)``, which sets fitted
    attributes, and ``_score_strata(strata)``, which returns scores made of them.
    """

    def _read(self, job: ScoringJob) -> None:
        """Set what the scores are made of."""
        raise NotImplementedError(f"{type(self).__name__} must define _read(job)")

    def _score_strata(self, strata: Sequence[Stratum]) -> Floats:
        """Return the score of each row, of shape (n_samples,), for these numbers of rows."""
        raise NotImplementedError(f"{type(self).__name__} must define _score_strata(strata)")

    def _score(self, job: ScoringJob) -> Floats:
        self._seed_ = job.seed
        self._read(job)
        return self._score_strata(job.strata)

    def _adapt(self) -> None:
        self.scores_ = self._score_strata(self._strata(len(self.scores_)))


class GreedyPruner(JointPruner):
    """Base class of pruners that pick rows one by one, by the last layer's inputs.

    A subclass defines one hook, ``_score_picks(features, n_picks)``, for the rows of one stratum.
    """

    _needs_classes = False

    def _score_picks(self, features: Floats, n_picks: int) -> Floats:
        """Return the scores of all rows after ``n_picks`` picks, of shape (n_rows,)."""
        raise NotImplementedError(f"{type(self).__name__} must define _score_picks(...)")

    def _read(self, job: ScoringJob) -> None:
        self._features_ = penultimate_features(job)

    def _score_strata(self, strata: Sequence[Stratum]) -> Floats:
        scores = np.empty(len(self._features_))
        for stratum in strata:
            features = self._features_[stratum.rows]
            scores[stratum.rows] = self._score_picks(features, stratum.n_keep)
        return scores


def make_strata(
    n_samples: int, labels: Array | None, prune_ratio: float, stratify: bool
) -> list[Stratum]:
    """Return the strata and how many rows each keeps, as `InfluencePruner` does.

    With ``stratify``, each class is a stratum and keeps the same share (``quota="class"``). Where
    two classes are equally far from a whole number, `InfluencePruner` lets milp choose.
    Otherwise, or without classes, all rows form one stratum.
    """
    request = Request(prune_ratio, None, "class", 0.0)
    problem = count_problem(make_terms(n_samples, labels), request)
    assert problem.n_drop is not None
    if labels is None or not stratify:
        return [Stratum(np.arange(n_samples), n_samples - problem.n_drop)]
    dropped = problem.dropped_counts(problem.n_drop)
    strata = [np.flatnonzero(problem.groups == group) for group in range(len(dropped))]
    return [Stratum(rows, len(rows) - n) for rows, n in zip(strata, dropped.tolist(), strict=True)]


def keep_first(strata: Sequence[Stratum], ranked: Sequence[Integers], labels: Array | None) -> Mask:
    """Return the mask of the first rows of each stratum, and at least the first row of each class.

    Parameters
    ----------
    strata : sequence of Stratum
        Each with the number of its rows to keep.
    ranked : sequence of ndarray
        All rows of each stratum, those to keep first.
    labels : ndarray of shape (n_samples,) or None
        Class of each row; None if y holds numbers.
    """
    support = np.zeros(sum(map(len, ranked)), dtype=bool)
    for stratum, rows in zip(strata, ranked, strict=True):
        first = np.arange(0)
        if labels is not None:
            _, first = np.unique(labels[rows], return_index=True)
        rows = np.concatenate([rows[first], np.delete(rows, first)])
        support[rows[: stratum.n_keep]] = True
    return support


def fitted_head(job: ScoringJob) -> Head:
    """Return the last layer of the fitted network, and its inputs.

    Without a network, the inputs are the standardised columns of X, and the weights are zero.
    """
    if job.estimator is None:
        return read_head(default_network(job.X, job.y, job.classes), job.X, job.y)
    network = fit_network(job.estimator, job.X, job.y, random_state=job.seed)
    y = job.y
    if isinstance(job.estimator, FrozenEstimator) and job.classes is not None:
        y = network_codes(network, job.X, y, job.classes)
    return read_head(network, job.X, y)


def penultimate_features(job: ScoringJob) -> Floats:
    """Return the last layer's inputs, float64 of shape (n_samples, n_features)."""
    return inputs_of(fitted_head(job))


def inputs_of(head: Head) -> Floats:
    """Return the inputs of a layer without the ones of its bias, as float64."""
    design = head.design[:, :-1] if head.has_bias else head.design
    return design.astype(np.float64)
