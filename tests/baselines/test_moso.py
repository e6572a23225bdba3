"""The gain of moving one sample out, against steps that are really taken."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from skorch import NeuralNetClassifier

from sklearn_prune.baselines import MoSoPruner
from tests.baselines.scripted import Script, kept

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
Y = np.arange(12) % 2
WEIGHTS = RNG.normal(size=(3, 2, 3))
LR = 0.3


def scripted_net():
    module = torch.nn.Linear(3, 2, bias=False).double()
    return NeuralNetClassifier(
        module,
        criterion=torch.nn.CrossEntropyLoss,
        callbacks=[Script(WEIGHTS)],
        max_epochs=3,
        lr=LR,
        verbose=0,
    )


def loss(W, rows):
    return -np.mean(log_softmax(X[rows] @ W.T, axis=1)[np.arange(len(rows)), Y[rows]])


def gradient_sum(W, rows):
    residual = softmax(X[rows] @ W.T, axis=1)
    residual[np.arange(len(rows)), Y[rows]] -= 1
    return residual.T @ X[rows]


def test_the_score_is_what_a_step_without_the_row_costs_the_others():
    step, n, everyone = 1e-6, len(X), np.arange(len(X))
    expected = np.zeros(n)
    for W in WEIGHTS:
        for row in everyone:
            others = np.delete(everyone, row)
            with_row = W - step / n * gradient_sum(W, everyone)
            without = W - step / n * gradient_sum(W, others)
            expected[row] += LR / step * (loss(without, others) - loss(with_row, others))
    pruner = MoSoPruner(scripted_net(), random_state=0).fit(X, Y)
    np.testing.assert_allclose(pruner.scores_, expected, rtol=1e-4, atol=1e-8)


def test_a_row_against_all_others_goes_first():
    x = np.array([[1.0], [1.0], [1.0], [-1.0], [-1.0], [1.0]])
    y = np.array([1, 1, 1, 0, 0, 0])
    assert kept(MoSoPruner(prune_ratio=1 / 6, stratify=False, random_state=0), x, y) == [
        0,
        1,
        2,
        3,
        4,
    ]
