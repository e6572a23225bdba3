"""The demo: its table, and the retraining by which it judges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from sklearn_prune import InfluencePruner, demo
from sklearn_prune.influence import HeadObjective
from sklearn_prune.losses import SoftmaxCrossEntropy


@pytest.fixture(scope="module")
def few_digits():
    """Zeros, ones and twos, 20 pixels: seconds become milliseconds."""
    X_train, X_test, y_train, y_test = demo.digits()
    train, test = y_train < 3, y_test < 3
    # Scaled anew, since the pruner scales the rows it is given.
    scaler = StandardScaler().fit(X_train[train, 20:40])
    X_train, X_test = (scaler.transform(X[:, 20:40]) for X in (X_train[train], X_test[test]))
    X_train, X_test = (np.c_[X, np.ones(len(X))] for X in (X_train, X_test))
    return X_train, X_test, y_train[train], y_test[test]


@pytest.fixture(scope="module")
def full(few_digits):
    design, _, y, _ = few_digits
    return demo.retrain(design, y, demo.DAMPING).coef_


def test_retraining_minimises_the_damped_mean_loss(few_digits, full):
    design, _, y, _ = few_digits
    objective = HeadObjective(design, y, SoftmaxCrossEntropy(), demo.DAMPING)
    assert np.linalg.norm(objective.gradient(full)) < 1e-6


def test_loss_change_is_the_hessians_quadratic_form(few_digits, full):
    design, _, y, _ = few_digits
    objective = HeadObjective(design, y, SoftmaxCrossEntropy(), demo.DAMPING)
    move = np.random.default_rng(0).normal(size=full.shape)
    expected = 0.5 * move.ravel() @ objective.hessian(full) @ move.ravel()
    assert demo.loss_change(design, full, full + move, demo.DAMPING) == pytest.approx(expected)


def test_random_rows_keep_the_class_shares():
    y = np.repeat([0, 1], [150, 50])
    rows = demo.random_rows(y, 20, seed=0)
    assert len(set(rows)) == 20
    np.testing.assert_array_equal(np.bincount(y[rows]), [15, 5])


def test_observed_change_agrees_with_the_certificate(few_digits, full):
    design, _, y, _ = few_digits
    line = demo.measure(few_digits, 0.5, full)
    pruner = InfluencePruner(prune_ratio=0.5, damping=demo.DAMPING, random_state=0)
    certificate = pruner.fit(design[:, :-1], y).certificate_
    assert line.n_kept == certificate.n_kept
    assert line.predicted == pytest.approx(certificate.predicted_change)
    assert line.observed == pytest.approx(certificate.actual_change, rel=1e-3)


def test_main_prints_a_line_for_each_ratio(few_digits, monkeypatch, capsys):
    monkeypatch.setattr(demo, "digits", lambda: few_digits)
    demo.main(["--ratios", "0.5", "0.9"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    first, second = (line for line in lines if line and line[0] in ("50%", "90%"))
    assert (first[0], second[0]) == ("50%", "90%")
    assert first[3] == second[3]
    assert int(second[1]) < int(first[1]) == round(0.5 * len(few_digits[0]))


def test_main_rejects_a_ratio_that_keeps_nothing(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--ratios", "0.5", "1"])
    assert "--ratios must be in [0, 1), 1.0 is not; 0.9 drops 90 %" in capsys.readouterr().err
