"""Each row's own influence, against retraining without it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import InfluenceScorePruner


@pytest.mark.parametrize("norm", ["loss", "parameter"])
def test_the_scores_are_the_influence_norms_of_the_influence_pruner(iris, norm):
    X, y = iris
    options = {"prune_ratio": 0.5, "norm": norm, "damping": 1e-2, "random_state": 0}
    alone = InfluenceScorePruner(**options).fit(X, y)
    together = InfluencePruner(**options).fit(X, y)
    np.testing.assert_allclose(alone.scores_, together.influence_norms_)
    for label in range(3):
        rows = np.flatnonzero(y == label)
        highest = rows[np.argsort(-alone.scores_[rows])[:25]]
        assert set(highest) == set(np.flatnonzero(alone.support_ & (y == label)))


def test_a_score_is_how_far_the_model_moves_without_the_row():
    rng = np.random.default_rng(0)
    X = np.c_[scale(rng.normal(size=(60, 2)))]
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    damping = 1e-2
    pruner = InfluenceScorePruner(norm="parameter", damping=damping).fit(X, y)

    def head(rows):
        # The intercept is damped as well: a column of ones stands for it.
        model = LogisticRegression(C=1 / (damping * len(rows)), fit_intercept=False, tol=1e-10)
        return model.fit(np.c_[X, np.ones(60)][rows], y[rows]).coef_[0]

    everyone = np.arange(60)
    full = head(everyone)
    moved = [np.linalg.norm(head(np.delete(everyone, row)) - full) for row in everyone]
    np.testing.assert_allclose(pruner.scores_, moved, rtol=0.15)
