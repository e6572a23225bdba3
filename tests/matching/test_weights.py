"""Weights of the kept rows: against general solvers, closed forms and refits by scikit-learn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import scale

from sklearn_prune import InfluencePruner
from sklearn_prune.matching.weights import (
    WEIGHT_BOUNDS,
    ScaledPart,
    ScaledRows,
    kept_weights,
    near_one,
)

CALM = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0}


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture(scope="module")
def weighted(diabetes):
    return InfluencePruner(**CALM, reweight=True).fit(*diabetes)


@pytest.fixture(scope="module")
def plain(diabetes):
    return InfluencePruner(**CALM).fit(*diabetes)


def standard_normal(seed, n, *widths):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, width)) for width in widths]


def by_a_general_solver(Z, B, wanted, strength):
    """The same problem by sequential quadratic programming, in float64."""
    n = len(Z)
    columns = np.c_[np.ones(n), Z]

    def objective(v):
        sums = B.T @ v - wanted
        return 0.5 * np.sum((v - 1) ** 2) + 0.5 * strength * sums @ sums

    def gradient(v):
        return v - 1 + strength * B @ (B.T @ v - wanted)

    result = minimize(
        objective,
        np.ones(n),
        jac=gradient,
        bounds=[WEIGHT_BOUNDS] * n,
        constraints={
            "type": "eq",
            "fun": lambda v: columns.T @ v - np.r_[n, np.zeros(Z.shape[1])],
            "jac": lambda v: columns.T,
        },
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    return result.x if result.success else None


def can_be_met(Z):
    """Whether some weights within the bounds meet the equalities: a linear program."""
    n = len(Z)
    columns = np.c_[np.ones(n), Z]
    wanted = np.r_[n, np.zeros(Z.shape[1])]
    return linprog(np.zeros(n), A_eq=columns.T, b_eq=wanted, bounds=WEIGHT_BOUNDS).status == 0


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(20, 40), k=st.integers(1, 4), m=st.integers(0, 5))
def test_weights_are_those_of_a_general_solver(seed, n, k, m):
    Z, B = standard_normal(seed, n, k, m)
    wanted = np.random.default_rng(seed).standard_normal(m)
    expected = by_a_general_solver(Z, B, wanted, 0.1) if can_be_met(Z) else None
    if expected is None:
        return
    weights = near_one(Z, B, wanted, strength=0.1)
    np.testing.assert_allclose(weights, expected, atol=2e-4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(30, 200), k=st.integers(1, 5))
def test_the_sum_is_zero_where_that_can_be(seed, n, k):
    (Z,) = standard_normal(seed, n, k)
    # Rows that were chosen: their sum is small.
    Z -= 0.95 * Z.mean(axis=0)
    weights = near_one(Z, np.zeros((n, 0)))
    assert weights.min() >= WEIGHT_BOUNDS[0] and weights.max() <= WEIGHT_BOUNDS[1]
    assert weights.mean() == pytest.approx(1, abs=1e-9)
    assert np.linalg.norm(Z.T @ weights) < 1e-9 * n


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_what_cannot_be_zero_is_made_smaller_within_the_bounds(seed):
    (Z,) = standard_normal(seed, 30, 2)
    Z += 5.0
    assert not can_be_met(Z)
    weights = near_one(Z, np.zeros((30, 0)))
    assert weights.min() >= WEIGHT_BOUNDS[0] and weights.max() <= WEIGHT_BOUNDS[1]
    assert weights.mean() == pytest.approx(1, abs=1e-9)
    assert np.linalg.norm(Z.T @ weights) < np.linalg.norm(Z.sum(axis=0))


def test_nothing_is_weighed_that_sums_to_zero_already():
    Z = np.r_[np.eye(4), -np.eye(4)]
    np.testing.assert_allclose(near_one(Z, np.zeros((8, 0))), 1.0, atol=1e-9)


def test_rows_are_products_of_scaled_matrices():
    A, B = standard_normal(0, 9, 2, 3)
    rows = np.array([1, 4, 7])
    side_by_side = ScaledRows([ScaledPart.of(M[rows], M) for M in (A, B)])
    expected = np.hstack([M[rows] / np.sqrt(np.mean(np.sum(M**2, axis=1))) for M in (A, B)])
    np.testing.assert_allclose(side_by_side @ np.eye(5), expected)
    np.testing.assert_allclose(side_by_side.T @ np.eye(3), expected.T)


def test_least_squares_on_the_weighted_rows_is_that_of_all_rows():
    X, y = load_diabetes(return_X_y=True)
    pruner = InfluencePruner(prune_ratio=0.8, random_state=0, reweight=True).fit(X, y)
    A, t = scale(X), (y - y.mean()) / y.std()
    A = np.c_[A, np.ones(len(A))]
    kept, weights = pruner.sample_indices_, pruner.sample_weight_

    def solution(rows, v):
        # The loss is the squared error, and the penalty half of damping.
        return (
            Ridge(alpha=1e-4 / 2 * v.sum(), fit_intercept=False, solver="cholesky")
            .fit(A[rows], t[rows], sample_weight=v)
            .coef_
        )

    everything = solution(np.arange(len(A)), np.ones(len(A)))
    np.testing.assert_allclose(solution(kept, weights), everything, atol=1e-10)
    assert np.abs(solution(kept, np.ones(len(kept))) - everything).max() > 1e-3
    assert pruner.certificate_.actual_change < 1e-20


def test_logistic_regression_on_the_weighted_rows_is_that_of_all_rows():
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :4]
    pruner = InfluencePruner(**CALM, reweight=True).fit(X, y)
    A = np.c_[scale(X), np.ones(len(X))]

    def solution(rows, v):
        model = LogisticRegression(
            C=1 / (1e-2 * v.sum()), fit_intercept=False, tol=1e-12, solver="newton-cholesky"
        )
        return model.fit(A[rows], y[rows], sample_weight=v).coef_

    everything = solution(np.arange(len(A)), np.ones(len(A)))
    weighted = solution(pruner.sample_indices_, pruner.sample_weight_)
    np.testing.assert_allclose(weighted, everything, atol=1e-6)
    assert pruner.certificate_.actual_change < 1e-10


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_weights_multiply_those_of_the_user(norm):
    X, y = load_diabetes(return_X_y=True)
    given = np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    pruner = InfluencePruner(**CALM, norm=norm, reweight=True).fit(X, y, sample_weight=given)
    influence, kept = pruner.influence_, pruner.sample_indices_
    objective = influence.objective.subset(kept)
    objective.sample_weight = given[kept] * pruner.sample_weight_
    objective.weight_sum = objective.sample_weight.sum()
    assert np.linalg.norm(objective.gradient(influence.theta)) < 1e-10


def test_the_certificate_speaks_of_the_weighted_rows(diabetes, plain, weighted):
    y, pruner = diabetes[1], weighted
    np.testing.assert_array_equal(pruner.support_, plain.support_)
    v, certificate = pruner.sample_weight_, pruner.certificate_
    assert v.mean() == pytest.approx(1)
    assert (certificate.least_weight, certificate.greatest_weight) == (v.min(), v.max())
    assert certificate.effective_rows == pytest.approx(v.sum() ** 2 / (v @ v))
    assert f"worth {certificate.effective_rows:.0f} rows" in repr(certificate)
    assert max(certificate.predicted_change, certificate.actual_change) < 1e-20
    assert certificate.random_actual_change == plain.certificate_.random_actual_change
    # By the triangle inequality it cannot be further off than the weights move it.
    B = pruner.matched_.balance[0].rows(np.arange(len(y))).astype(np.float64)[pruner.support_]
    moved = len(y) * np.linalg.norm((v - 1) @ B) / len(v)
    off = certificate.distribution_error - plain.certificate_.distribution_error
    assert 0 < abs(off) <= moved
    without = plain.certificate_
    assert (without.least_weight, without.greatest_weight) == (1, 1)
    assert without.effective_rows == without.n_kept
    assert "worth" not in repr(without)


def test_where_rows_cannot_hold_the_head_weights_stay_near_one():
    X, y = load_breast_cancer(return_X_y=True)
    pruner = InfluencePruner(prune_ratio=0.95, random_state=0, reweight=True).fit(X, y)
    assert len(pruner.sample_weight_) < pruner.certificate_.n_parameters
    assert pruner.sample_weight_.min() >= 0.5 and pruner.sample_weight_.max() <= 2
    assert pruner.sample_weight_.mean() == pytest.approx(1)
    assert pruner.certificate_.effective_rows > 0.9 * len(pruner.sample_weight_)


def test_a_head_that_cannot_be_held_is_held_better_where_weights_stay_worth_the_rows():
    X, y = (part[:300] for part in load_breast_cancer(return_X_y=True))
    pruner = InfluencePruner(prune_ratio=0.4, damping=1e-2, random_state=0, reweight=True).fit(X, y)
    share = np.ones(len(y))
    share[pruner.support_] = 1 - pruner.sample_weight_
    influence, certificate = pruner.influence_, pruner.certificate_
    assert certificate.effective_rows >= 0.95 * certificate.n_kept
    assert influence.retrained_change(share) < influence.retrained_change(~pruner.support_)


def test_any_rows_can_be_weighed_and_pickles_know_them(diabetes, plain, weighted):
    y, pruner = diabetes[1], weighted
    again = pickle.loads(pickle.dumps(pruner))
    np.testing.assert_array_equal(again.sample_weight_, pruner.sample_weight_)
    np.testing.assert_array_equal(again.weigh(pruner.support_), pruner.sample_weight_)
    other = pruner.select(prune_ratio=0.8)
    weights = pruner.weigh(other)
    total = pruner.influence_.gradients.sum(
        np.where(other, np.r_[weights, 0][np.cumsum(other) - 1], 0)
    )
    assert len(weights) == other.sum() and np.linalg.norm(total) < 1e-8
    assert not hasattr(plain, "sample_weight_")
    for wrong in (other[:-1], np.flatnonzero(other), np.zeros(len(y), dtype=bool)):
        with pytest.raises(ValueError, match=r"support must be a mask of the 442 training rows"):
            pruner.weigh(wrong)


def test_a_refit_of_more_damped_heads_moves_less_than_without_weights():
    X, y = load_diabetes(return_X_y=True)
    pruner = InfluencePruner(prune_ratio=0.8, random_state=0, reweight=True).fit(X, y)
    share = np.ones(len(y))
    share[pruner.support_] = 1 - pruner.sample_weight_
    damped = pruner.influence_.damped(100.0)
    assert damped.refitted_change(share) < damped.refitted_change(~pruner.support_)


def test_several_networks_are_held_together():
    X, y = load_diabetes(return_X_y=True)
    pruner = InfluencePruner([None, None], **CALM, reweight=True).fit(X, y)
    assert pruner.certificate_.n_networks == 2
    assert pruner.certificate_.actual_change < 1e-20
    weights = kept_weights(pruner.matched_, pruner.sample_indices_)
    np.testing.assert_array_equal(weights, pruner.sample_weight_)
