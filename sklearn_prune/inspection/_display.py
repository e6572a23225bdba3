"""What the displays share; they follow scikit-learn's: made once, drawn as often as one likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._compat import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Display:
    """Where it was drawn."""

    ax_: Axes
    figure_: Figure

    def _start(self, ax: Axes | None) -> Axes:
        """Return the axes to draw on, new ones where none are given."""
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots()[1] if ax is None else ax
        self.figure_ = self.ax_.figure  # type: ignore[assignment]
        return self.ax_
