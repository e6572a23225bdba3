"""Which arguments of ``fit`` have one entry a row, and are cut with the rows.

Length does not say: a validation set may have as many rows as the training set. What says so is

1. the name: ``sample_weight``, ``groups``, ``must_keep``, ``must_drop``, ``sample_cost``, any other
   ``sample_...``, and the names that well-known packages give such arguments;
2. a routing request: scikit-learn's metadata routing hands on only what a step asked for, and by
   its convention such metadata belongs to the rows where it has one entry a row.

A name that speaks of other rows or of none (``X_val``, ``eval_set``, ``coef_init``,
``feature_weights``) is never cut. Anything else with one entry a row is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

from sklearn import get_config

from .._types import Integers, Rows
from .containers import n_rows, take_rows

# What pruners and scikit-learn mean by these has one entry a row, or it is a mistake.
_OF_ROWS = {"sample_weight", "groups", "must_keep", "must_drop", "sample_cost"}
# Names in XGBoost, LightGBM, CatBoost, fairlearn and models of counts; and the like of the above.
_OFTEN_OF_ROWS = re.compile(
    r"(?:sample_\w+|weights?|base_margin|init_score|baseline|q(?:uery_?)?id|(?:sub)?group_id"
    r"|sensitive_features|offset|exposure|treatment)"
)
# Other rows (X_val, X_ref, eval_set, yvalid), or none at all (coef_init, feature_weights).
_OF_SOMETHING_ELSE = re.compile(
    r"(?:^|_)(?:[xy]?(?:val|valid|validation|eval|evaluation|test|dev|holdout|heldout|ref"
    r"|calib|calibration)s?\d*|feature|init(?!_score))(?:_|$)",
    re.IGNORECASE,
)


def check_params(X: Rows, params: Mapping[str, Any]) -> None:
    """Raise ValueError where `take_params` would, before anything is trained.

    Parameters
    ----------
    X : array-like, sparse matrix, dict or Dataset
        The rows.
    params : dict
        By name, or by ``step__name``.
    """
    for name, value in params.items():
        _is_row_aligned(name, value, n_rows(X))


def take_params(X: Rows, params: Mapping[str, Any], indices: Integers) -> dict[str, Any]:
    """Return what is given to ``fit`` for the rows at ``indices`` of X.

    What has one entry a row, by the rules at the top of this module, is cut to these rows; the rest
    stays as it is.

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
        When ``sample_weight``, ``groups``, ``must_keep``, ``must_drop`` or ``sample_cost`` has
        entries, but not one for each row of X; or when something has, and neither its name nor a
        routing request says whether it belongs to the rows.
    """
    return {
        name: take_rows(value, indices) if _is_row_aligned(name, value, n_rows(X)) else value
        for name, value in params.items()
    }


def _is_row_aligned(full_name: str, value: Any, n_samples: int) -> bool:
    name = full_name.rpartition("__")[2]
    # These have a length, but no rows.
    if isinstance(value, str | bytes | Mapping | Set) or _OF_SOMETHING_ELSE.search(name):
        return False
    try:
        n_entries = n_rows(value)
    except TypeError:
        return False
    if n_entries != n_samples:
        if name in _OF_ROWS:
            raise ValueError(
                f"{name} must have one entry a row; it has {n_entries} and X has {n_samples} rows. "
                "Cut both from the same table."
            )
        return False
    is_requested = get_config()["enable_metadata_routing"]
    if not (name in _OF_ROWS or _OFTEN_OF_ROWS.fullmatch(name) or is_requested):
        raise ValueError(
            f"{full_name} has {n_entries} entries, as many as X has rows, and nothing says whether "
            "they belong to the rows and are pruned with them. If they do, enable metadata routing "
            f"and request it with set_fit_request({name}=True); if they do not, give it to the "
            "estimator's constructor."
        )
    return True
