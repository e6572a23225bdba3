"""From a skorch network to the influence of each training row on its layers."""

from ._casting import head_targets
from ._conjugate import IterativeHessian, conjugate_gradients
from ._criteria import UnsupportedNetworkError, read_criterion, target_kind
from ._curvature import DenseCurvature
from ._epochs import Checkpoints
from ._finite import require_finite
from ._fitting import fit_network, try_network
from ._gradients import NetworkGradients
from ._head import HeadObjective
from ._influence import (
    HeadInfluence,
    Influence,
    RetrainingForecast,
    RetrainingSteps,
    forecast_retraining,
    retraining_steps,
)
from ._kronecker import KroneckerCurvature
from ._linear import column_scaler, linear_network
from ._losses import BinaryCrossEntropy, Huber, Poisson, SoftmaxCrossEntropy, SquaredError
from ._network import Head, network_codes, read_head, write_head
from ._network_curvature import DenseNetworkCurvature, LayerCurvature
from ._network_influence import NetworkInfluence
from ._parallel import map_threads, serial_blas, workers
from ._refit import HeadFit, refit_head
from ._sketch import Coordinates, head_coordinates, stacked_coordinates
from ._stack import StackedCoordinates, StackedInfluence, all_coordinates, influences_of
from ._torch_loss import NonConvexLossWarning, TorchLoss, warn_if_not_convex
from ._wide_head import CurvatureName, WideHeadInfluence, head_influence

__all__ = [
    "BinaryCrossEntropy",
    "Checkpoints",
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
    "StackedCoordinates",
    "StackedInfluence",
    "TorchLoss",
    "UnsupportedNetworkError",
    "WideHeadInfluence",
    "all_coordinates",
    "column_scaler",
    "conjugate_gradients",
    "fit_network",
    "forecast_retraining",
    "head_coordinates",
    "head_influence",
    "influences_of",
    "head_targets",
    "linear_network",
    "map_threads",
    "network_codes",
    "read_criterion",
    "read_head",
    "refit_head",
    "require_finite",
    "retraining_steps",
    "serial_blas",
    "stacked_coordinates",
    "target_kind",
    "try_network",
    "warn_if_not_convex",
    "workers",
    "write_head",
]
