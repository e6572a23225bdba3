"""Names for the types at scikit-learn's border.

scikit-learn takes any container that its checks accept, and any object with the right methods. So
most of these types are Any, and their names only document what is meant.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Constraints",
    "Estimator",
    "Floats",
    "Mask",
    "Metadata",
    "Params",
    "Indices",
    "RandomState",
    "Rows",
    "Targets",
]

# Any container with one row per sample: an array, sparse matrix, data frame, dict or dataset.
Rows: TypeAlias = Any
# Any container with one target per sample.
Targets: TypeAlias = Any
# A scikit-learn estimator or a skorch network.
Estimator: TypeAlias = Any
# An argument of fit, predict or score other than X and y.
Metadata: TypeAlias = Any
Params: TypeAlias = dict[str, Metadata]

# _parameter_constraints, as scikit-learn declares them.
Constraints: TypeAlias = dict[str, list[Any]]

# Labels, or numbers of any type.
Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.intp]
RandomState: TypeAlias = int | np.random.RandomState | None
