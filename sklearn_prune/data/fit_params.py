"""Which arguments of ``fit`` belong to the rows, and are cut with them.

Length does not say: a validation set may have as many rows as the training set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .containers import n_rows, take_rows

__all__ = ["take_params"]

# One entry a row, by what pruners and scikit-learn mean by them.
_OF_ROWS = {"sample_weight", "groups", "must_keep", "must_drop", "sample_cost"}
# Other rows (X_val, X_ref, eval_set, yvalid), or none at all (coef_init, feature_weights).
_OF_SOMETHING_ELSE = re.compile(
    r"(?:^|_)(?:[xy]?(?:val|valid|validation|eval|evaluation|test|dev|holdout|heldout|ref"
    r"|calib|calibration)s?\d*|feature|init(?!_score))(?:_|$)",
    re.IGNORECASE,
)


def take_params(X: Any, params: Mapping[str, Any], indices: NDArray[np.intp]) -> dict[str, Any]:
    """Return what is given to ``fit`` for the rows at ``indices`` of X.

    ``sample_weight``, ``groups``, ``must_keep``, ``must_drop`` and ``sample_cost`` are cut to these
    rows, and so is anything else with one entry a row, unless its name speaks of other rows or of
    none (``X_val``, ``eval_set``, ``coef_init``, ``feature_weights``): that stays as it is.

    Parameters
    ----------
    X : array-like, sparse matrix, dict or Dataset
        The rows, before they are cut.
    params : dict
        By name, or by ``step__name``.
    indices : ndarray of shape (n_kept,)
        Positions of the rows to keep.

    Raises
    ------
    ValueError
        When one of those five has entries, but not one for each row of X.
    """
    n_samples = n_rows(X)
    return {
        name: take_rows(value, indices)
        if _is_row_aligned(name.rpartition("__")[2], value, n_samples)
        else value
        for name, value in params.items()
    }


def _is_row_aligned(name: str, value: Any, n_samples: int) -> bool:
    # These have a length, but no rows.
    if isinstance(value, str | bytes | Mapping | Set) or _OF_SOMETHING_ELSE.search(name):
        return False
    try:
        n_found = n_rows(value)
    except TypeError:
        return False
    if name in _OF_ROWS and n_found != n_samples:
        raise ValueError(
            f"{name} must have one entry a row; it has {n_found} and X has {n_samples} rows. Cut "
            "both from the same table."
        )
    return n_found == n_samples
