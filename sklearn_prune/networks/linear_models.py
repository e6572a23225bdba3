r"""Scikit-learn's linear models as networks whose last layer minimises what the model minimises.

Each of these models minimises, with ``ν_i`` the weight of a row times that of its class,

``sum_i nu_i l(w x_i + b, y_i) + (P / 2) ||w||^2``

over n rows of weight ``N = sum_i nu_i``. In the form of a head, this is the mean loss over N and
the damping ``P / N`` (`NEGLIGIBLE` where there is no penalty):

- ``LogisticRegression``: l is the logistic loss (one output for two classes) or the softmax's
  cross-entropy, and ``P = 1 / C``;
- ``Ridge``: l is the squared error and ``P = 2 alpha``, as its penalty has no ½;
- ``LinearRegression``: the same, and ``P = 0``;
- ``SGDClassifier``: l is the logistic loss and ``P = n alpha``, as it steps once for each row.

The intercept b is not damped (but liblinear's is). A head damps all that it has, so b is the weight
of a constant column, whose size makes the damping of b `NEGLIGIBLE`, as ``intercept_scaling`` does.
That small rest also settles what has no minimum of its own: the sum of a softmax's intercepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_class_weight
from skorch import NeuralNet
from torch.utils.data import Dataset

from .._types import Array, Rows
from .criteria import UnsupportedNetworkError
from .default_linear import column_scaler, network_kind, set_scale, unscaled_network

LinearModel: TypeAlias = Any
"""One of scikit-learn's linear models, or a pipeline that ends in one."""

_SUPPORTED = (
    "LogisticRegression, Ridge, LinearRegression, SGDClassifier(loss='log_loss'), or a pipeline of "
    "StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler and one of these"
)
# Damping of what a model does not penalise: a head needs some, to have one minimiser.
NEGLIGIBLE = 1e-8
_SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)


@dataclass(frozen=True)
class _Objective:
    """What a model minimises beside its loss.

    Attributes
    ----------
    penalty, penalty_per_row : float
        ``P = penalty + n penalty_per_row``.
    constant : float or None
        Value of the column whose weight is the intercept: None where the intercept is free, 0 where
        there is none, otherwise one whose weight is penalised like the others.
    """

    penalty: float = 0.0
    penalty_per_row: float = 0.0
    constant: float | None = None


@dataclass(frozen=True, eq=False)
class ModelNetwork:
    """A linear model as a network, and the damping of its last layer.

    Attributes
    ----------
    network : skorch.NeuralNet
        From the model's rows to its decision function; its weights are zero.
    damping : float
        ``P / N``.
    """

    network: NeuralNet
    damping: float


def is_linear_model(estimator: LinearModel) -> bool:
    """Whether the estimator is, or ends in, a linear model that can be matched."""
    return type(_parts(estimator)[1]) in _READERS


def linear_model_kind(estimator: LinearModel) -> Literal["classification", "regression"]:
    """Return what the model takes y for.

    Raises
    ------
    UnsupportedNetworkError
        If it is no linear model that can be matched.
    """
    model = _parts(estimator)[1]
    if isinstance(model, LinearSVC):
        raise _refusal(
            model,
            f"loss={model.loss!r}",
            "its curvature jumps where a row crosses the margin",
            "LogisticRegression, whose loss is smooth",
        )
    if type(model) not in _READERS:
        raise UnsupportedNetworkError(
            "estimator must be a skorch network (NeuralNet, NeuralNetClassifier, "
            "NeuralNetBinaryClassifier, NeuralNetRegressor), None for a linear one, or one of "
            f"scikit-learn's linear models: {_SUPPORTED}; it is {estimator!r}."
        )
    is_regression = isinstance(model, Ridge | LinearRegression)
    return "regression" if is_regression else "classification"


def check_linear_model(estimator: LinearModel, n_classes: int) -> None:
    """Raise UnsupportedNetworkError if the model's settings make it one that cannot be matched."""
    scalers, model = _parts(estimator)
    for scaler in scalers:
        if type(scaler) not in _SCALERS or getattr(scaler, "clip", False):
            raise UnsupportedNetworkError(
                f"the pipeline's step {scaler!r} does more than to shift and scale columns. Put it "
                "before the pruner, and give the pruner what follows: make_pipeline(step, "
                f"InfluencePruner(model), model). Supported: {_SUPPORTED}."
            )
    _READERS[type(model)](model, n_classes)


def model_network(
    estimator: LinearModel,
    X: Rows,
    y: Array,
    classes: Array | None,
    sample_weight: Array | None = None,
    weight_unit: float = 1.0,
) -> ModelNetwork:
    """Return the network of a linear model, for `refit_head` to solve.

    Columns are shifted by their means where the intercept is free, and divided by their scales
    where there is no penalty: the objective stays, and its Hessian is easier to solve with.

    Parameters
    ----------
    estimator : linear model or pipeline
        What `check_linear_model` accepts; it does not change. Scalers are fitted on X.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Training data.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or numbers.
    classes : ndarray of shape (n_classes,) or None
        The labels; None for regression.
    sample_weight : ndarray of shape (n_samples,), default=None
        ``nu_i / weight_unit``, `class_weights` included.
    weight_unit : float, default=1.0
        What those weights were divided by.
    """
    if isinstance(X, Mapping | Dataset):
        raise ValueError(
            f"{estimator!r} takes the columns of one table, and X is a {type(X).__name__}; give a "
            "network, or X as an array."
        )
    scalers, model = _parts(estimator)
    objective = _READERS[type(model)](model, 0 if classes is None else len(classes))
    targets = np.asarray(y, dtype=np.float64).reshape(X.shape[0], -1)
    weight_sum = X.shape[0] if sample_weight is None else weight_unit * np.sum(sample_weight)
    penalty = objective.penalty + X.shape[0] * objective.penalty_per_row
    if classes is None:
        # The network's loss is the mean over outputs, the model's their sum.
        penalty /= targets.shape[1]
    damping = float(penalty / weight_sum) or NEGLIGIBLE
    # A free intercept is not penalised, so that columns and target can be shifted.
    constant, is_free = objective.constant, objective.constant is None
    if constant is None:
        constant = float(np.sqrt(damping / NEGLIGIBLE))
    network = unscaled_network(network_kind(classes), X.shape[1], targets, constant)
    mean, scale = _scaling(scalers, X)
    columns, module = column_scaler(X, sample_weight), network.module_
    module.mean.copy_(torch.as_tensor(columns.mean_ if is_free else mean))
    module.scale.copy_(torch.as_tensor(scale if penalty else columns.scale_))
    if classes is None:
        set_scale("y", module.target_mean, module.target_scale, targets, sample_weight)
        if not is_free:
            module.target_mean.zero_()
    return ModelNetwork(network, damping)


def class_weights(
    estimator: LinearModel,
    y: Array,
    classes: Array | None,
    sample_weight: Array | None = None,
) -> Array | None:
    """Return the weight that the model gives to each row for its class; None where all are 1.

    "balanced" counts rows by their weights in a LogisticRegression, and not in an SGDClassifier.
    """
    model = _parts(estimator)[1]
    given = getattr(model, "class_weight", None)
    if classes is None or given is None:
        return None
    if isinstance(model, SGDClassifier):
        sample_weight = None
    weights = compute_class_weight(
        given, classes=classes, y=classes[y], sample_weight=sample_weight
    )
    return np.asarray(weights, dtype=np.float64)[y]


def _parts(estimator: LinearModel) -> tuple[list[BaseEstimator], BaseEstimator]:
    """Return the steps before the model, and the model."""
    if not isinstance(estimator, Pipeline):
        return [], estimator
    *before, (_, model) = estimator.steps
    return [step for _, step in before if step not in ("passthrough", None)], model


def _scaling(scalers: list[BaseEstimator], X: Rows) -> tuple[Array, Array]:
    """Return mean and scale such that the fitted scalers are ``x -> (x - mean) / scale``."""
    n_features = X.shape[1]
    if not scalers:
        return np.zeros(n_features), np.ones(n_features)
    fitted = make_pipeline(*map(clone, scalers)).fit(X if sparse.issparse(X) else X[:])
    images = fitted.transform(np.vstack([np.zeros(n_features), np.ones(n_features)]))
    origin, unit = np.asarray(images, dtype=np.float64)
    scale = 1 / (unit - origin)
    return -origin * scale, scale


def _logistic(model: LogisticRegression, n_classes: int) -> _Objective:
    # The parameter goes in scikit-learn 1.10.
    penalty = getattr(model, "penalty", "deprecated")
    _refuse_corners(model, penalty)
    constant = None if model.fit_intercept else 0.0
    if model.solver == "liblinear":
        if n_classes > 2:
            raise _refusal(
                model, f"{n_classes} classes", "liblinear takes two", "the default solver"
            )
        constant = float(model.fit_intercept * model.intercept_scaling)
    return _Objective(penalty=0.0 if penalty is None else 1 / model.C, constant=constant)


def _stochastic(model: SGDClassifier, n_classes: int) -> _Objective:
    if model.loss != "log_loss":
        raise _refusal(
            model, f"loss={model.loss!r}", "only the logistic loss is", "loss='log_loss'"
        )
    _refuse_corners(model, model.penalty)
    if n_classes > 2:
        raise _refusal(
            model,
            f"{n_classes} classes",
            "it fits a model for each of them apart",
            "LogisticRegression, which fits one",
        )
    return _Objective(
        penalty_per_row=0.0 if model.penalty is None else model.alpha,
        constant=None if model.fit_intercept else 0.0,
    )


def _refuse_corners(model: LogisticRegression | SGDClassifier, penalty: str | None) -> None:
    l1_ratio = {"l1": 1.0, "l2": 0.0, None: 0.0}.get(penalty, model.l1_ratio)
    if l1_ratio:
        raise _refusal(
            model,
            f"a penalty whose l1_ratio is {l1_ratio:g}",
            "it has corners and no Hessian there",
            "a squared one ('l2')",
        )


def _ridge(model: Ridge, n_classes: int) -> _Objective:
    _refuse_positive(model)
    if np.size(model.alpha) != 1:
        raise _refusal(
            model, f"alpha={model.alpha}", "outputs are penalised alike", "one number as alpha"
        )
    penalty = 2 * float(np.ravel(model.alpha)[0])
    return _Objective(penalty=penalty, constant=None if model.fit_intercept else 0.0)


def _least_squares(model: LinearRegression, n_classes: int) -> _Objective:
    _refuse_positive(model)
    return _Objective(constant=None if model.fit_intercept else 0.0)


def _refuse_positive(model: Ridge | LinearRegression) -> None:
    if model.positive:
        raise _refusal(
            model, "positive=True", "weights at a bound have no influence", "positive=False"
        )


def _refusal(model: BaseEstimator, what: str, why: str, remedy: str) -> UnsupportedNetworkError:
    return UnsupportedNetworkError(
        f"{type(model).__name__} with {what} cannot be matched, as {why}; use {remedy}. Supported: "
        f"{_SUPPORTED}."
    )


_READERS: dict[type, Callable[[Any, int], _Objective]] = {
    LogisticRegression: _logistic,
    SGDClassifier: _stochastic,
    Ridge: _ridge,
    LinearRegression: _least_squares,
}
