"""What was expected of dropping rows, against what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .._compat import check_matplotlib_support
from ._display import Display
from ._retraining import RetrainingCheck

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

Floats = NDArray[np.float64]
Quantity = Literal["train_gap", "test_gap", "loss_change", "parameter_change"]
Forecast = Literal["kept_hessian", "first_order"]


class ExpectedGapDisplay(Display):
    """What was expected of dropping rows against what was observed.

    Make one with `from_checks`; all parameters are stored as attributes.

    Parameters
    ----------
    expected, observed : ndarray of shape (n_checks,)
        What retraining was expected to do, and what it did.
    quantity : {"train_gap", "test_gap", "loss_change", "parameter_change"}
        What was measured.
    forecast : {"kept_hessian", "first_order"}
        What the expectation rests on.
    labels : ndarray of str of shape (n_checks,) or None, default=None
        Points with the same label have the same colour.

    Attributes
    ----------
    scatters_ : list of matplotlib PathCollection
        The points, one collection a label.
    line_ : matplotlib Line2D
        Where both are equal.
    ax_ : matplotlib Axes
        What it was drawn on.
    figure_ : matplotlib Figure
        What the axes are in.

    See Also
    --------
    retraining_check : What a point is made of.

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
        labels: NDArray[Any] | None = None,
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
        """Draw a point for each check.

        Parameters
        ----------
        checks : sequence of RetrainingCheck
            From `retraining_check`.
        quantity : {"train_gap", "test_gap", "loss_change", "parameter_change"}, \
default="train_gap"
            What to draw of them.
        forecast : {"kept_hessian", "first_order"}, default="kept_hessian"
            What the expectation rests on.
        labels : sequence of str, default=None
            What kind of set each check is about; each has a colour of its own.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a new figure.
        **scatter_kw : dict
            Handed on to ``matplotlib.axes.Axes.scatter``.

        Returns
        -------
        display : ExpectedGapDisplay
            Drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_checks")
        compared = [getattr(check, quantity) for check in checks]
        if not compared or None in compared:
            raise ValueError(
                f"every check needs a {quantity}; {compared.count(None)} of {len(compared)} have "
                "none. Give one check or more, and X_test and y_test to retraining_check."
            )
        display = cls(
            expected=np.array([getattr(one, forecast) for one in compared]),
            observed=np.array([one.observed for one in compared]),
            quantity=quantity,
            forecast=forecast,
            labels=None if labels is None else np.asarray(labels),
        )
        return display.plot(ax=ax, **scatter_kw)

    def plot(self, ax: Axes | None = None, **scatter_kw: Any) -> Self:
        """Draw observed against expected, and the line on which they are equal.

        Both axes are logarithmic; where some gap is not positive, they are linear around zero.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a new figure.
        **scatter_kw : dict
            Handed on to ``matplotlib.axes.Axes.scatter``.

        Returns
        -------
        display : ExpectedGapDisplay
            Itself.
        """
        ax = self._start(ax)
        self.scatters_ = []
        labels = np.full(len(self.expected), "") if self.labels is None else self.labels
        for label in dict.fromkeys(labels.tolist()):
            of = labels == label
            settings = {"alpha": 0.7, "label": label or None, **scatter_kw}
            self.scatters_.append(ax.scatter(self.expected[of], self.observed[of], **settings))
        limits = _scale_alike(ax, np.r_[self.expected, self.observed])
        (self.line_,) = ax.plot(limits, limits, color="black", linewidth=0.8, label="equal")
        ax.set(xlim=limits, ylim=limits)
        name = self.quantity.replace("_", " ")
        basis = {"kept_hessian": "kept rows' Hessian", "first_order": "first order"}[self.forecast]
        ax.set(xlabel=f"expected {name} ({basis})", ylabel=f"observed {name}")
        ax.legend()
        return self


def _scale_alike(ax: Axes, values: Floats) -> tuple[float, float]:
    """Give both axes the same scale, and return limits for them."""
    if (values > 0).all():
        ax.set(xscale="log", yscale="log")
        return values.min() / 2, values.max() * 2
    # Where all are 0, any scale will do.
    sizes = np.abs(values[values != 0]) if values.any() else np.ones(1)
    threshold = float(np.median(sizes))
    ax.set_xscale("symlog", linthresh=threshold)
    ax.set_yscale("symlog", linthresh=threshold)
    low, high = values.min(), values.max()
    return 2 * low if low < 0 else -threshold, 2 * high if high > 0 else threshold
