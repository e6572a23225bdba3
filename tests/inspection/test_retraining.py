"""What is observed is what scikit-learn's solvers do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import retraining_check
from tests.inspection.conftest import DAMPING


def designs(X, X_test):
    """Columns to mean 0 and variance 1 on the training rows, and one of ones."""
    scaler = StandardScaler().fit(X)
    return (np.c_[scaler.transform(part), np.ones(len(part))] for part in (X, X_test))


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
def test_what_is_observed_is_what_scikit_learns_logistic_regression_does(load):
    X, X_test, y, y_test = train_test_split(*load(return_X_y=True), random_state=0)
    # Its own choice is not looked at.
    pruner = InfluencePruner(prune_ratio=0.0, damping=DAMPING).fit(X, y)
    support = RandomPruner(prune_ratio=0.7, random_state=0).fit(X, y).get_support()
    check = retraining_check(pruner, X, y, X_test=X_test, y_test=y_test, support=support)

    design, test_design = designs(X, X_test)
    whole, kept = (
        LogisticRegression(
            C=1 / (rows.sum() * DAMPING), fit_intercept=False, solver="newton-cg", tol=1e-12
        ).fit(design[rows], y[rows])
        for rows in (np.ones(len(y), dtype=bool), support)
    )
    distance = np.linalg.norm(kept.coef_ - whole.coef_)
    assert check.parameter_change.observed == pytest.approx(distance, rel=1e-5)
    for gap, features, labels in (
        (check.train_gap, design, y),
        (check.test_gap, test_design, y_test),
    ):
        before, after = (log_loss(labels, model.predict_proba(features)) for model in (whole, kept))
        assert gap.observed == pytest.approx(after - before, rel=1e-4)
    assert check.n_dropped == (~support).sum()
    assert check.refit_gradient_norm < 1e-10


def test_what_is_observed_is_what_scikit_learns_ridge_does():
    X, X_test, y, y_test = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    y, y_test = y + 0.5, y_test + 0.5
    pruner = InfluencePruner(prune_ratio=0.7, damping=DAMPING, random_state=0).fit(X, y)
    check = retraining_check(pruner, X, y, X_test=X_test, y_test=y_test)

    design, test_design = designs(X, X_test)
    scaler = StandardScaler().fit(y[:, None])
    target, test_target = (scaler.transform(part[:, None]).ravel() for part in (y, y_test))
    # n times the mean squared error plus n damping / 2 times the squared parameters.
    whole, kept = (
        Ridge(alpha=rows.sum() * DAMPING / 2, fit_intercept=False).fit(design[rows], target[rows])
        for rows in (np.ones(len(y), dtype=bool), pruner.support_)
    )
    distance = np.linalg.norm(kept.coef_ - whole.coef_)
    assert check.parameter_change.observed == pytest.approx(distance, rel=1e-8)
    # One Newton step is exact, and so is the bound that it gives.
    assert check.parameter_change.kept_hessian == pytest.approx(distance, rel=1e-8)
    assert check.parameter_bound == pytest.approx(distance, rel=1e-8)
    before, after = (
        mean_squared_error(test_target, model.predict(test_design)) for model in (whole, kept)
    )
    assert check.test_gap.observed == pytest.approx(after - before, rel=1e-6)


def test_weights_of_the_rows_count_in_the_refit_and_in_the_training_loss(cancer):
    X, X_test, y, _ = cancer
    weights = np.random.default_rng(0).uniform(0.2, 3, len(y))
    pruner = InfluencePruner(prune_ratio=0.5, damping=DAMPING, random_state=0)
    check = retraining_check(pruner.fit(X, y, sample_weight=weights), X, y)

    scaler = StandardScaler().fit(X, sample_weight=weights)
    design = np.c_[scaler.transform(X), np.ones(len(X))]
    losses = []
    for rows in (np.ones(len(y), dtype=bool), pruner.support_):
        model = LogisticRegression(
            C=1 / (weights[rows].sum() * DAMPING), fit_intercept=False, tol=1e-12,
            solver="newton-cg",
        ).fit(design[rows], y[rows], sample_weight=weights[rows])  # fmt: skip
        losses.append(log_loss(y, model.predict_proba(design), sample_weight=weights))
    assert check.train_gap.observed == pytest.approx(losses[1] - losses[0], rel=1e-4)


def test_changes_are_those_of_the_certificate(cancer, cancer_pruner):
    X, _, y, _ = cancer
    check, certificate = retraining_check(cancer_pruner, X, y), cancer_pruner.certificate_
    assert check.loss_change.first_order == pytest.approx(certificate.predicted_change)
    assert check.loss_change.kept_hessian == pytest.approx(certificate.kept_hessian_change)
    # The one starts from zero, the other from the Newton step.
    assert check.loss_change.observed == pytest.approx(certificate.actual_change, rel=1e-9)
    assert check.test_gap is None


def test_parameters_are_compared_by_their_distance(cancer):
    X, _, y, _ = cancer
    pruner = InfluencePruner(norm="parameter", damping=DAMPING, random_state=0).fit(X, y)
    change, certificate = retraining_check(pruner, X, y).parameter_change, pruner.certificate_
    assert change.first_order == pytest.approx(certificate.predicted_change)
    assert change.kept_hessian == pytest.approx(certificate.kept_hessian_change)
    assert change.observed == pytest.approx(certificate.actual_change)


def test_dropping_nothing_changes_nothing(cancer, cancer_pruner):
    X, X_test, y, y_test = cancer
    check = retraining_check(
        cancer_pruner, X, y, X_test=X_test, y_test=y_test, support=np.ones(len(y), dtype=bool)
    )
    assert check.n_dropped == 0
    assert check.parameter_change.observed < check.parameter_bound < 1e-10
    assert check.train_gap.observed == pytest.approx(0, abs=1e-12)
    assert check.test_gap.is_within_proven_bound


def test_bounds_hold_for_good_sets_and_for_bad_ones(cancer, cancer_pruner, cancer_checks):
    X, X_test, y, y_test = cancer
    worst = np.ones(len(y), dtype=bool)
    worst[np.argsort(cancer_pruner.influence_norms_)[-200:]] = False
    bad = retraining_check(cancer_pruner, X, y, X_test=X_test, y_test=y_test, support=worst)
    for check in (*cancer_checks, bad):
        assert check.parameter_change.observed <= check.parameter_bound
        assert check.train_gap.is_within_proven_bound
        assert check.test_gap.is_within_proven_bound
        assert check.test_gap.is_within_stated_bound
    # What is stated holds as far as the first order does: here it says too little.
    assert bad.parameter_change.observed > 1.3 * bad.parameter_change.first_order
