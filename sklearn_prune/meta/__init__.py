"""Meta-estimators that prune the rows they are fitted on.

`estimators` has those with a model of their own, `sampler` the adapter to imbalanced-learn. All fit
the pruner that they are given by `given_pruner`, hand its weights on by `sample_weight`, and set
penalties for the share of rows kept by `rescaling`.
"""

from .estimators import PrunedClassifier, PrunedRegressor, PruningMixin
from .given_pruner import GIVEN_PRUNER, fit_given, noting_columns, reads_numbers_only
from .rescaling import RESCALE_TYPES, Rescale, check_rules, rescaled
from .sample_weight import (
    fit_weighted,
    gives_weights,
    requested_weight,
    weight_argument,
    weighted,
)
from .sampler import PruningSampler

__all__ = [
    "GIVEN_PRUNER",
    "RESCALE_TYPES",
    "PrunedClassifier",
    "PrunedRegressor",
    "PruningMixin",
    "PruningSampler",
    "Rescale",
    "check_rules",
    "fit_given",
    "fit_weighted",
    "gives_weights",
    "noting_columns",
    "reads_numbers_only",
    "requested_weight",
    "rescaled",
    "weight_argument",
    "weighted",
]
