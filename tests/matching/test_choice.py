"""How much the distribution counts, and of which groups."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import sklearn_prune.matching.choice as module
from sklearn_prune import InfluencePruner
from sklearn_prune.matching import choose_rows
from sklearn_prune.matching.choice import distribution_weight
from sklearn_prune.selection import Request, make_terms

CALM = {"damping": 1e-2, "random_state": 0}
MANY, LED, FEW = 2.0, 1.0, 0.3


@pytest.fixture
def weights(monkeypatch):
    """A list that grows by the weight of each problem that is made to be solved."""
    make_problem, seen = module.make_problem, []

    def recorded(*args, **options):
        seen.append(args[-1])
        return make_problem(*args, **options)

    monkeypatch.setattr(module, "make_problem", recorded)
    return seen


# A head of 3 classes on 4 columns and a bias has 15 parameters: 75 of 150 rows are five for each.
@pytest.mark.parametrize(
    ("prune_ratio", "expected"), [(0.0, MANY), (0.5, MANY), (76 / 150, FEW), (0.9, FEW)]
)
def test_auto_depends_on_the_rows_kept_for_each_parameter(iris_pruner, prune_ratio, expected):
    request = Request(prune_ratio, None, "class", "auto")
    assert distribution_weight(request, iris_pruner.influence_) == expected


def test_a_tolerance_and_costs_have_the_smaller_weight(iris_pruner):
    influence = iris_pruner.influence_
    within = Request("auto", 1e-3, "class", "auto")
    assert distribution_weight(within, influence) == FEW
    ratio = Request(0.1, None, "class", "auto")
    assert distribution_weight(ratio, influence) == MANY
    assert distribution_weight(ratio, influence, has_cost=True) == FEW


def test_where_reference_rows_lead_it_is_one_at_least(iris_pruner):
    influence = iris_pruner.influence_
    for prune_ratio, expected in ((0.1, MANY), (0.9, LED)):
        request = Request(prune_ratio, None, "class", "auto")
        assert distribution_weight(request, influence, is_led=True) == expected
    request = Request(0.9, None, "class", 0.1)
    assert distribution_weight(request, influence, is_led=True) == 0.1


def test_of_several_networks_the_largest_counts(iris):
    X, y = iris
    features = np.random.default_rng(0).standard_normal((150, 9))
    stack = InfluencePruner(None, features=features, **CALM).fit(X, y).influence_
    # 15 and 30 parameters: 75 rows are enough for each of the one, 150 for each of the other.
    for prune_ratio, expected in [(0.0, MANY), (0.5, FEW)]:
        request = Request(prune_ratio, None, "class", "auto")
        assert distribution_weight(request, stack) == expected


@pytest.mark.parametrize("weight", [0, 0.3, 1, 7.5])
@pytest.mark.parametrize("prune_ratio", [0.1, 0.9])
def test_a_number_is_taken_as_it_is(iris_pruner, weight, prune_ratio):
    request = Request(prune_ratio, None, "class", weight)
    assert distribution_weight(request, iris_pruner.influence_) == weight


@pytest.mark.parametrize(("given", "expected"), [("auto", (MANY, FEW)), (1.5, (1.5, 1.5))])
def test_fit_and_select_hold_it_alike(iris, weights, given, expected):
    pruner = InfluencePruner(prune_ratio=0.4, distribution_weight=given, **CALM).fit(*iris)
    again = pruner.select()
    fewer = pruner.select(prune_ratio=0.8)
    assert weights == [expected[0], expected[0], expected[1]]
    np.testing.assert_array_equal(again, pruner.support_)
    alone = InfluencePruner(prune_ratio=0.8, distribution_weight=given, **CALM).fit(*iris)
    np.testing.assert_array_equal(fewer, alone.support_)


@pytest.mark.parametrize(("prune_ratio", "expected"), [(0.4, MANY), (0.8, FEW)])
def test_auto_chooses_what_its_number_does(iris, prune_ratio, expected):
    auto, number = (
        InfluencePruner(prune_ratio=prune_ratio, distribution_weight=weight, **CALM).fit(*iris)
        for weight in ("auto", expected)
    )
    np.testing.assert_array_equal(auto.support_, number.support_)
    assert auto.certificate_.distribution_error == number.certificate_.distribution_error


def test_more_of_it_moves_the_distribution_less(iris):
    none, little, much = (
        InfluencePruner(prune_ratio=0.5, distribution_weight=weight, **CALM).fit(*iris)
        for weight in (0, 0.3, 10)
    )
    assert np.isnan(none.certificate_.distribution_error)
    assert much.certificate_.distribution_error < little.certificate_.distribution_error
    assert little.certificate_.predicted_change < much.certificate_.predicted_change
    # The distribution of the rows that hold the network alone, by the embedding of the others.
    factor = 150 / none.support_.sum()
    alone = factor * np.linalg.norm(little.matched_.balance[0].T @ ~none.support_)
    assert little.certificate_.distribution_error < alone


def test_groups_are_told_apart_in_each_class(iris):
    X, y = iris
    groups = np.where(np.arange(150) % 5 == 0, "few", "many")
    apart = InfluencePruner(prune_ratio=0.5, **CALM).fit(X, y, groups=groups)
    alike = InfluencePruner(prune_ratio=0.5, **CALM).fit(X, y)
    strata = 2 * y + (groups == "many")
    np.testing.assert_array_equal(apart.matched_.balance[0].labels, np.eye(6)[strata])
    np.testing.assert_array_equal(alike.matched_.balance[0].labels, np.eye(3)[y])
    # What a head of the classes is held by does not know of groups.
    np.testing.assert_array_equal(
        apart.matched_.balance[1].labels, alike.matched_.balance[1].labels
    )


def test_groups_are_told_apart_beside_numbers():
    X, y = load_diabetes(return_X_y=True)
    X, y, groups = X[:90], y[:90] + 0.5, np.arange(90) % 3
    pruner = InfluencePruner(prune_ratio=0.5, **CALM).fit(X, y, groups=groups)
    labels = pruner.matched_.balance[0].labels
    np.testing.assert_array_equal(labels[:, :3], np.eye(3)[groups])
    np.testing.assert_allclose(labels[:, 3], (y - y.mean()) / y.std(), rtol=1e-5, atol=1e-6)


def test_each_group_keeps_its_distribution():
    rng = np.random.default_rng(0)
    # Two groups that lie apart in a column, within each class.
    X, y, groups = rng.standard_normal((240, 2)), np.arange(240) % 2, np.arange(240) % 4 // 2
    X[:, 1] += 4 * groups
    pruner = InfluencePruner(prune_ratio=0.5, **CALM).fit(X, y, groups=groups)
    certificate, support = pruner.certificate_, pruner.support_
    assert certificate.distribution_error < 0.9 * certificate.random_distribution_error
    terms = make_terms(240, y, groups=groups)
    request = Request(0.5, None, "class", "auto")
    share = choose_rows(pruner.matched_, terms, request).problem.kept_share
    errors = []
    for stratum in range(4):
        members = 2 * y + groups == stratum
        aim = np.average(X[members], axis=0, weights=share[members])
        errors.append(X[members & support].mean(axis=0) - aim)
    # Means of 30 of 60 random rows are off by 0.13 in each column.
    assert np.sqrt(np.mean(np.square(errors))) < 0.09
