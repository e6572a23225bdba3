"""Search on the rows that a pruner keeps, and refit the winner on all rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from time import perf_counter
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.parallel import Parallel, delayed

from .._compat import HasMethods, Interval, StrOptions, fit_context
from .._types import Constraints, Estimator, Floats, Integers, Metadata, Params, Rows, Targets
from ..base import refitting
from ..data import check_params, n_rows, record_columns, require_memory, take_params, take_rows
from ..meta import GIVEN_PRUNER, RESCALE_TYPES, Rescale, check_rules, fit_weighted, rescaled
from ._on_kept_rows import OnKeptRows
from ._search import RoutedParams, SearchMixin

# Parameters by which a search is told what to do.
_NEEDED = {"estimator", "cv", "scoring", "refit"}
# What the search of the finalists takes over from the search, where that has it.
_TAKEN_OVER = ("scoring", "n_jobs", "pre_dispatch", "verbose", "error_score", "return_train_score")


@dataclass(frozen=True)
class PruningReport:
    """What a search on kept rows took, all of it measured. Times are wall-clock seconds.

    Attributes
    ----------
    n_train, n_kept : tuple of int
        Training rows of each fold, and those that the search trained on.
    prune_seconds : tuple of float
        Pruning of each fold. Folds may run at the same time.
    search_seconds : float
        The search on the kept rows, without pruning.
    finalists_seconds : float or None
        Fits and scores of the finalists on all rows. None without finalists.
    best_fit_seconds : float or None
        Mean time of the winner's fits in the search. None if the search did not measure it.
    refit_prune_seconds : float or None
        Pruning all rows for ``refit="kept"``. None if that was not asked for.
    refit_seconds : float or None
        The winner's last fit. None without a refit.
    """

    n_train: tuple[int, ...]
    n_kept: tuple[int, ...]
    prune_seconds: tuple[float, ...]
    search_seconds: float
    finalists_seconds: float | None = None
    best_fit_seconds: float | None = None
    refit_prune_seconds: float | None = None
    refit_seconds: float | None = None

    @property
    def refit_ratio(self) -> float | None:
        """How many times a fit in the search the refit took; None where one was not measured.

        It is measured for the winner alone, and a refit on all rows has more rows than the training
        part of a fold. So it is only a rough guide to what other settings cost on all rows.
        """
        if not self.best_fit_seconds or self.refit_seconds is None:
            return None
        return self.refit_seconds / self.best_fit_seconds


@dataclass(frozen=True)
class Fold:
    """Rows of one fold, as sorted positions in X.

    Attributes
    ----------
    train, kept, test : ndarray
        Training rows, those of them that are kept, and rows that are scored.
    weights : ndarray of shape (n_kept,) or None
        The pruner's weights.
    seconds : float
        Time of pruning.
    """

    train: Integers
    kept: Integers
    test: Integers
    weights: Floats | None
    seconds: float

    @property
    def share(self) -> float:
        """Kept rows as a share of the training rows."""
        return len(self.kept) / len(self.train)


class PrunedSearchCV(SearchMixin, BaseEstimator):
    r"""Search for hyperparameters on the rows that a pruner keeps, and refit on all rows.

    .. math:: \hat\lambda = \arg\max_\lambda \frac1K \sum_k
        s_k\bigl(A_{\lambda(|S_k| / |T_k|)}(S_k)\bigr)

    Each fold k has training rows :math:`T_k`, of which the pruner keeps :math:`S_k`, once for all
    settings; :math:`s_k` is the score on the fold's other rows, of which none is pruned. ``search``
    decides which settings :math:`\lambda` are tried and which wins. They are values for all rows:
    a fit A on fewer rows rescales those penalties that are set against a sum of losses.

    With ``n_finalists`` > 1, so many settings of the best scores are scored again, in the same
    folds on all training rows, :math:`S_k = T_k`. The best of these scores wins.

    Parameters
    ----------
    search : GridSearchCV, RandomizedSearchCV or another search
        Has the parameters ``estimator``, ``cv``, ``scoring`` and ``refit``, and keeps the contract
        of scikit-learn's searches. A clone searches on the kept rows, with its ``n_jobs``. With
        ``refit=False`` there is no ``best_estimator_``; a str or callable chooses the winner as in
        scikit-learn. Successive halving needs a ``resource`` other than ``"n_samples"``.
    pruner : pruner, pipeline that ends in one, or None, default=None
        A clone chooses rows of each fold; `PrunedClassifier` says how they are encoded for it. None
        means ``InfluencePruner()``.
    refit : {"all", "kept"}, default="all"
        Rows that the winner is fitted on in the end: all, or those that the pruner keeps of all.
    n_finalists : int, default=1
        How many of the settings that are best on the kept rows are scored on all rows as well, to
        choose the winner. Each costs a fit on all training rows of each fold. 1 leaves the choice
        to the kept rows; with all settings, the winner is that of ``search`` on all rows. Of a
        halving search only the last iteration's settings are eligible.
    rescale : "auto", dict or None, default="auto"
        How parameters depend on the share of rows kept, by their names in ``search.estimator``:
        "inverse" divides by the share, "proportional" multiplies by it, and a function
        ``f(value, share)`` returns the new value. "auto" knows scikit-learn's: C of
        `LogisticRegression`, `LinearSVC` and `LinearSVR` is inverse; alpha of `Ridge`,
        `RidgeClassifier`, `HuberRegressor` and of MLPs with ``solver="lbfgs"``, and
        ``l2_regularization`` of histogram boosting are proportional. C of `SVC` and `SVR` and alpha
        of `KernelRidge` follow with a linear kernel only; see the notes. All others, such as those
        of SGD and the Lasso, are set against a mean and stay. None rescales nothing.

    Attributes
    ----------
    search_ : search
        Fitted on the kept rows, without refit. It saw the rows of all ``folds_``, one fold after
        the other, with the kept rows of each before its test rows; its positions count these.
    folds_ : list of Fold
        Of each fold ``kept`` and ``test``, positions in X.
    cv_results_ : dict
        That of ``search_``: scores on the kept rows. ``params`` are values for all rows.
    finalists_ : GridSearchCV
        Fitted on all training rows, without refit. Its ``cv_results_`` has an entry for each
        finalist, in the order of the ``cv_results_`` above. Only if ``n_finalists`` > 1.
    best_index_ : int
        The winner's index in ``cv_results_``. Like the next two, only if ``search`` names a metric
        to choose it by.
    best_params_ : dict
        The winner's parameters, for all rows.
    best_score_ : float
        Its mean score over the folds: that of ``finalists_`` where there are some, else on the kept
        rows. Not if ``search.refit`` is a callable.
    pruning_report_ : PruningReport
        Seconds and rows.
    scorer_ : callable or dict
        The scorer, or one for each metric.
    n_splits_ : int
        Number of folds.
    best_estimator_, estimator_ : estimator
        The winner, refitted. Like the next four, only if ``search`` refits.
    deployable_ : estimator
        The winner without pruners.
    refit_time_ : float
        Seconds of the refit, without pruning.
    pruner_ : pruner
        Fitted on all rows. Only with ``refit="kept"``, like the next one.
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
    PruneRatioSearchCV : Finds the largest ratio that keeps the score.
    sklearn_prune.PrunedClassifier : Prunes inside each fit; a search over it prunes for each
        setting anew.

    Notes
    -----
    Scores in ``cv_results_`` are those of models trained on few rows, and so lower than on all
    rows; what counts is their order. Settings that suit few rows best (shallow trees, strong
    smoothing) can win though others would on all rows; a few finalists correct that.

    "auto" rescales for models of a fixed size, which then are about the same on few rows as on all.
    A kernel machine follows finer detail the more rows it gets. The C that is best on few rows is
    about the one that is best on all (Eberts and Steinwart, 2013), so it stays.

    If an error or Ctrl-C ends ``fit`` early, the search is left as it was before.

    The pruner reads X as given, before any step of ``search.estimator``, or an encoding of it.
    Without metadata routing, metadata goes where `PruneRatioSearchCV` sends it. Weights of a pruner
    with ``reweight=True`` reach the fits and never the scores. A callable ``scoring`` gets an
    object that has the fitted estimator's methods and attributes, but is of another type.

    References
    ----------
    Eberts and Steinwart, "Optimal regression rates for SVMs using Gaussian kernels", Electronic
    Journal of Statistics 7, 2013.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.svm import SVC
    >>> from sklearn_prune.baselines import RandomPruner
    >>> from sklearn_prune.model_selection import PrunedSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> grid = GridSearchCV(SVC(), {"gamma": [1e-5, 1e-3, 1e-1], "C": [0.1, 1]}, cv=3)
    >>> search = PrunedSearchCV(grid, RandomPruner(0.8, random_state=0)).fit(X, y)
    >>> search.best_params_
    {'C': 1, 'gamma': 0.001}
    >>> search.pruning_report_.n_kept, search.best_estimator_.shape_fit_
    ((240, 240, 240), (1797, 64))

    On a twentieth of the rows two settings are equally good; all rows tell them apart:

    >>> search = PrunedSearchCV(grid, RandomPruner(0.95, random_state=0), n_finalists=2).fit(X, y)
    >>> for position in 0, 1:
    ...     setting = search.finalists_.cv_results_["params"][position]
    ...     score = search.finalists_.cv_results_["mean_test_score"][position]
    ...     print(setting, f"{score:.2f}")
    {'C': 0.1, 'gamma': 0.001} 0.94
    {'C': 1, 'gamma': 0.001} 0.97
    """

    _parameter_constraints: ClassVar[Constraints] = {
        "search": [HasMethods(["fit", "get_params", "set_params"])],
        "pruner": GIVEN_PRUNER,
        "refit": [StrOptions({"all", "kept"})],
        "n_finalists": [Interval(Integral, 1, None, closed="left")],
        "rescale": RESCALE_TYPES,
    }

    search_: Any
    finalists_: GridSearchCV
    folds_: list[Fold]
    pruning_report_: PruningReport
    best_index_: int
    best_params_: Params
    best_score_: float
    refit_time_: float

    def __init__(
        self,
        search: Any,
        pruner: Estimator = None,
        *,
        refit: Literal["all", "kept"] = "all",
        n_finalists: int = 1,
        rescale: Rescale = "auto",
    ) -> None:
        self.search = search
        self.pruner = pruner
        self.refit = refit
        self.n_finalists = n_finalists
        self.rescale = rescale

    def _search(self) -> Any:
        return self.search

    @property
    def cv_results_(self) -> dict[str, Any]:
        """The scores of all settings, on the kept rows."""
        return self.search_.cv_results_

    @property
    def best_estimator_(self) -> Estimator:
        """The winner, refitted."""
        return self.estimator_

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Rows, y: Targets = None, **fit_params: Metadata) -> Self:
        """Prune the folds, search on the kept rows, score the finalists, and refit the winner.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Target of each row.
        **fit_params : dict
            As in `PrunedClassifier.fit`, and ``groups`` for the splitter; see the notes.
            Row-aligned parameters are also cut to the rows of each fold.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        ValueError
            If ``search`` is not a search, draws rows itself, or does not say which of several
            metrics chooses the winner; if finalists are asked for and ``search`` does not rank the
            settings; if ``rescale`` names a parameter that the estimator lacks; or if the pruner
            gives weights that the estimator cannot take.
        """
        self._check(X, y)
        check_params(X, fit_params)
        routed = self._route(fit_params)
        with refitting(self):
            self._search_and_refit(X, y, fit_params, routed)
            record_columns(self, X, reset=True)
        return self

    def _search_and_refit(
        self, X: Rows, y: Targets, fit_params: Params, routed: RoutedParams
    ) -> None:
        splits = self._splitter(y).split(X, y, **routed.splitter)
        self.folds_ = Parallel(n_jobs=getattr(self.search, "n_jobs", None))(
            delayed(self._prune_fold)(X, y, routed.pruner, train, test) for train, test in splits
        )
        started = perf_counter()
        self.search_ = self._searched(X, y, fit_params, routed)
        seconds = perf_counter() - started
        self.scorer_, self.n_splits_ = self.search_.scorer_, len(self.folds_)
        self._choose()
        timed: dict[str, float] = {}
        if self.n_finalists > 1:
            started = perf_counter()
            self._choose_finalist(X, y, fit_params, routed)
            timed["finalists_seconds"] = perf_counter() - started
        if self.search.refit:
            timed |= self._refit(X, y, routed)
        self.pruning_report_ = self._report(seconds, timed)

    def _check(self, X: Rows, y: Targets) -> None:
        """Raise if this is no search, or one that kept rows do not serve."""
        require_memory(type(self).__name__, X)
        lacking = _NEEDED - self.search.get_params(deep=False).keys()
        if lacking:
            raise ValueError(
                f"search must have the parameters {', '.join(sorted(_NEEDED))}; {self.search!r} "
                f"lacks {', '.join(sorted(lacking))}. Use for example GridSearchCV(estimator, "
                "param_grid)."
            )
        if getattr(self.search, "resource", None) == "n_samples":
            raise ValueError(
                "search draws its rows at random with resource='n_samples', which undoes the "
                "pruner's choice. Set resource to a parameter such as 'n_estimators', or use "
                "GridSearchCV or RandomizedSearchCV."
            )
        if get_tags(self._model()).input_tags.pairwise:
            raise ValueError(
                f"{self._model()!r} takes a matrix of distances or kernels between rows, which "
                "pruning cannot cut. Give it the rows themselves."
            )
        scoring = self.search.scoring
        if isinstance(scoring, list | tuple | set | dict):
            self._check_metric(scoring)
        if self.n_finalists > 1 and callable(self.search.refit):
            raise ValueError(
                f"n_finalists={self.n_finalists} needs an order of the settings, and a callable "
                "search.refit chooses only one. Set refit to True or to the name of a metric, or "
                "n_finalists to 1."
            )
        check_consistent_length(X, y)
        check_rules(self._model(), self.rescale)
        self._check_weights()

    def _check_metric(self, names: Iterable[str]) -> None:
        """Raise unless ``search.refit`` says which of the metrics chooses the winner."""
        refit = self.search.refit
        if refit is False and self.n_finalists > 1:
            raise ValueError(
                f"n_finalists={self.n_finalists} needs an order of the settings, and search has "
                f"several metrics and refit=False; set refit to one of "
                f"{', '.join(map(repr, names))}, or n_finalists to 1."
            )
        if not (refit is False or callable(refit) or refit in names):
            raise ValueError(
                f"search has several metrics and refit={refit!r}, which names none of them; set "
                f"refit to one of {', '.join(map(repr, names))}, to a callable, or to False."
            )

    def _prune_fold(
        self, X: Rows, y: Targets, for_pruner: Params, train: Integers, test: Integers
    ) -> Fold:
        started = perf_counter()
        # A splitter may also give masks.
        train, test = (np.arange(n_rows(X))[rows] for rows in (train, test))
        params = take_params(X, for_pruner, train)
        pruner = self._fit_pruner(take_rows(X, train), take_rows(y, train), params).pruner
        weights = getattr(pruner, "sample_weight_", None)
        kept = train[pruner.sample_indices_]
        return Fold(train, kept, test, weights, perf_counter() - started)

    def _searched(self, X: Rows, y: Targets, fit_params: Params, routed: RoutedParams) -> Any:
        """Return a clone of the search, fitted on the kept rows of all folds.

        The folds' rows are stacked, so that each row belongs to one fold and can carry that fold's
        weight and share. scikit-learn hands these to the fits as row-aligned metadata.
        """
        folds = self.folds_
        rows = np.concatenate([part for fold in folds for part in (fold.kept, fold.test)])
        search = clone(self.search).set_params(
            estimator=OnKeptRows(self._model(), self.rescale), cv=_positions(folds), refit=False
        )
        if self.search.scoring is None:
            # OnKeptRows requests no metadata for its score; the estimator's own scorer may.
            search.set_params(scoring=self._scorer())
        params = take_params(X, _metadata_for(search, fit_params, routed), rows)
        params["kept_share"] = _by_row(folds, [np.full(len(f.kept), f.share) for f in folds])
        if folds[0].weights is not None:
            params["kept_weight"] = _by_row(folds, [fold.weights for fold in folds])
        return search.fit(take_rows(X, rows), take_rows(y, rows), **params)

    def _choose(self) -> None:
        """Set what is known of the winner."""
        # Only a search with several metrics, or whose refit is a function, needs such a table.
        results, refit = getattr(self.search_, "cv_results_", {}), self.search.refit
        has_several_metrics = getattr(self.search_, "multimetric_", False)
        if has_several_metrics:
            names = [n.removeprefix("rank_test_") for n in results if n.startswith("rank_test_")]
            self._check_metric(names)
        if callable(refit):
            self.best_index_ = _checked_index(refit(results), results)
            self.best_params_ = results["params"][self.best_index_]
        elif not has_several_metrics:
            for name in ("best_index_", "best_params_", "best_score_"):
                setattr(self, name, getattr(self.search_, name))
        elif refit:
            self.best_index_ = int(results[f"rank_test_{refit}"].argmin())
            self.best_params_ = results["params"][self.best_index_]
            self.best_score_ = float(results[f"mean_test_{refit}"][self.best_index_])

    def _choose_finalist(
        self, X: Rows, y: Targets, fit_params: Params, routed: RoutedParams
    ) -> None:
        """Score the best settings on all training rows of the folds, and set which of them wins."""
        metric = self.search.refit if getattr(self.search_, "multimetric_", False) else "score"
        results = getattr(self.search_, "cv_results_", {})
        chosen = _best_settings(results, f"rank_test_{metric}", self.n_finalists)
        options = self.search.get_params(deep=False)
        finalists = GridSearchCV(
            self._model(),
            [{name: [value] for name, value in results["params"][i].items()} for i in chosen],
            cv=[(fold.train, fold.test) for fold in self.folds_],
            refit=False,
            **{name: options[name] for name in _TAKEN_OVER if name in options},
        )
        self.finalists_ = finalists.fit(X, y, **_metadata_for(finalists, fit_params, routed))
        winner = int(finalists.cv_results_[f"rank_test_{metric}"].argmin())
        self.best_index_ = int(chosen[winner])
        self.best_params_ = results["params"][self.best_index_]
        self.best_score_ = float(finalists.cv_results_[f"mean_test_{metric}"][winner])

    def _refit(self, X: Rows, y: Targets, routed: RoutedParams) -> dict[str, float]:
        """Fit the winner; return the seconds, by their names in the report."""
        model, params = clone(self._model()), routed.estimator
        model.set_params(**clone(self.best_params_, safe=False))
        started, weights = perf_counter(), None
        if self.refit == "kept":
            fitted = self._fit_pruner(X, y, routed.pruner)
            self.pruner_, self.encoder_ = fitted.pruner, fitted.encoder
            kept = self.pruner_.sample_indices_
            model = rescaled(model, self.rescale, len(kept) / n_rows(X))
            weights = getattr(self.pruner_, "sample_weight_", None)
            params = take_params(X, params, kept)
            X, y = take_rows(X, kept), take_rows(y, kept)
        pruned = perf_counter()
        self.estimator_ = fit_weighted(model, X, y, params, weights)
        self.refit_time_ = perf_counter() - pruned
        timed = {"refit_prune_seconds": pruned - started} if self.refit == "kept" else {}
        return {**timed, "refit_seconds": self.refit_time_}

    def _report(self, search_seconds: float, timed: dict[str, float]) -> PruningReport:
        means = getattr(self.search_, "cv_results_", {}).get("mean_fit_time")
        if means is not None and hasattr(self, "best_index_"):
            timed["best_fit_seconds"] = float(means[self.best_index_])
        return PruningReport(
            tuple(len(fold.train) for fold in self.folds_),
            tuple(len(fold.kept) for fold in self.folds_),
            tuple(fold.seconds for fold in self.folds_),
            search_seconds,
            **timed,
        )

    def _score(self, X: Rows, y: Targets, params: Params) -> float:
        scorer, metric = self.scorer_, self.search.refit
        is_named = isinstance(metric, str)
        if isinstance(scorer, dict) and is_named:
            scorer = scorer[metric]
        if isinstance(scorer, dict):
            raise ValueError(
                "several metrics, and search.refit names none to score by; set it to one of "
                f"{', '.join(map(repr, scorer))}, or call a scorer in scorer_."
            )
        score = scorer(self.estimator_, X, y, **params)
        return score[metric] if isinstance(score, dict) and is_named else score


def _positions(folds: list[Fold]) -> list[tuple[Integers, Integers]]:
    """Return the training and test rows of each fold, as positions in the stacked rows."""
    ends = np.cumsum([size for fold in folds for size in (len(fold.kept), len(fold.test))])
    parts = np.split(np.arange(ends[-1]), ends[:-1])
    return list(zip(parts[::2], parts[1::2], strict=True))


def _by_row(folds: list[Fold], of_kept: list[Any]) -> Floats:
    """Return an entry for each stacked row; test rows, which no fit sees, have 1."""
    ones = [np.ones(len(fold.test)) for fold in folds]
    return np.concatenate([part for pair in zip(of_kept, ones, strict=True) for part in pair])


def _metadata_for(search: Any, fit_params: Params, routed: RoutedParams) -> Params:
    """Return the metadata that a search with given folds takes in ``fit``."""
    if not get_config()["enable_metadata_routing"]:
        return routed.estimator
    asked = get_routing_for_object(search).consumes("fit", fit_params.keys())
    return {name: fit_params[name] for name in asked}


def _best_settings(results: dict[str, Any], rank: str, n_settings: int) -> Integers:
    """Return the indices of the settings of the best ranks, ascending."""
    if rank not in results:
        raise ValueError(
            f"n_finalists={n_settings} needs an order of the settings, and the search keeps no "
            "ranks by the metric that chooses the winner; set n_finalists to 1."
        )
    # Only a halving search has iterations, and only the last has the full resource.
    iteration = results.get("iter", np.zeros(len(results[rank])))
    settings = np.flatnonzero(iteration == np.max(iteration))
    order = np.argsort(results[rank][settings], kind="stable")
    return np.sort(settings[order[:n_settings]])


def _checked_index(index: Any, results: dict[str, Any]) -> int:
    """Return what ``search.refit`` chose, if it is a setting's index."""
    n_settings = len(results["params"])
    if not isinstance(index, int | np.integer) or not 0 <= index < n_settings:
        raise ValueError(
            f"search.refit must return an index in [0, {n_settings}); it returned {index!r}."
        )
    return int(index)
