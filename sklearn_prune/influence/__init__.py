"""From a skorch network to the influence of each training row on its layers."""

from .curvature.conjugate_gradients import IterativeHessian, conjugate_gradients
from .curvature.dense import DenseCurvature
from .curvature.kronecker import KroneckerCurvature
from .head.head_influence import (
    HeadInfluence,
    Influence,
    RetrainingSteps,
    forecast_retraining,
    retraining_steps,
)
from .head.objective import HeadObjective, warn_if_not_convex
from .head.refit import HeadFit, refit_head
from .head.wide_head import CurvatureName, WideHeadInfluence, head_influence
from .layers.gradients import NetworkGradients
from .layers.network_curvature import DenseNetworkCurvature, LayerCurvature
from .layers.network_influence import NetworkInfluence
from .matched_coordinates import Coordinates, head_coordinates, stacked_coordinates
from .stack import StackedCoordinates, StackedInfluence, all_coordinates, influences_of

__all__ = [
    "Coordinates",
    "CurvatureName",
    "DenseCurvature",
    "DenseNetworkCurvature",
    "HeadFit",
    "HeadInfluence",
    "HeadObjective",
    "Influence",
    "IterativeHessian",
    "KroneckerCurvature",
    "LayerCurvature",
    "NetworkGradients",
    "NetworkInfluence",
    "RetrainingSteps",
    "StackedCoordinates",
    "StackedInfluence",
    "WideHeadInfluence",
    "all_coordinates",
    "conjugate_gradients",
    "forecast_retraining",
    "head_coordinates",
    "head_influence",
    "influences_of",
    "refit_head",
    "retraining_steps",
    "stacked_coordinates",
    "warn_if_not_convex",
]
