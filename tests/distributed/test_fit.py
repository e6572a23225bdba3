"""A fit on partitions against that in memory, and against the definitions of the certificate."""

import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier

from sklearn_prune import InfluencePruner
from sklearn_prune.distributed import fit, head, survey
from sklearn_prune.influence import DenseHeadInfluence, HeadObjective, limits, refit_head
from sklearn_prune.matching import Table, embed_distribution
from sklearn_prune.networks import linear_network, network_kind, read_head
from tests.distributed.conftest import in_parts

dask = pytest.importorskip("dask")
N, PARTS = 700, (200, 0, 150, 150, 200)
SORTED_PARTS = (100,) * 7


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 4))
    noise = rng.standard_normal(N)
    return X, np.array(["a", "b", "c"])[(X[:, 0] + noise > 0) * 1 + (X[:, 1] > 1)]


def fitted(X, y, *, parts=PARTS, prune_ratio=0.8, fit_params=None, **options):
    lazy = {name: in_parts(value, parts) for name, value in (fit_params or {}).items()}
    pruner = InfluencePruner(prune_ratio=prune_ratio, random_state=0, **options)
    return pruner.fit(in_parts(X, parts), in_parts(y, parts), **lazy)


@pytest.fixture(scope="module")
def pruner(rows):
    return fitted(*rows)


def influence_in_memory(X, y, weight=None, norm="loss"):
    """The influences on the head of the default network, fitted in memory."""
    classes, codes = (None, y) if y.dtype.kind == "f" else np.unique(y, return_inverse=True)
    head = read_head(linear_network(network_kind(classes), X, codes, weight), X, codes)
    return fitted_influence(head, weight, norm)


def fitted_influence(head, weight=None, norm="loss"):
    objective = HeadObjective(
        head.design, head.targets, head.loss, 1e-4, weight, n_outputs=len(head.theta)
    )
    return DenseHeadInfluence(objective, refit_head(objective, head.theta).theta, norm)


def assert_changes_are(certificate, influence, support):
    forecast = influence.forecast(~support)
    assert certificate.predicted_change == pytest.approx(forecast.first_order, rel=1e-4)
    assert certificate.kept_hessian_change == pytest.approx(forecast.kept_hessian, rel=1e-4)
    assert certificate.actual_change == pytest.approx(forecast.refitted, rel=1e-4)


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_the_changes_are_those_of_refits_in_memory(rows, norm):
    X, y = rows
    pruner = fitted(X, y, norm=norm, distribution_weight=0)
    influence = influence_in_memory(X, y, norm=norm)
    assert_changes_are(pruner.certificate_, influence, pruner.support_.compute())


def test_the_changes_of_numbers_with_weights_are_those_of_refits_in_memory(rows):
    X, _ = rows
    y = X[:, 0] + X[:, 1] ** 2
    weight = np.random.default_rng(1).random(N) + 0.1
    pruner = fitted(
        X, y, prune_ratio=0.5, fit_params={"sample_weight": weight}, distribution_weight=0
    )
    influence = influence_in_memory(X, y, weight / weight.mean())
    assert_changes_are(pruner.certificate_, influence, pruner.support_.compute())


def test_the_distance_is_that_of_the_mean_embeddings(rows):
    X, y = rows
    # So few rows that none is preferred: their aim is the distribution of all rows.
    pruner = fitted(X, y, prune_ratio=0.99)
    design = influence_in_memory(X, y).objective.design
    codes, ones = np.unique(y, return_inverse=True)[1], np.ones(N)
    embedding = embed_distribution(Table([design], ones), codes, ones, is_labels=True)
    kept = embedding.T @ pruner.support_.compute().astype(float)
    expected = N / pruner.certificate_.n_kept * np.linalg.norm(kept)
    assert pruner.certificate_.distribution_error == pytest.approx(expected, rel=1e-4)
    assert pruner.certificate_.distribution_tilt == pytest.approx(0, abs=1e-6)


def test_the_network_is_that_in_memory(rows, pruner):
    theta = influence_in_memory(*rows).theta
    layer = pruner.estimator_.module_.linear
    np.testing.assert_allclose(layer.weight.detach().numpy(), theta[:, :-1], atol=1e-6)


def test_the_norms_are_those_in_memory_in_the_partitions_of_x(rows, pruner):
    X, y = rows
    in_memory = InfluencePruner(prune_ratio=0.5, random_state=0, distribution_weight=0).fit(X, y)
    assert pruner.influence_norms_.chunks == (PARTS,)
    np.testing.assert_allclose(
        pruner.influence_norms_.compute(), in_memory.influence_norms_, rtol=1e-3
    )


def test_a_pickled_pruner_leaves_rows_and_norms_behind():
    X = np.random.default_rng(0).standard_normal((N, 100))
    pruner = fitted(X, X[:, 0] > 0, prune_ratio=0.5, distribution_weight=0)
    assert hasattr(pruner, "influence_norms_")
    stored = pickle.dumps(pruner)
    assert len(stored) < 0.1 * X.nbytes
    again = pickle.loads(stored)
    assert not hasattr(again, "influence_norms_")
    np.testing.assert_array_equal(again.support_.compute(), pruner.support_.compute())
    np.testing.assert_array_equal(again.prune(X), pruner.prune(X))


def test_it_matches_as_well_as_in_memory(rows, pruner):
    ours = pruner.certificate_
    theirs = InfluencePruner(prune_ratio=0.8, random_state=0).fit(*rows).certificate_
    assert ours.n_kept == theirs.n_kept
    # Nothing but noise below a tenth of random rows' change, at which both searches stop.
    enough = 0.1 * theirs.random_actual_change
    assert ours.actual_change <= max(1.5 * theirs.actual_change, enough)
    assert ours.distribution_error <= 1.5 * theirs.distribution_error
    assert ours.distribution_tilt == pytest.approx(theirs.distribution_tilt, rel=0.3)
    assert ours.random_change == pytest.approx(theirs.random_change, rel=0.02)
    expected = theirs.random_distribution_error
    assert ours.random_distribution_error == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_partitions_that_are_sorted_by_the_target_do_no_harm(rows, kind):
    X, labels = rows
    y = labels if kind == "classes" else X[:, 0] + X[:, 1] ** 2
    order = np.argsort(y, kind="stable")
    certificate = fitted(X[order], y[order], parts=SORTED_PARTS).certificate_
    assert certificate.actual_change < 0.2 * certificate.random_actual_change
    assert certificate.distribution_error < 0.6 * certificate.random_distribution_error


def test_a_sample_of_the_rows_is_enough_for_the_features(rows, pruner, monkeypatch):
    monkeypatch.setattr(survey, "SAMPLE_ROWS", 200)
    certificate, of_all = fitted(*rows).certificate_, pruner.certificate_
    assert certificate.actual_change < 0.2 * certificate.random_actual_change
    assert certificate.distribution_error < 0.6 * certificate.random_distribution_error
    assert certificate.distribution_tilt == pytest.approx(of_all.distribution_tilt, rel=0.5)


def test_sparse_partitions_give_the_rows_of_dense_ones(rows, pruner):
    X, y = rows
    sparse = in_parts(X, PARTS).map_blocks(csr_array)
    again = InfluencePruner(prune_ratio=0.8, random_state=0).fit(sparse, in_parts(y, PARTS))
    np.testing.assert_array_equal(again.get_support(indices=True), pruner.get_support(indices=True))


def test_one_partition_gives_the_fit_in_memory(rows):
    X, y = rows
    groups, options = np.arange(N) % 2, {"distribution_weight": 0.5}
    alone = fitted(X, y, parts=(0, N), fit_params={"groups": groups}, **options)
    in_memory = InfluencePruner(prune_ratio=0.8, random_state=0, **options)
    in_memory.fit(X, y, groups=groups)
    np.testing.assert_array_equal(alone.get_support(indices=True), in_memory.sample_indices_)
    np.testing.assert_array_equal(alone.influence_norms_.compute(), in_memory.influence_norms_)
    assert alone.certificate_.actual_change == in_memory.certificate_.actual_change


def test_one_partition_draws_from_a_generator_as_in_memory(rows):
    X, y = rows
    kept = [
        InfluencePruner(
            prune_ratio=0.8, random_state=np.random.RandomState(0), distribution_weight=0
        )
        .fit(*given)
        .get_support(indices=True)
        for given in ((in_parts(X, (N,)), in_parts(y, (N,))), (X, y))
    ]
    np.testing.assert_array_equal(*kept)


def test_the_rows_are_the_same_without_threads(rows, pruner):
    with dask.config.set(scheduler="synchronous"):
        again = fitted(*rows)
    np.testing.assert_array_equal(again.get_support(indices=True), pruner.get_support(indices=True))


def test_the_rows_are_the_same_on_a_cluster(rows, pruner, client):
    again = fitted(*rows)
    np.testing.assert_array_equal(again.get_support(indices=True), pruner.get_support(indices=True))
    assert again.certificate_.n_passes == pruner.certificate_.n_passes > 0


def test_another_seed_gives_other_rows(rows):
    first, again = (
        InfluencePruner(prune_ratio=0.8, random_state=seed, distribution_weight=0).fit(
            *(in_parts(values, PARTS) for values in rows)
        )
        for seed in (0, 1)
    )
    assert (again.get_support().compute() != first.get_support().compute()).any()


def test_masks_and_groups_are_obeyed(rows):
    X, y = rows
    keep, drop = np.zeros((2, N), dtype=bool)
    keep[[3, 250, 699]], drop[10:60] = True, True
    groups = np.arange(N) % 2
    params = {"must_keep": keep, "must_drop": drop, "groups": groups}
    support = fitted(X, y, fit_params=params, distribution_weight=0).support_.compute()
    assert support[keep].all() and not support[drop].any()
    for label in np.unique(y):
        for group in (0, 1):
            members = (y == label) & (groups == group)
            assert abs(support[members].sum() - 0.2 * members.sum()) < 1


def test_partitions_in_which_all_rows_are_decided_are_kept_and_dropped(rows):
    X, y = rows
    keep, drop = np.zeros((2, N), dtype=bool)
    keep[:200], drop[350:500] = True, True
    params = {"must_keep": keep, "must_drop": drop}
    pruner = fitted(X, y, prune_ratio=0.6, fit_params=params)
    support = pruner.support_.compute()
    assert support[keep].all() and not support[drop].any()
    assert support.sum() == 280
    assert_changes_are(pruner.certificate_, influence_in_memory(X, y), support)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("equal", [47, 47, 46]), ({"a": 60, "b": (30, 50), "c": 40}, [60, 40, 40])],
)
def test_quotas_are_obeyed(rows, quota, expected):
    X, y = rows
    support = fitted(X, y, quota=quota, distribution_weight=0).support_.compute()
    assert [int(support[y == label].sum()) for label in "abc"] == expected


def test_without_a_quota_each_class_keeps_a_row(rows):
    X, y = rows
    support = fitted(X, y, quota=None, prune_ratio=0.99, distribution_weight=0).support_.compute()
    assert support.sum() == 7
    assert set(y[support]) == {"a", "b", "c"}


def test_nothing_is_dropped_at_the_ratio_zero(rows):
    pruner = fitted(*rows, prune_ratio=0.0, distribution_weight=0)
    assert pruner.support_.compute().all()
    assert pruner.certificate_.actual_change == pytest.approx(0, abs=1e-20)


def test_with_fewer_rows_than_parameters_more_damping_helps_as_in_memory(monkeypatch):
    X, y = (values[:1200] for values in load_digits(return_X_y=True))
    options = {"prune_ratio": 0.8, "distribution_weight": 0}
    ours = fitted(X, y, parts=(300,) * 4, **options).certificate_
    theirs = InfluencePruner(random_state=0, **options).fit(X, y).certificate_
    assert ours.actual_change < 1.5 * theirs.actual_change
    monkeypatch.setattr(fit, "DAMPING_FACTORS", ())
    without = fitted(X, y, parts=(300,) * 4, **options).certificate_
    assert ours.actual_change < without.actual_change


@pytest.fixture(scope="module")
def priority():
    priority = np.random.default_rng(2).exponential(size=N)
    # None of the first partition, and some of the others.
    priority[:200] = 0.0
    return priority


@pytest.fixture(scope="module")
def prioritised(rows, priority):
    return fitted(*rows, fit_params={"sample_priority": priority})


def test_priorities_of_one_partition_are_those_in_memory(rows, priority):
    params = {"sample_priority": priority}
    alone = fitted(*rows, parts=(N,), fit_params=params)
    in_memory = InfluencePruner(prune_ratio=0.8, random_state=0).fit(*rows, **params)
    np.testing.assert_array_equal(alone.get_support(indices=True), in_memory.sample_indices_)


def test_priorities_are_followed_as_in_memory(rows, pruner, prioritised, priority):
    ours, theirs = prioritised, InfluencePruner(prune_ratio=0.8, random_state=0)
    theirs.fit(*rows, sample_priority=priority)
    kept, expected = (priority[p.get_support(indices=True)].mean() for p in (ours, theirs))
    without = priority[pruner.get_support(indices=True)].mean()
    assert kept - without > 0.7 * (expected - without) > 0
    enough = 0.1 * theirs.certificate_.random_actual_change
    assert ours.certificate_.actual_change <= max(1.5 * theirs.certificate_.actual_change, enough)


@pytest.fixture(scope="module")
def some_important():
    """Digits, half of which are said to teach twenty times as much as the others."""
    X, y = load_digits(return_X_y=True)
    priority = np.where(np.random.default_rng(0).random(len(y)) < 0.5, 0.05, 1.0)
    return scale(X)[:, ::2], y, priority


@pytest.mark.parametrize("ratio", [0.1, 0.5])
def test_without_a_quota_classes_keep_their_shares_and_priorities_count(some_important, ratio):
    X, y, priority = some_important
    options = {"prune_ratio": ratio, "quota": None}
    lazy = fitted(X, y, parts=(900, 897), fit_params={"sample_priority": priority}, **options)
    in_memory = InfluencePruner(random_state=0, **options).fit(X, y, sample_priority=priority)
    expected = (1 - ratio) * np.bincount(y)
    for kept in (lazy.get_support(indices=True), in_memory.get_support(indices=True)):
        assert np.abs(np.bincount(y[kept]) - expected).max() < 0.06 * expected.min()
        assert priority[kept].mean() > (1 + 0.2 * ratio) * priority.mean()


def test_priorities_may_be_in_memory(rows, prioritised, priority):
    X, y = (in_parts(values, PARTS) for values in rows)
    again = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, y, sample_priority=priority)
    np.testing.assert_array_equal(
        again.get_support(indices=True), prioritised.get_support(indices=True)
    )


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_priorities_must_be_positive_in_some_partition(rows, least):
    priority = np.zeros(N)
    priority[0] = least
    with pytest.raises(ValueError, match="sample_priority must be 0 or more.*more for some rows"):
        fitted(*rows, fit_params={"sample_priority": priority})


def test_a_trained_network_is_matched_by_its_last_layer(rows):
    X, y = rows
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    net = NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, max_epochs=3, lr=0.1, verbose=0
    )
    codes = np.unique(y, return_inverse=True)[1]
    net.fit(X.astype("float32"), codes)
    frozen = FrozenEstimator(net)
    pruner = fitted(X.astype("float32"), y, estimator=frozen, distribution_weight=0)
    influence = fitted_influence(read_head(net, X.astype("float32"), codes))
    assert_changes_are(pruner.certificate_, influence, pruner.support_.compute())


def test_the_certificate_counts_passes_and_bytes(pruner):
    certificate = pruner.certificate_
    assert 10 < certificate.n_passes < 40
    assert certificate.bytes_moved > 1000
    assert f"{certificate.n_passes} over all partitions" in repr(certificate)


def test_select_and_weigh_say_that_they_need_memory(pruner):
    with pytest.raises(ValueError, match="select needs all rows in memory.*X.compute"):
        pruner.select(prune_ratio=0.5)
    with pytest.raises(ValueError, match="weigh needs all rows in memory"):
        pruner.weigh(np.ones(N, dtype=bool))


@pytest.mark.parametrize(
    ("options", "fit_params", "message"),
    [
        ({"prune_ratio": "auto"}, {}, "tolerance is None; set tolerance"),
        ({"tolerance": 0.1}, {}, "prune_ratio=0.5 fixes how many rows to drop"),
        ({"layers": "all"}, {}, "layers='all' needs all rows in memory"),
        ({"features": np.array}, {}, "features=.*make them columns of X"),
        ({"memory": "cache"}, {}, "memory='cache' needs all rows"),
        ({"estimator": [None, None]}, {}, "one network; estimator holds 2"),
        (
            {"prune_ratio": "auto", "tolerance": 0.1},
            {"sample_cost": np.ones(N)},
            "sample_cost beside prune_ratio='auto' needs all rows in memory",
        ),
        ({}, {"sample_cost": np.ones(N), "sample_priority": np.ones(N)}, "leave out one of the"),
        ({"distribution_weight": 0}, {"sample_priority": np.ones(N)}, "leave out one of the two"),
    ],
)
def test_what_needs_all_rows_is_refused_before_any_pass(rows, options, fit_params, message):
    X, y = (dask.delayed(fail)(values) for values in rows)
    X, y = (dask.array.from_delayed(v, (N, *s), float) for v, s in ((X, (4,)), (y, ())))
    pruner = InfluencePruner(**{"prune_ratio": 0.5, **options})
    with pytest.raises(ValueError, match=message):
        pruner.fit(X, y, **fit_params)


def fail(values):
    raise AssertionError("a pass was made")


def test_a_network_to_train_is_refused(rows):
    net = NeuralNetClassifier(torch.nn.Linear(4, 3))
    with pytest.raises(ValueError, match="not trained on a Dask collection; train it"):
        fitted(*rows, estimator=net)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_weight_of_zero_is_refused_with_its_partition(rows, is_frozen):
    X, weight, estimator = rows[0].astype("float32"), np.ones(N), None
    weight[250] = 0
    if is_frozen:
        net = NeuralNetClassifier(torch.nn.Linear(4, 3), criterion=torch.nn.CrossEntropyLoss)
        estimator = FrozenEstimator(net.initialize())
    with pytest.raises(ValueError, match="In partition 2: sample_weight must be positive"):
        fitted(X, rows[1], estimator=estimator, fit_params={"sample_weight": weight})


def test_too_many_parameters_are_refused(rows, monkeypatch):
    monkeypatch.setattr(limits, "ALL_MATCHED_PARAMS", 10)
    with pytest.raises(ValueError, match="15 parameters, and at most 10 are matched"):
        fitted(*rows)


def test_too_many_inputs_are_refused(rows, monkeypatch):
    monkeypatch.setattr(head, "_MOST_INPUTS", 4)
    with pytest.raises(ValueError, match="5 inputs, and at most 4 are matched"):
        fitted(*rows)
