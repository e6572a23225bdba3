"""Fitting a skorch network on all rows, after checking on a few rows that it can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from .._types import Array, Rows
from ..data import n_rows
from ..utils import own_random_state
from .batching import SKETCH_ROWS, cast_input, first_rows
from .checkpoints import tells_of_epochs
from .criteria import UnsupportedNetworkError, read_criterion
from .interrupts import interrupts_pass
from .last_layer import first_output, read_head
from .targets import cast_target, head_targets
from .trials import own_step, require_criterion_trained, require_plain_steps, trial_copy

Reading: TypeAlias = Callable[[NeuralNet, Rows, Array], object]
"""A function that reads a fitted network on rows and targets, such as `read_head`."""


def fit_network(
    estimator: NeuralNet | FrozenEstimator,
    X: Rows,
    y: Array,
    *,
    random_state: int | np.random.RandomState | None = None,
    on_epoch_end: Callable[[NeuralNet], None] | None = None,
    try_reading: Reading | None = None,
) -> NeuralNet:
    """Return a network fitted on all rows; the estimator itself is never changed.

    A skorch network is cloned and fitted, as scikit-learn's meta-estimators do, even if it has
    been fitted before. `sklearn.frozen.FrozenEstimator` around a fitted network keeps it as it is.
    The clone has ``train_split=None``: skorch would hold out a fifth of the rows by default, and
    rows that a network never saw have no influence on it. A split that holds out none of the rows,
    such as `skorch.helper.predefined_split`, is kept. Callbacks are kept; without such a split, set
    one that monitors ``valid_loss`` to monitor ``train_loss``. The clone has ``verbose=0``.

    Parameters
    ----------
    estimator : skorch.NeuralNet or FrozenEstimator
        The network.
    X : ndarray or CSR matrix of shape (n_samples, ...)
        Training data, cast to the dtype of the network's parameters.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes (integers from 0) or regression targets. They are cast and shaped as the
        criterion takes them.
    random_state : int, RandomState instance or None, default=None
        Seeds torch while the network is fitted. The state of torch's generators is restored.
    on_epoch_end : callable, default=None
        Called with the network after each epoch.
    try_reading : callable, default=None
        How the fitted network will be read. It is tried first, on an untrained copy and a few rows;
        None means `read_head`.

    Returns
    -------
    skorch.NeuralNet
        The fitted clone, or the network inside the FrozenEstimator.

    Raises
    ------
    UnsupportedNetworkError
        If this network cannot be read. If the untrained module runs on a few rows, this is raised
        before any training.
    KeyboardInterrupt
        If training is interrupted, unless by a callback that raises it to stop early.
    """
    if isinstance(estimator, FrozenEstimator):
        net = estimator.estimator
        check_is_fitted(net)
        _try_steps(net, X, y)
        return net
    net = clone(estimator).set_params(verbose=0)
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    with own_random_state(seed):
        data = _training_data(net, X, y, try_reading or read_head)
        net.set_params(train_split=data.train_split)
    with own_random_state(seed), tells_of_epochs(net, on_epoch_end), interrupts_pass(net):
        try:
            net.fit(data.X, data.y)
        except Exception as error:
            holds_out = net.train_split is None and estimator.train_split is not None
            if not (holds_out and (isinstance(error, KeyError) or "in history" in str(error))):
                raise
            raise UnsupportedNetworkError(
                f"training stopped with {type(error).__name__}: {error}. A pruner trains on all "
                f"rows, so train_split={estimator.train_split!r} is not used and nothing is "
                "validated. Let callbacks monitor train_loss, or give separate rows for "
                "validation: train_split=skorch.helper.predefined_split(dataset)."
            ) from error
    return net


def try_network(
    estimator: NeuralNet | FrozenEstimator,
    X: Rows,
    y: Array,
    try_reading: Reading | None = None,
) -> None:
    """Raise what `fit_network` would raise for this network before training it."""
    net = clone(estimator).set_params(verbose=0)
    with own_random_state():
        _training_data(net, X, y, try_reading or read_head)


def _try_steps(net: NeuralNet, X: Rows, y: Array) -> None:
    """Raise if a fitted network's training steps minimise another loss than its criterion."""
    if own_step(net) is None:
        return
    y, loss, output = np.asarray(y), read_criterion(net, y).loss, first_output(net, X)
    head_targets(net, loss, y, output[0].numel())
    y_cast = cast_target(net, loss, y, tuple(output.shape[1:]))
    require_plain_steps(trial_copy(net), cast_input(net, X), y_cast)


@dataclass(frozen=True)
class _TrainingData:
    """X, y and ``train_split`` as a network's ``fit`` needs them."""

    X: Rows
    y: Array
    train_split: Callable[..., object] | None


def _training_data(net: NeuralNet, X: Rows, y: Array, try_reading: Reading) -> _TrainingData:
    """Return what this network's ``fit`` needs, after trying a few rows.

    An untrained copy is read first, so that a network that cannot be read fails before it is
    trained. A copy that cannot be run may still be completed by a callback when training begins; if
    it is not, ``fit`` raises an error of its own.
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
        y_cast = cast_target(sketch, criterion.loss, y, output_tail=(2,))
        return _TrainingData(X_cast, y_cast, _split_that_takes_none(sketch, X_cast, y_cast))
    try_reading(sketch, first_rows(X_cast), y[:SKETCH_ROWS])
    # All of y, since the first rows may not have every class.
    head_targets(sketch, criterion.loss, y, output[0].numel())
    require_criterion_trained(sketch, X_cast, y, criterion.loss)
    y_cast = cast_target(sketch, criterion.loss, y, tuple(output.shape[1:]))
    split = _split_that_takes_none(sketch, X_cast, y_cast)
    # Last, since it changes the untrained copy.
    require_plain_steps(sketch, X_cast, y_cast)
    return _TrainingData(X_cast, y_cast, split)


def _split_that_takes_none(net: NeuralNet, X: Rows, y: Array) -> Callable[..., object] | None:
    """Return the network's ``train_split`` if it holds out no row, else None."""
    if net.train_split is None:
        return None
    try:
        train, _ = net.get_split_datasets(X, y)
    except Exception:
        return None
    return net.train_split if len(train) == n_rows(X) else None
