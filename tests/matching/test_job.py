"""What the key of a job depends on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier

from sklearn_prune import checkpoints
from sklearn_prune.matching import Reference, TrainingJob

X, Y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
NET = NeuralNetClassifier(torch.nn.Linear, module__in_features=2, module__out_features=2)
JOB = TrainingJob([NET], X, Y, np.array(["a", "b"], dtype=object), None, "loss", 1e-2, seed=0)


def test_equal_jobs_have_one_key_however_their_rows_are_laid_out():
    both = np.asfortranarray(X)
    assert replace(JOB, X=both).key() == JOB.key()
    assert replace(JOB, X=np.hstack([X, X])[:, :2]).key() == JOB.key()


@pytest.mark.parametrize(
    "change",
    [
        {"X": X + 1},
        {"X": csr_array(X)},
        {"y": Y[::-1]},
        {"sample_weight": np.arange(6.0)},
        {"norm": "parameter"},
        {"damping": 0.1},
        {"seed": 1},
        {"features": X},
        {"layers": ["weight"]},
        {"estimators": [NET, NET]},
        {"estimators": [checkpoints(NET, 3)]},
        {"reference": Reference(X, Y)},
    ],
)
def test_whatever_the_result_depends_on_changes_the_key(change):
    assert replace(JOB, **change).key() != JOB.key()


def test_a_seed_matters_only_where_a_network_is_trained():
    linear = replace(JOB, estimators=[None])
    assert replace(linear, seed=1).key() == linear.key()


def test_labels_matter_only_to_a_frozen_network_and_to_class_weights():
    named = {"classes": np.array(["c", "d"], dtype=object)}
    assert replace(JOB, **named).key() == JOB.key()
    frozen = replace(JOB, estimators=[FrozenEstimator(NET.initialize())])
    assert replace(frozen, **named).key() != frozen.key()
    weighted = LogisticRegression(class_weight={"a": 1, "b": 2, "c": 2, "d": 1})
    weighing = replace(JOB, estimators=[weighted])
    assert replace(weighing, **named).key() != weighing.key()


def test_a_job_at_its_reference_rows_has_no_weights():
    job = replace(JOB, sample_weight=np.ones(6), reference=Reference(X[:2], Y[:2]))
    at_reference = job.at_reference()
    assert at_reference.X is job.reference.X and at_reference.sample_weight is None
    assert JOB.at_reference() is JOB


def test_epochs_are_those_of_the_networks_that_are_trained():
    net = NeuralNetClassifier(torch.nn.Linear(2, 2), max_epochs=7)
    job = replace(JOB, estimators=[net, FrozenEstimator(net), None, checkpoints(net, 2)])
    assert job.n_epochs == 14
