"""What all pruners that score rows have in common."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor

from sklearn_prune import InfluencePruner, PrunedClassifier, make_pipeline
from sklearn_prune.baselines import (
    CoveragePruner,
    D2Pruner,
    DistributionPruner,
    DUALPruner,
    DynamicUncertaintyPruner,
    EL2NPruner,
    ForgettingPruner,
    GeometricMedianPruner,
    GraNdPruner,
    HerdingPruner,
    InfluenceScorePruner,
    KCenterPruner,
    KMeansPruner,
    ModeratePruner,
    MoSoPruner,
    RandomPruner,
    RefinedCoresetPruner,
    UncertaintyPruner,
    ZeroShotCoveragePruner,
)
from sklearn_prune.baselines._scored import ScoredPruner
from sklearn_prune.model_selection import PruneRatioSearchCV
from tests.expected_failures import expected_failures

FROM_FEATURES = (HerdingPruner, KCenterPruner, ModeratePruner, InfluenceScorePruner)
PRUNERS = [
    CoveragePruner(random_state=0),
    D2Pruner(random_state=0),
    DUALPruner(n_epochs=2, window=2, random_state=0),
    DynamicUncertaintyPruner(window=2, random_state=0),
    EL2NPruner(n_epochs=1, n_networks=1, random_state=0),
    ForgettingPruner(random_state=0),
    GeometricMedianPruner(random_state=0),
    GraNdPruner(n_epochs=1, n_networks=1, random_state=0),
    HerdingPruner(random_state=0),
    InfluenceScorePruner(damping=1e-2, random_state=0),
    KCenterPruner(random_state=0),
    KMeansPruner(random_state=0),
    ModeratePruner(random_state=0),
    MoSoPruner(random_state=0),
    RefinedCoresetPruner(n_iterations=2, random_state=0),
    UncertaintyPruner(n_folds=2, random_state=0),
    ZeroShotCoveragePruner(n_draws=200, random_state=0),
]


def by_name(pruners: list) -> list:
    return [pytest.param(pruner, id=type(pruner).__name__) for pruner in pruners]


every_pruner = pytest.mark.parametrize("pruner", by_name(PRUNERS))


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    # scikit-learn's checks fit each pruner a hundred times.
    monkeypatch.setattr("sklearn_prune.baselines._dynamics.LINEAR_EPOCHS", 2)
    monkeypatch.setattr("sklearn_prune.baselines._dynamics.LINEAR_STEPS_PER_EPOCH", 2)


@parametrize_with_checks(PRUNERS, expected_failed_checks=expected_failures)
def test_an_estimator_of_scikit_learn(estimator: BaseEstimator, check: Callable) -> None:
    check(estimator)


@pytest.fixture(scope="module", params=[0.0, 0.47, 0.9])
def influences(request: pytest.FixtureRequest, iris) -> InfluencePruner:
    # With 117 rows, two classes of 50 would be equally far from whole numbers, and milp may choose.
    X, y = iris[0][:118], iris[1][:118]
    return InfluencePruner(prune_ratio=request.param, damping=1e-2, random_state=0).fit(X, y)


@every_pruner
def test_each_class_keeps_as_many_rows_as_with_influences(pruner, influences, iris):
    X, y = iris[0][:118], iris[1][:118]
    scored = clone(pruner).set_params(prune_ratio=influences.prune_ratio).fit(X, y)
    expected = np.bincount(y[influences.support_])
    np.testing.assert_array_equal(np.bincount(y[scored.support_]), expected)


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("pruner", by_name([*PRUNERS, RandomPruner(random_state=0)]))
def test_select_is_a_fit_with_that_ratio_but_trains_and_changes_nothing(
    pruner, stratify, iris, monkeypatch
):
    # One class is so small that, unstratified, its only row must be kept against its score.
    X, y = np.r_[iris[0], [[50.0] * 4]], np.r_[iris[1], 3]
    ratios = (0.0, 0.3, 0.6, 0.97 if not stratify else 0.9)
    fits = [clone(pruner).set_params(prune_ratio=r, stratify=stratify).fit(X, y) for r in ratios]
    monkeypatch.delattr(NeuralNet, "initialize")
    monkeypatch.delattr(NeuralNet, "forward_iter")
    for fitted in fits:
        before = pickle.dumps(fitted)
        for ratio, expected in zip(ratios, fits, strict=True):
            np.testing.assert_array_equal(fitted.select(prune_ratio=ratio), expected.support_)
        assert pickle.dumps(fitted) == before


@every_pruner
def test_select_checks_what_it_is_given(pruner, iris):
    fitted = clone(pruner).fit(*iris)
    with pytest.raises(ValueError, match="'prune_ratio' parameter"):
        fitted.select(prune_ratio=1.0)
    with pytest.raises(ValueError, match="leaves 2 rows for 3 classes; lower it to 0.98 or less"):
        fitted.select(prune_ratio=0.99)
    with pytest.raises(NotFittedError):
        clone(pruner).select(prune_ratio=0.5)


@every_pruner
def test_not_stratified_the_rows_kept_are_as_many_and_every_class_keeps_one(pruner, iris):
    X, y = np.r_[iris[0], [[50.0] * 4]], np.r_[iris[1], 3]
    scored = clone(pruner).set_params(prune_ratio=0.97, stratify=False).fit(X, y)
    assert scored.support_.sum() == 151 - 146
    assert set(y[scored.support_]) == {0, 1, 2, 3}


@every_pruner
def test_the_seed_decides_and_a_clone_does_the_same(pruner, iris):
    first = clone(pruner).fit(*iris)
    again = clone(first).fit(*iris)
    np.testing.assert_array_equal(first.support_, again.support_)
    np.testing.assert_array_equal(first.scores_, again.scores_)
    assert first.scores_.shape == (150,)
    assert repr(first).startswith(type(pruner).__name__ + "(")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).support_, first.support_)


@every_pruner
def test_frames_sparse_rows_and_labels_of_text_make_no_difference(pruner, iris):
    X, y = iris
    expected = clone(pruner).fit(X, y).support_
    frame = pd.DataFrame(X, columns=list("abcd"), index=range(150, 0, -1))
    labels = pd.Series(np.array(["x", "y", "z"])[y], index=frame.index)
    by_name = clone(pruner).fit(frame, labels)
    np.testing.assert_array_equal(by_name.support_, expected)
    kept = by_name.prune(frame)
    assert isinstance(kept, pd.DataFrame) and kept.index[0] == frame.index[expected][0]
    np.testing.assert_array_equal(clone(pruner).fit(sp.csr_array(X), y).support_, expected)


@every_pruner
def test_wherever_the_influence_pruner_may_be(pruner, iris):
    X, y = iris
    model = LogisticRegression(max_iter=500)
    pipe = make_pipeline(clone(pruner), model).fit(X, y)
    assert pipe[0].support_.sum() == 90
    nested = PrunedClassifier(model, clone(pruner)).fit(X, y)
    np.testing.assert_array_equal(nested.pruner_.support_, pipe[0].support_)
    search = PruneRatioSearchCV(model, clone(pruner), ratios=[0.5], tolerance=1.0, cv=2).fit(X, y)
    assert search.best_prune_ratio_ == 0.5


@every_pruner
def test_a_network_of_ones_own_is_trained_as_a_clone(pruner, iris, make_net):
    X, y = iris
    net = make_net()
    scored = clone(pruner).set_params(estimator=net, prune_ratio=0.5).fit(X, y)
    assert not getattr(net, "initialized_", False)
    assert scored.support_.sum() == 75
    linear = clone(pruner).set_params(prune_ratio=0.5).fit(X, y)
    assert (scored.scores_ != linear.scores_).any()


@every_pruner
def test_images_go_to_the_network_as_they_are(pruner):
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(40, 1, 6, 6)).astype(np.float32), np.arange(40) % 2
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 2)
    )
    net = NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, max_epochs=2, lr=0.01, verbose=0
    )
    scored = clone(pruner).set_params(estimator=net).fit(images, y)
    assert scored.transform(images).shape == (24, 1, 6, 6)


@pytest.mark.parametrize("pruner", by_name([*PRUNERS, DistributionPruner(random_state=0)]))
def test_without_a_network_images_are_rows_of_their_values(pruner):
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(40, 3, 2, 2)), np.arange(40) % 2
    of_images = clone(pruner).fit(images, y)
    np.testing.assert_array_equal(
        of_images.support_, clone(pruner).fit(images.reshape(40, 12), y).support_
    )
    assert of_images.transform(images).shape == (24, 3, 2, 2)
    assert of_images.select(prune_ratio=0.5).sum() == 20


@pytest.mark.parametrize("pruner", by_name([HerdingPruner(), EL2NPruner(n_epochs=1)]))
def test_images_on_disk_are_read_as_those_in_memory(pruner, tmp_path):
    rng = np.random.default_rng(0)
    images, y = rng.integers(0, 255, (40, 3, 2, 2)).astype(np.uint8), np.arange(40) % 2
    pruner = clone(pruner).set_params(random_state=0)
    expected = clone(pruner).fit(images, y).support_
    np.save(tmp_path / "images.npy", images)
    on_disk = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(clone(pruner).fit(on_disk, y).support_, expected)


@pytest.mark.parametrize("pruner", by_name([p for p in PRUNERS if isinstance(p, FROM_FEATURES)]))
def test_a_frozen_network_is_read_as_it_is(pruner, iris, make_net):
    X, y = iris
    net = make_net().fit(X.astype(np.float32), y)
    before = net.module_.head.weight.detach().clone()
    frozen = clone(pruner).set_params(estimator=FrozenEstimator(net)).fit(X, y)
    assert torch.equal(net.module_.head.weight, before)
    reseeded = clone(frozen).set_params(random_state=1).fit(X, y)
    np.testing.assert_array_equal(reseeded.scores_, frozen.scores_)
    # It knows three classes and sees two of them.
    two = y != 1
    assert clone(frozen).fit(X[two], y[two]).support_.sum() == 60


@pytest.mark.parametrize("pruner", by_name([p for p in PRUNERS if not p._needs_classes]))
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_regression_is_pruned(pruner, n_outputs):
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:60], np.c_[y, y**2][:60, :n_outputs].squeeze() + 0.5
    linear = clone(pruner).fit(X, y)
    assert linear.support_.sum() == 36 and not hasattr(linear, "classes_")
    net = NeuralNetRegressor(torch.nn.Linear(10, n_outputs), lr=1e-12, max_epochs=2, verbose=0)
    assert clone(pruner).set_params(estimator=net).fit(X, y).support_.sum() == 36


@pytest.mark.parametrize("pruner", by_name([p for p in PRUNERS if p._needs_classes]))
def test_what_needs_classes_says_so(pruner):
    X, y = load_diabetes(return_X_y=True)
    message = f"{type(pruner).__name__} is for cla.* y holds numbers; give labels .* KCenterPruner"
    with pytest.raises(ValueError, match=message):
        clone(pruner).fit(X, y + 0.5)
    net = NeuralNetRegressor(torch.nn.Linear(10, 1), verbose=0)
    with pytest.raises(ValueError, match=message):
        clone(pruner).set_params(estimator=net).fit(X, y)


class Constant(ScoredPruner):
    def _score(self, job):
        return np.zeros(len(job.y))


@given(
    ratios=st.lists(st.floats(0, 0.9), min_size=2, max_size=2),
    y=st.lists(st.integers(0, 2), min_size=30, max_size=40),
    stratify=st.booleans(),
    seed=st.integers(0, 9),
)
def test_ties_are_drawn_alike_whatever_the_ratio_of_the_fit(ratios, y, stratify, seed):
    X, y = np.zeros((len(y), 1)), np.array(y)
    if len(set(y)) < 2:
        return
    one, other = (
        Constant(prune_ratio=ratio, stratify=stratify, random_state=seed).fit(X, y)
        for ratio in ratios
    )
    np.testing.assert_array_equal(one.select(prune_ratio=ratios[1]), other.support_)


def test_ties_are_drawn():
    X, y = np.zeros((40, 1)), np.repeat([0, 1], 20)
    times = sum(
        Constant(prune_ratio=0.5, random_state=seed).fit(X, y).support_.astype(int)
        for seed in range(200)
    )
    # Four standard deviations of a binomial count on either side.
    assert times.min() > 71 and times.max() < 129


class Given(ScoredPruner):
    """Scores rows by their only column."""

    def _score(self, job):
        return job.X[:, 0]


@pytest.mark.parametrize("stratify", [True, False])
@given(
    ratio=st.floats(0, 0.9),
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.floats(-9, 9)), min_size=4, max_size=20, unique=True
    ),
)
def test_no_row_that_goes_is_better_than_one_that_stays(stratify, ratio, rows):
    y, score = (np.array(values) for values in zip(*rows, strict=True))
    n_classes, n_drop = len(set(y)), int(np.ceil(ratio * len(y) - 0.5))
    if n_classes < 2 or len(y) - n_drop < n_classes:
        return
    pruner = Given(prune_ratio=ratio, stratify=stratify, random_state=0)
    support = pruner.fit(score[:, None], y).support_
    assert (~support).sum() == n_drop
    assert set(y[support]) == set(y)
    for label in set(y):
        here = y == label
        if (here & ~support).any():
            assert score[here & ~support].max() <= score[here & support].min()
    if not stratify and n_drop:
        # Whatever is worse than a row that goes is the last of its class.
        worse = support & (score < score[~support].max())
        assert all((support & (y == label)).sum() == 1 for label in y[worse])


def test_arguments_that_only_influences_obey_are_refused(iris):
    X, y = iris
    with pytest.raises(TypeError, match="only X, y and target_kind, not must_keep. Leave it out"):
        HerdingPruner().fit(X, y, must_keep=y == 0)


@pytest.mark.usefixtures("no_training")
def test_a_ratio_that_leaves_too_few_rows_is_refused_before_training(iris):
    with pytest.raises(ValueError, match="leaves 2 rows for 3 classes; lower it to 0.98 or less"):
        ForgettingPruner(prune_ratio=0.99).fit(*iris)
