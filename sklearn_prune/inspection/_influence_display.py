"""The influences of single rows, of those kept and of those dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._compat import check_matplotlib_support
from .._influence_pruner import InfluencePruner
from ._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


class InfluenceDisplay(Display):
    """How much each row alone moves the last layer: rows kept against rows dropped.

    Make one with `from_estimator`; all parameters are stored as attributes.

    Parameters
    ----------
    influence_norms : ndarray of shape (n_samples,)
        First-order change for dropping each row alone.
    support : ndarray of bool of shape (n_samples,)
        True where a row is kept.
    norm : {"loss", "parameter"}, default="loss"
        What the changes are measured in.

    Attributes
    ----------
    histograms_ : dict of str to matplotlib BarContainer or Polygon list
        What was drawn of the rows "kept" and "dropped".
    ax_ : matplotlib Axes
        What it was drawn on.
    figure_ : matplotlib Figure
        What the axes are in.

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

    histograms_: dict[str, Any]

    def __init__(
        self,
        *,
        influence_norms: Floats,
        support: NDArray[np.bool_],
        norm: Literal["loss", "parameter"] = "loss",
    ) -> None:
        self.influence_norms = influence_norms
        self.support = support
        self.norm = norm

    @classmethod
    def from_estimator(
        cls, pruner: InfluencePruner, *, ax: Axes | None = None, **hist_kw: Any
    ) -> Self:
        """Draw the influences that a fitted pruner found.

        Parameters
        ----------
        pruner : InfluencePruner
            Fitted.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a new figure.
        **hist_kw : dict
            Handed on to ``matplotlib.axes.Axes.hist``.

        Returns
        -------
        display : InfluenceDisplay
            Drawn.
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
        """Draw two histograms over logarithmic bins, each as shares of its own rows.

        Rows without influence, or with an infinite one (those that carry all of the weight), have
        no place on a logarithmic axis and are left out.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a new figure.
        **hist_kw : dict
            Handed on to ``matplotlib.axes.Axes.hist``.

        Returns
        -------
        display : InfluenceDisplay
            Itself.
        """
        ax = self._start(ax)
        shown = np.isfinite(self.influence_norms) & (self.influence_norms > 0)
        if not shown.any():
            raise ValueError(
                "no row has a positive finite influence, so there is nothing to draw on a "
                f"logarithmic axis; influence_norms has {len(shown)} rows."
            )
        norms = self.influence_norms[shown]
        bins = 10 ** np.histogram_bin_edges(np.log10(norms), bins=30)
        # Rounding must not leave the ends outside.
        bins[0], bins[-1] = min(bins[0], norms.min()), max(bins[-1], norms.max())
        self.histograms_ = {}
        for name, of in (("kept", self.support), ("dropped", ~self.support)):
            norms = self.influence_norms[of & shown]
            settings = {
                "bins": bins,
                "weights": np.full(len(norms), 1 / max(1, of.sum())),
                "histtype": "stepfilled",
                "alpha": 0.5,
                "label": f"{name} ({of.sum():,} rows)",
            }
            self.histograms_[name] = ax.hist(norms, **{**settings, **hist_kw})[2]
        unit = "rise of the loss" if self.norm == "loss" else "distance of the parameters"
        ax.set(xscale="log", xlabel=f"influence of a row alone ({unit})", ylabel="share of rows")
        ax.legend()
        return self
