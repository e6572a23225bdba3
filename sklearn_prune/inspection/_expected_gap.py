"""Plot the observed effect of dropping rows against the forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from .._compat import check_matplotlib_support
from .._types import Array, Floats
from ._changes import RetrainingCheck
from ._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

Quantity = Literal["train_gap", "test_gap", "loss_change", "parameter_change"]
Forecast = Literal["kept_hessian", "first_order"]


class ExpectedGapDisplay(Display):
    """Plot of the observed effect of dropping rows against the forecast.

    Use `from_checks` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    expected, observed : ndarray of shape (n_checks,)
        Forecast and observed effect of retraining.
    quantity : {"train_gap", "test_gap", "loss_change", "parameter_change"}
        The quantity that is compared.
    forecast : {"kept_hessian", "first_order"}
        The kind of forecast.
    labels : ndarray of str of shape (n_checks,) or None, default=None
        Group of each point; groups have different colours.

    Attributes
    ----------
    scatters_ : list of matplotlib PathCollection
        The points, one collection for each label.
    line_ : matplotlib Line2D
        The line on which both are equal.
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.

    See Also
    --------
    retraining_check : Computes one point.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune import InfluencePruner
    >>> from sklearn_prune.inspection import ExpectedGapDisplay, retraining_check
    >>> X, y = load_iris(return_X_y=True)
    >>> pruner = InfluencePruner(damping=1e-2, random_state=0).fit(X, y)
    >>> supports = [pruner.select(prune_ratio=ratio) for ratio in (0.5, 0.8, 0.9)]
    >>> display = ExpectedGapDisplay.from_checks(
    ...     [retraining_check(pruner, X, y, support=support) for support in supports]
    ... )
    >>> display.expected.shape
    (3,)
    """

    scatters_: list[PathCollection]
    line_: Line2D

    def __init__(
        self,
        *,
        expected: Floats,
        observed: Floats,
        quantity: Quantity = "train_gap",
        forecast: Forecast = "kept_hessian",
        labels: Array | None = None,
    ) -> None:
        self.expected = expected
        self.observed = observed
        self.quantity = quantity
        self.forecast = forecast
        self.labels = labels

    @classmethod
    def from_checks(
        cls,
        checks: Sequence[RetrainingCheck],
        *,
        quantity: Quantity = "train_gap",
        forecast: Forecast = "kept_hessian",
        labels: Sequence[str] | None = None,
        ax: Axes | None = None,
        **scatter_kw: Any,
    ) -> Self:
        """Plot a point for each check.

        Parameters
        ----------
        checks : sequence of RetrainingCheck
            Results of `retraining_check`.
        quantity : {"train_gap", "test_gap", "loss_change", "parameter_change"}, \
default="train_gap"
            The quantity to compare.
        forecast : {"kept_hessian", "first_order"}, default="kept_hessian"
            The kind of forecast.
        labels : sequence of str, default=None
            Group of each check; groups have different colours.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **scatter_kw : dict
            Passed to ``matplotlib.axes.Axes.scatter``.

        Returns
        -------
        display : ExpectedGapDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If there are no checks, or one of them lacks the quantity.
        """
        check_matplotlib_support(f"{cls.__name__}.from_checks")
        changes = [getattr(check, quantity) for check in checks]
        if not changes or None in changes:
            raise ValueError(
                f"every check needs a {quantity}; {changes.count(None)} of {len(changes)} have "
                "none. Give at least one check, and X_test and y_test to retraining_check."
            )
        display = cls(
            expected=np.array([getattr(change, forecast) for change in changes]),
            observed=np.array([change.observed for change in changes]),
            quantity=quantity,
            forecast=forecast,
            labels=None if labels is None else np.asarray(labels),
        )
        return display.plot(ax=ax, **scatter_kw)

    def plot(self, ax: Axes | None = None, **scatter_kw: Any) -> Self:
        """Plot observed against forecast, and the line on which they are equal.

        Both axes are logarithmic, or linear around zero if some gap is not positive. They have room
        for all points, also for those that another display drew on them before.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **scatter_kw : dict
            Passed to ``matplotlib.axes.Axes.scatter``.

        Returns
        -------
        display : ExpectedGapDisplay
            The display itself.
        """
        from matplotlib.collections import PathCollection

        name = self.quantity.replace("_", " ")
        ax = self._start(ax, f"Effect of dropping rows: {name}")
        self.scatters_ = []
        labels = np.full(len(self.expected), "") if self.labels is None else self.labels
        for label in dict.fromkeys(labels.tolist()):
            group = labels == label
            settings = {"alpha": 0.7, "label": label or None, **scatter_kw}
            points = ax.scatter(self.expected[group], self.observed[group], **settings)
            self.scatters_.append(points)
        drawn = [np.ma.compressed(points.get_offsets()) for points in ax.findobj(PathCollection)]
        limits = _scale_alike(ax, np.concatenate(drawn))
        (self.line_,) = ax.plot(limits, limits, color="black", linewidth=0.8, label="equal")
        ax.set(xlim=limits, ylim=limits)
        basis = {"kept_hessian": "kept rows' Hessian", "first_order": "first order"}[self.forecast]
        ax.set(xlabel=f"expected {name} ({basis})", ylabel=f"observed {name}")
        ax.legend()
        return self


def _scale_alike(ax: Axes, values: Floats) -> tuple[float, float]:
    """Set the same scale for both axes, and return their limits."""
    if (values > 0).all():
        ax.set(xscale="log", yscale="log")
        return values.min() / 2, values.max() * 2
    # If all values are 0, any scale will do.
    sizes = np.abs(values[values != 0]) if values.any() else np.ones(1)
    threshold = float(np.median(sizes))
    ax.set_xscale("symlog", linthresh=threshold)
    ax.set_yscale("symlog", linthresh=threshold)
    low, high = values.min(), values.max()
    return 2 * low if low < 0 else -threshold, 2 * high if high > 0 else threshold
