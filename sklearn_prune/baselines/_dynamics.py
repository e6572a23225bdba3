"""Training dynamics: a network's outputs for each row, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from numbers import Integral

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from skorch import NeuralNet

from .._compat import Interval
from .._types import Array, Estimator, Floats, Mask, RandomState, Rows
from ..influence import HeadObjective
from ..losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from ..matching import default_network
from ..networks import UnsupportedNetworkError, fit_network, read_head
from ._scored import ScoredPruner, ScoringJob, inputs_of

# Training of the linear network for estimator=None. Enough epochs for the default of every pruner.
LINEAR_EPOCHS = 30
_LINEAR_BATCH_SIZE = 128
# Smaller batches give small data enough steps.
LINEAR_STEPS_PER_EPOCH = 16


class Epoch:
    """A network at the end of an epoch, applied to all rows in evaluation mode.

    The outputs during training would be cheaper, but the parameters and dropout masks differ
    between batches, and skorch does not pass on the rows' positions. So each epoch costs one more
    forward pass.

    Parameters
    ----------
    net : skorch.NeuralNet
        The network in training.
    X : ndarray or csr_array of shape (n_samples, ...)
        All rows, in order.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or numbers.

    Attributes
    ----------
    n_samples : int
        Number of rows.
    y : ndarray
        As given.
    residual : ndarray of shape (n_samples, n_outputs)
        ``r_i``, the gradient of each row's loss with respect to the last layer's outputs.
    """

    def __init__(self, net: NeuralNet, X: Rows, y: Array) -> None:
        head = read_head(net, X, y)
        self.n_samples, self.y = len(y), y
        self._net, self._head = net, head
        self._objective = HeadObjective(
            head.design, head.targets, head.loss, 0.0, n_outputs=len(head.theta)
        )
        self._outputs = self._objective.outputs(head.theta)
        self.residual = head.loss.residual(self._outputs, head.targets)

    @property
    def lr(self) -> float:
        """Learning rate of the optimizer's first group of parameters."""
        return float(self._net.optimizer_.param_groups[0]["lr"])

    @cached_property
    def probabilities(self) -> Floats:
        """Probability of each class, of shape (n_samples, n_classes)."""
        loss, outputs = self._head.loss, self._outputs
        if isinstance(loss, SoftmaxCrossEntropy):
            return softmax(outputs, axis=1)
        if isinstance(loss, BinaryCrossEntropy) and outputs.shape[1] == 1:
            return expit(np.hstack([-outputs, outputs]))
        raise UnsupportedNetworkError(
            f"the scores need a probability for each class, which {type(loss).__name__} with "
            f"{outputs.shape[1]} outputs does not define. Use CrossEntropyLoss or NLLLoss, or for "
            "two classes BCEWithLogitsLoss with one output."
        )

    @property
    def target_probability(self) -> Floats:
        """Probability ``p_y`` of the true class, of shape (n_samples,)."""
        return np.take_along_axis(self.probabilities, self.y[:, None], axis=1)[:, 0]

    @property
    def is_correct(self) -> Mask:
        """Whether the most probable class is the true one, of shape (n_samples,)."""
        return self.probabilities.argmax(axis=1) == self.y

    @property
    def margin(self) -> Floats:
        """``p_y - max_(k != y) p_k`` of each row, of shape (n_samples,)."""
        others = self.probabilities.copy()
        np.put_along_axis(others, self.y[:, None], -np.inf, axis=1)
        return self.target_probability - others.max(axis=1)

    @property
    def error_norm(self) -> Floats:
        """``||p - e_y||_2`` of each row, of shape (n_samples,)."""
        error = self.probabilities.copy()
        error[np.arange(self.n_samples), self.y] -= 1
        return np.linalg.norm(error, axis=1)

    @cached_property
    def gradient_norm(self) -> Floats:
        """``||g_i||_2 = ||r_i|| ||a_i||``, g_i for the last layer alone; shape (n_samples,)."""
        design = self._head.design
        squares = np.einsum("ij,ij->i", design, design, dtype=np.float64)
        return np.linalg.norm(self.residual, axis=1) * np.sqrt(squares)

    @property
    def features(self) -> Floats:
        """Inputs of the last layer, of shape (n_samples, n_features)."""
        return inputs_of(self._head)

    @property
    def mean_gradient_product(self) -> Floats:
        """``<g_i, mean_j g_j> = r_i^T G a_i``, with ``G = mean_j g_j``; shape (n_samples,)."""
        G = self._objective.gradient(self._head.theta)
        outputs = self._head.design @ G.T.astype(self._head.design.dtype)
        return np.einsum("ij,ij->i", self.residual, outputs)


def record_epochs(
    job: ScoringJob,
    measure: Callable[[Epoch], Array],
    *,
    n_epochs: int | None = None,
    at_least: int = 1,
) -> Array:
    """Train a network, and measure each row after each epoch.

    Parameters
    ----------
    job : ScoringJob
        Network and rows. Without a network, trains a linear one on standardised columns by Adam,
        whose steps do not depend on the scale of the loss.
    measure : callable
        Takes an `Epoch` and returns an array of shape (n_samples,).
    n_epochs : int, default=None
        Number of epochs; None means the network's ``max_epochs``.
    at_least : int, default=1
        Smallest number of epochs, the pruner's parameter ``window``.

    Returns
    -------
    measurements : ndarray of shape (n_epochs, n_samples)
        One row for each epoch.

    Raises
    ------
    ValueError
        If the network is frozen, or trains for fewer epochs than needed.
    """
    net = network_to_train(job)
    if n_epochs is not None:
        net.set_params(max_epochs=n_epochs)
    _check_epochs(net.max_epochs, at_least)
    records: list[Array] = []
    fit_network(
        net,
        job.X,
        job.y,
        random_state=job.seed,
        on_epoch_end=lambda trained: records.append(measure(Epoch(trained, job.X, job.y))),
    )
    if net.callbacks == "disable":
        raise ValueError(
            'scores from training need a callback, which callbacks="disable" forbids. Set '
            "callbacks=None."
        )
    _check_epochs(len(records), at_least)
    return np.array(records)


def network_to_train(job: ScoringJob) -> NeuralNet:
    """Return a clone of the job's network or, without one, a linear network.

    Raises
    ------
    ValueError
        If the network is frozen.
    """
    if isinstance(job.estimator, FrozenEstimator):
        raise ValueError(
            "scores from training need a network to train, and a FrozenEstimator is not trained. "
            "Give the network itself, of which a clone is trained."
        )
    return _linear_to_train(job) if job.estimator is None else clone(job.estimator)


def _linear_to_train(job: ScoringJob) -> NeuralNet:
    scaled = default_network(job.X, job.y, job.classes)
    options = {"classes": scaled.classes} if getattr(scaled, "classes", None) else {}
    return type(scaled)(
        scaled.module_,
        criterion=scaled.criterion,
        optimizer=torch.optim.Adam,
        train_split=None,
        batch_size=min(_LINEAR_BATCH_SIZE, -(-len(job.y) // LINEAR_STEPS_PER_EPOCH)),
        # Weights start at zero, so networks differ only in the order of the rows.
        iterator_train__shuffle=True,
        max_epochs=LINEAR_EPOCHS,
        verbose=0,
        **options,
    )


def _check_epochs(n_epochs: int, at_least: int) -> None:
    if n_epochs < at_least:
        raise ValueError(
            f"window={at_least} needs {at_least} epochs; the network trains for {n_epochs}. Lower "
            "window, or train for more epochs."
        )


class EarlyScorePruner(ScoredPruner):
    """Base class of pruners whose scores, after a few epochs, are averaged over several networks.

    A subclass defines one hook, ``_measure(epoch)``.
    """

    _parameter_constraints = {
        **ScoredPruner._parameter_constraints,
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "n_networks": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Estimator = None,
        *,
        prune_ratio: float = 0.4,
        n_epochs: int = 10,
        n_networks: int = 10,
        stratify: bool = True,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator, prune_ratio=prune_ratio, stratify=stratify, random_state=random_state
        )
        self.n_epochs = n_epochs
        self.n_networks = n_networks

    def _measure(self, epoch: Epoch) -> Floats:
        raise NotImplementedError(f"{type(self).__name__} must define _measure(epoch)")

    def _score(self, job: ScoringJob) -> Floats:
        seeds = check_random_state(job.seed).randint(np.iinfo(np.int32).max, size=self.n_networks)
        last = [
            record_epochs(replace(job, seed=seed), self._measure, n_epochs=self.n_epochs)[-1]
            for seed in seeds.tolist()
        ]
        return np.mean(last, axis=0)
