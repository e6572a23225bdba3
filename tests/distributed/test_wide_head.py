"""A head that is too wide for a dense Hessian, over partitions and in memory."""

import numpy as np
import pytest

from sklearn_prune import InfluencePruner
from sklearn_prune.distributed import head
from sklearn_prune.influence import WideHeadInfluence, limits
from tests.distributed.test_fit import PARTS, N, fitted, in_parts, rows  # noqa: F401
from tests.distributed.test_head import both, summed_over  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def wide():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "DENSE_PARAMS", 3)
        # No rows are few enough to bring them here.
        patch.setattr(head, "SAMPLE_ROWS", 0)
        yield


@pytest.fixture(scope="module")
def pruner(rows):  # noqa: F811
    return fitted(*rows)


@pytest.fixture(scope="module")
def in_memory(rows):  # noqa: F811
    return InfluencePruner(prune_ratio=0.8, random_state=0).fit(*rows)


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_the_changes_are_those_in_memory(rows, norm):  # noqa: F811
    options = {"norm": norm, "distribution_weight": 0}
    pruner = fitted(*rows, **options)
    influence = InfluencePruner(prune_ratio=0.8, **options).fit(*rows).influence_
    assert isinstance(influence, WideHeadInfluence)
    forecast, certificate = influence.forecast(~pruner.get_support().compute()), pruner.certificate_
    assert certificate.predicted_change == pytest.approx(forecast.first_order, rel=1e-2)
    assert certificate.kept_hessian_change == pytest.approx(forecast.kept_hessian, rel=1e-2)
    assert certificate.actual_change == pytest.approx(forecast.refitted, rel=1e-2)
    assert certificate.curvature == "kronecker"


def test_weights_of_the_rows_kept_hold_it(rows):  # noqa: F811
    pruner = fitted(*rows, reweight=True)
    influence = InfluencePruner(prune_ratio=0.8, random_state=0).fit(*rows).influence_
    share = np.ones(N)
    share[pruner.sample_indices_] = 1 - pruner.sample_weight_.compute()
    assert influence.refitted_change(share) < 1e-6 * influence.refitted_change(share == 1)


def test_the_norms_are_those_in_memory(pruner, in_memory):
    norms = pruner.influence_norms_.compute()
    np.testing.assert_allclose(norms, in_memory.influence_norms_, rtol=1e-3)


def test_it_matches_as_well_as_in_memory(rows, pruner, in_memory):  # noqa: F811
    # With so few rows, the change depends tenfold on the seed.
    lazy, seeds = [in_parts(values, PARTS) for values in rows], range(4)
    pruners = [InfluencePruner(prune_ratio=0.8, random_state=seed) for seed in seeds]
    here, there = (
        np.mean([p.fit(*of_rows).certificate_.actual_change for p in pruners])
        for of_rows in (lazy, rows)
    )
    assert here <= 1.5 * there
    ours, theirs = pruner.certificate_, in_memory.certificate_
    assert ours.distribution_error <= 1.5 * theirs.distribution_error
    assert ours.distribution_tilt == pytest.approx(theirs.distribution_tilt, rel=0.3)
    assert ours.random_change == pytest.approx(theirs.random_change, rel=0.05)
    assert ours.coordinate_error == pytest.approx(theirs.coordinate_error, rel=0.05)


def test_one_partition_gives_the_fit_in_memory(rows, in_memory):  # noqa: F811
    alone = fitted(*rows, parts=(0, N))
    np.testing.assert_array_equal(alone.get_support(indices=True), in_memory.sample_indices_)


def test_the_rows_are_the_same_on_a_cluster(rows, pruner, client):  # noqa: F811
    again = fitted(*rows)
    np.testing.assert_array_equal(again.get_support(indices=True), pruner.get_support(indices=True))
    assert again.certificate_.n_passes == pruner.certificate_.n_passes > 0


def test_few_directions_of_it_are_enough_for_the_draw(rows, monkeypatch):  # noqa: F811
    monkeypatch.setattr("sklearn_prune.distributed.draw._N_DIRECTIONS", 4)
    certificate = fitted(*rows).certificate_
    assert certificate.actual_change < 0.2 * certificate.random_actual_change


def test_its_fit_is_that_in_memory(both):  # noqa: F811
    known, whole = both
    summed = summed_over(known, whole)
    fit = summed.minimised(np.zeros(whole.shape))
    assert fit.converged
    expected = WideHeadInfluence(whole, fit.theta)
    assert fit.gradient_norm == pytest.approx(np.linalg.norm(whole.gradient(fit.theta)), abs=1e-12)
    delta = np.random.default_rng(0).standard_normal(whole.n_params)
    hessian = summed.exact(fit.theta, summed.curvature(fit.theta))
    np.testing.assert_allclose(hessian.solve(delta), expected.hessian.solve(delta), rtol=1e-2)
    assert hessian.quadratic_form(delta) == pytest.approx(expected.hessian.quadratic_form(delta))


def test_products_are_many_where_the_rows_are_here(both, monkeypatch):  # noqa: F811
    known, whole = both
    theta = np.zeros(whole.shape)
    masks = [np.arange(n) % 2 == 0 for n in known.partitioned.lengths]
    most = []
    for most_here in (0, known.partitioned.n_samples):
        monkeypatch.setattr(head, "SAMPLE_ROWS", most_here)
        summed = summed_over(known, whole, masks)
        most.append(summed.exact(theta, summed.curvature(theta)).max_iter)
    assert most == [50, 500]


def test_a_tolerance_is_refused_since_its_change_is_approximate(rows):  # noqa: F811
    with pytest.raises(ValueError, match="tolerance bounds the change.*only approximately"):
        fitted(*rows, prune_ratio="auto", tolerance=0.1)
