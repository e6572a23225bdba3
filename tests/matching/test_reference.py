"""Reference rows: the head, the aim and the counts, against closed forms and refits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from sklearn_prune import InfluencePruner
from sklearn_prune.influence import DenseHeadInfluence, HeadObjective, refit_head
from sklearn_prune.losses import BinaryCrossEntropy, SquaredError
from sklearn_prune.matching.reference import class_quota, fit_reference_head
from sklearn_prune.selection.terms import Request, make_terms

DAMPING = 1e-2


def least_squares(seed=0, n=60, n_reference=25):
    rng = np.random.default_rng(seed)
    A = np.c_[rng.standard_normal((n + n_reference, 3)), np.ones(n + n_reference)]
    t = A @ [1.0, -2.0, 0.5, 0.3] + 0.1 * rng.standard_normal(len(A))
    # The training rows are of another population.
    t[:n] += 1.0 + A[:n, 0]
    rows = HeadObjective(A[:n], t[:n, None], SquaredError(), DAMPING)
    reference = HeadObjective(A[n:], t[n:, None], SquaredError(), DAMPING)
    return rows, reference


def solution(objective, keep=None, weights=None):
    keep = np.arange(objective.n_samples) if keep is None else keep
    weights = np.ones(len(keep)) if weights is None else weights
    model = Ridge(alpha=DAMPING / 2 * weights.sum(), fit_intercept=False, solver="cholesky")
    model.fit(objective.design[keep], objective.targets[keep, 0], sample_weight=weights)
    return model.coef_


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.8))
def test_the_step_leads_from_the_reference_head_to_that_of_the_rows_kept(seed, share):
    rows, reference = least_squares(seed)
    theta = refit_head(reference).theta
    np.testing.assert_allclose(theta[0], solution(reference), atol=1e-8)
    influence = DenseHeadInfluence(rows, theta, reference=reference)
    drop = np.random.default_rng(seed).random(rows.n_samples) < share
    kept = np.flatnonzero(~drop)
    expected = solution(rows, kept) - theta[0]
    # Of least squares a Newton step with the kept rows' Hessian is exact.
    np.testing.assert_allclose(influence.kept_step(drop), expected, atol=1e-7)
    A, residual = rows.design, rows.design @ theta[0] - rows.targets[:, 0]
    gradients = 2 * residual[:, None] * A + DAMPING * theta
    H = 2 * A.T @ A / len(A) + DAMPING * np.eye(4)
    first = -np.linalg.solve(H, gradients[kept].mean(axis=0))
    np.testing.assert_allclose(influence.first_order_step(drop), first, atol=1e-7)
    forecast = influence.forecast(drop)
    assert forecast.refitted == pytest.approx(0.5 * expected @ H @ expected, rel=1e-5)


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_kept_rows_of_z_sum_to_the_step(norm):
    rows, reference = least_squares()
    theta = refit_head(reference).theta
    influence = DenseHeadInfluence(rows, theta, norm, reference)
    assert not influence.is_centred
    drop = np.arange(60) % 3 == 0
    Z = influence.Z.rows(np.arange(60)).astype(float)
    length = np.linalg.norm(Z[~drop].sum(axis=0)) * influence.size_factor(drop)
    size = influence.measure(influence.first_order_step(drop))
    assert size == pytest.approx(0.5 * length**2 if norm == "loss" else length, rel=1e-4)
    own = DenseHeadInfluence(rows, refit_head(rows).theta, norm)
    assert own.is_centred
    assert np.linalg.norm(own.Z.T @ np.ones(60)) < 1e-10


def test_retraining_costs_what_the_reference_loses():
    rows, reference = least_squares()
    theta = refit_head(reference).theta
    influence = DenseHeadInfluence(rows, theta, reference=reference)
    drop = np.arange(60) % 2 == 0
    refitted = solution(rows, np.flatnonzero(~drop))[None]
    cost = reference.value(refitted) - reference.value(theta)
    assert influence.retrained_change(drop) == pytest.approx(cost)
    damped = influence.damped(10.0)
    assert damped.reference.damping == 10 * DAMPING
    np.testing.assert_allclose(damped.theta, refit_head(reference.damped(10.0)).theta)


def test_parts_and_kept_curvature_keep_the_reference():
    rows, reference = least_squares()
    influence = DenseHeadInfluence(rows, refit_head(reference).theta, reference=reference)
    drop = np.arange(60) % 4 == 0
    some = np.array([3, 5, 8])
    Z = influence.Z
    np.testing.assert_allclose(Z.take(some).rows([0, 1, 2]), Z.rows(some))
    total = influence.gradients.sum(np.ones(60))
    mixed = 0.9 * rows.subset(~drop).hessian(influence.theta) + 0.1 * rows.hessian(influence.theta)
    L = np.linalg.cholesky(rows.hessian(influence.theta))
    expected = L.T @ np.linalg.solve(mixed, total) / 60
    np.testing.assert_allclose(influence.given(drop).T @ np.ones(60), expected)


def logistic(n, scale, seed=0):
    rng = np.random.default_rng(seed)
    A = np.c_[rng.standard_normal((n, 20)), np.ones(n)]
    y = (rng.random(n) < 1 / (1 + np.exp(-scale * A[:, 0]))).astype(np.int64)
    objective = HeadObjective(A, y[:, None].astype(float), BinaryCrossEntropy(), 1e-4)
    return objective, y


def test_few_reference_rows_are_damped_by_cross_validation():
    few, y_few = logistic(40, 2.0)
    many, y_many = logistic(4000, 2.0)
    theta = np.zeros(few.shape)
    of_few = fit_reference_head(few, theta, y_few, is_labels=True)
    of_many = fit_reference_head(many, theta, y_many, is_labels=True)
    assert of_few.objective.damping > of_many.objective.damping >= 1e-4
    assert of_few.objective.damping in [1e-4 * 10.0**k for k in range(5)]
    np.testing.assert_allclose(
        of_few.fit.theta,
        LogisticRegression(C=1 / (40 * of_few.objective.damping), fit_intercept=False, tol=1e-10)
        .fit(few.design, y_few)
        .coef_,
        atol=1e-4,
    )


def test_the_score_is_of_rows_held_out():
    objective, y = logistic(40, 0.0)
    head = fit_reference_head(objective, np.zeros(objective.shape), y, is_labels=True)
    # Labels that are chance: a head that had seen a row would know it.
    assert head.score < 0.75
    assert head.held_out.shape == (40, 1)
    objective, y = logistic(2000, 5.0)
    head = fit_reference_head(objective, np.zeros(objective.shape), y, is_labels=True)
    assert head.score == ((head.held_out[:, 0] > 0) == y).mean() > 0.85


def test_numbers_are_scored_by_r2_and_tiny_classes_take_plain_folds():
    _, reference = least_squares()
    head = fit_reference_head(reference, np.zeros((1, 4)), reference.targets[:, 0], is_labels=False)
    assert 0.9 < head.score < 1
    objective, y = logistic(12, 1.0)
    y[:] = 0
    y[0] = 1
    fit_reference_head(objective, np.zeros(objective.shape), y, is_labels=True)


def test_classes_keep_the_shares_aimed_at_and_groups_theirs_of_a_class():
    y = np.repeat(["a", "b"], [60, 40])
    request = Request(0.5, None, "class", 0.0)
    terms = make_terms(100, y)
    assert class_quota(terms.counts(), request, np.array([0.8, 0.2])) == {"a": 40, "b": 10}
    # There are no more.
    assert class_quota(terms.counts(), request, np.array([0.1, 0.9])) == {"a": 10, "b": 40}
    keep = np.arange(100) >= 75
    terms = make_terms(100, y, must_keep=keep)
    assert class_quota(terms.counts(), request, np.array([0.8, 0.2])) == {"a": 25, "b": 25}
    groups = np.tile(["x", "x", "x", "y"], 25)
    terms = make_terms(100, y, groups=groups)
    quota = class_quota(terms.counts(), request, np.array([0.8, 0.2]))
    assert quota[("a", "x")] + quota[("a", "y")] == 40
    assert quota[("a", "x")] == 30


@pytest.fixture(scope="module")
def noisy():
    """Rows of two classes, a quarter of the first with the label of the other; and right ones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((900, 4))
    right = (X[:, 0] + 0.5 * X[:, 1] ** 2 + 0.3 * rng.standard_normal(900) > 0.5).astype(int)
    y = right.copy()
    y[:700][(right[:700] == 0) & (rng.random(700) < 0.25)] = 1
    return X[:700], y[:700], right[:700], X[700:], right[700:]


def test_the_class_shares_are_those_of_right_labels(noisy):
    X, y, right, X_ref, y_ref = noisy
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0).fit(X, y, X_ref=X_ref, y_ref=y_ref)
    assert y.mean() - right.mean() > 0.1
    assert y[pruner.support_].mean() == pytest.approx(right.mean(), abs=0.04)
    assert pruner.certificate_.reference_similarity > 0.7
    kept_wrong = (y != right)[pruner.support_].mean()
    assert kept_wrong < 0.4 * (y != right).mean()
    certificate = pruner.certificate_
    assert certificate.distribution_error < certificate.random_distribution_error / 2
    assert certificate.n_suspect > 0 and certificate.n_suspect_kept == 0


def test_of_another_population_the_reference_rows_own_distribution_is_aimed_at(noisy):
    X, _, right, X_ref, y_ref = noisy
    elsewhere = X_ref[:, 2] > 0.7
    pruner = InfluencePruner(prune_ratio=0.8, random_state=0).fit(
        X, right, X_ref=X_ref[elsewhere], y_ref=y_ref[elsewhere]
    )
    assert pruner.certificate_.reference_similarity < 0.5
    assert X[pruner.support_, 2].mean() > 0.5 * X_ref[elsewhere, 2].mean()


def test_weights_make_the_reference_head_stationary(noisy):
    X, y, _, X_ref, y_ref = noisy
    pruner = InfluencePruner(prune_ratio=0.3, damping=1e-2, reweight=True, random_state=0)
    pruner.fit(X, y, X_ref=X_ref, y_ref=y_ref)
    certificate = pruner.certificate_
    assert certificate.actual_change < 1e-10
    mean, scale = X_ref.mean(axis=0), X_ref.std(axis=0)
    A, A_ref = (np.c_[(table - mean) / scale, np.ones(len(table))] for table in (X, X_ref))

    def head(rows, target, weights):
        C = 1 / (certificate.reference_damping * weights.sum())
        model = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, solver="newton-cholesky")
        return model.fit(rows, target, sample_weight=weights).coef_

    expected = head(A_ref, y_ref, np.ones(len(A_ref)))
    kept = pruner.support_
    np.testing.assert_allclose(head(A[kept], y[kept], pruner.sample_weight_), expected, atol=1e-5)


def test_numbers_have_reference_rows_too(noisy):
    X, _, _, X_ref, _ = noisy
    truth, truth_ref = X[:, 0] + X[:, 1], X_ref[:, 0] + X_ref[:, 1]
    rng = np.random.default_rng(1)
    y = truth + 0.1 * rng.standard_normal(len(X))
    wrong = rng.random(len(X)) < 0.3
    y[wrong] += 3.0
    y_ref = truth_ref + 0.1 * rng.standard_normal(len(X_ref))
    model = {}
    for name, options in (("plain", {}), ("led", {"X_ref": X_ref, "y_ref": y_ref})):
        pruner = InfluencePruner(prune_ratio=0.5, random_state=0).fit(X, y, **options)
        kept = pruner.support_
        model[name] = Ridge(alpha=1e-3).fit(X[kept], y[kept])
    error = {name: np.abs(fitted.predict(X) - truth).mean() for name, fitted in model.items()}
    assert error["led"] < error["plain"] / 3
    assert pruner.certificate_.reference_score > 0.95
    assert wrong[kept].mean() < wrong.mean() / 2
