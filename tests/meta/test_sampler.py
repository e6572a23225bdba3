"""A pruner as a step of an imbalanced-learn pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from sklearn_prune import InfluencePruner, PrunedClassifier, make_pipeline
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.meta import PruningSampler


def test_the_sampler_has_no_other_method_of_a_step():
    offered = {"fit", "transform", "fit_transform", "predict"} & set(dir(PruningSampler()))
    assert offered == set()


def test_the_sampler_returns_what_the_pruner_keeps(third_out):
    X, y = pd.DataFrame({"x": range(6)}), np.array(list("ababab"))
    sampler = PruningSampler(third_out)
    X_small, y_small = sampler.fit_resample(X, y)
    pd.testing.assert_frame_equal(X_small, X.iloc[[0, 1, 3, 4]])
    assert "".join(y_small) == "abba"
    np.testing.assert_array_equal(sampler.sample_indices_, [0, 1, 3, 4])


def test_parameters_of_fit_reach_the_pruner(third_out):
    with pytest.raises(KeyError, match="as asked"):
        PruningSampler(third_out).fit_resample(np.ones((6, 1)), None, fail=KeyError("as asked"))


class TestImbalancedLearn:
    """SMOTE, then pruning, then a classifier."""

    @pytest.fixture
    def imblearn(self) -> Any:
        pytest.importorskip("imblearn.over_sampling")
        return pytest.importorskip("imblearn")

    @pytest.fixture
    def unequal(self) -> tuple[np.ndarray, np.ndarray]:
        return make_classification(120, 4, weights=[0.8], flip_y=0, class_sep=2, random_state=0)

    @pytest.mark.parametrize("pruner", [InfluencePruner(random_state=0), RandomPruner()])
    def test_rows_made_up_before_are_pruned(self, pruner, imblearn, unequal):
        X, y = unequal
        steps = [imblearn.over_sampling.SMOTE(random_state=0), PruningSampler(pruner)]
        pipeline = imblearn.pipeline.make_pipeline(*steps, DummyClassifier()).fit(X, y)
        n_doubled = 2 * np.bincount(y).max()
        support = pipeline[1].pruner_.support_
        assert len(support) == n_doubled
        assert support.sum() == n_doubled - round(0.4 * n_doubled)
        # The share of each class among the rows kept.
        np.testing.assert_allclose(pipeline[2].class_prior_, 0.5, atol=0.5 / support.sum())

    def test_nothing_is_pruned_at_prediction(self, imblearn, unequal):
        X, y = unequal
        steps = [imblearn.over_sampling.SMOTE(random_state=0), StandardScaler()]
        steps += [PruningSampler(RandomPruner(random_state=0)), LogisticRegression()]
        pipeline = imblearn.pipeline.make_pipeline(*steps).fit(X, y)
        assert len(pipeline.predict(X)) == len(X)
        assert pipeline.score(X, y) > 0.9

    def test_the_ratio_can_be_searched_for(self, imblearn, unequal):
        steps = [imblearn.over_sampling.SMOTE(random_state=0), PruningSampler(RandomPruner())]
        pipeline = imblearn.pipeline.make_pipeline(*steps, LogisticRegression())
        grid = {"pruningsampler__pruner__prune_ratio": [0.0, 0.5]}
        search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(*unequal)
        assert search.best_score_ > 0.9

    def test_an_estimator_that_prunes_is_a_last_step(self, imblearn, unequal):
        X, y = unequal
        model = PrunedClassifier(LogisticRegression(), RandomPruner(random_state=0))
        smote = imblearn.over_sampling.SMOTE(random_state=0)
        pipeline = imblearn.pipeline.make_pipeline(smote, model).fit(X, y)
        assert len(pipeline[-1].pruner_.support_) == 2 * np.bincount(y).max()
        assert pipeline.score(X, y) > 0.9

    def test_a_bare_pruner_is_refused_with_the_remedy(self, imblearn, unequal):
        sampler = imblearn.under_sampling.RandomUnderSampler(random_state=0)
        steps = [sampler, RandomPruner(), LogisticRegression()]
        problem = "its step 'randompruner', RandomPruner, has none. Wrap it: .*PruningSampler"
        with pytest.raises(TypeError, match=problem):
            imblearn.pipeline.make_pipeline(*steps).fit(*unequal)

    def test_a_bare_pruner_inside_an_ensemble_is_named_as_its_step(self, imblearn, unequal):
        steps = [
            ("scale", StandardScaler()),
            ("few", RandomPruner()),
            ("fit", LogisticRegression()),
        ]
        bag = imblearn.ensemble.BalancedBaggingClassifier(imblearn.pipeline.Pipeline(steps))
        with pytest.raises(TypeError, match="its step 'few', RandomPruner, has none"):
            bag.fit(*unequal)

    @pytest.mark.parametrize("position", [1, 2])
    def test_samplers_are_refused_by_our_pipeline_with_the_remedy(
        self, imblearn, position, unequal
    ):
        steps = [StandardScaler(), LogisticRegression()]
        steps.insert(position, PruningSampler(RandomPruner()))
        with pytest.raises(TypeError, match="'pruningsampler'.* Use imblearn.pipeline.Pipeline"):
            make_pipeline(*steps).fit(*unequal)

    def test_a_bag_prunes_each_of_its_samples(self, imblearn, unequal):
        X, y = unequal
        bag = imblearn.ensemble.BalancedBaggingClassifier(
            LogisticRegression(),
            n_estimators=3,
            sampler=PruningSampler(RandomPruner(prune_ratio=0.5, random_state=0)),
            random_state=0,
        ).fit(X, y)
        for pipeline in bag.estimators_:
            assert pipeline[0].pruner_.get_support().sum() == len(X) // 2
        assert bag.score(X, y) > 0.9
