"""Score against the share of rows dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from .._compat import check_matplotlib_support
from .._influence_pruner import InfluencePruner
from ..base import BasePruner
from ..baselines import RandomPruner
from ..model_selection import PruneRatioSearchCV
from ._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

Floats = NDArray[np.float64]


class PruningCurveDisplay(Display):
    """Cross-validated score against the share of training rows that is dropped.

    Make one with `from_estimator`; all parameters are stored as attributes.

    Parameters
    ----------
    prune_ratios : dict of str to ndarray of shape (n_ratios,)
        Shares of rows dropped, ascending from 0, for each pruner.
    test_scores : dict of str to ndarray of shape (n_ratios, n_folds)
        The scores on the validation folds, of which no row is pruned.
    score_name : str, default="score"
        Written at the axis.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The mean scores, one line a pruner.
    fill_between_ : list of matplotlib PolyCollection
        The bands, one a pruner.
    ax_ : matplotlib Axes
        What it was drawn on.
    figure_ : matplotlib Figure
        What the axes are in.

    See Also
    --------
    sklearn_prune.model_selection.PruneRatioSearchCV : Takes the scores, and finds the ratio.

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
        estimator: Any,
        X: Any,
        y: Any,
        *,
        pruners: Mapping[str, BasePruner] | None = None,
        ratios: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 0.9),
        cv: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        ax: Axes | None = None,
        **line_kw: Any,
    ) -> Self:
        """Score an estimator that is trained on ever fewer rows, and draw the curves.

        Parameters
        ----------
        estimator : classifier or regressor
            Trained on the rows kept.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            All rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of each row.
        pruners : dict of str to pruner, default=None
            Pruners with a parameter ``prune_ratio``, by the name of their curve. None compares
            ``InfluencePruner()`` with ``RandomPruner()``.
        ratios : array-like of float in [0, 1), default=(0.2, 0.4, 0.6, 0.8, 0.9)
            Shares of rows to drop; 0 is added. One that is impossible is left out, with a warning.
        cv, scoring, n_jobs
            As in `PruneRatioSearchCV`. All pruners meet the same folds.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a new figure.
        **line_kw : dict
            Handed on to ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : PruningCurveDisplay
            Drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if pruners is None:
            pruners = {"influence": InfluencePruner(), "random": RandomPruner()}
        # Split once: a splitter that shuffles would give each pruner other folds.
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
            possible = ~np.isnan(scores).any(axis=1)
            prune_ratios[name] = results["prune_ratio"][possible]
            test_scores[name] = scores[possible]
        score_name = getattr(scoring, "__name__", scoring or "score").replace("_", " ")
        display = cls(prune_ratios=prune_ratios, test_scores=test_scores, score_name=score_name)
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Axes | None = None, **line_kw: Any) -> Self:
        """Draw the mean scores, in bands of one standard deviation over the folds.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a new figure.
        **line_kw : dict
            Handed on to ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : PruningCurveDisplay
            Itself.
        """
        ax = self._start(ax)
        self.lines_, self.fill_between_ = [], []
        for name, ratios in self.prune_ratios.items():
            mean, std = (getattr(self.test_scores[name], of)(axis=1) for of in ("mean", "std"))
            (line,) = ax.plot(ratios, mean, **{"marker": "o", "label": name, **line_kw})
            color = line.get_color()
            band = ax.fill_between(ratios, mean - std, mean + std, color=color, alpha=0.2)
            self.lines_.append(line)
            self.fill_between_.append(band)
        ax.set(xlabel="share of training rows dropped", ylabel=self.score_name)
        ax.legend()
        return self
