"""What a network gives must be finite: one check, and one message, for all that is made of it."""

from __future__ import annotations

import numpy as np

from .._types import Floats


def require_finite(what: str, values: Floats) -> None:
    """Raise ValueError where a network gives numbers that are not finite.

    Parameters
    ----------
    what : str
        What they are, such as "outputs".
    values : ndarray of shape (n_samples, ...)
        Row i belongs to sample i.
    """
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if finite.all():
        return
    raise ValueError(
        f"the network's {what} must be finite; those of {int((~finite).sum())} of {len(values)} "
        f"rows are not, the first in row {int((~finite).argmax())}: the training of the network "
        "diverged, or the numbers in its rows are too large. Lower its lr, or scale X, and y where "
        "it holds numbers."
    )
