"""The user's input: containers of rows, targets, and the checks that they pass.

Start at `rows.check_rows` and `target.check_target`, which every `fit` begins with. `values` reads
arrays with one value per row, `containers` takes rows out of any container, `fit_params` out of the
other arguments of `fit`, and `hashing` recognises rows and networks. `columns` finds the type of
each column of a table, and `encoding` turns the columns into numbers for a pruner.
"""

from .columns import has_categories, is_table, other_columns
from .containers import (
    StoredRows,
    dataset_targets,
    flat_rows,
    is_collection,
    is_dict,
    n_rows,
    require_memory,
    take_rows,
    two_rows_like,
)
from .encoding import ColumnsEncoder
from .fit_params import check_params, prune_params, take_params
from .hashing import digest, fingerprint
from .rows import (
    NotNumbersError,
    check_reference_rows,
    check_rows,
    record_columns,
    refuse_dates,
    require_rows,
)
from .target import (
    Kind,
    Target,
    TargetKind,
    check_distinct,
    check_reference_target,
    check_target,
    codes_in,
    plain,
    target_array,
)
from .values import (
    as_labels,
    as_numbers,
    check_weights,
    is_missing,
    raw_weights,
    require_positive,
    weight_unit,
)

__all__ = [
    "ColumnsEncoder",
    "Kind",
    "NotNumbersError",
    "StoredRows",
    "Target",
    "TargetKind",
    "as_labels",
    "as_numbers",
    "check_distinct",
    "check_params",
    "check_reference_rows",
    "check_reference_target",
    "check_rows",
    "check_target",
    "check_weights",
    "codes_in",
    "dataset_targets",
    "digest",
    "fingerprint",
    "flat_rows",
    "has_categories",
    "is_collection",
    "is_dict",
    "is_missing",
    "is_table",
    "n_rows",
    "other_columns",
    "plain",
    "prune_params",
    "raw_weights",
    "record_columns",
    "refuse_dates",
    "require_memory",
    "require_positive",
    "require_rows",
    "take_params",
    "take_rows",
    "target_array",
    "two_rows_like",
    "weight_unit",
]
