"""Which arguments of ``fit`` have one entry per row, and are pruned with the rows.

The length alone does not decide: a validation set may have as many rows as the training set. An
argument belongs to the rows if it has one entry per row and either

1. its name says so: ``sample_weight``, ``groups``, ``must_keep``, ``must_drop``, ``sample_cost``,
   ``sample_priority``, any other ``sample_...``, or a name that well-known packages give to such
   an argument; or
2. metadata routing is enabled: scikit-learn passes on only what a step requests, and by its
   convention requested metadata with one entry per row belongs to the rows.

An argument whose name refers to other rows or to none (``X_val``, ``eval_set``, ``coef_init``,
``feature_weights``) is never pruned. Any other argument with one entry per row is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from functools import partial

from sklearn import get_config

from .._types import Integers, Metadata, Params, Rows
from .containers import n_rows, take_rows

# In scikit-learn and in pruners these have one entry per row; any other length is a mistake.
_ROW_ALIGNED = {
    "sample_weight",
    "sample_cost",
    "sample_priority",
    "groups",
    "must_keep",
    "must_drop",
}
# Other sample_... names, and names of XGBoost, LightGBM, CatBoost, fairlearn and count models.
_OFTEN_ROW_ALIGNED = re.compile(
    r"(?:sample_\w+|weights?|base_margin|init_score|baseline|q(?:uery_?)?id|(?:sub)?group_id"
    r"|sensitive_features|offset|exposure|treatment)"
)
# Other rows (X_val, X_ref, eval_set, yvalid), or none at all (coef_init, feature_weights).
_NEVER_ROW_ALIGNED = re.compile(
    r"(?:^|_)(?:[xy]?(?:val|valid|validation|eval|evaluation|test|dev|holdout|heldout|ref"
    r"|calib|calibration)s?\d*|feature|init(?!_score))(?:_|$)",
    re.IGNORECASE,
)


def check_params(X: Rows, params: Mapping[str, Metadata]) -> None:
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


def take_params(X: Rows, params: Mapping[str, Metadata], indices: Integers) -> Params:
    """Return the arguments of ``fit`` for the rows of X at ``indices``.

    Arguments with one entry per row, by the rules at the top of this module, are cut to these rows;
    the others stay as they are.

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
        If ``sample_weight``, ``sample_cost``, ``sample_priority``, ``groups``, ``must_keep`` or
        ``must_drop`` does not have one entry for each row of X; or if another argument does, and
        neither its name nor a routing request says whether it belongs to the rows.
    """
    return prune_params(X, params, partial(take_rows, indices=indices))


def prune_params(X: Rows, params: Mapping[str, Metadata], take: Callable[[Rows], Rows]) -> Params:
    """Do what `take_params` does, where ``take`` takes the rows out of a container."""
    return {
        name: take(value) if _is_row_aligned(name, value, n_rows(X)) else value
        for name, value in params.items()
    }


def _is_row_aligned(full_name: str, value: Metadata, n_samples: int) -> bool:
    name = full_name.rpartition("__")[2]
    # These have a length, but no rows.
    if isinstance(value, str | bytes | Mapping | Set) or _NEVER_ROW_ALIGNED.search(name):
        return False
    try:
        n_entries = n_rows(value)
    except TypeError:
        return False
    if n_entries != n_samples:
        if name in _ROW_ALIGNED:
            raise ValueError(
                f"{name} must have one entry for each row of X; it has {n_entries}, and X has "
                f"{n_samples} rows. Take both from the same table."
            )
        return False
    is_requested = get_config()["enable_metadata_routing"]
    if not (name in _ROW_ALIGNED or _OFTEN_ROW_ALIGNED.fullmatch(name) or is_requested):
        raise ValueError(
            f"{full_name} has {n_entries} entries, as many as X has rows, and its name does not "
            "say whether they belong to the rows and are pruned with them. If they do, enable "
            f"metadata routing and request it with set_fit_request({name}=True); if they do not, "
            "pass it to the estimator's constructor."
        )
    return True
