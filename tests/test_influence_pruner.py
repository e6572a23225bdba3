"""From data to the rows worth keeping."""

from __future__ import annotations

import pickle
import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from threadpoolctl import threadpool_limits

import sklearn_prune._influence_pruner
from sklearn_prune import Certificate, InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.matching import Choice, StageClock
from sklearn_prune.selection import count_of

FATES = ["keep", "drop", "free", "free", "free"]
CALM = {"prune_ratio": 0.5, "damping": 1e-2, "random_state": 0}


@pytest.fixture(scope="module")
def cancer() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return X[:200], y[:200]


def kept_per_class(y: np.ndarray, support: np.ndarray) -> list[int]:
    return np.bincount(y[support]).tolist()


# Counts, classes and masks


@given(st.floats(0, 0.98), st.sampled_from(["class", "equal", None]), st.integers(0, 5))
@settings(max_examples=12, deadline=None, phases=[Phase.generate])
def test_counts_are_exact_and_classes_stay(iris, iris_pruner, ratio, quota, seed):
    y = iris[1]
    assume(150 - count_of(ratio, 150) >= 3)
    support = iris_pruner.select(prune_ratio=ratio, quota=quota, random_state=seed, time_limit=1.0)
    assert support.sum() == 150 - count_of(ratio, 150)
    assert min(kept_per_class(y, support)) >= 1
    if quota == "class":
        assert np.ptp(kept_per_class(y, support)) <= 1


@given(st.data())
@settings(max_examples=4, deadline=None, phases=[Phase.generate])
def test_masks_are_obeyed(iris, data):
    X, y = iris
    fates = data.draw(st.lists(st.sampled_from(FATES), min_size=150, max_size=150))
    keep, drop = np.array(fates) == "keep", np.array(fates) == "drop"
    assume(keep.sum() <= 75 and drop.sum() <= 75)
    assume(all((y[~drop] == label).any() for label in range(3)))
    pruner = InfluencePruner(**CALM, time_limit=1.0).fit(X, y, must_keep=keep, must_drop=drop)
    assert pruner.support_[keep].all()
    assert not pruner.support_[drop].any()
    assert pruner.support_.sum() == 75


def test_class_quotas_are_proportional(cancer):
    X, y = cancer
    pruner = InfluencePruner(**{**CALM, "prune_ratio": 0.9}).fit(X, y)
    assert kept_per_class(y, pruner.support_) == [round(0.1 * n) for n in np.bincount(y)]


def test_quotas_may_be_given_by_label(cancer):
    X, y = cancer
    names = np.where(y == 1, "benign", "malignant")
    quota = {"malignant": 0.25, "benign": (60, 80)}
    pruner = InfluencePruner(None, prune_ratio=0.5, quota=quota, random_state=0).fit(X, names)
    kept = names[pruner.support_]
    assert (kept == "malignant").sum() == round(0.25 * (names == "malignant").sum())
    assert 60 <= (kept == "benign").sum() <= 80


def test_groups_split_the_quotas(iris):
    X, y = iris
    groups = np.where(np.arange(150) % 5 == 0, "few", "many")
    support = InfluencePruner(**CALM).fit(X, y, groups=groups).support_
    counts = [(support & (y == c) & (groups == g)).sum() for c in range(3) for g in ("few", "many")]
    assert counts == [5, 20] * 3


def test_a_class_of_one_row_keeps_it():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:60], np.r_[["lone"], np.where(np.arange(59) % 2, "a", "b")]
    for quota in ("class", "equal", None):
        assert InfluencePruner(**CALM, quota=quota).fit(X, y).support_[0]


def test_nothing_is_dropped_at_ratio_zero(iris):
    pruner = InfluencePruner(prune_ratio=0.0).fit(*iris)
    assert pruner.support_.all()
    assert pruner.certificate_.predicted_change == 0.0
    assert pruner.transform(iris[0]).shape == (150, 4)


def test_the_dearer_rows_go_where_change_is_alike(cancer):
    X, y = cancer
    cost = np.random.default_rng(0).exponential(size=200)
    alone = InfluencePruner(**CALM, distribution_weight=0).fit(X, y, sample_cost=cost)
    held = InfluencePruner(**CALM).fit(X, y, sample_cost=cost)
    for pruner in (alone, held):
        assert cost[~pruner.support_].mean() > 1.1 * cost[pruner.support_].mean()
    # Dear rows go at the expense of change and distribution together.
    assert alone.certificate_.predicted_change < 0.2 * alone.certificate_.random_change
    certificate = held.certificate_
    assert certificate.predicted_change < 0.3 * certificate.random_change
    assert certificate.distribution_error < certificate.random_distribution_error


def test_rows_of_weight_zero_go_first(cancer):
    X, y = cancer
    weight = np.ones(200)
    weight[np.random.default_rng(0).permutation(200)[:60]] = 0.0
    pruner = InfluencePruner(**CALM).fit(X, y, sample_weight=weight)
    assert not pruner.support_[weight == 0].any()
    few = pruner.select(prune_ratio=0.1)
    assert few[weight > 0].all()


# Quality


def test_chosen_rows_move_the_head_less_than_random_ones(cancer):
    certificate = InfluencePruner(**CALM).fit(*cancer).certificate_
    assert certificate.predicted_change < 0.2 * certificate.random_change
    assert certificate.actual_change < 0.5 * certificate.random_change


@pytest.fixture(scope="module")
def ridge() -> dict[str, Any]:
    """A least-squares pruner and all of its numbers in closed form."""
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:80], y[:80] + 0.5
    pruner = InfluencePruner(**CALM).fit(X, y)
    A = np.c_[(X - X.mean(axis=0)) / X.std(axis=0), np.ones(80)]
    t, damping = (y - y.mean()) / y.std(), CALM["damping"]

    def solve(rows: np.ndarray) -> np.ndarray:
        H = 2 * A[rows].T @ A[rows] / len(A[rows]) + damping * np.eye(A.shape[1])
        return np.linalg.solve(H, 2 * A[rows].T @ t[rows] / len(A[rows]))

    H = 2 * A.T @ A / 80 + damping * np.eye(A.shape[1])
    theta = solve(np.ones(80, dtype=bool))
    g = 2 * A * (A @ theta - t)[:, None] + damping * theta
    return {
        "pruner": pruner,
        "H": H,
        "theta": theta,
        "S": np.linalg.solve(H, g.T).T / 80,
        "solve": solve,
    }


def test_the_predicted_change_is_the_formula(ridge):
    support, H = ridge["pruner"].support_, ridge["H"]
    delta = 80 / support.sum() * ridge["S"][~support].sum(axis=0)
    expected = 0.5 * delta @ H @ delta
    assert ridge["pruner"].certificate_.predicted_change == pytest.approx(
        expected, rel=1e-6, abs=1e-14
    )


def test_the_actual_change_is_that_of_retraining(ridge):
    support, H = ridge["pruner"].support_, ridge["H"]
    delta = ridge["solve"](support) - ridge["theta"]
    expected = 0.5 * delta @ H @ delta
    certificate = ridge["pruner"].certificate_
    assert certificate.actual_change == pytest.approx(expected, rel=1e-6)
    # Least squares: one Newton step on the kept rows is the whole way.
    assert certificate.kept_hessian_change == pytest.approx(expected, rel=1e-3)


def test_the_random_change_is_the_mean_over_random_rows(ridge):
    rng, S, H = np.random.default_rng(0), ridge["S"], ridge["H"]
    deltas = np.array([2 * S[rng.permutation(80)[:40]].sum(axis=0) for _ in range(4000)])
    mean = 0.5 * np.einsum("ij,jk,ik->i", deltas, H, deltas).mean()
    assert ridge["pruner"].certificate_.random_change == pytest.approx(mean, rel=0.05)


def test_influence_norms_are_those_of_rows_alone(ridge):
    delta = 80 / 79 * ridge["S"]
    expected = 0.5 * np.einsum("ij,jk,ik->i", delta, ridge["H"], delta)
    np.testing.assert_allclose(ridge["pruner"].influence_norms_, expected, rtol=1e-4, atol=1e-12)


def test_the_parameter_norm_is_a_distance(ridge):
    X, y = load_diabetes(return_X_y=True)
    pruner = InfluencePruner(**CALM, norm="parameter").fit(X[:80], y[:80] + 0.5)
    delta = 2 * ridge["S"][~pruner.support_].sum(axis=0)
    certificate = pruner.certificate_
    assert certificate.predicted_change == pytest.approx(np.linalg.norm(delta), rel=1e-5)
    assert certificate.predicted_change < certificate.random_change
    lengths = np.linalg.norm(80 / 79 * ridge["S"], axis=1)
    np.testing.assert_allclose(pruner.influence_norms_, lengths, rtol=1e-4)


def test_one_row_with_all_the_weight_cannot_go():
    X, y = np.eye(4), np.array([0.3, 1.2, 2.5, 0.1])
    weight = np.array([0.0, 2.0, 0.0, 0.0])
    pruner = InfluencePruner(prune_ratio=0.5).fit(X, y, sample_weight=weight)
    assert pruner.support_[1]
    assert np.isinf(pruner.influence_norms_[1])


# Tolerance


@pytest.mark.parametrize(("norm", "tolerance"), [("loss", 1e-3), ("parameter", 0.3)])
def test_a_tolerance_bounds_the_predicted_change(cancer, norm, tolerance):
    options = {"prune_ratio": "auto", "tolerance": tolerance, "norm": norm}
    certificate = InfluencePruner(**{**CALM, **options}).fit(*cancer).certificate_
    assert 0 < certificate.predicted_change <= tolerance * (1 + 1e-6)
    assert 50 < certificate.n_dropped <= certificate.saving_bound
    assert "none saves more than" in repr(certificate)


def test_a_tolerance_that_nothing_meets_keeps_everything_and_says_what_would_do(iris):
    pruner = InfluencePruner(prune_ratio="auto", tolerance=1e-30, random_state=0)
    with pytest.warns(UserWarning, match="allows no row .* all 50 are kept; .* found is .*"):
        pruner.fit(iris[0][::3], iris[1][::3])
    assert pruner.support_.all()


# Choosing again


def test_select_agrees_with_fit(iris, iris_pruner):
    np.testing.assert_array_equal(iris_pruner.select(), iris_pruner.support_)
    again = InfluencePruner(**{**CALM, "prune_ratio": 0.8}).fit(*iris)
    np.testing.assert_array_equal(iris_pruner.select(prune_ratio=0.8), again.support_)


def test_select_trains_nothing_and_changes_nothing(iris_pruner, monkeypatch):
    monkeypatch.delattr(NeuralNet, "initialize")
    monkeypatch.delattr(torch.nn.Linear, "forward")
    before = dict(vars(iris_pruner))
    assert iris_pruner.select(prune_ratio=0.8).sum() == 30
    assert vars(iris_pruner).keys() == before.keys()
    assert all(vars(iris_pruner)[name] is value for name, value in before.items())


def test_select_turns_from_a_ratio_to_a_tolerance(iris, iris_pruner):
    alone = InfluencePruner(**CALM, distribution_weight=0).fit(*iris)
    assert 0 < alone.select(tolerance=1e-4).sum() < 75
    # The distribution is held as well: fewer rows go, within the same tolerance.
    for pruner in (alone, iris_pruner):
        support = pruner.select(tolerance=1e-4)
        influence = pruner.influence_
        assert influence.measure(influence.first_order_step(~support)) <= 1e-4 * (1 + 1e-6)
        assert 0 < support.sum() < 150


def test_select_checks_what_it_is_given(iris_pruner):
    with pytest.raises(ValueError, match="'prune_ratio' parameter"):
        iris_pruner.select(prune_ratio=2)
    with pytest.raises(ValueError, match="set prune_ratio='auto' or tolerance=None"):
        iris_pruner.select(prune_ratio=0.5, tolerance=1.0)


# Networks


def parameters(net: Any) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in net.module_.parameters()]


def test_an_unfitted_network_is_cloned(iris, make_net):
    X, y = iris
    net = make_net()
    pruner = InfluencePruner(net, **CALM).fit(X, y)
    assert not net.initialized_ if hasattr(net, "initialized_") else True
    assert pruner.estimator_ is not net
    assert pruner.estimator_.predict(X.astype(np.float32)).shape == (150,)
    assert pruner.support_.sum() == 75


def test_a_frozen_network_is_used_as_it_is(iris, make_net):
    X, y = iris
    net = make_net().fit(X.astype(np.float32), y)
    before = parameters(net)
    pruner = InfluencePruner(FrozenEstimator(net), **CALM).fit(X, y)
    assert pruner.estimator_ is net
    for old, new in zip(before, parameters(net), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_frozen_network_keeps_its_codes_where_y_lacks_a_class(iris, make_net):
    X, y = iris
    net = make_net().fit(X.astype(np.float32), y)
    some = y != 1
    pruner = InfluencePruner(FrozenEstimator(net), **CALM).fit(X[some], y[some])
    assert pruner.classes_.tolist() == [0, 2]
    assert set(pruner.influence_.objective.targets) == {0, 2}


def test_labels_may_be_strings_for_any_network(iris, make_net):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    by_name = InfluencePruner(make_net(), **CALM).fit(X, names[y])
    by_code = InfluencePruner(make_net(), **CALM).fit(X, y)
    np.testing.assert_array_equal(by_name.support_, by_code.support_)
    assert by_name.classes_.tolist() == names.tolist()


def test_a_binary_network(cancer):
    X, y = cancer
    net = NeuralNetBinaryClassifier(torch.nn.Linear, module__in_features=30, module__out_features=1)
    scaled = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    pruner = InfluencePruner(net.set_params(verbose=0, max_epochs=2), **CALM).fit(scaled, y)
    assert pruner.support_.sum() == 100


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_regression_network(n_outputs):
    X, y = load_diabetes(return_X_y=True)
    Y = (np.c_[y, y**2 / 100] / 100).astype(np.float32)[:, :n_outputs]
    net = NeuralNetRegressor(
        torch.nn.Linear,
        module__in_features=10,
        module__out_features=n_outputs,
        verbose=0,
        max_epochs=2,
    )
    pruner = InfluencePruner(net, **CALM).fit(X, Y.squeeze())
    assert not hasattr(pruner, "classes_")
    assert pruner.support_.sum() == 221


def test_images_go_to_the_network_as_they_are():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 1, 3, 3)), np.arange(40) % 2
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 2)
    )
    net = NeuralNetClassifier(network, criterion=torch.nn.CrossEntropyLoss, verbose=0, max_epochs=1)
    pruner = InfluencePruner(net, **CALM).fit(X, y)
    assert pruner.transform(X).shape == (20, 1, 3, 3)


def test_a_network_takes_sparse_rows(iris, make_net):
    X, y = iris
    dense = InfluencePruner(make_net(), **CALM).fit(X, y)
    sparse = InfluencePruner(make_net(), **CALM).fit(csr_array(X), y)
    np.testing.assert_array_equal(dense.support_, sparse.support_)


def test_whole_numbers_with_many_values_are_a_regression_target():
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(UserWarning, match="65 distinct whole numbers in 80 rows"):
        pruner = InfluencePruner(**CALM).fit(X[:80], y[:80])
    assert not hasattr(pruner, "classes_")


# Data that is awkward but right


def test_constant_and_duplicated_columns_do_no_harm(iris):
    X, y = iris
    wide = np.c_[X, np.ones(150), X[:, :2]]
    certificate = InfluencePruner(**CALM).fit(wide, y).certificate_
    assert certificate.gradient_norm < 1e-8
    assert certificate.predicted_change < 0.05 * certificate.random_change


def test_the_scale_of_a_column_does_not_matter(cancer):
    X, y = cancer
    scaled = X * 4.0 ** np.arange(-15, 15)
    supports = [InfluencePruner(**CALM).fit(rows, y).support_ for rows in (X, scaled)]
    np.testing.assert_array_equal(*supports)


def test_duplicated_rows_count_one_by_one(iris):
    X, y = iris
    pruner = InfluencePruner(**CALM).fit(np.r_[X[:75], X[:75]], np.r_[y[:75], y[:75]])
    assert pruner.support_.sum() == 75
    assert pruner.certificate_.predicted_change < 0.05 * pruner.certificate_.random_change


def test_a_constant_regression_target_can_be_pruned(iris):
    pruner = InfluencePruner(**CALM).fit(iris[0], np.full(150, 0.5))
    assert pruner.support_.sum() == 75
    assert pruner.certificate_.actual_change == pytest.approx(0.0, abs=1e-20)


# The conventions


def test_the_same_seed_gives_the_same_rows(iris, make_net):
    supports = [InfluencePruner(make_net(), **CALM).fit(*iris).support_ for _ in range(2)]
    np.testing.assert_array_equal(*supports)


def test_a_random_state_instance_is_accepted(iris):
    seeded = {**CALM, "random_state": np.random.RandomState(3)}
    assert InfluencePruner(**seeded).fit(*iris).support_.sum() == 75


def test_nested_parameters_can_be_set(make_net):
    pruner = InfluencePruner(make_net()).set_params(estimator__lr=0.5, prune_ratio=0.2)
    assert pruner.estimator.lr == 0.5
    assert pruner.prune_ratio == 0.2
    assert clone(pruner).estimator.lr == 0.5


def test_a_fitted_pruner_is_pickled_with_its_influences(iris, iris_pruner):
    again = pickle.loads(pickle.dumps(iris_pruner))
    np.testing.assert_array_equal(
        again.select(prune_ratio=0.8), iris_pruner.select(prune_ratio=0.8)
    )
    np.testing.assert_array_equal(again.transform(iris[0]), iris[0][iris_pruner.support_])


def test_the_html_repr_shows_pruner_and_network(make_net):
    html = estimator_html_repr(InfluencePruner(make_net()))
    assert "InfluencePruner" in html
    assert "NeuralNetClassifier" in html


def test_fit_arguments_are_routed(iris):
    X, y = iris
    keep = np.arange(150) < 10
    with config_context(enable_metadata_routing=True):
        pruner = InfluencePruner(**CALM).set_fit_request(must_keep=True)
        pipeline = make_pipeline(pruner).fit(X, y, must_keep=keep)
    assert pipeline[-1].support_[:10].all()


def test_verbose_prints_a_line_when_a_stage_starts_and_when_it_ends(iris, capsys):
    InfluencePruner(**CALM, verbose=1).fit(*iris)
    lines = capsys.readouterr().out.splitlines()
    assert "dense curvature of 15 parameters, 15 coordinates" in lines.pop(8)
    stages = ["network", "head", "influence", "distribution", "selection", "certificate"]
    assert [line.split()[1] for line in lines[::2]] == stages
    assert all(line.endswith(" ...") for line in lines[::2])
    assert [line.split()[1] for line in lines[1::2]] == stages
    assert all(line.endswith(" s") for line in lines[1::2])


@pytest.mark.parametrize("was_fitted", [False, True])
def test_ctrl_c_in_the_solver_leaves_the_pruner_as_it_was(
    iris, iris_pruner, monkeypatch, was_fitted
):
    pruner = pickle.loads(pickle.dumps(iris_pruner)) if was_fitted else InfluencePruner(**CALM)
    before = dict(vars(pruner))

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    # The certificate is the last thing that a fit makes.
    monkeypatch.setattr(Choice, "random_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pruner.fit(iris[0][:60], iris[1][:60])
    assert vars(pruner).keys() == before.keys()
    assert all(vars(pruner)[name] is value for name, value in before.items())


def test_the_certificate_is_frozen_and_readable(iris_pruner):
    certificate = iris_pruner.certificate_
    assert isinstance(certificate, Certificate)
    with pytest.raises(AttributeError):
        certificate.n_kept = 3  # type: ignore[misc]
    text = str(certificate)
    assert "75 kept, 75 dropped of 150 (50.0%)" in text
    for line in ("predicted change", "actual, head refitted", "random rows", "selection"):
        assert line in text
    assert [name for name, _ in certificate.seconds][0] == "network"
    assert certificate.n_samples == certificate.n_dropped + certificate.n_kept == 150


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_results_do_not_depend_on_who_computes_them(backend):
    X, y = load_breast_cancer(return_X_y=True)
    with threadpool_limits(1):
        alone = InfluencePruner(**CALM).fit(X, y)
    with parallel_config(backend, n_jobs=2):
        spread = InfluencePruner(**CALM).fit(X, y)
    np.testing.assert_array_equal(spread.support_, alone.support_)
    np.testing.assert_array_equal(spread.influence_norms_, alone.influence_norms_)


@pytest.mark.parametrize(("spent", "left"), [(0.0, 10.0), (4.0, 6.0), (11.0, 1.0)])
def test_selection_and_certificate_get_what_influences_leave_of_the_time(
    iris, monkeypatch, spent, left
):
    module, deadlines = sklearn_prune._influence_pruner, []

    def timed(function):
        def call(*args, deadline, **options):
            deadlines.append(deadline - time.perf_counter())
            return function(*args, deadline=deadline, **options)

        return call

    # Only what these two are called with says how much time each gets.
    for name in ("choose_rows", "certify"):
        monkeypatch.setattr(module, name, timed(getattr(module, name)))
    monkeypatch.setattr(StageClock, "spent_in", lambda clock, *stages: spent)
    InfluencePruner(**CALM, time_limit=10.0).fit(*iris)
    assert deadlines == pytest.approx([left, left], abs=0.2)


def test_a_parameter_of_a_network_that_was_not_given_is_an_error_in_our_words():
    for network in (None, [SGDClassifier(), SGDClassifier()]):
        with pytest.raises(ValueError, match="estimator__alpha needs a single network"):
            InfluencePruner(network).set_params(estimator__alpha=1.0)
    pruner = InfluencePruner().set_params(estimator=SGDClassifier(), estimator__alpha=1.0)
    assert pruner.estimator.alpha == 1.0
    with pytest.raises(ValueError, match="Invalid parameter 'estimator'"):
        RandomPruner().set_params(estimator__alpha=1.0)
