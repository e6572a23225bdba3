"""The networks that the parameter ``estimator`` stands for: one, several, or checkpoints."""

from __future__ import annotations

from numbers import Integral
from typing import Any, TypeAlias

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "Checkpointed",
    "Network",
    "Networks",
    "checkpoints",
    "members",
    "n_checkpoints",
    "unfrozen",
]

# A skorch net, one inside FrozenEstimator or `checkpoints`, one of scikit-learn's linear models, or
# None for the linear network.
Network: TypeAlias = Any
# What the user gives: a network, a list of networks, or an ensemble.
Networks: TypeAlias = Any


class Checkpointed(BaseEstimator):
    """What `checkpoints` returns.

    Parameters
    ----------
    estimator : skorch net
        The network to train.
    number : int
        Number of checkpoints that are matched.
    """

    def __init__(self, estimator: Network, number: int) -> None:
        self.estimator = estimator
        self.number = number


def checkpoints(net: Network, number: int) -> Checkpointed:
    """Match a network at several checkpoints of its training.

    Parameters
    ----------
    net : skorch net
        The network that `InfluencePruner` is to train. It is not changed.
    number : int
        Number of checkpoints, evenly spaced over the epochs; the last one is the end of the
        training.

    Returns
    -------
    estimator : object
        What ``InfluencePruner(estimator)`` takes, alone or in a list.

    Raises
    ------
    ValueError
        If ``number`` is not a positive integer, if `net` is not trained in `fit` or trains for
        fewer epochs than that, or if its callbacks are disabled.

    See Also
    --------
    sklearn.frozen.FrozenEstimator : Wraps a network that is trained already. Checkpoints of your
        own are a list of these.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from sklearn_prune import InfluencePruner, checkpoints
    >>> net = NeuralNetClassifier(torch.nn.Linear(4, 3), max_epochs=9)
    >>> pruner = InfluencePruner(checkpoints(net, 3))
    """
    if not isinstance(number, Integral) or number < 1:
        raise ValueError(
            f"number must be an integer of 1 or more; it is {number!r}. Give for example 3."
        )
    if not hasattr(net, "max_epochs") or isinstance(net, FrozenEstimator):
        raise ValueError(
            f"checkpoints are copies of a network in training, and a {type(net).__name__} is not "
            "trained in fit. Give a skorch network, or give your own checkpoints as a list of "
            "FrozenEstimator."
        )
    if net.max_epochs < number:
        raise ValueError(
            f"{number} checkpoints need as many epochs; the network trains for {net.max_epochs}. "
            "Lower number, or raise max_epochs."
        )
    if net.callbacks == "disable":
        raise ValueError(
            'checkpoints are taken by a callback, and callbacks="disable" allows none. Set '
            "callbacks=None."
        )
    return Checkpointed(net, number)


def members(estimator: Networks) -> list[Network]:
    """Return the networks of a list or an ensemble; a single network (or None) as a list of one.

    An ensemble is either fitted and inside a `FrozenEstimator` (its ``estimators_``), or has its
    members in ``estimators``, by name as in `sklearn.ensemble.VotingClassifier`.

    Raises
    ------
    ValueError
        If there are no networks, or those of an ensemble cannot be used.
    """
    ensemble = unfrozen(estimator)
    if hasattr(ensemble, "estimators_") or hasattr(ensemble, "estimators"):
        networks = _members_of(ensemble, is_frozen=ensemble is not estimator)
    else:
        networks = list(estimator) if isinstance(estimator, list | tuple) else [estimator]
    if not networks:
        raise ValueError("estimator holds no network; give one, a list of networks, or None.")
    return networks


def _members_of(ensemble: Networks, *, is_frozen: bool) -> list[Network]:
    if is_frozen:
        check_is_fitted(ensemble)
        n_features = getattr(ensemble, "n_features_in_", None)
        columns_of_each = getattr(ensemble, "estimators_features_", ())
        if any(len(columns) != n_features for columns in columns_of_each):
            raise ValueError(
                f"each network of the {type(ensemble).__name__} was trained on some of the "
                f"{n_features} columns, and influences need all of them; set max_features=1.0."
            )
        return [FrozenEstimator(network) for network in ensemble.estimators_]
    if not hasattr(ensemble, "estimators"):
        raise ValueError(
            f"estimator is a fitted {type(ensemble).__name__}; wrap it in FrozenEstimator to use "
            "its networks as they are."
        )
    return [network for _, network in ensemble.estimators if not isinstance(network, str)]


def unfrozen(estimator: Networks) -> Networks:
    """Return the network inside a FrozenEstimator or `checkpoints`; anything else as it is."""
    is_wrapped = isinstance(estimator, FrozenEstimator | Checkpointed)
    return estimator.estimator if is_wrapped else estimator


def n_checkpoints(network: Network) -> int:
    """Return the number of checkpoints of a network that are matched."""
    return network.number if isinstance(network, Checkpointed) else 1
