"""Search for the largest prune ratio that keeps the cross-validated score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.parallel import Parallel, delayed

from .._compat import HasMethods, Interval, StrOptions, fit_context, takes_weights
from .._types import Constraints, Estimator, Floats, Integers, Metadata, Params, Rows, Targets
from ..base import refitting
from ..data import check_params, record_columns, require_memory, take_params, take_rows
from ..meta import GIVEN_PRUNER, RESCALE_TYPES, Rescale, check_rules, gives_weights
from ..utils import warn_user
from ._search import RoutedParams, SearchMixin

# The error message for each ratio that fails.
Failures = dict[float, str]


class PruneRatioSearchCV(SearchMixin, BaseEstimator):
    r"""Prune as many rows as possible without lowering the cross-validated score.

    .. math:: r^* = \max \{ r : \bar s_0 - \bar s_r \le t_r \}

    Here :math:`\bar s_r` is the mean over K folds of :math:`s_{rk}`: the score on fold k of an
    estimator that is trained on the other folds after dropping the share r of their rows.
    :math:`\bar s_0` is the mean score without pruning. No row is pruned from the fold that is
    scored. All ratios share the same folds. With ``refit=True``, the share ``r*`` of all rows is
    then dropped, and ``estimator_`` is fitted on the others.

    Parameters
    ----------
    estimator : classifier or regressor
        Trained on the kept rows.
    pruner : pruner, pipeline that ends in one, or None, default=None
        A pruner with the parameter ``prune_ratio``, whose value is ignored. `PrunedClassifier` says
        how rows are encoded for it. None means ``InfluencePruner()``. A pruner with
        ``select(prune_ratio=...)`` is fitted once per fold.
    ratios : array-like of float in [0, 1), default=(0.2, 0.4, 0.6, 0.8, 0.9)
        Shares of the rows to drop; 0 is added. The smallest must be feasible. A larger one that
        leaves too few rows in any fold is skipped with a warning.
    tolerance : float or "one_se", default=0.005
        Largest loss of the mean score, :math:`t_r`, in units of the score. "one_se" allows one
        standard error of the loss, :math:`t_r = \mathrm{sd}_k(s_{0k} - s_{rk}) / \sqrt K` (the
        standard deviation with K - 1 in the denominator).
    scoring : str, callable or None, default=None
        Scorer; more is better. None uses the estimator's own ``score``.
    cv : int, cross-validation generator, iterable or None, default=None
        As in :class:`sklearn.model_selection.GridSearchCV`: None means five folds, stratified for
        a classifier.
    refit : bool, default=True
        Prune all rows by the best ratio and fit the estimator on the kept rows.
    n_jobs : int or None, default=None
        Number of folds to run in parallel; -1 uses all processors.
    rescale : "auto", dict or None, default=None
        As in `PrunedClassifier`: how the estimator's penalties depend on the share of rows kept.
    verbose : int, default=0
        1 prints a line for each ratio.

    Attributes
    ----------
    best_prune_ratio_ : float
        The largest ratio within the tolerance; 0.0 if there is no other.
    best_index_ : int
        Its index in ``cv_results_``.
    best_score_ : float
        Its mean score over the folds. Slightly optimistic, since the ratio is chosen by it; for an
        unbiased value, score on other rows.
    cv_results_ : dict of arrays of shape (n_ratios,)
        One entry per ratio, ascending from 0: ``prune_ratio``, ``params``,
        ``split{k}_test_score``, ``mean_test_score``, ``std_test_score``, ``rank_test_score``. For
        the paired differences from full data: ``mean_difference`` (negative if worse than full
        data), ``se_difference`` and ``within_tolerance``. Scores of skipped ratios are NaN.
    n_splits_ : int
        Number of folds.
    scorer_ : callable
        The scorer.
    estimator_ : estimator
        Fitted on the kept rows. Like all attributes below, only with ``refit=True``.
    pruner_ : pruner
        Fitted on all rows with the best ratio. At ratio 0 it keeps every row.
    encoder_ : transformer or None
        What encoded the rows for ``pruner_``; None if it read them as they are.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted. Only of a classifier.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names. Only if all names are strings.

    See Also
    --------
    sklearn_prune.PrunedClassifier : Prunes by a given ratio.
    sklearn_prune.PrunedRegressor : The same for regressors.

    Notes
    -----
    "one_se" is after Breiman et al., who choose the simplest tree whose error is within one
    standard error of the lowest error. Theirs is the standard error of that lowest error. Here it
    is that of the differences from full data in the same folds, in which a fold's difficulty
    cancels, so it is usually smaller, and fewer rows are dropped. The comparison is with full data,
    not with the best ratio.
    Folds share training rows, so this is a rule of thumb and not a statistical test.

    Without metadata routing, `fit` sends ``groups`` to the splitter, and to a pruner whose ``fit``
    takes them, and ``sample_weight`` also to a scorer that takes weights. Other metadata goes where
    `PrunedClassifier.fit` sends it. To send groups to the splitter or the pruner alone, use
    metadata routing.

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

    _parameter_constraints: ClassVar[Constraints] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "pruner": GIVEN_PRUNER,
        "ratios": ["array-like"],
        "tolerance": [Interval(Real, 0, None, closed="left"), StrOptions({"one_se"})],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "cv": ["cv_object"],
        "refit": ["boolean"],
        "n_jobs": [Integral, None],
        "rescale": RESCALE_TYPES,
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Estimator,
        pruner: Estimator = None,
        *,
        ratios: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 0.9),
        tolerance: float | Literal["one_se"] = 0.005,
        scoring: str | Callable[..., float] | None = None,
        cv: Any = None,
        refit: bool = True,
        n_jobs: int | None = None,
        rescale: Rescale = None,
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
        self.rescale = rescale
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Rows, y: Targets, **fit_params: Metadata) -> Self:
        """Score each ratio and choose the largest one within the tolerance.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        **fit_params : dict
            As in `PrunedClassifier.fit`, and ``groups`` for the splitter; see the notes.
            Parameters with one entry per row are also cut to the rows of each fold.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        ValueError
            If a parameter is malformed, ``rescale`` names none of the estimator's, or fitting fails
            on full data or at the smallest ratio.

        Warns
        -----
        sklearn.exceptions.FitFailedWarning
            If a ratio is skipped, since it fails in some fold.
        UserWarning
            If ``sample_weight`` is given and the scorer takes no weights.
        """
        self._check(X, y)
        self._check_weights()
        ratios = _checked_ratios(self.ratios)
        check_params(X, fit_params)
        routed, for_scorer = self._route(fit_params), self._for_scorer(fit_params)
        folds = list(self._splitter(y).split(X, y, **routed.splitter))
        self._check_folds(len(folds))
        scorer = self._scorer()
        scored = Parallel(n_jobs=self.n_jobs)(
            delayed(self._score_fold)(X, y, routed, for_scorer, train, test, ratios, scorer)
            for train, test in folds
        )
        _warn_of_failures([failures for _, failures in scored])
        results = _results(ratios, np.array([scores for scores, _ in scored]), self.tolerance)
        best = int(np.flatnonzero(results["within_tolerance"]).max())
        if self.verbose:
            _report(results)
        with refitting(self):
            if self.refit:
                self._fit_on_kept(X, y, routed.pruner, routed.estimator, prune_ratio=ratios[best])
            self.cv_results_, self.n_splits_, self.scorer_ = results, len(folds), scorer
            self.best_index_, self.best_prune_ratio_ = best, ratios[best]
            self.best_score_ = float(results["mean_test_score"][best])
            record_columns(self, X, reset=True)
        return self

    def _check(self, X: Rows, y: Targets) -> None:
        """Raise if the estimator has no score to compare, or the pruner no ratio to set."""
        require_memory(type(self).__name__, X)
        if not (is_classifier(self.estimator) or is_regressor(self.estimator)):
            raise ValueError(
                f"estimator must be a classifier or a regressor; it is {self.estimator!r}. Use "
                "a pipeline that ends in one."
            )
        if "prune_ratio" not in self._pruner().get_params(deep=False):
            raise ValueError(
                f"pruner must have the parameter prune_ratio; {type(self._pruner()).__name__} has "
                "none. Add it, or use GridSearchCV with a PrunedClassifier."
            )
        check_consistent_length(X, y)
        check_rules(self.estimator, self.rescale)

    def _check_folds(self, n_folds: int) -> None:
        if self.tolerance == "one_se" and n_folds < 2:
            raise ValueError(
                f"tolerance='one_se' needs at least two folds; cv gives {n_folds}. Use more folds, "
                "or a number as tolerance."
            )

    def _for_scorer(self, fit_params: Params) -> Params:
        """Return the metadata of the scorer; warn of weights that it does not take."""
        if get_config()["enable_metadata_routing"]:
            return process_routing(self, "fit", **fit_params).scorer.score
        sample_weight, scorer = fit_params.get("sample_weight"), self._scorer()
        if sample_weight is None:
            return {}
        if takes_weights(scorer):
            return {"sample_weight": sample_weight}
        warn_user(
            f"scoring={scorer} takes no sample_weight, so all rows count alike in the scores; use "
            "a scorer that takes weights.",
        )
        return {}

    def _score_fold(
        self,
        X: Rows,
        y: Targets,
        routed: RoutedParams,
        for_scorer: Params,
        train: Integers,
        test: Integers,
        ratios: list[float],
        scorer: Callable[..., float],
    ) -> tuple[Floats, Failures]:
        """Return the scores on the rows ``test`` for each ratio of the rows ``train``."""
        X_train, y_train, X_test, y_test = (
            take_rows(container, rows) for rows in (train, test) for container in (X, y)
        )
        for_pruner = take_params(X, routed.pruner, train)
        for_estimator = take_params(X, routed.estimator, train)
        for_scorer = take_params(X, for_scorer, test)
        scores, failures = np.full(len(ratios), np.nan), {}
        pruner: Any = None
        for position, ratio in enumerate(ratios):
            try:
                weights = None
                if not ratio:
                    support = np.ones(len(train), dtype=bool)
                elif hasattr(pruner, "select"):
                    support = pruner.select(prune_ratio=ratio)
                else:
                    fitted = self._fit_pruner(X_train, y_train, for_pruner, prune_ratio=ratio)
                    pruner = fitted.pruner
                    support = pruner.support_
                if ratio and gives_weights(pruner):
                    weights = pruner.weigh(support)
                take = partial(take_rows, indices=np.flatnonzero(support))
                share = float(np.mean(support))
                model = self._fit_estimator(X_train, y_train, for_estimator, take, share, weights)
            except ValueError as error:
                if position <= 1:
                    # An error on full data or at the smallest ratio is not due to the ratio.
                    raise
                failures[ratio] = str(error)
            else:
                scores[position] = scorer(model, X_test, y_test, **for_scorer)
        return scores, failures


def _checked_ratios(ratios: Any) -> list[float]:
    """Return the distinct ratios and 0, ascending."""
    values = np.asarray(ratios)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"ratios must be a list of numbers; it is {ratios!r}. Use for example (0.5, 0.9)."
        )
    outside = values[~((values >= 0) & (values < 1))]
    if outside.size:
        raise ValueError(
            f"ratios are shares of the rows to drop, in [0, 1); {outside[0]:g} is not. Remove it."
        )
    return np.unique(np.r_[0.0, values]).tolist()


def _warn_of_failures(failures_of_folds: list[Failures]) -> None:
    for ratio in sorted(set().union(*failures_of_folds)):
        reasons = [failures[ratio] for failures in failures_of_folds if ratio in failures]
        warn_user(
            f"prune_ratio={ratio} is skipped, as it fails in {len(reasons)} of "
            f"{len(failures_of_folds)} folds. The first error: {reasons[0]}",
            FitFailedWarning,
        )


def _results(ratios: list[float], scores: Floats, tolerance: float | Literal["one_se"]) -> Params:
    """Return ``cv_results_`` from scores of shape (n_folds, n_ratios); failed ones are NaN."""
    n_folds = len(scores)
    scores = np.where(np.isnan(scores).any(axis=0), np.nan, scores)
    mean = scores.mean(axis=0)
    differences = scores - scores[:, :1]
    mean_difference = differences.mean(axis=0)
    error = np.full(len(ratios), np.nan)
    if n_folds > 1:
        error = differences.std(axis=0, ddof=1) / np.sqrt(n_folds)
    allowed = error if tolerance == "one_se" else np.full(len(ratios), tolerance)
    # Rounding must not exclude a loss that equals the tolerance.
    rounding = 1e-12 * max(1.0, abs(mean[0]))
    within = mean_difference >= -(allowed + rounding)
    # Ratio 0 always counts, even if its score is NaN.
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


def _report(results: Params) -> None:
    columns = ("prune_ratio", "mean_test_score", "mean_difference", "within_tolerance")
    for ratio, mean, difference, within in zip(*map(results.get, columns), strict=True):
        verdict = "within" if within else "beyond"
        print(
            f"prune_ratio={ratio:g}: score {mean:.4f}, {difference:+.4f} to full data, "
            f"{verdict} the tolerance"
        )
