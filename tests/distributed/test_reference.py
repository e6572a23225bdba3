"""Reference rows beside a collection, against a fit in memory on the same rows."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier

from sklearn_prune import InfluencePruner
from sklearn_prune.distributed import reference, survey
from sklearn_prune.influence import limits
from tests.distributed.conftest import in_parts
from tests.distributed.test_fit import PARTS, N

N_REFERENCE = 150


@pytest.fixture(scope="module")
def rows():
    """Rows of three classes, a quarter of the first with the label of another; and right ones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N + N_REFERENCE, 4))
    signal = X[:, 0] + 0.5 * X[:, 1] ** 2 + 0.3 * rng.standard_normal(len(X))
    right = np.array(["a", "b", "c"])[(signal > 0) * 1 + (signal > 1)]
    given = np.where((right == "a") & (rng.random(len(X)) < 0.25), "c", right)
    return X[:N], given[:N], right[:N], X[N:], right[N:]


def led(rows, **options):
    X, y, _, X_ref, y_ref = rows
    pruner = InfluencePruner(random_state=0, **{"prune_ratio": 0.8, **options})
    return pruner.fit(in_parts(X, PARTS), in_parts(y, PARTS), X_ref=X_ref, y_ref=y_ref)


@pytest.fixture(scope="module")
def pruner(rows):
    return led(rows)


@pytest.fixture(scope="module")
def in_memory(rows):
    X, y, _, X_ref, y_ref = rows
    return InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, y, X_ref=X_ref, y_ref=y_ref)


def test_the_reference_rows_say_what_they_say_in_memory(pruner, in_memory):
    ours, theirs = pruner.certificate_, in_memory.certificate_
    assert ours.n_reference == N_REFERENCE
    for name in ("reference_score", "reference_damping", "reference_similarity"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name))
    assert ours.n_suspect == theirs.n_suspect > 0 == ours.n_suspect_kept
    assert ours.random_change == pytest.approx(theirs.random_change, rel=0.02)
    expected = theirs.random_distribution_error
    assert ours.random_distribution_error == pytest.approx(expected, rel=0.02)


def test_the_network_has_the_head_of_the_reference_rows(pruner, in_memory):
    ours, theirs = (p.estimator_.module_.linear.weight.detach() for p in (pruner, in_memory))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_classes_keep_the_shares_they_keep_in_memory(rows, pruner, in_memory):
    y = rows[1]
    counts = [(y[p.get_support(indices=True)] == "c").sum() for p in (pruner, in_memory)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("options", [{}, {"prune_ratio": 0.98}, {"norm": "parameter"}])
def test_changes_are_those_from_the_head_of_the_reference_rows(rows, in_memory, options):
    pruner = led(rows, distribution_weight=0, **options)
    influence, certificate = in_memory.influence_, pruner.certificate_
    influence.norm, norm = options.get("norm", "loss"), influence.norm
    forecast = influence.forecast(~pruner.support_.compute())
    influence.norm = norm
    assert certificate.predicted_change == pytest.approx(forecast.first_order, rel=1e-4)
    assert certificate.kept_hessian_change == pytest.approx(forecast.kept_hessian, rel=1e-4)
    assert certificate.actual_change == pytest.approx(forecast.refitted, rel=1e-4)
    assert certificate.actual_change < 0.5 * certificate.random_actual_change


def test_it_matches_as_well_as_in_memory(pruner, in_memory):
    ours, theirs = pruner.certificate_, in_memory.certificate_
    enough = 0.1 * theirs.random_actual_change
    assert ours.actual_change <= max(1.5 * theirs.actual_change, enough)
    assert ours.distribution_error <= 1.5 * theirs.distribution_error


def test_of_too_many_suspects_the_worst_of_all_partitions_go(rows):
    X, y, _, X_ref, y_ref = rows
    given = {"X_ref": X_ref, "y_ref": y_ref}
    ours = led(rows, prune_ratio=0.05)
    theirs = InfluencePruner(prune_ratio=0.05, random_state=0).fit(X, y, **given)
    assert theirs.certificate_.n_suspect_kept > 0
    dropped = [~np.asarray(p.support_) & (y == "c") for p in (ours, theirs)]
    np.testing.assert_array_equal(*dropped)
    assert ours.certificate_.n_suspect_kept == theirs.certificate_.n_suspect_kept


@pytest.mark.parametrize("is_lazy", [True, False])
def test_masks_are_obeyed_beside_suspects(rows, is_lazy):
    X, y, right, X_ref, y_ref = rows
    keep, drop = np.zeros((2, N), dtype=bool)
    keep[np.flatnonzero(y != right)[:5]], drop[np.flatnonzero(y == right)[:40]] = True, True
    masks = {"must_keep": keep, "must_drop": drop}
    if is_lazy:
        masks = {name: in_parts(mask, PARTS) for name, mask in masks.items()}
    pruner = InfluencePruner(prune_ratio=0.5, random_state=0).fit(
        in_parts(X, PARTS), in_parts(y, PARTS), X_ref=X_ref, y_ref=y_ref, **masks
    )
    support = pruner.support_.compute()
    assert support[keep].all() and not support[drop].any()
    assert (y != right)[support & ~keep].mean() < 0.4 * (y != right).mean()


def test_a_sample_of_the_rows_is_enough_to_judge_all(rows, pruner, monkeypatch):
    for module in (reference, survey):
        monkeypatch.setattr(module, "SAMPLE_ROWS", 250)
    certificate = led(rows).certificate_
    assert certificate.reference_damping == pruner.certificate_.reference_damping
    assert certificate.n_suspect == pytest.approx(pruner.certificate_.n_suspect, rel=0.3)
    assert certificate.actual_change < 0.5 * certificate.random_actual_change
    assert certificate.distribution_error < 0.7 * certificate.random_distribution_error


def test_numbers_are_aimed_at_as_in_memory(rows):
    X, _, _, X_ref, _ = rows
    y, y_ref = (values[:, 0] + values[:, 1] ** 2 for values in (X, X_ref))
    theirs = InfluencePruner(prune_ratio=0.8, random_state=0).fit(X, y, X_ref=X_ref, y_ref=y_ref)
    ours = led((X, y, None, X_ref, y_ref)).certificate_
    assert ours.reference_damping == theirs.certificate_.reference_damping
    assert ours.reference_score == pytest.approx(theirs.certificate_.reference_score)
    similarity = theirs.certificate_.reference_similarity
    assert ours.reference_similarity == pytest.approx(similarity, abs=0.05)
    assert ours.distribution_error <= 1.5 * theirs.certificate_.distribution_error


def test_weights_make_the_reference_head_stationary(rows, in_memory):
    pruner = led(rows, reweight=True)
    kept, v = pruner.sample_indices_, pruner.sample_weight_.compute()
    influence = in_memory.influence_
    gradient = influence.objective.subset(kept, v).gradient(influence.theta)
    assert np.linalg.norm(gradient) < 1e-6


def test_one_partition_gives_the_rows_in_memory(rows, in_memory):
    X, y, _, X_ref, y_ref = rows
    alone = InfluencePruner(prune_ratio=0.8, random_state=0)
    alone.fit(in_parts(X, (0, N)), in_parts(y, (0, N)), X_ref=X_ref, y_ref=y_ref)
    np.testing.assert_array_equal(alone.get_support(indices=True), in_memory.sample_indices_)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_ref": None}, "y_ref is missing"),
        ({"X_ref": np.ones((N_REFERENCE, 3))}, "X_ref must be rows like those of X"),
        ({"y_ref": np.array(["d"] * N_REFERENCE)}, "y_ref must be the target of the rows"),
        ({"groups": np.arange(N) % 2}, "groups beside X_ref needs all rows in memory"),
        ({"sample_cost": np.ones(N)}, "sample_cost beside X_ref needs all rows in memory"),
        ({"X_ref": in_parts(np.ones((30, 4)), (30,))}, "X_ref is a Dask.*give X_ref.compute"),
        ({"sample_priority": np.ones(N)}, "with X_ref nothing is kept for these"),
    ],
)
def test_what_does_not_fit_is_refused(rows, changed, message):
    X, y, _, X_ref, y_ref = rows
    given = {"X_ref": X_ref, "y_ref": y_ref, **changed}
    with pytest.raises(ValueError, match=message):
        InfluencePruner(prune_ratio=0.5).fit(in_parts(X, PARTS), in_parts(y, PARTS), **given)


def test_the_last_layer_of_a_trained_network_is_fitted_on_the_reference_rows(rows):
    X, y, _, X_ref, y_ref = rows
    X, X_ref = X.astype("float32"), X_ref.astype("float32")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    net = NeuralNetClassifier(module, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, verbose=0)
    frozen = FrozenEstimator(net.fit(X, np.unique(y, return_inverse=True)[1]))
    ours = led((X, y, None, X_ref, y_ref), estimator=frozen).certificate_
    theirs = InfluencePruner(frozen, prune_ratio=0.8, random_state=0)
    theirs = theirs.fit(X, y, X_ref=X_ref, y_ref=y_ref).certificate_
    assert ours.reference_damping == theirs.reference_damping
    assert ours.n_suspect == theirs.n_suspect
    assert ours.random_change == pytest.approx(theirs.random_change, rel=0.02)


def test_changes_of_a_wide_head_are_those_from_that_of_the_reference_rows(rows, monkeypatch):
    X, y, _, X_ref, y_ref = rows
    monkeypatch.setattr(limits, "DENSE_PARAMS", 3)
    pruner = led(rows, distribution_weight=0)
    certificate = pruner.certificate_
    assert certificate.curvature == "kronecker"
    theirs = InfluencePruner(prune_ratio=0.8, random_state=0, distribution_weight=0)
    theirs.fit(X, y, X_ref=X_ref, y_ref=y_ref)
    forecast = theirs.influence_.forecast(~pruner.support_.compute())
    assert certificate.predicted_change == pytest.approx(forecast.first_order, rel=1e-2)
    assert certificate.actual_change == pytest.approx(forecast.refitted, rel=1e-2)
