"""Reference rows through every door, and what cannot be one."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from sklearn_prune import InfluencePruner, Pipeline, PrunedClassifier
from sklearn_prune.meta import PruningSampler
from sklearn_prune.model_selection import PruneRatioSearchCV

PRUNER = InfluencePruner(prune_ratio=0.4, random_state=0)
N, N_REFERENCE = 240, 60


@pytest.fixture(scope="module")
def data():
    """X, labels of which some are wrong, right labels, X_ref and y_ref."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N + N_REFERENCE, 4)) * 3 + 5
    right = np.array(["no", "yes"])[
        (X[:, 0] + X[:, 1] + rng.standard_normal(len(X)) > 11).astype(int)
    ]
    y = right[:N].copy()
    wrong = rng.random(N) < 0.25
    y[wrong] = np.where(y[wrong] == "no", "yes", "no")
    return X[:N], y, right[:N], X[N:], right[N:]


def led(data):
    return {"X_ref": data[3], "y_ref": data[4]}


@pytest.fixture(scope="module")
def support(data):
    return clone(PRUNER).fit(*data[:2], **led(data)).support_


def scaled_support(data, **options):
    """What is kept where a scaler of the training rows stands before the pruner."""
    X, y, _, X_ref, y_ref = data
    scaler = StandardScaler().fit(X)
    pruner = clone(PRUNER).set_params(**options)
    return pruner.fit(scaler.transform(X), y, X_ref=scaler.transform(X_ref), y_ref=y_ref).support_


def test_wrong_labels_go(data, support):
    X, y, right = data[:3]
    plain = clone(PRUNER).fit(X, y).support_
    wrong = y != right
    assert wrong[support].mean() < 0.5 * min(wrong.mean(), wrong[plain].mean())


def test_they_may_be_training_rows_that_are_kept(data):
    X, y, right, X_ref, y_ref = data
    X_all, y_all = np.vstack([X, X_ref]), np.r_[y, y_ref]
    is_reference = np.arange(len(y_all)) >= N
    pruner = clone(PRUNER).fit(X_all, y_all, must_keep=is_reference, X_ref=X_ref, y_ref=y_ref)
    kept = pruner.support_
    assert kept[is_reference].all() and kept.sum() == 0.6 * len(y_all)
    assert (y != right)[kept[:N]].mean() < 0.5 * (y != right).mean()


def test_without_them_the_certificate_does_not_speak_of_them(data):
    certificate = clone(PRUNER).fit(*data[:2]).certificate_
    assert certificate.n_reference == certificate.n_suspect == 0
    assert np.isnan(certificate.reference_score)
    assert "reference" not in repr(certificate)


def test_the_certificate_speaks_of_them(data):
    certificate = clone(PRUNER).fit(*data[:2], **led(data)).certificate_
    assert certificate.n_reference == N_REFERENCE
    assert 0.7 < certificate.reference_score <= 1
    assert certificate.reference_damping >= 1e-4
    assert certificate.n_suspect_kept == 0 < certificate.n_suspect
    shown = repr(certificate)
    assert f"60, whose head scores {certificate.reference_score:.3f} held out" in shown
    assert "Changes are measured from the head of the reference rows." in " ".join(shown.split())


def test_containers_and_labels_may_be_others(data, support):
    X, y, _, X_ref, y_ref = data
    names = list("abcd")
    for X_other, X_ref_other, y_ref_other in (
        (X.tolist(), X_ref.tolist(), y_ref.tolist()),
        (pd.DataFrame(X, columns=names), pd.DataFrame(X_ref, columns=names), pd.Series(y_ref)),
        (csr_array(X), csr_array(X_ref), y_ref.astype(object)),
        (X, csr_array(X_ref), y_ref[:, None].ravel()),
    ):
        pruner = clone(PRUNER).fit(X_other, y, X_ref=X_ref_other, y_ref=y_ref_other)
        np.testing.assert_array_equal(pruner.support_, support)


def test_choosing_again_and_pickles_know_them(data, support):
    pruner = pickle.loads(pickle.dumps(clone(PRUNER).fit(*data[:2], **led(data))))
    np.testing.assert_array_equal(pruner.select(), support)
    fewer = pruner.select(prune_ratio=0.7)
    alone = clone(PRUNER).set_params(prune_ratio=0.7).fit(*data[:2], **led(data))
    np.testing.assert_array_equal(fewer, alone.support_)
    with pytest.raises(ValueError, match=r"tolerance=0.1 .* prune_ratio"):
        pruner.select(tolerance=0.1)


def test_a_memory_tells_them_apart(data, support, tmp_path):
    X, y, _, X_ref, y_ref = data
    pruner = clone(PRUNER).set_params(memory=str(tmp_path))
    plain = clone(pruner).fit(X, y)
    other = clone(pruner).fit(X, y, X_ref=X_ref[::-1] + 1, y_ref=y_ref[::-1])
    for _ in range(2):
        again = clone(pruner).fit(X, y, X_ref=X_ref, y_ref=y_ref)
        np.testing.assert_array_equal(again.support_, support)
    assert (plain.support_ != again.support_).any() and (other.support_ != again.support_).any()


def test_a_network_is_fitted_on_them(data, make_net):
    X, y, _, X_ref, y_ref = data
    net = make_net(4, 2, max_epochs=20)
    rows = {"X_ref": X_ref.astype("float32"), "y_ref": y_ref}
    pruner = clone(PRUNER).set_params(estimator=net).fit(X.astype("float32"), y, **rows)
    again = clone(PRUNER).set_params(estimator=net)
    again.fit(X[::-1].astype("float32").copy(), y[::-1], **rows)
    for ours, others in zip(
        pruner.estimator_.module_.parameters(), again.estimator_.module_.parameters(), strict=True
    ):
        assert torch.equal(ours, others)
    frozen = FrozenEstimator(pruner.estimator_)
    kept = clone(PRUNER).set_params(estimator=frozen).fit(X.astype("float32"), y, **rows)
    np.testing.assert_array_equal(kept.support_, pruner.support_)


def test_several_networks_and_features_are_aimed_together(data, make_net):
    X, y, right, X_ref, y_ref = data
    rows = {"X_ref": X_ref.astype("float32"), "y_ref": y_ref}
    pruner = clone(PRUNER).set_params(
        estimator=[make_net(4, 2), None], features=lambda rows: rows[:, :2] ** 2
    )
    pruner.fit(X.astype("float32"), y, **rows)
    assert pruner.certificate_.n_networks == 3
    assert (y != right)[pruner.support_].mean() < (y != right).mean()


def test_quotas_masks_groups_and_weights_hold(data):
    X, y = data[:2]
    keep, drop = np.arange(N) < 5, np.arange(N) >= N - 5
    groups = np.arange(N) % 2
    weights = np.where(np.arange(N) % 10 == 0, 0.0, 1.0)
    pruner = clone(PRUNER).fit(
        X,
        y,
        **led(data),
        must_keep=keep,
        must_drop=drop,
        groups=groups,
        sample_weight=weights,
        sample_cost=np.arange(N, dtype=float),
    )
    assert pruner.support_.sum() == N - round(0.4 * N)
    assert pruner.support_[keep].all() and not pruner.support_[drop].any()
    exact = clone(PRUNER).set_params(quota={"no": 70}).fit(X, y, **led(data))
    assert (y[exact.support_] == "no").sum() == 70
    equal = clone(PRUNER).set_params(quota="equal").fit(X, y, **led(data))
    assert (y[equal.support_] == "no").sum() == 72


@pytest.mark.parametrize("prune_ratio", [0.0, 0.02, 0.95])
def test_few_or_many_rows_go(data, prune_ratio):
    pruner = clone(PRUNER).set_params(prune_ratio=prune_ratio).fit(*data[:2], **led(data))
    assert pruner.support_.sum() == N - round(prune_ratio * N)
    assert set(data[1][pruner.support_]) == {"no", "yes"}


# Doors


def test_a_pipeline_carries_them_through_the_steps_before(data):
    X, y, _, X_ref, y_ref = data
    expected = scaled_support(data)
    with config_context(enable_metadata_routing=True):
        pruner = clone(PRUNER).set_fit_request(X_ref=True, y_ref=True)
        steps = [("scale", StandardScaler()), ("prune", pruner), ("fit", LogisticRegression())]
        pipe = Pipeline(steps, transform_input=["X_ref"]).fit(X, y, X_ref=X_ref, y_ref=y_ref)
        np.testing.assert_array_equal(pipe["prune"].support_, expected)


def test_scikit_learns_pipeline_carries_them_to_a_meta_estimator(data):
    X, y, _, X_ref, y_ref = data
    expected = scaled_support(data)
    with config_context(enable_metadata_routing=True):
        pruner = clone(PRUNER).set_fit_request(X_ref=True, y_ref=True)
        model = PrunedClassifier(LogisticRegression(), pruner)
        pipe = PlainPipeline(
            [("scale", StandardScaler()), ("model", model)], transform_input=["X_ref"]
        ).fit(X, y, X_ref=X_ref, y_ref=y_ref)
        np.testing.assert_array_equal(pipe["model"].pruner_.support_, expected)


def test_doors_without_routing(data, support):
    X, y = data[:2]
    model = PrunedClassifier(LogisticRegression(), clone(PRUNER)).fit(X, y, **led(data))
    np.testing.assert_array_equal(model.pruner_.support_, support)
    prefixed = {f"prune__{name}": value for name, value in led(data).items()}
    pipe = Pipeline([("prune", clone(PRUNER)), ("fit", LogisticRegression())])
    np.testing.assert_array_equal(pipe.fit(X, y, **prefixed)["prune"].support_, support)
    sampler = PruningSampler(clone(PRUNER))
    X_small, _ = sampler.fit_resample(X, y, **led(data))
    np.testing.assert_array_equal(X_small, X[support])


def test_with_weights_the_last_step_gets_them(data):
    X, y = data[:2]
    pruner = clone(PRUNER).set_params(reweight=True)
    model = PrunedClassifier(LogisticRegression(), pruner).fit(X, y, **led(data))
    kept, weights = model.pruner_.support_, model.pruner_.sample_weight_
    by_hand = LogisticRegression().fit(X[kept], y[kept], sample_weight=weights)
    np.testing.assert_allclose(model.estimator_.coef_, by_hand.coef_)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.pruner_.sample_weight_, weights)


def test_as_many_reference_rows_as_rows_are_never_cut(data):
    X, y, _, X_ref, y_ref = data
    many = {"X_ref": np.tile(X_ref, (4, 1)), "y_ref": np.tile(y_ref, 4)}
    assert len(many["y_ref"]) == N
    search = PruneRatioSearchCV(
        LogisticRegression(), clone(PRUNER), ratios=(0.3, 0.5), tolerance=1.0, cv=2
    ).fit(X, y, **many)
    expected = clone(PRUNER).set_params(prune_ratio=0.5).fit(X, y, **many)
    np.testing.assert_array_equal(search.pruner_.support_, expected.support_)
    two = Pipeline([("one", clone(PRUNER)), ("two", clone(PRUNER)), ("fit", LogisticRegression())])
    two.fit(X, y, **{f"two__{name}": value for name, value in many.items()})
    assert two["two"].certificate_.n_reference == N


def test_a_search_gives_them_to_every_fold(data):
    X, y = data[:2]
    search = PruneRatioSearchCV(
        LogisticRegression(),
        clone(PRUNER).set_params(reweight=True),
        ratios=(0.2, 0.4),
        tolerance=1.0,
        cv=2,
    ).fit(X, y, **led(data))
    assert search.best_prune_ratio_ == 0.4
    assert search.pruner_.certificate_.n_reference == N_REFERENCE
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# What cannot be


def frozen_net(make_net, data):
    net = make_net(4, 2).fit(data[0].astype("float32"), (data[1] == "yes").astype(np.int64))
    return FrozenEstimator(net)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (lambda X, y: {"X_ref": X}, r"both X_ref and y_ref; y_ref is missing"),
        (lambda X, y: {"y_ref": y}, r"both X_ref and y_ref; X_ref is missing"),
        (
            lambda X, y: {"X_ref": X[:, :3], "y_ref": y},
            r"X_ref must be rows like those of X: .*3.* Give X_ref the columns",
        ),
        (lambda X, y: {"X_ref": X[:, 0], "y_ref": y}, r"X_ref must be rows like those of X: "),
        (lambda X, y: {"X_ref": X[:5], "y_ref": y}, r"has 60 values, and X_ref has 5 rows"),
        (lambda X, y: {"X_ref": X * np.nan, "y_ref": y}, r"X_ref must be rows .* finite"),
        (lambda X, y: {"X_ref": X.astype(str), "y_ref": y}, r"X_ref must be rows like those"),
        (lambda X, y: {"X_ref": X, "y_ref": np.where(y == "no", "no", None)}, r"y_ref .* missing"),
        (lambda X, y: {"X_ref": X, "y_ref": y == "no"}, r"60 labels that y does not have, such as"),
        (
            lambda X, y: {"X_ref": X, "y_ref": np.where(y == "no", "no", "maybe")},
            r"labels that y does not have, such as 'maybe'; y has 'no', 'yes'",
        ),
        (
            lambda X, y: {"X_ref": X[y == "no"], "y_ref": y[y == "no"]},
            r"y_ref must hold every class of y.* none of 'yes'",
        ),
        (lambda X, y: {"X_ref": X[:1], "y_ref": y[:1]}, r"y_ref must hold every class of y"),
        (
            lambda X, y: {"X_ref": X, "y_ref": np.c_[y, y]},
            r"y_ref must be the target .* shape \(60, 2\)",
        ),
        (
            lambda X, y: {
                "X_ref": TensorDataset(torch.tensor(X), torch.zeros(60)),
                "y_ref": y,
            },
            r"as arrays, and one of them is a torch Dataset",
        ),
    ],
)
def test_what_is_no_reference_is_an_error_before_training(data, reference, message):
    with pytest.raises(ValueError, match=message):
        clone(PRUNER).fit(*data[:2], **reference(*data[3:]))


@pytest.mark.usefixtures("no_training")
def test_columns_of_other_names_are_an_error(data):
    X, y, _, X_ref, y_ref = data
    frame, other = pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(X_ref, columns=list("abce"))
    with pytest.raises(ValueError, match=r"X_ref must be rows like those of X: The feature names"):
        clone(PRUNER).fit(frame, y, X_ref=other, y_ref=y_ref)


@pytest.mark.usefixtures("no_training")
def test_numbers_need_numbers(data):
    X, _, _, X_ref, y_ref = data
    for wrong, message in ((y_ref, r"must be numeric"), (np.zeros((60, 2)), r"shape \(60, 2\)")):
        with pytest.raises(ValueError, match=rf"y_ref must be the target .*{message}"):
            clone(PRUNER).fit(X, X[:, 0] + 0.5, X_ref=X_ref, y_ref=wrong)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prune_ratio": "auto", "tolerance": 0.1}, r"tolerance=0.1 bounds .* give prune_ratio"),
        ({"features": np.zeros((N, 2))}, r"give a function that computes them for any rows"),
    ],
)
def test_what_does_not_go_with_reference_rows(data, options, message):
    with pytest.raises(ValueError, match=message):
        clone(PRUNER).set_params(**options).fit(*data[:2], **led(data))


def test_only_the_last_layer_can_be_fitted_on_reference_rows(data, make_net):
    pruner = clone(PRUNER).set_params(estimator=frozen_net(make_net, data), layers="all")
    X, y, _, X_ref, y_ref = data
    with pytest.raises(
        ValueError, match="need layers='last', .* 'all'. Set layers='last', or leave out X_ref"
    ):
        pruner.fit(X.astype("float32"), y, X_ref=X_ref.astype("float32"), y_ref=y_ref)
