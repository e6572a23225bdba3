"""The one place that knows scikit-learn's private names.

scikit-learn 1.7 and later keep these stable in practice, but promise nothing; when a release
moves one, this file is the only one to change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples

__all__ = ["Interval", "StrOptions", "check_parameters", "fit_context", "n_rows", "take_rows"]


def check_parameters(estimator: BaseEstimator) -> None:
    """Raise where a parameter is not what ``_parameter_constraints`` say."""
    estimator._validate_params()


def n_rows(container: Any) -> int:
    """Return the number of rows of anything row-aligned."""
    return int(_num_samples(container))


def take_rows(container: Any, indices: NDArray[np.intp]) -> Any:
    """Return the rows at ``indices``, in a container of the same type.

    pandas keeps index and column types, polars its schema, SciPy its sparse format.
    """
    if issparse(container):
        return container.tocsr()[indices].asformat(container.format)
    return _safe_indexing(container, indices)
