"""Meta-estimators and reports, for whom all rows may have to be in memory."""

from __future__ import annotations

from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import report
from sklearn_prune.meta import PrunedClassifier
from sklearn_prune.model_selection import PrunedSearchCV, PruneRatioSearchCV

from .conftest import PositiveRows, in_parts


class RemembersParts(ClassifierMixin, BaseEstimator):
    """Keeps what it is fitted on, as an estimator of Dask would read it."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> Any:
        self.given_ = X, y, sample_weight, eval_set
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return X[:, 0] > 0


def test_the_estimator_gets_the_kept_rows_as_collections_of_known_chunks(table):
    X, y = table
    mask, weights = X[:, 0] > 0, np.arange(90.0)
    parts = in_parts(X), in_parts(y)
    model = PrunedClassifier(RemembersParts(), PositiveRows())
    model.fit(*parts, sample_weight=in_parts(weights), eval_set=parts)
    X_small, y_small, weights_small, eval_set = model.estimator_.given_
    assert X_small.chunks[0] == y_small.chunks[0] == weights_small.chunks[0]
    np.testing.assert_array_equal(X_small.compute(), X[mask])
    np.testing.assert_array_equal(y_small.compute(), y[mask])
    np.testing.assert_array_equal(weights_small.compute(), weights[mask])
    assert eval_set is parts
    assert model.predict(parts[0]).chunks == (parts[0].chunks[0],)


def test_the_estimator_gets_the_weights_of_the_kept_rows_times_the_given_ones(table):
    X, y = table
    given = np.random.default_rng(1).random(len(X)) + 0.5
    pruner = InfluencePruner(prune_ratio=0.5, reweight=True, random_state=0)
    model = PrunedClassifier(RemembersParts(), pruner)
    model.fit(in_parts(X), in_parts(y), sample_weight=in_parts(given))
    X_small, _, weights, _ = model.estimator_.given_
    kept, own = model.pruner_.sample_indices_, model.pruner_.sample_weight_.compute()
    assert weights.chunks[0] == X_small.chunks[0]
    np.testing.assert_allclose(weights.compute(), own * given[kept])
    assert own.std() > 0


def test_weights_of_another_length_are_refused(table):
    X, y = table
    model = PrunedClassifier(RemembersParts(), PositiveRows())
    with pytest.raises(ValueError, match="sample_weight must have one entry for each row"):
        model.fit(in_parts(X), in_parts(y), sample_weight=np.ones(80))


def test_column_names_of_a_frame_are_known(table):
    frame = dd.from_pandas(pd.DataFrame(table[0], columns=list("abc")), npartitions=2)
    model = PrunedClassifier(RemembersParts(), RandomPruner()).fit(frame, frame["a"] > 0)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.n_features_in_ == 3


@pytest.mark.parametrize(
    ("module", "name", "options"),
    [
        ("lightgbm.dask", "DaskLGBMClassifier", {"verbose": -1}),
        ("xgboost.dask", "DaskXGBClassifier", {}),
    ],
)
def test_boosting_is_trained_on_the_rows_kept_with_their_weights(client, module, name, options):
    boosting = pytest.importorskip(module)
    X = da.random.default_rng(0).standard_normal((1200, 3), chunks=(300, 3))
    y = (X[:, 0] > 0).astype(int)
    pruner = InfluencePruner(prune_ratio=0.75, reweight=True, random_state=0)
    booster = getattr(boosting, name)(n_estimators=20, **options)
    model = PrunedClassifier(booster, pruner).fit(X, y)
    assert model.pruner_.support_.chunks == y.chunks
    assert len(model.pruner_.sample_indices_) == 300
    assert (model.predict(X) == y).mean().compute() > 0.95


@pytest.mark.parametrize(
    "search",
    [
        PruneRatioSearchCV(LogisticRegression(), InfluencePruner()),
        PrunedSearchCV(GridSearchCV(LogisticRegression(), {"C": [1, 2]}), InfluencePruner()),
    ],
)
def test_searches_need_all_rows_in_memory(search, table):
    X, y = table
    with pytest.raises(ValueError, match="SearchCV needs all rows in memory, and X is a Dask"):
        search.fit(in_parts(X), in_parts(y))


def test_reports_need_all_rows_in_memory(positive_rows, table):
    X, y = table
    pruner = positive_rows.fit(in_parts(X), in_parts(y))
    with pytest.raises(ValueError, match="report needs all rows in memory"):
        report(pruner, X, y)
