"""Fitting a skorch network on all rows, after trying whether it can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from .._torch_state import own_random_state
from ._casting import cast_input, cast_target, head_targets
from ._criteria import UnsupportedNetworkError, read_criterion
from ._epochs import tells_of_epochs
from ._losses import Array
from ._network import SKETCH_ROWS, first_output, first_rows, read_head


def fit_network(
    estimator: Any,
    X: Any,
    y: Array,
    *,
    random_state: Any = None,
    on_epoch_end: Callable[[NeuralNet], None] | None = None,
    try_reading: Callable[[NeuralNet, Any, Array], Any] | None = None,
) -> NeuralNet:
    """Return a network fitted on all rows; the estimator itself is never changed.

    A skorch network is cloned and fitted, as scikit-learn's meta-estimators do, even if it has
    been fitted before. `sklearn.frozen.FrozenEstimator` around a fitted network keeps it as it is.
    The clone has ``train_split=None``: skorch would hold out a fifth of the rows by default, and
    rows a network never saw have no influence on it. Callbacks are kept, so one that watches
    ``valid_loss`` must be told to watch ``train_loss``. The clone has ``verbose=0``.

    Parameters
    ----------
    estimator : skorch.NeuralNet or FrozenEstimator
        The network.
    X : ndarray or CSR matrix of shape (n_samples, ...)
        Training data, cast to the dtype of the network's parameters.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes (integers from 0) or regression targets, cast and shaped as the criterion
        wants them.
    random_state : int, RandomState instance or None, default=None
        Seeds torch while the network is fitted. The state of torch's generators is put back.
    on_epoch_end : callable, default=None
        Called after each epoch, with the network as it then is.
    try_reading : callable, default=None
        What is to be done with the fitted network, tried on an untrained copy and a few rows; None
        is `read_head`.

    Returns
    -------
    skorch.NeuralNet
        The fitted clone, or the network inside the FrozenEstimator.

    Raises
    ------
    UnsupportedNetworkError
        If this network could not be read; raised before any training where the module can be run
        on a few rows.
    """
    if isinstance(estimator, FrozenEstimator):
        net = _require_network(estimator.estimator)
        check_is_fitted(net)
        return net
    net = clone(_require_network(estimator)).set_params(train_split=None, verbose=0)
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    with own_random_state(seed):
        X_fit, y_fit = _training_data(net, X, y, try_reading or read_head)
    with own_random_state(seed), tells_of_epochs(net, on_epoch_end):
        net.fit(X_fit, y_fit)
    return net


def try_network(
    estimator: Any,
    X: Any,
    y: Array,
    try_reading: Callable[[NeuralNet, Any, Array], Any] | None = None,
) -> None:
    """Raise what `fit_network` would raise for this network before training it."""
    net = clone(_require_network(estimator)).set_params(train_split=None, verbose=0)
    with own_random_state():
        _training_data(net, X, y, try_reading or read_head)


def _require_network(estimator: Any) -> NeuralNet:
    if not isinstance(estimator, NeuralNet):
        raise UnsupportedNetworkError(
            f"estimator is a {type(estimator).__name__}; a skorch NeuralNet is needed "
            "(NeuralNetClassifier, NeuralNetBinaryClassifier, NeuralNetRegressor), or None for a "
            "linear one. Do preprocessing in a pipeline step before the pruner."
        )
    return estimator


def _training_data(
    net: NeuralNet, X: Any, y: Array, try_reading: Callable[[NeuralNet, Any, Array], Any]
) -> tuple[Any, Array]:
    """Return X and y as this network's ``fit`` needs them, after trying a few rows.

    An untrained copy is read first, so that a network that cannot be read fails before it is
    trained. Where the copy cannot be run, a callback may be what completes the module when
    training begins; if not, ``fit`` raises the same error in its own words.
    """
    sketch = clone(net).initialize()
    y = np.asarray(y)
    criterion = read_criterion(sketch, y)
    X_cast = cast_input(sketch, X)
    try:
        output = first_output(sketch, X_cast)
    except UnsupportedNetworkError:
        raise
    except Exception:
        return X_cast, cast_target(sketch, criterion.loss, y, output_tail=(2,))
    try_reading(sketch, first_rows(X_cast), y[:SKETCH_ROWS])
    # All of y: the first rows need not show every class.
    head_targets(sketch, criterion.loss, y, output[0].numel())
    return X_cast, cast_target(sketch, criterion.loss, y, tuple(output.shape[1:]))
