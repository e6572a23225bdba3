"""From a skorch network to the influence of each training row on its last layer."""

from ._criteria import UnsupportedNetworkError
from ._curvature import DenseCurvature
from ._head import HeadObjective
from ._influence import HeadInfluence, RetrainingForecast, forecast_retraining
from ._linear import linear_network
from ._losses import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError
from ._network import Head, fit_network, network_codes, read_head, write_head
from ._parallel import serial_blas
from ._refit import HeadFit, refit_head

__all__ = [
    "BinaryCrossEntropy",
    "DenseCurvature",
    "Head",
    "HeadFit",
    "HeadInfluence",
    "HeadObjective",
    "RetrainingForecast",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "UnsupportedNetworkError",
    "fit_network",
    "forecast_retraining",
    "linear_network",
    "network_codes",
    "read_head",
    "refit_head",
    "serial_blas",
    "write_head",
]
