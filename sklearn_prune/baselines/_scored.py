"""What pruners that score each row share: how many rows stay, and which."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._compat import Interval, check_parameters
from ..base import BasePruner
from ..data import Kind
from ..matching import default_network, unfrozen
from ..networks import Head, fit_network, network_codes, read_head, require_finite, target_kind
from ..selection import Request, count_problem, make_terms

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Stratum:
    """Rows that compete with each other, and how many of them stay.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,)
        Positions, ascending.
    n_keep : int
        Rows that stay.
    """

    rows: Rows
    n_keep: int


@dataclass(frozen=True, eq=False)
class ScoringJob:
    """All that a score may depend on.

    Attributes
    ----------
    estimator : skorch net, FrozenEstimator or None
        As given to the pruner.
    X : ndarray or csr_array of shape (n_samples, n_features, ...)
        Checked rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Positions in ``classes``, or numbers for a regression.
    classes : ndarray of shape (n_classes,) or None
        The labels, sorted; None for regression.
    strata : list of Stratum
        Which rows compete.
    seed : int
        Seeds the training of the network.
    """

    estimator: Any
    X: Any
    y: NDArray[Any]
    classes: NDArray[Any] | None
    strata: Sequence[Stratum]
    seed: int


class RatioPruner(BasePruner):
    """Base class of pruners that, once fitted, can choose for any ratio.

    A subclass writes one hook, ``_choose()``, which reads ``prune_ratio`` and what `fit` stored.
    Where some of that depends on the ratio, ``_adapt()`` sets it anew.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "prune_ratio": [Interval(Real, 0, 1, closed="left")],
        "stratify": ["boolean"],
        "random_state": ["random_state"],
    }

    # Label of each row, where there are classes.
    _labels_: NDArray[Any] | None

    def _choose(self) -> NDArray[np.bool_]:
        """Return the mask of rows to keep."""
        raise NotImplementedError(f"{type(self).__name__} must define _choose()")

    def _adapt(self) -> None:
        """Set anew, never in place, the fitted attributes that depend on the ratio."""

    def select(self, *, prune_ratio: float) -> NDArray[np.bool_]:
        """Choose again for another ratio, without training anything.

        Parameters
        ----------
        prune_ratio : float in [0, 1)
            Share of the rows to *drop*.

        Returns
        -------
        support : ndarray of shape (n_samples,)
            True where a row is kept: as after `fit` with that ratio and the same seed. The pruner
            itself stays as it is.
        """
        check_is_fitted(self)
        asked = copy.copy(self).set_params(prune_ratio=prune_ratio)
        check_parameters(asked)
        asked._adapt()
        return asked._choose()

    def _strata(self, n_samples: int) -> list[Stratum]:
        return make_strata(n_samples, self._labels_, self.prune_ratio, self.stratify)


class ScoredPruner(RatioPruner):
    """Base class of pruners that give each row a score and keep the best.

    A subclass writes one hook, ``_score(job)``, which returns the scores, of shape (n_samples,).
    It says whether the highest or the lowest stay (``_keeps_highest``) and whether it needs
    classes (``_needs_classes``). One that does not simply keep the best, but draws, overrides
    ``_rank`` as well.
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
        estimator: Any = None,
        *,
        prune_ratio: float = 0.4,
        stratify: bool = True,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.prune_ratio = prune_ratio
        self.stratify = stratify
        self.random_state = random_state

    def _score(self, job: ScoringJob) -> Floats:
        """Return the score of each row, of shape (n_samples,)."""
        raise NotImplementedError(f"{type(self).__name__} must define _score(job)")

    def _rank(self, stratum: Stratum, rng: np.random.RandomState) -> Rows:
        """Return all rows of a stratum, those that are to stay first; ties are drawn."""
        rows = rng.permutation(stratum.rows)
        scores = self.scores_[rows]
        return rows[np.argsort(-scores if self._keeps_highest else scores, kind="stable")]

    def _select_rows(self, X: Any, y: NDArray[Any] | None, **fit_params: Any) -> NDArray[np.bool_]:
        """Score the rows and keep the best of each stratum."""
        assert y is not None
        classes = getattr(self, "classes_", None)
        self._check_before_training(classes, fit_params)
        self._labels_ = None if classes is None else classes[y]
        strata = self._strata(len(y))
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        self.scores_ = self._score(ScoringJob(self.estimator, X, y, classes, strata, seed))
        # Infinity is a rank: of rows that were never learned, for example.
        require_finite("scores", np.where(np.isnan(self.scores_), np.nan, 0.0))
        # As it is now: each choice draws the same.
        self._rng_ = copy.deepcopy(rng)
        return self._choose()

    def _choose(self) -> NDArray[np.bool_]:
        """Keep the best of each stratum."""
        strata, rng = self._strata(len(self.scores_)), copy.deepcopy(self._rng_)
        return keep_first(strata, [self._rank(stratum, rng) for stratum in strata], self._labels_)

    def _check_before_training(
        self, classes: NDArray[Any] | None, fit_params: dict[str, Any]
    ) -> None:
        name = type(self).__name__
        if fit_params:
            raise TypeError(
                f"{name}.fit takes X and y alone; it was given {', '.join(fit_params)}. Leave it "
                "out, or take InfluencePruner, which has masks, weights, costs and groups."
            )
        if self._needs_classes and classes is None:
            raise ValueError(
                f"{name} scores how well classes are told apart, and y holds numbers; give labels "
                "(and a NeuralNetClassifier, where a network is given), or take a pruner for "
                "regressions, such as KCenterPruner or InfluencePruner."
            )

    def _target_kind(self, y: Any) -> Kind | None:
        return None if self.estimator is None else target_kind(unfrozen(self.estimator), y)

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: y is needed, and networks may take images."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = not self._needs_classes
        tags.input_tags.three_d_array = self.estimator is not None
        return tags


class GreedyPruner(ScoredPruner):
    """Base class of pruners that pick rows one by one, by what enters the last layer.

    Scores depend on how many rows are picked, so that `select` picks anew. A subclass writes one
    hook, ``_score_picks(features, n_picks)``, for the rows of one stratum.
    """

    _needs_classes = False

    def _score_picks(self, features: Floats, n_picks: int) -> Floats:
        """Return the scores of all rows after so many picks, of shape (n_rows,)."""
        raise NotImplementedError(f"{type(self).__name__} must define _score_picks(...)")

    def _score(self, job: ScoringJob) -> Floats:
        self._features_ = penultimate_features(job)
        return self._score_strata(job.strata)

    def _adapt(self) -> None:
        self.scores_ = self._score_strata(self._strata(len(self._features_)))

    def _score_strata(self, strata: Sequence[Stratum]) -> Floats:
        scores = np.empty(len(self._features_))
        for stratum in strata:
            features = self._features_[stratum.rows]
            scores[stratum.rows] = self._score_picks(features, stratum.n_keep)
        return scores


def make_strata(
    n_samples: int, labels: NDArray[Any] | None, prune_ratio: float, stratify: bool
) -> list[Stratum]:
    """Return which rows compete and how many stay: as many as `InfluencePruner` keeps.

    Stratified, each class is a stratum and keeps the same share (``quota="class"``); without
    classes, or not stratified, all rows are one.
    """
    request = Request(prune_ratio, None, "class", 0.0)
    problem = count_problem(make_terms(n_samples, labels), request)
    assert problem.n_drop is not None
    if labels is None or not stratify:
        return [Stratum(np.arange(n_samples), n_samples - problem.n_drop)]
    dropped = problem.dropped_counts(problem.n_drop)
    strata = [np.flatnonzero(problem.groups == group) for group in range(len(dropped))]
    return [Stratum(rows, len(rows) - n) for rows, n in zip(strata, dropped.tolist(), strict=True)]


def keep_first(
    strata: Sequence[Stratum], ranked: Sequence[Rows], labels: NDArray[Any] | None
) -> NDArray[np.bool_]:
    """Return the mask of the first rows of each stratum, and of the first row of each class.

    Parameters
    ----------
    strata : sequence of Stratum
        How many rows of each stay.
    ranked : sequence of ndarray
        All rows of each stratum, those that are to stay first.
    labels : ndarray of shape (n_samples,) or None
        Class of each row, where there are classes.
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
    """Return the last layer of the fitted network, and what enters it.

    The linear network that stands in for None has weights zero: what enters its last layer, the
    standardised columns, is all there is to read.
    """
    if job.estimator is None:
        return read_head(default_network(job.X, job.y, job.classes), job.X, job.y)
    network = fit_network(job.estimator, job.X, job.y, random_state=job.seed)
    y = job.y
    if isinstance(job.estimator, FrozenEstimator) and job.classes is not None:
        y = network_codes(network, job.X, y, job.classes)
    return read_head(network, job.X, y)


def penultimate_features(job: ScoringJob) -> Floats:
    """Return what enters the last layer, float64 of shape (n_samples, n_features)."""
    head = fitted_head(job)
    design = head.design[:, :-1] if head.has_bias else head.design
    return design.astype(np.float64)
