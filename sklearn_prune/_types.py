"""The types of rows, targets and numbers, here once for all rooms.

scikit-learn takes any container that its checks accept, and any object with the right methods. So
most of these types are Any, and their names only document what is meant.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Batch",
    "Constraints",
    "Estimator",
    "Floats",
    "Integers",
    "Mask",
    "Metadata",
    "Params",
    "Positions",
    "RandomState",
    "Rows",
    "Targets",
    "Values",
]

# Any container with one row per sample: an array, sparse matrix, data frame, dict or dataset.
Rows: TypeAlias = Any
# Any container with one target per sample.
Targets: TypeAlias = Any
# Whatever holds one value for each row: an array, list or column of a data frame.
Values: TypeAlias = Any
# A tensor, or dicts, lists and tuples of tensors, nested; each tensor has the batch's rows.
Batch: TypeAlias = Any
# A scikit-learn estimator or a skorch network.
Estimator: TypeAlias = Any
# An argument of fit, predict or score other than X and y.
Metadata: TypeAlias = Any
Params: TypeAlias = dict[str, Metadata]

# _parameter_constraints, as scikit-learn declares them.
Constraints: TypeAlias = dict[str, list[Any]]

# Labels, or numbers of any type.
Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating]
# Counts, codes or positions of rows.
Integers: TypeAlias = NDArray[np.integer]
Mask: TypeAlias = NDArray[np.bool_]
# Some of the rows.
Positions: TypeAlias = slice | Integers
RandomState: TypeAlias = int | np.random.RandomState | None
