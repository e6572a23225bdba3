"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings

# The packages between the user's line and the line that warns.
_IN_BETWEEN = {
    __name__.partition(".")[0],
    "contextlib",
    "imblearn",
    "joblib",
    "sklearn",
    "skorch",
    "torch",
}


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line outside this package and those that call it.

    A fixed ``stacklevel`` would count scikit-learn's wrappers and break with the next helper.
    Python 3.12 has ``skip_file_prefixes`` for this; 3.11 has not. Where no line is outside, such as
    in a worker, the outermost line is named.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _IN_BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
