"""What reference rows say of training rows, on data whose truth is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from sklearn_prune.matching.teacher import teach_labels, teach_numbers

N, N_REFERENCE = 1500, 200


@pytest.fixture(scope="module")
def labelled():
    """Columns, the shares of three classes there, right labels, and those with some wrong."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N + N_REFERENCE, 3)).astype(np.float32)
    logits = 2.0 * X @ rng.standard_normal((3, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = (shares.cumsum(axis=1) < rng.random((len(X), 1))).sum(axis=1)
    given = right[:N].copy()
    wrong = rng.random(N) < 0.3
    given[wrong] = (given[wrong] + rng.integers(1, 3, wrong.sum())) % 3
    return X, shares, right, given, logits


def taught(labelled, given):
    X, _, right, _, logits = labelled
    # Heads that know little: one column.
    outputs = logits[:, :1]
    return teach_labels(X[:N], given, outputs[:N], X[N:], right[N:], outputs[N:])


def test_shares_are_those_of_right_labels(labelled):
    _, shares, right, given, _ = labelled
    result = taught(labelled, given)
    assert result.targets.shape == (N, 3)
    np.testing.assert_allclose(result.targets.sum(axis=1), 1.0)
    assert np.abs(result.targets - shares[:N]).mean() < 0.08
    # Labels of which three in ten are wrong, had they been learned without any error.
    of_given = 0.7 * shares[:N] + 0.15 * (1 - shares[:N])
    assert log_loss(right[:N], result.targets) < log_loss(right[:N], of_given)
    own = result.targets[np.arange(N), given]
    np.testing.assert_allclose(result.losses, -np.log(np.maximum(own, 1e-4)))


def test_wrong_labels_are_harder_and_suspect(labelled):
    _, _, right, given, _ = labelled
    result = taught(labelled, given)
    is_wrong = given != right[:N]
    assert roc_auc_score(is_wrong, result.losses) > 0.9
    assert is_wrong[result.suspect].mean() > 0.8
    assert result.suspect[is_wrong].mean() > 0.5


def test_hardly_any_right_label_is_suspect(labelled):
    _, _, right, _, _ = labelled
    assert taught(labelled, right[:N]).suspect.mean() < 0.05


def test_labels_that_were_exchanged_are_exchanged_back(labelled):
    _, shares, right, _, _ = labelled
    exchanged = np.array([1, 0, 2])[right[:N]]
    result = taught(labelled, exchanged)
    assert np.abs(result.targets - shares[:N]).mean() < 0.08
    assert result.suspect[exchanged != 2].mean() > 0.7
    assert result.suspect[exchanged == 2].mean() < 0.1


def test_large_outputs_warn_of_nothing(labelled):
    X, _, right, given, logits = labelled
    outputs = 1e4 * logits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = teach_labels(X[:N], given, outputs[:N], X[N:], right[N:], outputs[N:])
    assert np.isfinite(result.losses).all()


def test_classes_that_only_reference_rows_have_are_known(labelled):
    _, _, right, _, _ = labelled
    result = taught(labelled, np.minimum(right[:N], 1))
    assert result.targets.shape == (N, 3)
    assert np.isfinite(result.losses).all()


def test_labels_that_are_chance_stay_so_if_reference_rows_are_training_rows():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, 3)).astype(np.float32), rng.integers(0, 3, N)
    some, outputs = rng.permutation(N)[:N_REFERENCE], np.zeros((N, 1))
    # Columns of a network's outputs, which differ in the last digits from batch to batch.
    X_ref = X[some] * np.float32(1 + 1e-6)
    result = teach_labels(X, y, outputs, X_ref, y[some], outputs[some])
    # A forest that had learned the reference rows would seem to know their labels.
    assert np.abs(result.targets - 1 / 3).mean() < 0.1
    assert result.suspect.mean() < 0.1


def test_numbers_that_are_chance_stay_so_if_reference_rows_are_training_rows():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, 3)).astype(np.float32), rng.standard_normal(N)
    some, outputs = rng.permutation(N)[:N_REFERENCE], np.zeros((N, 1))
    result = teach_numbers(X, y, outputs, X[some], y[some], outputs[some])
    assert result.targets.std() < 0.2


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_numbers_are_expected_without_the_shift_of_the_training_rows(n_outputs):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N + N_REFERENCE, 3)).astype(np.float32)
    truth = np.stack([X[:, 0] + X[:, 1] ** 2, X[:, 2]], axis=1)[:, :n_outputs]
    y = truth + 0.1 * rng.standard_normal(truth.shape)
    shifted = 2 * y[:N] + 3
    outputs = X[:, :1]
    result = teach_numbers(
        X[:N],
        shifted.squeeze(),
        outputs[:N],
        X[N:],
        y[N:].squeeze(),
        outputs[N:],
    )
    assert result.targets.shape == (N, n_outputs)
    error = result.targets - truth[:N]
    assert (error**2).mean(axis=0).max() < 0.15 * truth.var()
    scaled = (shifted - result.targets) ** 2 / y[N:].var(axis=0)
    np.testing.assert_allclose(result.losses, 0.5 * scaled.sum(axis=1))
    assert not result.suspect.any()
