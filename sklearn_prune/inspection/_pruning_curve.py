"""Plot the score against the share of dropped rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from .._compat import check_matplotlib_support
from .._influence_pruner import InfluencePruner
from .._types import Estimator, Floats, Rows, Targets
from ..base import BasePruner
from ..baselines import RandomPruner
from ..model_selection import PruneRatioSearchCV
from ._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D


class PruningCurveDisplay(Display):
    """Plot of the cross-validated score against the share of dropped training rows.

    Use `from_estimator` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    prune_ratios : dict of str to ndarray of shape (n_ratios,)
        Shares of dropped rows for each pruner, ascending from 0.
    test_scores : dict of str to ndarray of shape (n_ratios, n_folds)
        Scores on the validation folds, which are never pruned.
    score_name : str, default="score"
        Label of the axis.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The mean scores, one line for each pruner.
    fill_between_ : list of matplotlib PolyCollection
        The bands, one for each pruner.
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.

    See Also
    --------
    sklearn_prune.model_selection.PruneRatioSearchCV : Computes the scores and finds the best ratio.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_prune.baselines import RandomPruner
    >>> from sklearn_prune.inspection import PruningCurveDisplay
    >>> display = PruningCurveDisplay.from_estimator(
    ...     LogisticRegression(max_iter=500), *load_iris(return_X_y=True), ratios=[0.5, 0.8],
    ...     pruners={"plain": RandomPruner(stratify=False, random_state=0),
    ...              "stratified": RandomPruner(random_state=0)},
    ... )
    >>> display.test_scores["plain"].shape
    (3, 5)
    """

    lines_: list[Line2D]
    fill_between_: list[PolyCollection]

    def __init__(
        self,
        *,
        prune_ratios: Mapping[str, Floats],
        test_scores: Mapping[str, Floats],
        score_name: str = "score",
    ) -> None:
        self.prune_ratios = prune_ratios
        self.test_scores = test_scores
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Rows,
        y: Targets,
        *,
        pruners: Mapping[str, BasePruner] | None = None,
        ratios: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 0.9),
        cv: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        ax: Axes | None = None,
        **line_kw: Any,
    ) -> Self:
        """Score an estimator on pruned rows at several ratios, and plot the curves.

        Parameters
        ----------
        estimator : classifier or regressor
            Trained on the kept rows.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        pruners : dict of str to pruner, default=None
            Pruners with a parameter ``prune_ratio``, by the name of their curve. None compares
            ``InfluencePruner()`` with ``RandomPruner()``.
        ratios : array-like of float in [0, 1), default=(0.2, 0.4, 0.6, 0.8, 0.9)
            Shares of rows to drop; 0 is added. Infeasible ones are skipped with a warning.
        cv, scoring, n_jobs
            As in `PruneRatioSearchCV`. All pruners share the same folds.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **line_kw : dict
            Passed to ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : PruningCurveDisplay
            The plotted display.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        score_name = _score_name(scoring)
        if pruners is None:
            pruners = {"influence": InfluencePruner(), "random": RandomPruner()}
        # Split once, as a splitter that shuffles would give each pruner other folds.
        folds = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
        prune_ratios, test_scores = {}, {}
        for name, pruner in pruners.items():
            search = PruneRatioSearchCV(
                estimator,
                pruner,
                ratios=ratios,
                cv=folds,
                scoring=scoring,
                refit=False,
                n_jobs=n_jobs,
            )
            results = search.fit(X, y).cv_results_
            scores = np.stack([results[f"split{k}_test_score"] for k in range(len(folds))], axis=1)
            is_feasible = ~np.isnan(scores).any(axis=1)
            prune_ratios[name] = results["prune_ratio"][is_feasible]
            test_scores[name] = scores[is_feasible]
        display = cls(prune_ratios=prune_ratios, test_scores=test_scores, score_name=score_name)
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Axes | None = None, **line_kw: Any) -> Self:
        """Plot the mean scores, with bands of one standard deviation over the folds.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **line_kw : dict
            Passed to ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : PruningCurveDisplay
            The display itself.
        """
        ax = self._start(ax, "Score by share of rows dropped")
        self.lines_, self.fill_between_ = [], []
        for name, ratios in self.prune_ratios.items():
            mean, std = self.test_scores[name].mean(axis=1), self.test_scores[name].std(axis=1)
            (line,) = ax.plot(ratios, mean, **{"marker": "o", "label": name, **line_kw})
            color = line.get_color()
            band = ax.fill_between(ratios, mean - std, mean + std, color=color, alpha=0.2)
            self.lines_.append(line)
            self.fill_between_.append(band)
        ax.set(xlabel="share of training rows dropped", ylabel=self.score_name)
        ax.legend()
        return self


def _score_name(scoring: Any) -> str:
    """Return the label of the axis: the name of a score or callable, or a scorer's own text."""
    if scoring is None:
        return "score"
    if isinstance(scoring, partial):
        return _score_name(scoring.func)
    if repr(scoring) == object.__repr__(scoring):
        # Its text would be an address in memory.
        return type(scoring).__name__
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", None)
    return name.replace("_", " ") if name else str(scoring)
