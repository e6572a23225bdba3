"""A linear model's network, solved, is the model that scikit-learn fits."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from sklearn_prune.influence import HeadObjective, refit_head
from sklearn_prune.networks import class_weights, model_network, read_head, write_head

DATA = {
    "two classes": load_breast_cancer(return_X_y=True),
    "three classes": load_iris(return_X_y=True),
    "numbers": load_diabetes(return_X_y=True),
    "columns of numbers": load_linnerud(return_X_y=True),
}
# To the last digits, whatever the scale of the columns.
EXACT = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 1000}


def solved(model, X, y, sample_weight=None):
    """Return the outputs of the model's network on rows, once its last layer is solved for."""
    labels = None if y.dtype.kind == "f" else np.unique(y)
    weights = class_weights(model, y, labels, sample_weight)
    if sample_weight is not None:
        weights = sample_weight if weights is None else weights * sample_weight
    matched = model_network(model, X, y, labels, weights)
    head = read_head(matched.network, X, y)
    objective = HeadObjective(
        head.design, head.targets, head.loss, matched.damping, weights, n_outputs=len(head.theta)
    )
    write_head(matched.network, refit_head(objective, head.theta).theta)
    return lambda rows: matched.network.forward(rows).numpy()


def outputs_of(model, X):
    function = getattr(model, "decision_function", model.predict)
    return function(X).reshape(len(X), -1)


def coefficients(outputs, n_features):
    """Return weights and intercepts of a linear function, by its values at 0 and at unit rows."""
    values = outputs(np.vstack([np.zeros(n_features), np.eye(n_features)]))
    values = values.reshape(n_features + 1, -1)
    return (values[1:] - values[0]).T, values[0]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("model", "data"),
    [
        (LogisticRegression(**EXACT), "two classes"),
        (LogisticRegression(C=100, fit_intercept=False, **EXACT), "two classes"),
        (LogisticRegression(C=0.01, class_weight="balanced", **EXACT), "two classes"),
        (LogisticRegression(C=0.5, class_weight={0: 3.0}, **EXACT), "three classes"),
        (LogisticRegression(solver="liblinear", intercept_scaling=3, tol=1e-10), "two classes"),
        (LogisticRegression(C=1e-3, solver="liblinear", tol=1e-10), "two classes"),
        (Ridge(alpha=0.3), "numbers"),
        (Ridge(alpha=30.0, fit_intercept=False), "numbers"),
        (Ridge(alpha=3.0), "columns of numbers"),
        (LinearRegression(), "numbers"),
        (LinearRegression(fit_intercept=False), "columns of numbers"),
    ],
)
def test_weights_and_intercept_are_those_of_the_fitted_model(model, data, weighted):
    X, y = DATA[data]
    X = StandardScaler().fit_transform(X) + 1
    weight = np.random.default_rng(0).uniform(0.5, 3, len(y)) if weighted else None
    coef, intercept = coefficients(solved(model, X, y, weight), X.shape[1])
    model.fit(X, y, sample_weight=weight)
    size = np.abs(model.coef_).max()
    np.testing.assert_allclose(coef, np.atleast_2d(model.coef_), atol=1e-5 * size)
    np.testing.assert_allclose(
        intercept, np.broadcast_to(model.intercept_, intercept.shape), atol=1e-5 * size
    )


@pytest.mark.parametrize(
    "scaler", [StandardScaler(), MinMaxScaler((-1, 2)), MaxAbsScaler(), RobustScaler()]
)
@pytest.mark.parametrize(
    ("model", "data"),
    [(LogisticRegression(**EXACT), "two classes"), (Ridge(fit_intercept=False), "numbers")],
)
def test_of_a_pipeline_the_scaler_comes_first(scaler, model, data):
    X, y = DATA[data]
    pipe = make_pipeline("passthrough", scaler, model)
    outputs = solved(pipe, X, y)(X).reshape(len(X), -1)
    np.testing.assert_allclose(outputs, outputs_of(pipe.fit(X, y), X), rtol=1e-5, atol=1e-4)


def test_sparse_rows_are_read_as_they_are():
    X, y = DATA["two classes"]
    model = make_pipeline(MaxAbsScaler(), LogisticRegression(**EXACT))
    sparse = solved(model, csr_array(X), y)(X)
    np.testing.assert_allclose(sparse, solved(model, X, y)(X))


def test_a_scaled_sum_of_weights_is_told_by_its_unit():
    X, y = DATA["two classes"]
    weight = np.linspace(1, 3, len(y))
    given = model_network(LogisticRegression(), X, y, np.arange(2), weight)
    scaled = model_network(LogisticRegression(), X, y, np.arange(2), weight / 2, weight_unit=2)
    assert scaled.damping == pytest.approx(given.damping)
    assert scaled.damping == pytest.approx(1 / weight.sum())


def test_stochastic_gradient_descent_penalises_each_row_by_alpha():
    X, y = DATA["two classes"]
    X = StandardScaler().fit_transform(X)
    model = SGDClassifier("log_loss", alpha=0.1, class_weight={0: 2.0}, max_iter=3000, tol=1e-9)
    # C sums losses where alpha takes their mean.
    same = LogisticRegression(C=1 / (0.1 * len(y)), class_weight={0: 2.0}, **EXACT).fit(X, y)
    outputs = solved(model, X, y)(X)
    np.testing.assert_allclose(outputs, same.decision_function(X), rtol=1e-5, atol=1e-5)
    descended = clone(model).set_params(average=True, random_state=0).fit(X, y)
    assert np.corrcoef(outputs, descended.decision_function(X))[0, 1] > 0.999
    assert np.abs(outputs - descended.decision_function(X)).mean() < 0.1 * outputs.std()


def test_the_models_given_are_not_changed():
    X, y = DATA["two classes"]
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    solved(pipe, X, y)
    assert not hasattr(pipe[0], "mean_") and not hasattr(pipe[-1], "coef_")
