"""Base class of the displays, which follow those of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._compat import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Display:
    """Base class of displays, which are computed once and plotted any number of times."""

    ax_: Axes
    figure_: Figure

    def _start(self, ax: Axes | None, title: str) -> Axes:
        """Return the axes to draw on; None creates new ones. A title that they have stays."""
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots()[1] if ax is None else ax
        self.figure_ = self.ax_.figure  # type: ignore[assignment]
        if not self.ax_.get_title():
            self.ax_.set_title(title)
        return self.ax_
