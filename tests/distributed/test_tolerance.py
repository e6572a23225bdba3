"""A tolerance over partitions: its promise by the definition in float64, and rows as in memory."""

import re

import numpy as np
import pytest

from sklearn_prune import InfluencePruner
from sklearn_prune.selection import InfeasibleProblemError
from tests.distributed.test_fit import N, fitted, influence_in_memory, rows  # noqa: F401


def within(rows, tolerance, **options):  # noqa: F811
    return fitted(*rows, prune_ratio="auto", tolerance=tolerance, **options)


@pytest.mark.parametrize(
    ("norm", "tolerance", "weight"), [("loss", 1e-3, 0), ("parameter", 0.1, 0), ("loss", 1e-2, 0.3)]
)
def test_the_change_of_the_rows_returned_is_within_the_tolerance(rows, norm, tolerance, weight):  # noqa: F811
    pruner = within(rows, tolerance, norm=norm, distribution_weight=weight)
    drop = ~pruner.support_.compute()
    oracle = influence_in_memory(*rows, norm=norm)
    assert drop.any()
    assert oracle.measure(oracle.first_order_step(drop)) <= tolerance * (1 + 1e-6)
    assert 0 < pruner.certificate_.predicted_change <= tolerance


def test_it_holds_with_the_weights_of_the_rows(rows):  # noqa: F811
    weight = np.random.default_rng(1).exponential(size=N) + 0.1
    params = {"sample_weight": weight}
    drop = ~within(rows, 1e-3, fit_params=params, distribution_weight=0).support_.compute()
    oracle = influence_in_memory(*rows, weight / weight.mean())
    assert drop.any()
    assert oracle.measure(oracle.first_order_step(drop)) <= 1e-3 * (1 + 1e-6)


def test_about_as_many_rows_go_as_in_memory(rows):  # noqa: F811
    ours = within(rows, 1e-3).certificate_
    theirs = InfluencePruner(prune_ratio="auto", tolerance=1e-3, random_state=0).fit(*rows)
    assert ours.n_kept <= 1.2 * theirs.certificate_.n_kept
    assert ours.n_kept < 0.1 * N
    assert ours.distribution_error <= ours.random_distribution_error
    assert ours.n_passes < 60


def test_each_class_keeps_its_share(rows):  # noqa: F811
    support = within(rows, 1e-5, distribution_weight=0).support_.compute()
    y, share = rows[1], support.mean()
    for label in np.unique(y):
        assert abs(support[y == label].sum() - share * (y == label).sum()) < 1


def test_one_partition_keeps_the_rows_that_are_kept_in_memory(rows):  # noqa: F811
    options = {"distribution_weight": 0}
    alone = within(rows, 1e-3, parts=(N,), **options)
    in_memory = InfluencePruner(prune_ratio="auto", tolerance=1e-3, random_state=0, **options)
    np.testing.assert_array_equal(
        alone.get_support(indices=True), in_memory.fit(*rows).sample_indices_
    )


def test_a_tolerance_that_nothing_meets_keeps_everything_and_says_what_would_do(rows):  # noqa: F811
    options = {"distribution_weight": 0}
    with pytest.warns(UserWarning, match="allows no row to be dropped.*smallest change") as caught:
        pruner = within(rows, 1e-30, **options)
    assert pruner.support_.compute().all()
    assert pruner.certificate_.status == "nothing to drop" and pruner.certificate_.gap == 0
    smallest = float(re.search(r"found is (\S+)\. To", str(caught[0].message))[1])
    named = float(re.search(r"raise tolerance to (\S+)\.$", str(caught[0].message))[1])
    assert smallest <= named
    assert 0 < within(rows, named, **options).support_.compute().sum() < N


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quota": {"a": 5}}, "that meet the quotas.*raise the tolerance to.*widen the quotas"),
        ({"fit_params": {"must_drop": np.arange(N) < 3}}, "that include the 3 rows of must_drop"),
    ],
)
def test_where_rows_must_go_and_none_meet_the_tolerance_it_says_why(rows, options, message):  # noqa: F811
    with pytest.raises(InfeasibleProblemError, match=message) as caught:
        within(rows, 1e-12, distribution_weight=0, **options)
    assert caught.value.tolerance == 1e-12 < caught.value.change


def test_rows_that_must_go_are_offset_by_others(rows):  # noqa: F811
    X, y = rows
    must_drop = (X[:, 0] > 1) & (np.arange(N) < 300)
    oracle, tolerance = influence_in_memory(X, y), 1e-4
    assert oracle.measure(oracle.first_order_step(must_drop)) > tolerance
    pruner = within(
        rows, tolerance, fit_params={"must_drop": must_drop}, quota=None, distribution_weight=0
    )
    drop = ~pruner.support_.compute()
    assert drop[must_drop].all()
    assert oracle.measure(oracle.first_order_step(drop)) <= tolerance * (1 + 1e-6)


def test_where_all_rows_must_stay_all_do(rows):  # noqa: F811
    params = {"must_keep": np.ones(N, dtype=bool)}
    with pytest.warns(UserWarning, match="allows no row .* no other set meets masks.*must_keep"):
        pruner = within(rows, 1e-3, fit_params=params, distribution_weight=0)
    assert pruner.support_.compute().all()


def test_where_all_rows_must_go_it_says_so(rows):  # noqa: F811
    params = {"must_drop": np.ones(N, dtype=bool)}
    with pytest.raises(InfeasibleProblemError, match="at least one row must stay"):
        within((rows[0], rows[0][:, 0]), 1e-3, fit_params=params)
