"""Weights of the rows kept of a collection, against those in memory and refits on all rows."""

import pickle

import numpy as np
import pytest

from sklearn_prune import InfluencePruner
from sklearn_prune.distributed import weights as weights_module
from sklearn_prune.matching import Table, embed_distribution
from tests.distributed.conftest import in_parts
from tests.distributed.test_fit import PARTS, N, fitted, influence_in_memory, rows  # noqa: F401

OWN = np.random.default_rng(1).random(N) + 0.5


@pytest.fixture(scope="module")
def weighted(rows):  # noqa: F811
    return fitted(*rows, reweight=True)


@pytest.fixture(scope="module")
def few(rows):  # noqa: F811
    """Fewer rows than parameters, so that no weights hold the head."""
    return fitted(*rows, prune_ratio=0.99, reweight=True)


def shares_dropped(pruner):
    share = np.ones(len(pruner.support_))
    share[pruner.sample_indices_] = 1 - pruner.sample_weight_.compute()
    return share


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("own", [None, OWN])
def test_the_head_of_all_rows_is_that_of_the_weighted_rows(rows, kind, own):  # noqa: F811
    X, labels = rows
    y = labels if kind == "classes" else X[:, 0] + X[:, 1] ** 2
    given = {} if own is None else {"sample_weight": own / own.mean()}
    pruner = fitted(X, y, reweight=True, fit_params=given)
    influence = influence_in_memory(X, y, given.get("sample_weight"))
    v = pruner.sample_weight_.compute()
    assert v.mean() == pytest.approx(1) and 0.5 <= v.min() < v.max() <= 2
    gradients = [
        influence.objective.subset(pruner.sample_indices_, factor).gradient(influence.theta)
        for factor in (v, 1.0)
    ]
    weighted, without = map(np.linalg.norm, gradients)
    assert weighted < 1e-7 < 1e-4 < without
    assert pruner.certificate_.actual_change < 1e-12


def test_the_rows_are_those_without_weights(rows, weighted):  # noqa: F811
    plain = fitted(*rows)
    np.testing.assert_array_equal(weighted.sample_indices_, plain.sample_indices_)
    assert not hasattr(plain, "sample_weight_")
    # One for each of the two heads with more damping.
    assert weighted.certificate_.n_passes == plain.certificate_.n_passes + 2


@pytest.mark.parametrize("options", [{}, {"distribution_weight": 0}])
def test_weights_are_those_of_the_same_rows_in_memory(rows, options):  # noqa: F811
    pruner = fitted(*rows, reweight=True, **options)
    in_memory = InfluencePruner(prune_ratio=0.8, random_state=0).fit(*rows)
    expected = in_memory.weigh(pruner.support_.compute())
    np.testing.assert_allclose(pruner.sample_weight_.compute(), expected, atol=1e-3)


def test_one_partition_gives_the_weights_in_memory(rows):  # noqa: F811
    alone = fitted(*rows, parts=(0, N), reweight=True)
    in_memory = InfluencePruner(prune_ratio=0.8, random_state=0, reweight=True).fit(*rows)
    np.testing.assert_array_equal(alone.sample_weight_.compute(), in_memory.sample_weight_)


def test_weights_of_a_sample_of_the_rows_hold_the_head_too(rows, monkeypatch):  # noqa: F811
    monkeypatch.setattr("sklearn_prune.distributed.survey.SAMPLE_ROWS", 200)
    pruner = fitted(*rows, reweight=True)
    influence = influence_in_memory(*rows)
    forecast = influence.forecast(shares_dropped(pruner))
    assert max(forecast.first_order, forecast.refitted) < 1e-12


def test_weights_have_the_partitions_of_the_rows_kept(rows, weighted):  # noqa: F811
    kept = weighted.prune(in_parts(rows[0], PARTS))
    assert weighted.sample_weight_.chunks[0] == kept.chunks[0]


def test_a_pickled_pruner_takes_its_weights_along(weighted):
    again = pickle.loads(pickle.dumps(weighted))
    np.testing.assert_array_equal(again.sample_weight_, weighted.sample_weight_)


def test_the_certificate_speaks_of_the_weighted_rows(rows, few):  # noqa: F811
    influence, certificate = influence_in_memory(*rows), few.certificate_
    v, share = few.sample_weight_.compute(), shares_dropped(few)
    forecast = influence.forecast(share)
    assert certificate.predicted_change == pytest.approx(forecast.first_order, rel=1e-4)
    assert certificate.kept_hessian_change == pytest.approx(forecast.kept_hessian, rel=1e-4)
    assert certificate.actual_change == pytest.approx(forecast.refitted, rel=1e-4)
    assert (certificate.least_weight, certificate.greatest_weight) == (v.min(), v.max())
    assert certificate.effective_rows == pytest.approx(v.sum() ** 2 / (v @ v))


def test_the_distance_is_that_of_the_weighted_rows(rows, few):  # noqa: F811
    # So few rows that none is preferred: their aim is the distribution of all rows.
    design = influence_in_memory(*rows).objective.design
    codes, ones = np.unique(rows[1], return_inverse=True)[1], np.ones(N)
    embedding = embed_distribution(Table([design], ones), codes, ones, is_labels=True)
    kept = embedding.T @ (1 - shares_dropped(few))
    expected = N / few.certificate_.n_kept * np.linalg.norm(kept)
    assert few.certificate_.distribution_error == pytest.approx(expected, rel=1e-4)


def test_more_rows_than_come_here_are_refused_and_the_remedy_works(rows, monkeypatch):  # noqa: F811
    monkeypatch.setattr(weights_module, "SAMPLE_ROWS", 100)
    with pytest.raises(ValueError, match="at most 100 kept rows .*140 of 700 .*to 0.857143 or"):
        fitted(*rows, reweight=True)
    pruner = fitted(*rows, reweight=True, prune_ratio=0.857143)
    assert len(pruner.sample_weight_) == 100


def test_of_a_tolerance_that_keeps_more_rows_a_larger_one_is_asked_for(rows, monkeypatch):  # noqa: F811
    monkeypatch.setattr(weights_module, "SAMPLE_ROWS", 10)
    options = {"prune_ratio": "auto", "tolerance": 1e-3, "distribution_weight": 0}
    with pytest.raises(ValueError, match="at most 10 kept rows .*; raise tolerance from 0.001, "):
        fitted(*rows, reweight=True, **options)
