"""From a skorch network to the features and the loss of its last layer.

Start at `last_layer`: it returns the inputs of the last Linear, the loss as a function of its
outputs (see `losses/`), and the targets. `fitting` trains a network, once `trials` and `criteria`
have checked that it can be read. `default_linear` is the network for users who give none, and
`linear_models` the one for a scikit-learn model. `batching` and `targets` cast rows and targets as
the network takes them, `state` restores a network after reading, and `functional` is a network that
torch can differentiate row by row.
"""

from .batching import batches, map_tensors, merged, tensors_of
from .checkpoints import Checkpoints
from .criteria import UnsupportedNetworkError, read_criterion, require_row_by_row, target_kind
from .default_linear import column_scaler, linear_network, network_kind, unscaled_network
from .finite import require_finite
from .fitting import fit_network, try_network
from .functional import Inference
from .last_layer import Head, network_codes, read_head, write_head
from .linear_models import (
    check_linear_model,
    class_weights,
    is_linear_model,
    linear_model_kind,
    model_network,
)
from .state import left_as_found, uncompiled
from .targets import head_targets, takes_codes
from .trials import criterion_loss, require_criterion_trained, require_own_outputs

__all__ = [
    "Checkpoints",
    "Head",
    "Inference",
    "UnsupportedNetworkError",
    "batches",
    "check_linear_model",
    "class_weights",
    "column_scaler",
    "criterion_loss",
    "fit_network",
    "head_targets",
    "is_linear_model",
    "left_as_found",
    "linear_model_kind",
    "linear_network",
    "map_tensors",
    "merged",
    "model_network",
    "network_codes",
    "network_kind",
    "read_criterion",
    "read_head",
    "require_criterion_trained",
    "require_finite",
    "require_own_outputs",
    "require_row_by_row",
    "takes_codes",
    "target_kind",
    "tensors_of",
    "try_network",
    "uncompiled",
    "unscaled_network",
    "write_head",
]
