"""Models learn from the rows kept, from zero, and are tuned on training rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score
from sklearn.svm import SVC, SVR

from benchmarks import models, quality
from benchmarks.data import Split, load

TUNED = models.Tuned(1e-2, 0.1, 5, gamma=0.02, kernel_penalty=10.0)


@pytest.mark.parametrize("downstream", quality.DOWNSTREAM)
@pytest.mark.parametrize("dataset", ["breast_cancer", "diabetes"])
def test_every_model_learns_from_the_rows_kept(monkeypatch, dataset, downstream, tmp_path):
    monkeypatch.setattr(models, "N_EPOCHS", 3)
    split = load(dataset, tmp_path).subset(150)
    rows = np.arange(0, 150, 5)
    scores = [models.score_of(downstream, split, TUNED, rows, seed=0) for _ in range(2)]
    assert scores[0] == scores[1] <= 1


def test_the_kernel_is_as_wide_as_the_median_distance():
    # Squared distances 1, 9 and 4.
    X = np.array([[0.0], [1.0], [3.0]])
    split = Split("three", X, np.zeros(3), X, np.zeros(3))
    assert models.median_gamma(split) == 1 / 4


def test_the_kernel_svm_is_tuned_on_training_rows(tmp_path):
    for dataset, least in (("breast_cancer", 0.95), ("diabetes", 0.2)):
        split = load(dataset, tmp_path)
        gamma = models.median_gamma(split)
        penalty = models.tune_kernel_penalty(split, gamma)
        tuned = replace(TUNED, gamma=gamma, kernel_penalty=penalty)
        rows = np.arange(len(split.y_train))
        assert penalty in (1.0, 10.0)
        assert models.score_of("kernel-svm", split, tuned, rows, seed=0) > least


def test_the_kernel_svm_learns_standardised_numbers(tmp_path):
    split = load("diabetes", tmp_path)
    y, rows = split.y_train, np.arange(len(split.y_train))
    by_hand = SVR(gamma=TUNED.gamma, C=TUNED.kernel_penalty)
    by_hand.fit(split.X_train, (y - y.mean()) / y.std())
    expected = r2_score(split.y_test, by_hand.predict(split.X_test) * y.std() + y.mean())
    assert models.score_of("kernel-svm", split, TUNED, rows, 0) == pytest.approx(expected)


def test_the_kernel_svm_learns_from_so_many_rows_drawn_by_class(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "KERNEL_ROWS", 40)
    seen = []

    class Watched(SVC):
        def fit(self, X, y):
            seen.append((X, y))
            return super().fit(X, y)

    monkeypatch.setattr(models, "SVC", Watched)
    split = load("breast_cancer", tmp_path)
    rows = np.r_[np.flatnonzero(split.y_train == 0)[:30], np.flatnonzero(split.y_train == 1)[:90]]
    for kept, seed in ((rows, 0), (rows, 1), (rows[:40], 0)):
        models.score_of("kernel-svm", split, TUNED, kept, seed)
    assert [np.bincount(y).tolist() for _, y in seen] == [[10, 30], [10, 30], [30, 10]]
    assert (seen[0][0] != seen[1][0]).any()
    np.testing.assert_array_equal(seen[2][0], split.X_train[rows[:40]])


def test_steps_are_those_of_all_rows(tmp_path):
    split = load("breast_cancer", tmp_path)
    n = len(split.y_train)
    few = models.model_of("mlp-steps", split, TUNED, n // 10, seed=0)
    assert few.max_iter * (n // 10) == pytest.approx(models.N_EPOCHS * n, rel=0.05)
