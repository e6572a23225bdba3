"""What is observed is what scikit-learn's solvers do; displays draw what they hold."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import FitFailedWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import ShuffleSplit, StratifiedKFold, cross_val_score, train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.influence import HeadObjective, forecast_retraining, refit_head
from sklearn_prune.inspection import (
    ExpectedGapDisplay,
    InfluenceDisplay,
    PruningCurveDisplay,
    retraining_check,
)
from sklearn_prune.inspection._bounds import LossBound, minimiser_distance
from tests.influence.heads import LOSSES, random_objective

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

DAMPING = 1e-2


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def cancer():
    return train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)


@pytest.fixture(scope="module")
def cancer_pruner(cancer):
    X, _, y, _ = cancer
    return InfluencePruner(prune_ratio=0.8, damping=DAMPING, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def cancer_checks(cancer, cancer_pruner):
    X, X_test, y, y_test = cancer
    supports = [cancer_pruner.select(prune_ratio=ratio) for ratio in (0.4, 0.6, 0.8)]
    return [
        retraining_check(cancer_pruner, X, y, X_test=X_test, y_test=y_test, support=support)
        for support in supports
    ]


def designs(X, X_test):
    """Columns to mean 0 and variance 1 on the training rows, and one of ones."""
    scaler = StandardScaler().fit(X)
    return (np.c_[scaler.transform(part), np.ones(len(part))] for part in (X, X_test))


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
def test_what_is_observed_is_what_scikit_learns_logistic_regression_does(load):
    X, X_test, y, y_test = train_test_split(*load(return_X_y=True), random_state=0)
    # Its own choice is not looked at.
    pruner = InfluencePruner(prune_ratio=0.0, damping=DAMPING).fit(X, y)
    support = RandomPruner(prune_ratio=0.7, random_state=0).fit(X, y).get_support()
    check = retraining_check(pruner, X, y, X_test=X_test, y_test=y_test, support=support)

    design, test_design = designs(X, X_test)
    whole, kept = (
        LogisticRegression(
            C=1 / (rows.sum() * DAMPING), fit_intercept=False, solver="newton-cg", tol=1e-12
        ).fit(design[rows], y[rows])
        for rows in (np.ones(len(y), dtype=bool), support)
    )
    distance = np.linalg.norm(kept.coef_ - whole.coef_)
    assert check.parameter_change.observed == pytest.approx(distance, rel=1e-5)
    for gap, features, labels in (
        (check.train_gap, design, y),
        (check.test_gap, test_design, y_test),
    ):
        before, after = (log_loss(labels, model.predict_proba(features)) for model in (whole, kept))
        assert gap.observed == pytest.approx(after - before, rel=1e-4)
    assert check.n_dropped == (~support).sum()
    assert check.refit_gradient_norm < 1e-10


def test_what_is_observed_is_what_scikit_learns_ridge_does():
    X, X_test, y, y_test = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    y, y_test = y + 0.5, y_test + 0.5
    pruner = InfluencePruner(prune_ratio=0.7, damping=DAMPING, random_state=0).fit(X, y)
    check = retraining_check(pruner, X, y, X_test=X_test, y_test=y_test)

    design, test_design = designs(X, X_test)
    scaler = StandardScaler().fit(y[:, None])
    target, test_target = (scaler.transform(part[:, None]).ravel() for part in (y, y_test))
    # n times the mean squared error plus n damping / 2 times the squared parameters.
    whole, kept = (
        Ridge(alpha=rows.sum() * DAMPING / 2, fit_intercept=False).fit(design[rows], target[rows])
        for rows in (np.ones(len(y), dtype=bool), pruner.support_)
    )
    distance = np.linalg.norm(kept.coef_ - whole.coef_)
    assert check.parameter_change.observed == pytest.approx(distance, rel=1e-8)
    # One Newton step is exact, and so is the bound that it gives.
    assert check.parameter_change.kept_hessian == pytest.approx(distance, rel=1e-8)
    assert check.parameter_bound == pytest.approx(distance, rel=1e-8)
    before, after = (
        mean_squared_error(test_target, model.predict(test_design)) for model in (whole, kept)
    )
    assert check.test_gap.observed == pytest.approx(after - before, rel=1e-6)


def test_weights_of_the_rows_count_in_the_refit_and_in_the_training_loss(cancer):
    X, X_test, y, _ = cancer
    weights = np.random.default_rng(0).uniform(0.2, 3, len(y))
    pruner = InfluencePruner(prune_ratio=0.5, damping=DAMPING, random_state=0)
    check = retraining_check(pruner.fit(X, y, sample_weight=weights), X, y)

    scaler = StandardScaler().fit(X, sample_weight=weights)
    design = np.c_[scaler.transform(X), np.ones(len(X))]
    losses = []
    for rows in (np.ones(len(y), dtype=bool), pruner.support_):
        model = LogisticRegression(
            C=1 / (weights[rows].sum() * DAMPING), fit_intercept=False, tol=1e-12,
            solver="newton-cg",
        ).fit(design[rows], y[rows], sample_weight=weights[rows])  # fmt: skip
        losses.append(log_loss(y, model.predict_proba(design), sample_weight=weights))
    assert check.train_gap.observed == pytest.approx(losses[1] - losses[0], rel=1e-4)


def test_changes_are_those_of_the_certificate(cancer, cancer_pruner):
    X, _, y, _ = cancer
    check, certificate = retraining_check(cancer_pruner, X, y), cancer_pruner.certificate_
    assert check.loss_change.first_order == pytest.approx(certificate.predicted_change)
    assert check.loss_change.kept_hessian == pytest.approx(certificate.kept_hessian_change)
    # The one starts from zero, the other from the Newton step.
    assert check.loss_change.observed == pytest.approx(certificate.actual_change, rel=1e-9)
    assert check.test_gap is None


def test_frames_and_labels_of_text_are_read_as_in_fit(cancer, cancer_pruner):
    X, X_test, y, y_test = cancer
    frames = [pd.DataFrame(rows).add_prefix("x") for rows in (X, X_test)]
    labels = [pd.Series(np.array(["ill", "well"])[codes]) for codes in (y, y_test)]
    pruner = InfluencePruner(prune_ratio=0.8, damping=DAMPING, random_state=0)
    pruner.fit(frames[0], labels[0])
    of_frames = retraining_check(pruner, frames[0], labels[0], X_test=frames[1], y_test=labels[1])
    of_arrays = retraining_check(cancer_pruner, X, y, X_test=X_test, y_test=y_test)
    np.testing.assert_array_equal(pruner.support_, cancer_pruner.support_)
    for gap in ("train_gap", "test_gap"):
        expected = getattr(of_arrays, gap).observed
        assert getattr(of_frames, gap).observed == pytest.approx(expected, rel=1e-6)


def test_parameters_are_compared_by_their_distance(cancer):
    X, _, y, _ = cancer
    pruner = InfluencePruner(norm="parameter", damping=DAMPING, random_state=0).fit(X, y)
    forecast = forecast_retraining(pruner._influence_, ~pruner.support_)
    change = retraining_check(pruner, X, y).parameter_change
    assert change.first_order == pytest.approx(forecast.first_order)
    assert change.kept_hessian == pytest.approx(forecast.kept_hessian)
    assert change.observed == pytest.approx(forecast.refitted)


def test_dropping_nothing_changes_nothing(cancer, cancer_pruner):
    X, X_test, y, y_test = cancer
    check = retraining_check(
        cancer_pruner, X, y, X_test=X_test, y_test=y_test, support=np.ones(len(y), dtype=bool)
    )
    assert check.n_dropped == 0
    assert check.parameter_change.observed < check.parameter_bound < 1e-10
    assert check.train_gap.observed == pytest.approx(0, abs=1e-12)
    assert check.test_gap.is_within_proven_bound


@pytest.mark.parametrize("refit", [True, False])
def test_a_network_of_ones_own_is_checked_and_left_as_it_is(refit, iris, make_net):
    X, y = iris[0].astype(np.float32), np.array(["a", "b", "c"])[iris[1]]
    net = make_net().fit(X, iris[1])
    before = [parameter.detach().clone() for parameter in net.module_.parameters()]
    pruner = InfluencePruner(FrozenEstimator(net), refit=refit, damping=DAMPING, random_state=0)
    pruner.fit(X[::2], y[::2])
    check = retraining_check(pruner, X[::2], y[::2], X_test=X[1::2], y_test=y[1::2])
    assert check.loss_change.observed == pytest.approx(pruner.certificate_.actual_change, rel=1e-6)
    assert check.test_gap.is_within_proven_bound
    assert all((a == b).all() for a, b in zip(before, net.module_.parameters(), strict=True))


def test_a_dataset_and_a_dict_are_checked_as_their_arrays_are(iris, make_net):
    X, y = iris
    X = X.astype(np.float32)
    dataset = TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
    net = FrozenEstimator(make_net(4, 3).fit(X, y))
    expected = retraining_check(
        InfluencePruner(net, random_state=0).fit(X, y), X, y, X_test=X[::2], y_test=y[::2]
    )
    test = TensorDataset(torch.as_tensor(X[::2]), torch.as_tensor(y[::2]))
    pruner = InfluencePruner(net, random_state=0).fit(dataset)
    found = retraining_check(pruner, dataset, X_test=test)
    assert found.loss_change.observed == pytest.approx(expected.loss_change.observed)
    assert found.test_gap.observed == pytest.approx(expected.test_gap.observed)
    with pytest.raises(ValueError, match="a dataset must be the same object"):
        retraining_check(pruner, TensorDataset(*dataset.tensors))
    with pytest.raises(ValueError, match="y is None"):
        retraining_check(InfluencePruner(net, random_state=0).fit(X, y), X)


def test_bounds_hold_for_good_sets_and_for_bad_ones(cancer, cancer_pruner, cancer_checks):
    X, X_test, y, y_test = cancer
    worst = np.ones(len(y), dtype=bool)
    worst[np.argsort(cancer_pruner.influence_norms_)[-200:]] = False
    bad = retraining_check(cancer_pruner, X, y, X_test=X_test, y_test=y_test, support=worst)
    for check in (*cancer_checks, bad):
        assert check.parameter_change.observed <= check.parameter_bound
        assert check.train_gap.is_within_proven_bound
        assert check.test_gap.is_within_proven_bound
        assert check.test_gap.is_within_stated_bound
    # What is stated holds as far as the first order does: here it says too little.
    assert bad.parameter_change.observed > 1.3 * bad.parameter_change.first_order


@pytest.mark.parametrize("name", LOSSES)
@given(seed=st.integers(0, 10**6), length=st.floats(1e-3, 30))
def test_no_loss_changes_by_more_than_the_bound(name, seed, length):
    objective, theta = random_objective(name, n=12, damping=0.0, weighted=True, seed=seed)
    step = np.random.default_rng(seed).standard_normal(theta.shape)
    step *= length / np.linalg.norm(step)
    change = objective.value(theta + step) - objective.value(theta)
    assert abs(change) <= LossBound(objective, theta)(length) * (1 + 1e-12)


@pytest.mark.parametrize(
    "name", ["softmax", "one logit", "three logits", "one target", "three targets"]
)
def test_bound_is_reached_in_the_worst_direction(name):
    """One row, and the outputs and steps for which each constant is attained."""
    design = np.array([[3.0]])
    targets = np.array([0]) if name == "softmax" else np.zeros((1, 1))
    objective = HeadObjective(
        design, targets, LOSSES[name], 0.0, n_outputs=2 if name == "softmax" else 1
    )
    theta = np.zeros(objective.shape)
    direction = np.array([[-1.0], [1.0]]) / np.sqrt(2) if name == "softmax" else np.ones((1, 1))
    bound = LossBound(objective, theta)

    def rise(length):
        return objective.value(theta + length * direction) - objective.value(theta)

    # Near zero outputs the curvature is largest, far away the slope is.
    assert rise(1e-2) == pytest.approx(bound(1e-2), rel=1e-4)
    if "target" not in name:
        assert rise(1e4) == pytest.approx(bound(1e4), rel=1e-3)


def test_nothing_is_claimed_of_a_loss_that_is_not_known():
    objective, theta = random_objective("torch softmax", damping=0.0)
    assert LossBound(objective, theta)(1e-3) == np.inf
    assert LossBound(objective, theta)(0.0) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_the_minimiser_is_within_the_gradient_over_the_damping(name):
    objective, theta = random_objective(name)
    distance = np.linalg.norm(refit_head(objective).theta - theta)
    assert distance <= minimiser_distance(objective, theta)


def test_table_has_a_line_for_each_quantity(cancer, cancer_pruner, cancer_checks):
    text = repr(cancer_checks[-1])
    assert "341 of 426 rows dropped (80.0%)" in text
    for name in ("loss change", "parameter change", "train gap", "test gap"):
        assert f"  {name} " in text
    X, _, y, _ = cancer
    assert "test gap" not in repr(retraining_check(cancer_pruner, X, y))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: {"X": X[::-1]}, "X must hold the 426 rows"),
        (lambda X, y: {"X": X[:-1], "y": y[:-1]}, "it holds others, 425 of them"),
        (lambda X, y: {"y": 1 - y}, "it differs in 426 of 426 rows"),
        (lambda X, y: {"y": y + 1}, "2 is not. Leave such rows out"),
        (lambda X, y: {"X_test": X}, "y_test is None. Give both"),
        (lambda X, y: {"y_test": y}, "X_test is None. Give both"),
        (lambda X, y: {"support": np.arange(9)}, "support must be a boolean mask of shape .426"),
        (lambda X, y: {"support": np.ones(9, bool)}, "and shape .9,"),
        (lambda X, y: {"support": np.zeros(426, bool)}, "drop removes all 426 rows"),
    ],
)
def test_what_does_not_fit_the_pruner_is_refused(change, message, cancer, cancer_pruner):
    X, _, y, _ = cancer
    with pytest.raises(ValueError, match=message):
        retraining_check(cancer_pruner, **{"X": X, "y": y, **change(X, y)})


def test_a_pruner_without_expectations_is_refused(cancer):
    X, _, y, _ = cancer
    with pytest.raises(TypeError, match="it is RandomPruner.*give them as support"):
        retraining_check(RandomPruner().fit(X, y), X, y)
    with pytest.raises(TypeError, match="RandomPruner has none"):
        InfluenceDisplay.from_estimator(RandomPruner().fit(X, y))


def test_curves_are_means_and_bands_of_cross_validated_scores(iris):
    model = LogisticRegression(max_iter=500)
    pruners = {"random": RandomPruner(random_state=0), "ours": InfluencePruner(random_state=0)}
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    display = PruningCurveDisplay.from_estimator(
        model, *iris, pruners=pruners, ratios=[0.5, 0.9], cv=cv, scoring="neg_log_loss"
    )
    full = cross_val_score(model, *iris, cv=cv, scoring="neg_log_loss")
    for name, line, band in zip(pruners, display.lines_, display.fill_between_, strict=True):
        scores = display.test_scores[name]
        np.testing.assert_allclose(scores[0], full)
        np.testing.assert_array_equal(line.get_xdata(), [0, 0.5, 0.9])
        np.testing.assert_allclose(line.get_ydata(), scores.mean(axis=1))
        edges = np.r_[(scores.mean(axis=1) - scores.std(axis=1)).min(), scores.mean(axis=1).max()]
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(edges[0])
        assert heights.max() >= edges[1]
    assert display.ax_.get_ylabel() == "neg log loss"


def test_all_pruners_meet_the_same_folds(iris):
    pruners = {"a": RandomPruner(random_state=0), "b": RandomPruner(random_state=0)}
    display = PruningCurveDisplay.from_estimator(
        LogisticRegression(max_iter=500), *iris, pruners=pruners, ratios=[0.9], cv=ShuffleSplit(2)
    )
    np.testing.assert_array_equal(display.test_scores["a"], display.test_scores["b"])


def test_influences_are_compared_with_random_rows_where_nothing_else_is_asked_for(iris):
    model = LogisticRegression(max_iter=500)
    display = PruningCurveDisplay.from_estimator(model, *iris, ratios=[0.5], cv=2)
    assert list(display.test_scores) == ["influence", "random"]


def test_a_ratio_that_is_impossible_is_left_out_of_the_curve(iris):
    with pytest.warns(FitFailedWarning, match="prune_ratio=0.99 is skipped"):
        display = PruningCurveDisplay.from_estimator(
            LogisticRegression(max_iter=500),
            *iris,
            pruners={"random": RandomPruner(random_state=0)},
            ratios=[0.5, 0.99],
        )
    assert display.prune_ratios["random"].tolist() == [0, 0.5]


def test_histograms_hold_the_rows_kept_and_those_dropped(cancer_pruner):
    axes = plt.subplots()[1]
    display = InfluenceDisplay.from_estimator(cancer_pruner, ax=axes, histtype="bar")
    assert display.ax_ is axes
    assert display.figure_ is axes.figure
    for name in ("kept", "dropped"):
        heights = [bar.get_height() for bar in display.histograms_[name]]
        assert sum(heights) == pytest.approx(1)
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["kept (85 rows)", "dropped (341 rows)"]


def test_rows_without_influence_are_left_out_of_the_histogram():
    norms, support = np.array([0.0, 1.0, 10.0, np.inf]), np.array([True, True, False, False])
    display = InfluenceDisplay(influence_norms=norms, support=support).plot(histtype="bar")
    assert sum(bar.get_height() for bar in display.histograms_["kept"]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="none of the 1 rows has one"):
        InfluenceDisplay(influence_norms=norms[:1], support=support[:1]).plot()


@pytest.mark.parametrize("forecast", ["kept_hessian", "first_order"])
@pytest.mark.parametrize("quantity", ["train_gap", "parameter_change"])
def test_points_are_expected_and_observed(forecast, quantity, cancer_checks):
    display = ExpectedGapDisplay.from_checks(
        cancer_checks, quantity=quantity, forecast=forecast, labels=["a", "b", "a"]
    )
    first, second = display.scatters_
    assert (len(first.get_offsets()), len(second.get_offsets())) == (2, 1)
    of = getattr(cancer_checks[1], quantity)
    np.testing.assert_allclose(second.get_offsets()[0], [getattr(of, forecast), of.observed])
    assert display.ax_.get_xlim() == display.ax_.get_ylim()
    np.testing.assert_array_equal(*display.line_.get_data())
    scale = "log" if quantity == "parameter_change" else "symlog"
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == scale


def test_gaps_below_zero_are_drawn_too():
    display = ExpectedGapDisplay(
        expected=np.array([-0.1, 0.2]), observed=np.array([-0.2, 0.0]), quantity="test_gap"
    ).plot()
    assert display.ax_.get_xscale() == "symlog"
    low, high = display.ax_.get_xlim()
    assert low < -0.2 < 0.2 < high


def test_a_set_that_changed_nothing_is_drawn_at_zero():
    display = ExpectedGapDisplay(expected=np.zeros(1), observed=np.zeros(1)).plot()
    low, high = display.ax_.get_xlim()
    assert low < 0 < high


def test_checks_without_test_rows_have_no_test_gap_to_draw(cancer, cancer_pruner):
    X, _, y, _ = cancer
    check = retraining_check(cancer_pruner, X, y)
    with pytest.raises(ValueError, match="every check needs a test_gap; 1 of 1"):
        ExpectedGapDisplay.from_checks([check], quantity="test_gap")


def test_without_matplotlib_displays_say_what_to_install(monkeypatch, cancer_pruner, iris):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="InfluenceDisplay.from_estimator requires matplotlib"):
        InfluenceDisplay.from_estimator(cancer_pruner)
    with pytest.raises(ImportError, match="PruningCurveDisplay.from_estimator requires"):
        PruningCurveDisplay.from_estimator(LogisticRegression(), *iris)
    with pytest.raises(ImportError, match="ExpectedGapDisplay.from_checks requires"):
        ExpectedGapDisplay.from_checks([])
    with pytest.raises(ImportError, match="ExpectedGapDisplay.plot requires"):
        ExpectedGapDisplay(expected=np.ones(1), observed=np.ones(1)).plot()
