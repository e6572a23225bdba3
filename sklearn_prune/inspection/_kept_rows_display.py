"""Plot kept rows among those dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.decomposition import PCA

from .._compat import check_matplotlib_support
from .._types import Floats, Mask, Rows
from ..base import BasePruner
from ..data import ColumnsEncoder
from ._display import Display
from ._rows import check_aligned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

# Area of a point in square points: that of one row, at least, and at most.
_AREA, _SMALLEST, _LARGEST = 10_000, 2.0, 20.0


class KeptRowsDisplay(Display):
    """Kept and dropped rows in the two leading principal coordinates of their columns.

    If kept rows are missing where dropped ones are many, other models will miss them too. Use
    `from_estimator` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    coordinates : ndarray of shape (n_samples, 2)
        The leading coordinates.
    support : ndarray of bool of shape (n_samples,)
        True where a row is kept.
    variance_shares : ndarray of shape (2,)
        Share of the columns' variance that each coordinate has.

    Attributes
    ----------
    scatters_ : dict of str to matplotlib PathCollection
        The points of the rows "dropped" and "kept".
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.

    See Also
    --------
    report : How far each column moved.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_prune import InfluencePruner
    >>> from sklearn_prune.inspection import KeptRowsDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> pruner = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, y)
    >>> display = KeptRowsDisplay.from_estimator(pruner, X)
    >>> display.variance_shares.round(2)
    array([0.73, 0.23])
    """

    scatters_: dict[str, PathCollection]

    def __init__(self, *, coordinates: Floats, support: Mask, variance_shares: Floats) -> None:
        self.coordinates = coordinates
        self.support = support
        self.variance_shares = variance_shares

    @classmethod
    def from_estimator(
        cls, pruner: BasePruner, X: Rows, *, ax: Axes | None = None, **scatter_kw: Any
    ) -> Self:
        """Compute the coordinates of the training rows, and plot them.

        Parameters
        ----------
        pruner : pruner
            Fitted.
        X : data frame or array-like of shape (n_samples, n_features)
            A table aligned with the training rows: the rows that the pruner was fitted on, or the
            raw ones that these encode. `sklearn_prune.data.ColumnsEncoder` makes numbers of them.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **scatter_kw : dict
            Passed to ``matplotlib.axes.Axes.scatter``.

        Returns
        -------
        display : KeptRowsDisplay
            The plotted display.

        Raises
        ------
        TypeError
            If ``pruner`` is not a pruner, or X is not a table.
        ValueError
            If X has not one row for each training row, or its columns become a single number.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_aligned(pruner, X)
        encoded = ColumnsEncoder().fit_transform(X)
        if min(encoded.shape) < 2:
            raise ValueError(
                f"two coordinates need two rows of two numbers; X has {encoded.shape[0]} of "
                f"{encoded.shape[1]}. Plot a histogram instead."
            )
        pca = PCA(2, random_state=0)
        # Constant columns have no variance to divide by.
        with np.errstate(invalid="ignore"):
            coordinates = pca.fit_transform(encoded)
        shares = np.nan_to_num(pca.explained_variance_ratio_.astype(np.float64))
        display = cls(coordinates=coordinates, support=pruner.support_, variance_shares=shares)
        return display.plot(ax=ax, **scatter_kw)

    def plot(self, ax: Axes | None = None, **scatter_kw: Any) -> Self:
        """Plot the rows dropped in grey, and those kept on top of them.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **scatter_kw : dict
            Passed to ``matplotlib.axes.Axes.scatter``.

        Returns
        -------
        display : KeptRowsDisplay
            The display itself.
        """
        n_samples, n_kept = len(self.support), int(self.support.sum())
        ax = self._start(ax, f"{n_kept:,} of {n_samples:,} rows kept")
        area = float(np.clip(_AREA / n_samples, _SMALLEST, _LARGEST))
        self.scatters_ = {}
        drawn = [("dropped", ~self.support, "0.75"), ("kept", self.support, "C0")]
        for name, rows, colour in drawn:
            settings = {"s": area, "color": colour, "linewidths": 0, "label": name, **scatter_kw}
            self.scatters_[name] = ax.scatter(*self.coordinates[rows].T, **settings)
        first, second = (f"{share:.0%} of the variance" for share in self.variance_shares)
        ax.set(xlabel=f"first coordinate ({first})", ylabel=f"second coordinate ({second})")
        ax.legend(markerscale=(_LARGEST / area) ** 0.5)
        return self
