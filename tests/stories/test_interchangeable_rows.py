"""Rows are interchangeable: another seed keeps other rows, and they serve as well."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_prune import InfluencePruner

SHARE_KEPT = 0.2


@pytest.fixture(scope="module")
def halves():
    X, y = load_breast_cancer(return_X_y=True)
    return train_test_split(StandardScaler().fit_transform(X), y, random_state=0)


@pytest.fixture(scope="module")
def supports(halves):
    X, _, y, _ = halves
    options = {"prune_ratio": 1 - SHARE_KEPT, "damping": 1e-2}
    return [InfluencePruner(**options, random_state=seed).fit(X, y).support_ for seed in range(4)]


def test_two_seeds_share_hardly_more_rows_than_two_random_draws(supports):
    # Of the rows that one draw keeps, another one keeps the share kept.
    shared = [(a & b).sum() / a.sum() for a, b in combinations(supports, 2)]
    assert SHARE_KEPT / 2 < np.mean(shared) < 2 * SHARE_KEPT


def test_the_rows_of_each_seed_serve_as_well(halves, supports):
    X, X_test, y, y_test = halves
    scores = [
        LogisticRegression().fit(X[support], y[support]).score(X_test, y_test)
        for support in supports
    ]
    assert max(scores) - min(scores) < 0.05 and min(scores) > 0.9
    assert np.unique(supports, axis=0).shape[0] == len(supports)
