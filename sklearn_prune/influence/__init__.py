"""From a skorch network to the influence of each training row on its layers."""

from ._casting import head_targets
from ._conjugate import IterativeHessian, conjugate_gradients
from ._criteria import UnsupportedNetworkError, target_kind
from ._curvature import DenseCurvature
from ._gradients import NetworkGradients
from ._head import HeadObjective
from ._influence import (
    HeadInfluence,
    RetrainingForecast,
    RetrainingSteps,
    forecast_retraining,
    retraining_steps,
)
from ._kronecker import KroneckerCurvature
from ._linear import linear_network
from ._losses import BinaryCrossEntropy, Huber, Poisson, SoftmaxCrossEntropy, SquaredError
from ._network import Head, fit_network, network_codes, read_head, write_head
from ._network_curvature import DenseNetworkCurvature, LayerCurvature
from ._network_influence import NetworkInfluence
from ._parallel import serial_blas
from ._refit import HeadFit, refit_head
from ._sketch import Coordinates, Influence, head_coordinates
from ._torch_loss import NonConvexLossWarning, TorchLoss, warn_if_not_convex
from ._wide_head import CurvatureName, WideHeadInfluence, head_influence

__all__ = [
    "BinaryCrossEntropy",
    "Coordinates",
    "CurvatureName",
    "DenseCurvature",
    "DenseNetworkCurvature",
    "Head",
    "HeadFit",
    "HeadInfluence",
    "HeadObjective",
    "Huber",
    "Influence",
    "IterativeHessian",
    "KroneckerCurvature",
    "LayerCurvature",
    "NetworkGradients",
    "NetworkInfluence",
    "NonConvexLossWarning",
    "Poisson",
    "RetrainingForecast",
    "RetrainingSteps",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "TorchLoss",
    "UnsupportedNetworkError",
    "WideHeadInfluence",
    "conjugate_gradients",
    "fit_network",
    "forecast_retraining",
    "head_coordinates",
    "head_influence",
    "head_targets",
    "linear_network",
    "network_codes",
    "read_head",
    "refit_head",
    "retraining_steps",
    "serial_blas",
    "target_kind",
    "warn_if_not_convex",
    "write_head",
]
