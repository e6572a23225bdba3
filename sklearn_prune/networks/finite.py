"""One check, with one message, that the numbers computed from a network are finite."""

from __future__ import annotations

import numpy as np

from .._types import Floats


def require_finite(what: str, values: Floats) -> None:
    """Raise ValueError if numbers computed from a network are not finite.

    Parameters
    ----------
    what : str
        Name of the numbers, such as "outputs".
    values : ndarray of shape (n_samples, ...)
        Row i belongs to sample i.
    """
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if finite.all():
        return
    raise ValueError(
        f"the network's {what} must be finite; those of {int((~finite).sum())} of {len(values)} "
        f"rows are not, the first in row {int((~finite).argmax())}: the training of the network "
        "diverged, or the rows hold numbers that are too large. Lower its lr, or scale X (and y, "
        "if it holds numbers)."
    )
