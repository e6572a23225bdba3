"""What must be put back, even if a second Ctrl-C comes while it is."""

from __future__ import annotations

from collections.abc import Callable


def put_back(undo: Callable[[], None]) -> None:
    """Call ``undo``, and once more where an interrupt ends it early; it may run twice."""
    try:
        undo()
    except BaseException:
        undo()
        raise
