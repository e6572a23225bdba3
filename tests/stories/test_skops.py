"""Fitted pipelines saved and loaded by skops, with the types that are documented to be trusted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from numpy.testing import assert_array_equal
from sklearn.base import is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from sklearn_prune import InfluencePruner, Pipeline, PrunedClassifier, make_pipeline
from sklearn_prune.baselines import RandomPruner

skops = pytest.importorskip("skops.io")

SAVING = Pipeline.__doc__.partition("**Saving.**")[2]
DOCUMENTED = set(re.findall(r"``([a-z]+\.[\w.]+)``", SAVING.partition("Examples")[0]))
OPTIONS = {"prune_ratio": 0.5, "random_state": 0}
DATA = {"binary": load_breast_cancer, "several classes": load_iris, "numbers": load_diabetes}
MODELS = {"numbers": Ridge()}


def fitted(kind: str, pruner: Any) -> tuple[Pipeline, Any]:
    X, y = DATA[kind](return_X_y=True)
    model = MODELS.get(kind, LogisticRegression())
    return make_pipeline(StandardScaler(), pruner, model).fit(X, y), X


@pytest.mark.parametrize("kind", DATA)
def test_a_pipeline_comes_back_by_the_documented_types(kind):
    pipe, X = fitted(kind, InfluencePruner(**OPTIONS))
    dumped = skops.dumps(pipe)
    unknown = skops.get_untrusted_types(data=dumped)
    assert {name for name in unknown if not name.startswith("sklearn_prune.")} <= DOCUMENTED
    loaded = skops.loads(dumped, trusted=unknown)
    assert_array_equal(loaded.predict(X), pipe.predict(X))
    assert_array_equal(loaded[1].get_support(), pipe[1].get_support())
    assert_array_equal(loaded[1].select(prune_ratio=0.7), pipe[1].select(prune_ratio=0.7))
    assert str(loaded[1].certificate_) == str(pipe[1].certificate_)


def test_no_type_is_documented_in_vain():
    needed = set()
    for kind in DATA:
        pipe, _ = fitted(kind, InfluencePruner(**OPTIONS))
        needed |= set(skops.get_untrusted_types(data=skops.dumps(pipe)))
    assert needed >= DOCUMENTED


def test_other_pruners_need_the_types_of_this_package_alone():
    pipe, X = fitted("binary", RandomPruner(random_state=0))
    dumped = skops.dumps(pipe)
    unknown = skops.get_untrusted_types(data=dumped)
    assert all(name.startswith("sklearn_prune.") for name in unknown)
    assert_array_equal(skops.loads(dumped, trusted=unknown).predict(X), pipe.predict(X))


@pytest.mark.parametrize("kind", DATA)
def test_what_is_deployable_needs_no_trust(kind):
    pipe, X = fitted(kind, InfluencePruner(**OPTIONS))
    models = [pipe]
    if is_classifier(pipe):
        pruned = PrunedClassifier(LogisticRegression(max_iter=5000), RandomPruner(random_state=0))
        models.append(pruned.fit(*DATA[kind](return_X_y=True)))
    for model in models:
        dumped = skops.dumps(model.deployable_)
        assert skops.get_untrusted_types(data=dumped) == []
        assert_array_equal(skops.loads(dumped).predict(X), model.predict(X))
