"""Which rows should stay with which probability."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from sklearn_prune import InfluencePruner
from sklearn_prune.matching import Table
from sklearn_prune.matching.allocation import (
    CrossFitted,
    Priorities,
    PriorityScale,
    kept_shares,
    row_priorities,
)
from sklearn_prune.selection import SelectionProblem


def priorities_of(X, y, **options):
    weight = np.ones(len(y))
    return row_priorities(Table([X], weight), y, weight, **options)


def test_rows_of_sparse_regions_have_more_odds():
    rng = np.random.default_rng(0)
    X = np.r_[0.1 * rng.standard_normal((900, 2)), 3 + rng.standard_normal((100, 2))]
    y = rng.standard_normal(1000)
    odds = priorities_of(X, y, is_labels=False).odds
    assert odds[900:].mean() > 3 * odds[:900].mean()


def test_rows_of_uncertain_targets_have_more_odds():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (2000, 2))
    y = X[:, 1] + np.where(X[:, 0] > 0, 2.0, 0.2) * rng.standard_normal(2000)
    odds = priorities_of(X, y, is_labels=False).odds
    assert odds[X[:, 0] > 0.2].mean() > 3 * odds[X[:, 0] < -0.2].mean()


def test_labels_that_their_neighbours_contradict_have_less_odds():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 2))
    y = (X[:, 0] > 0).astype(int)
    wrong = np.zeros(1000, dtype=bool)
    wrong[rng.choice(np.flatnonzero(np.abs(X[:, 0]) > 0.7), 60, replace=False)] = True
    y[wrong] = 1 - y[wrong]
    odds = priorities_of(X, y, is_labels=True).odds
    right = (np.abs(X[:, 0]) > 0.7) & ~wrong
    assert np.median(odds[wrong]) < 0.7 * np.median(odds[right])


@pytest.mark.parametrize("is_labels", [True, False])
def test_odds_are_positive_where_nothing_varies(is_labels):
    priorities = priorities_of(np.zeros((50, 3)), np.zeros(50, dtype=int), is_labels=is_labels)
    assert np.isfinite(priorities.odds).all() and (priorities.odds > 0).all()


def test_several_outputs_are_one_spread():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((300, 3)), rng.standard_normal((300, 2)) * [1.0, 1e6]
    priorities = priorities_of(X, Y, is_labels=False)
    assert priorities.odds.shape == (300,) and priorities.expected.shape == (300, 0)


@pytest.mark.parametrize("is_labels", [True, False])
def test_the_fast_factors_agree_with_the_exact_ones(is_labels):
    rng = np.random.default_rng(0)
    X, ones = rng.standard_normal((1500, 3)), np.ones(1500)
    noise = np.where(X[:, :1] > 0, 2.0, 0.2) * rng.standard_normal((1500, 1))
    y = (X[:, 0] > 0) * 1 if is_labels else X[:, 1:2] + noise
    # Half of the rows are fitted on, and the others are not.
    fitted, half = np.where(np.arange(1500) < 750, np.arange(1500), -1), slice(0, 750)
    table = Table([X], ones)
    scale = PriorityScale.fit(
        table.of([X[half]], ones[half]), y[half], ones[half], 10**6, is_labels=is_labels
    )
    exact = scale.factors(table, y, fitted)
    fast = replace(scale, is_fast=True).factors(table, y, fitted)
    np.testing.assert_allclose(fast.distance, exact.distance, rtol=1e-3)
    for name in ("spread", "belief"):
        ours, theirs = getattr(fast, name), getattr(exact, name)
        # Rows that were fitted on have one forest in both.
        np.testing.assert_allclose(ours[half], theirs[half])
        assert np.ptp(theirs) == 0 or np.corrcoef(ours[750:], theirs[750:])[0, 1] > 0.8


@pytest.mark.parametrize("kind", ["classes", "number", "numbers"])
def test_cross_fitted_forests_predict_what_scikit_learn_does(kind):
    rng = np.random.default_rng(0)
    X, codes = rng.standard_normal((90, 3)), np.arange(90) % 3
    y = {"classes": codes, "number": X[:, 0], "numbers": X[:, :2]}[kind]
    make = ExtraTreesClassifier if kind == "classes" else ExtraTreesRegressor
    # The second forest has not seen class 1.
    parts = [np.arange(30), np.flatnonzero(codes != 1)]
    table = Table([X], np.ones(90))
    rows = table[:]
    forests = tuple(make(5, random_state=0).fit(rows[part], y[part]) for part in parts)
    n_columns = {"classes": 3, "number": 1, "numbers": 2}[kind]

    def predicted(forest):
        values = np.zeros((90, n_columns))
        if kind != "classes":
            return forest.predict(rows).reshape(90, -1)
        values[:, forest.classes_] = forest.predict_proba(rows)
        return values

    first, second = map(predicted, forests)
    fold = np.where(np.arange(90) < 60, np.arange(90) // 30, -1)
    expected = np.r_[first[:30], second[30:60], (first[60:] + second[60:]) / 2]
    cross_fitted, every = CrossFitted(forests, fold, n_columns), np.arange(90)
    np.testing.assert_allclose(cross_fitted.predict(table, every, every), expected, atol=1e-12)


def problem_and_priorities(seed=0, n=2000, **options):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    y = (X[:, 0] + rng.standard_normal(n) > 0.5).astype(int)
    expected = 1 / (1 + np.exp(0.5 - X[:, :1]))
    Z = (y[:, None] - expected) * np.c_[np.ones(n), X]
    options = {"n_drop": n * 9 // 10, "groups": y, "quota": "proportional", **options}
    problem = SelectionProblem(Z - Z.mean(0), balance=[X - X.mean(0)], **options)
    distance, spread = np.exp(0.7 * X[:, 1]), np.exp(0.7 * X[:, 0])
    return problem, Priorities(distance, spread, np.ones(n), expected), y


def test_shares_hold_the_head_the_classes_and_follow_the_odds():
    problem, priorities, y = problem_and_priorities()
    shares = kept_shares(problem, priorities)
    assert shares.sum() == pytest.approx(200)
    assert ((shares >= 0) & (shares <= 1)).all()
    np.testing.assert_allclose(np.bincount(y, shares), problem.kept_range.counts(200), atol=1e-6)
    change = problem.coordinates.block(0)
    typical = np.sqrt(shares @ change.squared_norms)
    assert np.linalg.norm(change.total(shares)) < 0.1 * typical
    assert np.corrcoef(shares, priorities.odds)[0, 1] > 0.5


def test_shares_hold_classes_that_vary_far_more_than_each_of_many_coordinates():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((3000, 150))
    expected = 1 / (1 + np.exp(-4 * Z[:, :1]))
    even = np.ones(3000)
    problem = SelectionProblem(Z - Z.mean(axis=0), n_drop=2400, balance=[Z])
    odds = np.exp(Z[:, 0])
    shares = kept_shares(problem, Priorities(odds, even, even, expected))
    # Relative to what the odds alone would do.
    off, off_by_odds = (
        np.linalg.norm(share @ (expected - expected.mean()) / share.sum())
        for share in (shares, odds)
    )
    assert off < 0.02 * off_by_odds
    assert np.linalg.norm(shares @ (Z - Z.mean(axis=0))) < 0.1 * np.linalg.norm(
        600 / odds.sum() * odds @ (Z - Z.mean(axis=0))
    )


def test_decided_rows_have_share_one_and_zero():
    keep, drop = np.zeros((2, 2000), dtype=bool)
    keep[:20], drop[20:300] = True, True
    problem, priorities, _ = problem_and_priorities(must_keep=keep, must_drop=drop)
    shares = kept_shares(problem, priorities)
    assert (shares[keep] == 1).all() and (shares[drop] == 0).all()
    assert shares.sum() == pytest.approx(200)


def test_a_range_of_rows_to_keep_of_a_class_is_met():
    problem, priorities, y = problem_and_priorities(quota={1: (150, 180)})
    shares = kept_shares(problem, priorities)
    assert 150 - 1e-6 <= shares[y == 1].sum() <= 180 + 1e-6


def test_weight_zero_does_not_prefer_sparse_rows():
    rng = np.random.default_rng(0)
    X = np.r_[0.2 * rng.standard_normal((900, 2)), 2 + 2 * rng.standard_normal((100, 2))]
    y = X @ [1.0, 0.5] + 0.1 * rng.standard_normal(1000)
    far = np.arange(1000) >= 900

    def share_of_far(weight):
        pruner = InfluencePruner(prune_ratio=0.8, random_state=0, distribution_weight=weight)
        return far[pruner.fit(X, y).support_].mean()

    assert share_of_far("auto") > 1.5 * 0.1
    assert share_of_far(0.0) < 1.5 * 0.1


def test_rows_that_are_there_twice_have_no_more_odds():
    """However many these are: a floor of zero would not be one."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((500, 4)), rng.standard_normal(500)
    for n_twice in (20, 100, 480):
        X[:n_twice] = X[0]
        distance = priorities_of(X, y, is_labels=False).distance
        assert distance[:n_twice].max() <= distance[n_twice:].min()


@pytest.mark.parametrize(("n_rows", "spread"), [(33, 1.0), (130, 1.0), (130, 1e-2)])
def test_the_distance_is_the_mean_to_the_nearest_five(n_rows, spread):
    rng = np.random.default_rng(0)
    X = 7 + np.repeat(rng.standard_normal((n_rows // 10 + 1, 4)), 10, axis=0)[:n_rows]
    X += spread * rng.standard_normal(X.shape)
    rows = Table([X], np.ones(n_rows))[:].astype(np.float64)
    every = np.sort(np.linalg.norm(rows[:, None] - rows[None], axis=2), axis=1)
    expected = every[:, 1:6].mean(axis=1)
    found = priorities_of(X, X[:, 0], is_labels=False).distance
    # Very small distances are raised.
    typical = expected > np.quantile(expected, 0.05)
    np.testing.assert_allclose(found[typical], expected[typical], rtol=1e-5)


def test_rows_that_weigh_as_several_are_believed_as_much():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 2)), np.arange(400) % 2
    weight = np.where(y == 1, 9.0, 1.0)
    belief = row_priorities(Table([X], weight), y, weight, is_labels=True).belief
    assert belief[y == 1].mean() > 0.8 and belief[y == 0].mean() < 0.3


def masks(name, y):
    """Fit arguments under which no row is left to choose."""
    chosen = np.zeros(len(y), dtype=bool)
    chosen[::2] = True
    return {
        "must_drop": {"must_drop": chosen},
        "must_keep": {"must_keep": chosen},
        "weights": {"sample_weight": np.where(chosen, 1.0, 0.0)},
    }[name]


@pytest.mark.parametrize("name", ["must_drop", "must_keep", "weights"])
def test_masks_that_leave_no_choice_are_met(name):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = np.arange(200) // 2 % 2
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0).fit(X, y, **masks(name, y))
    assert pruner.support_.sum() == 100


def test_a_class_that_keeps_a_handful_of_rows_prefers_none():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 2)), np.repeat([0, 1], [360, 40])
    problem = SelectionProblem(
        X - X.mean(0), n_drop=360, balance=[X], groups=y, quota="proportional"
    )
    even = np.ones(400)
    shares = kept_shares(problem, Priorities(np.exp(X[:, 0]), even, even, np.zeros((400, 0))))
    np.testing.assert_allclose(shares[y == 1], 0.1)
    assert np.ptp(shares[y == 0]) > 0.05


def test_a_deadline_ends_the_calibration():
    problem, priorities, _ = problem_and_priorities()
    shares = kept_shares(problem, priorities, deadline=0.0)
    assert shares.sum() == pytest.approx(200)
