"""Clean-up that must finish, even if a second Ctrl-C interrupts it."""

from __future__ import annotations

from collections.abc import Callable


def put_back(undo: Callable[[], None]) -> None:
    """Call ``undo``, and call it again if an exception cuts it short; it must be safe to repeat."""
    try:
        undo()
    except BaseException:
        undo()
        raise
