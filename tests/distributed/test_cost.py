"""Costs of rows in partitions: what dropping them saves, among sets of nearly equal change."""

import numpy as np
import pytest

from sklearn_prune import InfluencePruner
from tests.distributed.conftest import in_parts
from tests.distributed.test_fit import PARTS, N, fitted, rows  # noqa: F401


@pytest.fixture(scope="module")
def cost():
    return np.random.default_rng(3).exponential(size=N)


@pytest.fixture(scope="module")
def costly(rows, cost):  # noqa: F811
    return fitted(*rows, fit_params={"sample_cost": cost})


def test_the_costliest_rows_go_as_in_memory(rows, cost, costly):  # noqa: F811
    theirs = InfluencePruner(prune_ratio=0.8, random_state=0).fit(*rows, sample_cost=cost)
    kept, expected = (cost[p.get_support(indices=True)].mean() for p in (costly, theirs))
    assert cost.mean() - kept > 0.9 * (cost.mean() - expected) > 0


def test_rows_and_distribution_are_matched_with_costs_as_well(rows, costly):  # noqa: F811
    certificate, support = costly.certificate_, costly.support_.compute()
    assert certificate.predicted_change < 0.1 * certificate.random_change
    assert certificate.distribution_error < certificate.random_distribution_error
    assert certificate.distribution_tilt == pytest.approx(0, abs=1e-9)
    assert support.sum() == N - round(0.8 * N)
    for label in np.unique(rows[1]):
        members = rows[1] == label
        assert abs(support[members].sum() - 0.2 * members.sum()) < 1


def test_costs_below_zero_are_not_taken_for_savings(rows, cost):  # noqa: F811
    support = fitted(*rows, fit_params={"sample_cost": -cost}).support_.compute()
    assert cost[~support].mean() < cost[support].mean()


def test_neither_unit_nor_origin_of_costs_matters(rows, cost, costly):  # noqa: F811
    again = fitted(*rows, fit_params={"sample_cost": 4 * cost + 8})
    np.testing.assert_array_equal(again.get_support(indices=True), costly.get_support(indices=True))


def test_costs_may_be_in_memory(rows, cost, costly):  # noqa: F811
    X, y = (in_parts(values, PARTS) for values in rows)
    again = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, y, sample_cost=cost)
    np.testing.assert_array_equal(again.get_support(indices=True), costly.get_support(indices=True))


def test_one_partition_keeps_the_rows_that_are_kept_in_memory(rows, cost):  # noqa: F811
    alone = fitted(*rows, parts=(0, N), fit_params={"sample_cost": cost})
    in_memory = InfluencePruner(prune_ratio=0.8, random_state=0).fit(*rows, sample_cost=cost)
    np.testing.assert_array_equal(alone.get_support(indices=True), in_memory.sample_indices_)


def test_a_cost_that_is_no_number_is_refused_with_its_partition(rows, cost):  # noqa: F811
    broken = np.where(np.arange(N) == 250, np.nan, cost)
    with pytest.raises(ValueError, match="In partition 2: .*sample_cost"):
        fitted(*rows, fit_params={"sample_cost": broken})
