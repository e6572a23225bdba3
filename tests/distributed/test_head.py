import numpy as np
import pytest

from sklearn_prune import InfluencePruner
from sklearn_prune.distributed import Partitioned, column_moments, first_pass, head
from sklearn_prune.distributed.head import SummedObjective
from sklearn_prune.distributed.survey import survey
from sklearn_prune.influence import HeadObjective, refit_head
from tests.distributed.conftest import LENGTHS, in_parts


@pytest.fixture(params=["classes", "numbers"])
def both(request, table):
    """A head over partitions, and the same over all rows in memory."""
    X, labels = table
    y = labels if request.param == "classes" else X[:, 0] + X[:, 1] ** 2
    weight = np.random.default_rng(1).random(len(X)) + 0.1
    partitioned = Partitioned.of(in_parts(X), in_parts(y), sample_weight=in_parts(weight))
    known = survey(first_pass(InfluencePruner(), partitioned, None, column_moments), None, 0)
    # The sample holds all rows, in their order.
    rows = known.sample
    whole = HeadObjective(
        rows.design,
        rows.targets,
        known.reader.loss,
        1e-2,
        rows.sample_weight,
        n_outputs=known.reader.n_outputs,
    )
    return known, whole


def summed_over(known, whole, support=None):
    return SummedObjective(known.partitioned, known.reader, 1e-2, whole.n_features, support)


def test_its_sums_are_the_objective_of_all_rows(both):
    known, whole = both
    summed = summed_over(known, whole)
    theta = np.random.default_rng(0).standard_normal(whole.shape)
    value, gradient = whole.value_and_gradient(theta)
    assert summed.value_and_gradient(theta)[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(summed.gradient(theta), gradient, atol=1e-12)
    np.testing.assert_allclose(summed.hessian(theta), whole.hessian(theta), atol=1e-12)
    assert summed.gradient_scale(theta) == pytest.approx(whole.gradient_scale(theta))


@pytest.mark.parametrize("most_here", [0, 90])
def test_with_a_mask_they_are_those_of_the_rows_kept(both, most_here, monkeypatch):
    monkeypatch.setattr(head, "SAMPLE_ROWS", most_here)
    known, whole = both
    support = np.arange(90) % 3 == 0
    # No row of the last partition.
    support[70:] = False
    masks = np.split(support, np.cumsum([n for n in LENGTHS if n])[:-1])
    summed = summed_over(known, whole, masks)
    kept, theta = whole.subset(support), np.zeros(whole.shape)
    np.testing.assert_allclose(summed.gradient(theta), kept.gradient(theta), atol=1e-12)
    np.testing.assert_allclose(summed.hessian(theta), kept.hessian(theta), atol=1e-12)
    assert summed.gradient_scale(theta) == pytest.approx(kept.gradient_scale(theta))
    np.testing.assert_allclose(refit_head(summed).theta, refit_head(kept).theta, atol=1e-7)


def test_few_rows_cost_one_pass(both):
    known, whole = both
    masks = [np.arange(n) % 3 == 0 for n in LENGTHS if n]
    before = known.partitioned.traffic.n_passes
    refit_head(summed_over(known, whole, masks))
    assert known.partitioned.traffic.n_passes == before + 1


def test_a_point_costs_one_pass(both):
    known, whole = both
    summed = summed_over(known, whole)
    before, theta = known.partitioned.traffic.n_passes, np.zeros(whole.shape)
    summed.value_and_gradient(theta)
    summed.hessian(theta)
    assert known.partitioned.traffic.n_passes == before + 1
