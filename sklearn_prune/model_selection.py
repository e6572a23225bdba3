"""The smallest subset that keeps the score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import Tags, check_consistent_length, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from ._compat import HasMethods, Interval, StrOptions, fit_context, takes_weights
from ._sample_weight import gives_weights
from .base import BasePruner
from .data import check_params, take_params, take_rows
from .meta import PruningMixin

__all__ = ["PruneRatioSearchCV"]

Floats = NDArray[np.float64]
Params = dict[str, Any]
# Why a ratio was impossible, by ratio.
Failures = dict[float, str]


@dataclass(frozen=True)
class _Given:
    """What ``fit`` was given beside X and y, by who gets it."""

    pruner: Params
    estimator: Params
    splitter: Params
    scorer: Params


class PruneRatioSearchCV(PruningMixin, BaseEstimator):
    r"""Prune as many rows as leave the cross-validated score where it is.

    .. math:: r^* = \max \{ r : \bar s_0 - \bar s_r \le t_r \}

    with :math:`\bar s_r` the mean over K folds of :math:`s_{rk}`, the score on fold k of an
    estimator trained on what is left when the share r of the *other* folds' rows is dropped, and
    :math:`\bar s_0` that of full data. No row of a fold that is scored on is ever pruned. The
    folds are the same for every ratio. Then ``estimator_`` is fitted on all rows less ``r*``.

    Parameters
    ----------
    estimator : classifier or regressor
        Trained on the rows kept.
    pruner : pruner or None, default=None
        Any with a parameter ``prune_ratio``; what it is set to does not matter. None is
        ``InfluencePruner()``. One that has ``select(prune_ratio=...)`` is fitted once a fold.
    ratios : array-like of float in [0, 1), default=(0.2, 0.4, 0.6, 0.8, 0.9)
        Shares of the rows to drop. Full data, 0, are always compared with. The least must be
        possible; one that leaves too few rows in any fold is passed over, with a warning.
    tolerance : float or "one_se", default=0.005
        What the mean score may lose, :math:`t_r`, in the unit of the score. "one_se" is one
        standard error of the loss, :math:`t_r = \mathrm{sd}_k(s_{0k} - s_{rk}) / \sqrt K` (the
        standard deviation with K - 1 in the denominator).
    scoring : str, callable or None, default=None
        Scorer, more is better; None is the estimator's own ``score``.
    cv : int, cross-validation generator, iterable or None, default=None
        As in :class:`sklearn.model_selection.GridSearchCV`: None is five folds, stratified for a
        classifier.
    refit : bool, default=True
        Prune all rows by the ratio found and fit the estimator on what is left.
    n_jobs : int or None, default=None
        Folds worked on at a time; -1 uses all processors.
    verbose : int, default=0
        1 prints one line for each ratio.

    Attributes
    ----------
    best_prune_ratio_ : float
        The largest ratio within the tolerance; 0.0 where no other is.
    best_index_ : int
        Where ``cv_results_`` has it.
    best_score_ : float
        Its mean score over the folds. A little too good, as it was chosen by it: score on other
        rows to know.
    cv_results_ : dict of arrays of shape (n_ratios,)
        A row a ratio, ascending from full data: ``prune_ratio``, ``params``,
        ``split{k}_test_score``, ``mean_test_score``, ``std_test_score``, ``rank_test_score``, and
        of the paired differences to full data ``mean_difference`` (below zero: worse than full
        data), ``se_difference`` and ``within_tolerance``. Ratios passed over are NaN.
    n_splits_ : int
        Number of folds.
    scorer_ : callable
        What scored.
    estimator_ : estimator
        Fitted on the rows kept. Only with ``refit``, as all that follows.
    pruner_ : pruner
        Fitted on all rows, with the ratio found; where that is 0, it keeps them all.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only of a classifier.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names that are strings.

    See Also
    --------
    sklearn_prune.PrunedClassifier : Takes the ratio as given.
    sklearn_prune.PrunedRegressor : The same for numbers.

    Notes
    -----
    The rule of one standard error is that of Breiman et al., who take the simplest tree whose
    error is within one standard error of the least, and mean the standard error of that least
    error itself. Here all ratios meet the same folds, so what makes a fold easy or hard cancels in
    the differences: their standard error is mostly the smaller, and fewer rows go. The reference
    is full data, not the best ratio. Folds share training rows, so it is a rule, not a test.

    Without metadata routing, arguments of `fit` go where those of
    :meth:`sklearn.model_selection.GridSearchCV.fit` go: ``groups`` to the folds, and to a pruner
    that names them, ``sample_weight`` to the scorer too, if it takes weights, and the rest where
    `PrunedClassifier.fit` has them go. Groups for one of both alone are given by routing.

    References
    ----------
    Breiman, Friedman, Olshen and Stone, *Classification and Regression Trees*, 1984, section
    3.4.3.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_prune.baselines import RandomPruner
    >>> from sklearn_prune.model_selection import PruneRatioSearchCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> search = PruneRatioSearchCV(
    ...     LogisticRegression(), RandomPruner(random_state=0), ratios=[0.5, 0.98], tolerance=0.01
    ... ).fit(scale(X), y)
    >>> search.best_prune_ratio_
    0.5
    >>> search.estimator_.coef_.shape
    (1, 30)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "pruner": [BasePruner, None],
        "ratios": ["array-like"],
        "tolerance": [Interval(Real, 0, None, closed="left"), StrOptions({"one_se"})],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "cv": ["cv_object"],
        "refit": ["boolean"],
        "n_jobs": [Integral, None],
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    # The scorer decides what it takes.
    _delegated = PruningMixin._delegated[:-1]

    def __init__(
        self,
        estimator: Any,
        pruner: BasePruner | None = None,
        *,
        ratios: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 0.9),
        tolerance: float | Literal["one_se"] = 0.005,
        scoring: str | Callable[..., float] | None = None,
        cv: Any = None,
        refit: bool = True,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.pruner = pruner
        self.ratios = ratios
        self.tolerance = tolerance
        self.scoring = scoring
        self.cv = cv
        self.refit = refit
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Score each ratio, choose the largest within the tolerance, and fit with it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        **fit_params : dict
            As in `PrunedClassifier.fit`, with ``groups`` for the folds; see the notes. What is
            pruned there is cut to the rows of a fold.

        Returns
        -------
        self : estimator
            Fitted.
        """
        self._check(X, y)
        self._check_weights()
        ratios = _checked_ratios(self.ratios)
        check_params(X, fit_params)
        given = self._given(fit_params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        folds = list(cv.split(X, y, **given.splitter))
        self._check_folds(len(folds))
        scorer = self._scorer()
        scored = Parallel(n_jobs=self.n_jobs)(
            delayed(self._score_fold)(X, y, given, train, test, ratios, scorer)
            for train, test in folds
        )
        _warn_of_failures([failures for _, failures in scored])
        results = _results(ratios, np.array([scores for scores, _ in scored]), self.tolerance)
        best = int(np.flatnonzero(results["within_tolerance"]).max())
        if self.verbose:
            _report(results)
        if self.refit:
            self.pruner_, self.estimator_ = self._refit(X, y, given, ratios[best])
        else:
            # Those of an earlier fit have another ratio.
            self.__dict__.pop("pruner_", None)
            self.__dict__.pop("estimator_", None)
        self.cv_results_, self.n_splits_, self.scorer_ = results, len(folds), scorer
        self.best_index_, self.best_prune_ratio_ = best, ratios[best]
        self.best_score_ = float(results["mean_test_score"][best])
        validate_data(self, X, skip_check_array=True)
        return self

    def _check(self, X: Any, y: Any) -> None:
        """Raise where estimator, pruner and target cannot be searched with."""
        if not (is_classifier(self.estimator) or is_regressor(self.estimator)):
            raise ValueError(
                "estimator must be a classifier or a regressor, whose scores can be compared; it "
                f"is {self.estimator!r}."
            )
        if "prune_ratio" not in self._pruner().get_params(deep=False):
            raise ValueError(
                f"pruner must have the parameter prune_ratio; {type(self.pruner).__name__} has "
                "none. Add it, or search with GridSearchCV over PrunedClassifier."
            )
        check_consistent_length(X, y)

    def _check_folds(self, n_folds: int) -> None:
        if self.tolerance == "one_se" and n_folds < 2:
            raise ValueError(
                "tolerance='one_se' needs two folds or more to estimate an error; cv gives "
                f"{n_folds}. Give more folds, or a number as tolerance."
            )

    def _scorer(self) -> Callable[..., float]:
        return check_scoring(self.estimator, scoring=self.scoring)

    def _given(self, fit_params: Params) -> _Given:
        if get_config()["enable_metadata_routing"]:
            pruner, estimator = self._sort_params(fit_params)
            routed = process_routing(self, "fit", **fit_params)
            return _Given(pruner, estimator, routed.splitter.split, routed.scorer.score)
        pruner, estimator = self._sort_params(fit_params)
        estimator.pop("groups", None)
        splitter = {"groups": fit_params.get("groups")}
        weight = fit_params.get("sample_weight")
        return _Given(pruner, estimator, splitter, self._weight_of_scores(weight))

    def _weight_of_scores(self, sample_weight: Any) -> Params:
        """Return the weights for the scorer; nothing, and a warning, if it takes none."""
        if sample_weight is None:
            return {}
        scorer = self._scorer()
        if takes_weights(scorer):
            return {"sample_weight": sample_weight}
        warnings.warn(
            f"scoring={scorer} takes no sample_weight, so rows count alike in the scores; give one "
            "that takes weights.",
            UserWarning,
            stacklevel=4,
        )
        return {}

    def _score_fold(
        self,
        X: Any,
        y: Any,
        given: _Given,
        train: NDArray[np.intp],
        test: NDArray[np.intp],
        ratios: list[float],
        scorer: Callable[..., float],
    ) -> tuple[Floats, Failures]:
        """Return the scores on the rows ``test`` for each ratio of the rows ``train``."""
        X_train, y_train, X_test, y_test = (
            take_rows(container, rows) for rows in (train, test) for container in (X, y)
        )
        for_pruner = take_params(X, given.pruner, train)
        for_estimator = take_params(X, given.estimator, train)
        for_scorer = take_params(X, given.scorer, test)
        scores, failures = np.full(len(ratios), np.nan), {}
        pruner: Any = None
        for position, ratio in enumerate(ratios):
            try:
                weights = None
                if not ratio:
                    support = np.ones(len(train), dtype=bool)
                elif pruner is not None and hasattr(pruner, "select"):
                    support = pruner.select(prune_ratio=ratio)
                else:
                    pruner = self._fit_pruner(X_train, y_train, for_pruner, prune_ratio=ratio)
                    support = pruner.support_
                if ratio and gives_weights(pruner):
                    weights = pruner.weigh(support)
                kept = np.flatnonzero(support)
                model = self._fit_estimator(X_train, y_train, for_estimator, kept, weights)
            except ValueError as error:
                if position <= 1:
                    # Of full data and of the least ratio: what is wrong is something else.
                    raise
                failures[ratio] = str(error)
            else:
                scores[position] = scorer(model, X_test, y_test, **for_scorer)
        return scores, failures

    def _refit(self, X: Any, y: Any, given: _Given, ratio: float) -> tuple[BasePruner, Any]:
        """Return the pruner, fitted on all rows, and the estimator, on those it keeps."""
        pruner = self._fit_pruner(X, y, given.pruner, prune_ratio=ratio)
        weights = getattr(pruner, "sample_weight_", None)
        kept = pruner.sample_indices_
        return pruner, self._fit_estimator(X, y, given.estimator, kept, weights)

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """Score the estimator on rows of which none is pruned.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Label or number of each row.
        **params : dict
            Handed on to the scorer.

        Returns
        -------
        score : float
            By ``scoring``.
        """
        check_is_fitted(self, "estimator_")
        if params and get_config()["enable_metadata_routing"]:
            params = process_routing(self, "score", **params).scorer.score
        return self.scorer_(self.estimator_, X, y, **params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return where metadata goes: to pruner and estimator, the splitter and the scorer.

        Returns
        -------
        routing : MetadataRouter
            What :func:`sklearn.utils.metadata_routing.process_routing` reads.
        """
        scored = MethodMapping().add(caller="fit", callee="score")
        return (
            super()
            .get_metadata_routing()
            .add(
                splitter=check_cv(self.cv, classifier=is_classifier(self.estimator)),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(scorer=self._scorer(), method_mapping=scored.add(caller="score", callee="score"))
        )

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: it is what its estimator is."""
        tags: Tags = super().__sklearn_tags__()
        tags.estimator_type = get_tags(self.estimator).estimator_type
        tags.target_tags.required = True
        return tags


def _checked_ratios(ratios: Any) -> list[float]:
    """Return the ratios ascending, each once, full data first."""
    values = np.asarray(ratios)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"ratios must be one or more numbers; it is {ratios!r}. Give for example (0.5, 0.9)."
        )
    outside = values[~((values >= 0) & (values < 1))]
    if outside.size:
        raise ValueError(
            f"ratios are shares of the rows to drop, in [0, 1); one is {outside[0]:g}. Leave it "
            "out."
        )
    return np.unique(np.r_[0.0, values]).tolist()


def _warn_of_failures(failures_of_folds: list[Failures]) -> None:
    for ratio in sorted(set().union(*failures_of_folds)):
        reasons = [failures[ratio] for failures in failures_of_folds if ratio in failures]
        warnings.warn(
            f"prune_ratio={ratio} is passed over, as {len(reasons)} of {len(failures_of_folds)} "
            f"folds cannot be pruned by it. The first error: {reasons[0]}",
            FitFailedWarning,
            stacklevel=2,
        )


def _results(
    ratios: list[float], scores: Floats, tolerance: float | Literal["one_se"]
) -> dict[str, Any]:
    """Return ``cv_results_`` from scores of shape (n_folds, n_ratios); NaN is passed over."""
    n_folds = len(scores)
    scores = np.where(np.isnan(scores).any(axis=0), np.nan, scores)
    mean = scores.mean(axis=0)
    differences = scores - scores[:, :1]
    mean_difference = differences.mean(axis=0)
    error = np.full(len(ratios), np.nan)
    if n_folds > 1:
        error = differences.std(axis=0, ddof=1) / np.sqrt(n_folds)
    allowed = error if tolerance == "one_se" else np.full(len(ratios), tolerance)
    # A loss that equals the tolerance is within it, whatever the rounding of the scores.
    rounding = 1e-12 * max(1.0, abs(mean[0]))
    within = mean_difference >= -(allowed + rounding)
    # Where the scores of full data are NaN themselves, they are all there is.
    within[0] = True
    filled = np.where(np.isnan(mean), -np.inf, mean)
    return {
        "prune_ratio": np.array(ratios),
        "params": [{"prune_ratio": ratio} for ratio in ratios],
        **{f"split{k}_test_score": scores[k] for k in range(n_folds)},
        "mean_test_score": mean,
        "std_test_score": scores.std(axis=0),
        "rank_test_score": 1 + (filled[:, None] < filled).sum(axis=1).astype(np.int32),
        "mean_difference": mean_difference,
        "se_difference": error,
        "within_tolerance": within,
    }


def _report(results: dict[str, Any]) -> None:
    columns = ("prune_ratio", "mean_test_score", "mean_difference", "within_tolerance")
    for ratio, mean, difference, within in zip(*map(results.get, columns), strict=True):
        verdict = "within" if within else "beyond"
        print(
            f"prune_ratio={ratio:g}: score {mean:.4f}, {difference:+.4f} to full data, "
            f"{verdict} the tolerance"
        )
