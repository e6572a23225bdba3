"""The influence of each training row on a network, which predicts the effect of dropping any rows.

Start at `protocols`: an `Influence` predicts the change of the parameters, a `RefittableInfluence`
can be recomputed for the rows kept, and `row_coordinates` has the operator Z whose rows add up to
the change. `head/` computes them for a last layer, `layers/` for more of a network, and `stack` for
several networks at once; `matched_coordinates` is the part that a selection uses. `curvature/`
holds Hessians to solve with, and `limits` the sizes at which the method changes.
"""

from .curvature.conjugate_gradients import IterativeHessian
from .curvature.dense import DenseCurvature
from .curvature.kronecker import KroneckerCurvature
from .head.coordinates import HeadCoordinates, LinearMap, by_curvature
from .head.gradients import HeadGradients, centre_of
from .head.head_influence import (
    DenseHeadInfluence,
    HeadInfluence,
    RetrainingSteps,
    WideHeadInfluence,
    head_influence,
    map_given,
    most_dense_params,
    most_matched_params,
    retraining_steps,
)
from .head.hessian_product import HessianProduct
from .head.objective import HeadObjective, warn_if_not_convex
from .head.refit import CHEAP_FLOPS, HeadFit, fit_head, refit_head, warn_of_gradient
from .head.wide_coordinates import WideHeadCoordinates
from .layers.gradients import NetworkGradients
from .layers.network_curvature import DenseNetworkCurvature, LayerCurvature
from .layers.network_influence import NetworkInfluence
from .matched_coordinates import MatchedCoordinates, head_coordinates, stacked_coordinates
from .protocols import Influence, Norm, RefittableInfluence
from .row_coordinates import RowMatrix, norms_of, part_of, rows_of
from .stack import StackedInfluence, influences_of, stack_influences

__all__ = [
    "CHEAP_FLOPS",
    "DenseCurvature",
    "DenseHeadInfluence",
    "DenseNetworkCurvature",
    "HeadCoordinates",
    "HeadFit",
    "HeadGradients",
    "HeadInfluence",
    "HeadObjective",
    "HessianProduct",
    "Influence",
    "IterativeHessian",
    "KroneckerCurvature",
    "LayerCurvature",
    "LinearMap",
    "MatchedCoordinates",
    "NetworkGradients",
    "NetworkInfluence",
    "Norm",
    "RefittableInfluence",
    "RetrainingSteps",
    "RowMatrix",
    "StackedInfluence",
    "WideHeadCoordinates",
    "WideHeadInfluence",
    "by_curvature",
    "centre_of",
    "fit_head",
    "head_coordinates",
    "head_influence",
    "influences_of",
    "map_given",
    "most_dense_params",
    "most_matched_params",
    "norms_of",
    "part_of",
    "refit_head",
    "retraining_steps",
    "rows_of",
    "stack_influences",
    "stacked_coordinates",
    "warn_if_not_convex",
    "warn_of_gradient",
]
