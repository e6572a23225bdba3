import numpy as np
import pytest

from sklearn_prune.baselines import DistributionPruner, RandomPruner
from sklearn_prune.matching import Table, embed_distribution
from tests.distributed.conftest import in_parts

N, PARTS = 600, (200, 0, 100, 300)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_the_distance_is_far_below_that_of_random_rows(kind):
    X = np.random.default_rng(0).standard_normal((N, 3))
    y = (X[:, 0] > 1) * 1 if kind == "classes" else np.exp(X[:, 1])
    # Sorted, so that no partition looks like the whole.
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    weight = np.ones(N)
    embedding = embed_distribution(Table([X], weight), y, weight, is_labels=kind == "classes")

    def distance(pruner):
        support = pruner.fit(in_parts(X, PARTS), in_parts(y, PARTS)).support_.compute()
        assert support.sum() == 120
        return np.linalg.norm(embedding.T @ support.astype(float))

    ours = distance(DistributionPruner(prune_ratio=0.8, random_state=0))
    assert ours < 0.5 * distance(RandomPruner(prune_ratio=0.8, random_state=0))
