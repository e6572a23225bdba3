"""Plot the influences of kept and dropped rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._compat import check_matplotlib_support
from .._influence_pruner import InfluencePruner
from .._types import Floats, Mask, Params
from ._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class InfluenceDisplay(Display):
    """Histogram of each row's influence on the last layer, for kept and dropped rows.

    Use `from_estimator` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    influence_norms : ndarray of shape (n_samples,)
        First-order change from dropping each row alone.
    support : ndarray of bool of shape (n_samples,)
        True where a row is kept.
    norm : {"loss", "parameter"}, default="loss"
        Measure of the changes.

    Attributes
    ----------
    histograms_ : dict of str to matplotlib BarContainer or Polygon list
        The histograms of the rows "kept" and "dropped".
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune import InfluencePruner
    >>> from sklearn_prune.inspection import InfluenceDisplay
    >>> pruner = InfluencePruner(prune_ratio=0.8, random_state=0)
    >>> display = InfluenceDisplay.from_estimator(pruner.fit(*load_iris(return_X_y=True)))
    >>> sorted(display.histograms_)
    ['dropped', 'kept']
    """

    histograms_: Params

    def __init__(
        self,
        *,
        influence_norms: Floats,
        support: Mask,
        norm: Literal["loss", "parameter"] = "loss",
    ) -> None:
        self.influence_norms = influence_norms
        self.support = support
        self.norm = norm

    @classmethod
    def from_estimator(
        cls, pruner: InfluencePruner, *, ax: Axes | None = None, **hist_kw: Any
    ) -> Self:
        """Plot the influences of a fitted pruner's rows.

        Parameters
        ----------
        pruner : InfluencePruner
            A fitted pruner.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **hist_kw : dict
            Passed to ``matplotlib.axes.Axes.hist``.

        Returns
        -------
        display : InfluenceDisplay
            The plotted display.

        Raises
        ------
        TypeError
            If the pruner has no influences.
        ValueError
            If no row has a positive finite influence.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(pruner)
        if not hasattr(pruner, "influence_norms_"):
            raise TypeError(
                f"pruner must have influence_norms_; {type(pruner).__name__} has none. Give a "
                "fitted InfluencePruner."
            )
        display = cls(
            influence_norms=pruner.influence_norms_, support=pruner.support_, norm=pruner.norm
        )
        return display.plot(ax=ax, **hist_kw)

    def plot(self, ax: Axes | None = None, **hist_kw: Any) -> Self:
        """Plot two histograms over logarithmic bins, each normalised by its number of rows.

        A logarithmic axis cannot show rows without influence, or with an infinite one (a row that
        carries all of the weight). The legend says how many there are.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **hist_kw : dict
            Passed to ``matplotlib.axes.Axes.hist``.

        Returns
        -------
        display : InfluenceDisplay
            The display itself.
        """
        ax = self._start(ax, "Influence of each row alone")
        shown = np.isfinite(self.influence_norms) & (self.influence_norms > 0)
        if not shown.any():
            raise ValueError(
                "a logarithmic axis needs positive finite influences; none of the "
                f"{len(shown)} rows has one. Plot influence_norms_ on a linear axis instead."
            )
        norms = self.influence_norms[shown]
        bins = 10 ** np.histogram_bin_edges(np.log10(norms), bins=30)
        # Rounding must not exclude the extremes.
        bins[0], bins[-1] = min(bins[0], norms.min()), max(bins[-1], norms.max())
        self.histograms_ = {}
        for name, rows in (("kept", self.support), ("dropped", ~self.support)):
            norms = self.influence_norms[rows & shown]
            n_rows, n_hidden = int(rows.sum()), int((rows & ~shown).sum())
            hidden = f", {n_hidden:,} without a finite influence not shown" if n_hidden else ""
            settings = {
                "bins": bins,
                "weights": np.full(len(norms), 1 / max(1, n_rows)),
                "histtype": "stepfilled",
                "alpha": 0.5,
                "label": f"{name} ({n_rows:,} rows{hidden})",
            }
            self.histograms_[name] = ax.hist(norms, **{**settings, **hist_kw})[2]
        unit = "rise of the loss" if self.norm == "loss" else "distance of the parameters"
        ax.set(xscale="log", xlabel=f"influence of a row alone ({unit})", ylabel="share of rows")
        ax.legend()
        return self
