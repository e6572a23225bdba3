"""Checks of what a report, a display or `retraining_check` is given, and losses on rows."""

from __future__ import annotations

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset

from .._influence_pruner import InfluencePruner
from .._types import Array, Estimator, Mask, Rows, Targets
from ..base import BasePruner
from ..data import check_rows, check_target, dataset_targets, n_rows, plain
from ..influence import HeadInfluence, HeadObjective, StackedInfluence
from ..matching import members
from ..networks import Head, head_targets, network_codes, read_head


def check_aligned(pruner: BasePruner, X: Rows, **others: Targets) -> None:
    """Raise unless X and what else is not None have an entry for each row of a fitted pruner."""
    if not isinstance(pruner, BasePruner):
        raise TypeError(
            f"pruner must be a fitted pruner of this package, no {type(pruner).__name__}. Give the "
            "pruner_ of a PrunedClassifier, or the step of a pipeline."
        )
    check_is_fitted(pruner)
    if isinstance(X, Dataset):
        raise TypeError(
            f"X must be a table; it is a {type(X).__name__}, a torch dataset. Give its rows as an "
            "array or data frame."
        )
    n_samples = len(pruner.support_)
    for name, values in {"X": X, **others}.items():
        if values is not None and n_rows(values) != n_samples:
            raise ValueError(
                f"{name} must have one entry for each of the {n_samples} training rows; it has "
                f"{n_rows(values)}. Give what the pruner was fitted on, in its order."
            )


def check_pruner(pruner: InfluencePruner) -> None:
    """Raise if ``pruner`` is not a fitted InfluencePruner."""
    if not isinstance(pruner, InfluencePruner):
        raise TypeError(
            "pruner must be a fitted InfluencePruner, whose forecasts are checked, no "
            f"{type(pruner).__name__}. To check the rows that another pruner keeps, give them as "
            "support."
        )
    check_is_fitted(pruner)


def head_influence(pruner: InfluencePruner) -> HeadInfluence:
    """Return the influences on the one last layer that can be retrained."""
    influence = pruner.influence_
    if isinstance(influence, StackedInfluence):
        raise ValueError(
            "retraining_check retrains one last layer, and this pruner matches those of "
            f"{len(influence.influences)} networks; fit a pruner on each, and give the support of "
            "this one to their checks."
        )
    if not isinstance(influence, HeadInfluence):
        raise ValueError(
            "retraining_check retrains the last layer, and this pruner has "
            f"layers={pruner.layers!r}; fit one with layers='last'."
        )
    return influence


def check_training_rows(pruner: InfluencePruner, X: Rows, y: Targets) -> None:
    """Raise if X and y are not what the pruner is fitted on."""
    rows, n_samples = check_rows(pruner, X, reset=False), len(pruner.support_)
    if not pruner.was_fitted_on(rows):
        raise ValueError(
            f"X must hold the {n_samples} rows that the pruner is fitted on, in the same order (a "
            f"dataset must be the same object); it holds others, {n_rows(rows)} of them. Give "
            "other rows as X_test."
        )
    objective = head_influence(pruner).objective
    numbers = _numeric_target(pruner, rows, y)
    targets = head_targets(_network(pruner), objective.loss, numbers, objective.n_outputs)
    differs = (targets != objective.targets).reshape(n_samples, -1).any(axis=1)
    if differs.any():
        raise ValueError(
            f"y must be what the pruner is fitted on; it differs in {int(differs.sum())} of "
            f"{n_samples} rows. Give X and y as they are given to fit."
        )


def check_support(pruner: InfluencePruner, support: Mask | None) -> Mask:
    """Return the mask of kept rows; None means the pruner's own."""
    if support is None:
        return pruner.support_
    mask, n_samples = np.asarray(support), len(pruner.support_)
    if mask.dtype != bool or mask.shape != (n_samples,):
        raise ValueError(
            f"support must be a boolean mask of shape ({n_samples},), True where a row is kept; "
            f"it has dtype {mask.dtype} and shape {mask.shape}. Give get_support() of a pruner."
        )
    return mask


def training_loss(pruner: InfluencePruner) -> HeadObjective:
    """Return the mean loss on the training rows."""
    objective = head_influence(pruner).objective
    return _mean_loss(objective, objective.n_outputs)


def held_out_loss(pruner: InfluencePruner, X: Rows, y: Targets) -> HeadObjective:
    """Return the mean loss on rows that the pruner is not fitted on."""
    if X is None or (y is None and not isinstance(X, Dataset)):
        missing = "X_test" if X is None else "y_test"
        raise ValueError(f"X_test and y_test go together; {missing} is None. Give both or neither.")
    rows = check_rows(pruner, X, reset=False)
    head = read_head(_network(pruner), rows, _numeric_target(pruner, rows, y))
    return _mean_loss(head, head_influence(pruner).objective.n_outputs)


def _mean_loss(rows: Head | HeadObjective, n_outputs: int) -> HeadObjective:
    undamped = 0.0
    return HeadObjective(
        rows.design, rows.targets, rows.loss, undamped, rows.sample_weight, n_outputs=n_outputs
    )


def _network(pruner: InfluencePruner) -> Estimator:
    """Return the one network whose last layer is retrained."""
    fitted = pruner.estimator_
    return fitted[0] if isinstance(fitted, list) else fitted


def _numeric_target(pruner: InfluencePruner, rows: Rows, y: Targets) -> Array:
    """Return y as the network takes it: codes of the classes, or numbers."""
    if y is None and isinstance(rows, Dataset):
        y = dataset_targets(rows)
    if y is None:
        raise ValueError("y is None, and X is not a dataset with targets; give y.")
    if not hasattr(pruner, "classes_"):
        return check_target(pruner, y, n_rows(rows), "regression").values
    if n_rows(y) != n_rows(rows):
        raise ValueError(
            f"X and y must have the same number of rows; X has {n_rows(rows)} and y {n_rows(y)}. "
            "Give a label for each row."
        )
    labels, classes = column_or_1d(y), pruner.classes_
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"labels must be among those that the pruner is fitted on; {plain(unknown[0])!r} is "
            "not. Leave such rows out."
        )
    codes = np.searchsorted(classes, labels)
    if isinstance(members(pruner.estimator)[0], FrozenEstimator):
        return network_codes(_network(pruner), rows, codes, classes)
    return codes
