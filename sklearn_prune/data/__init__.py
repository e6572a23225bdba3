"""What comes in: containers of rows, targets, and the checks that they pass."""

from .checks import (
    Kind,
    Target,
    TargetKind,
    check_reference_rows,
    check_reference_target,
    check_rows,
    check_target,
    check_weights,
    fingerprint,
    plain,
    refuse_dates,
)
from .containers import StoredRows, dataset_targets, is_dict, n_rows, take_rows
from .fit_params import take_params
from .hashing import digest
from .values import as_labels, as_numbers, is_missing

__all__ = [
    "Kind",
    "StoredRows",
    "Target",
    "TargetKind",
    "as_labels",
    "as_numbers",
    "check_reference_rows",
    "check_reference_target",
    "check_rows",
    "check_target",
    "check_weights",
    "dataset_targets",
    "digest",
    "fingerprint",
    "is_dict",
    "is_missing",
    "n_rows",
    "plain",
    "refuse_dates",
    "take_params",
    "take_rows",
]
