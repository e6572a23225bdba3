import numpy as np
import pytest

from sklearn_prune.baselines import RandomPruner
from tests.distributed.conftest import in_parts

N, PARTS = 300, (100, 0, 50, 150)
Y = np.array(["a", "b"])[(np.arange(N) % 10 == 0) * 1]


def support_of(*, parts=PARTS, y=Y, seed=0, **options):
    X = np.full((N, 2), np.nan)
    pruner = RandomPruner(prune_ratio=0.8, random_state=seed, **options)
    return pruner.fit(in_parts(X, parts), None if y is None else in_parts(y, parts)).support_


def test_each_class_keeps_its_share():
    support = support_of().compute()
    assert [support[label == Y].sum() for label in "ab"] == [54, 6]


def test_without_strata_each_class_keeps_a_row():
    counts = [support_of(seed=seed, stratify=False).compute()[Y == "b"].sum() for seed in range(9)]
    assert min(counts) >= 1
    assert len(set(counts)) > 1


def test_every_row_has_the_same_chance():
    draws = np.array([support_of(seed=seed, y=None).compute() for seed in range(100)])
    assert (draws.sum(axis=1) == 60).all()
    by_partition = [draws[:, a:b].mean() for a, b in ((0, 100), (100, 150), (150, 300))]
    np.testing.assert_allclose(by_partition, 0.2, atol=0.02)


def test_one_partition_gives_the_rows_in_memory():
    alone = support_of(parts=(N,)).compute()
    in_memory = RandomPruner(prune_ratio=0.8, random_state=0).fit(np.zeros((N, 2)), Y)
    np.testing.assert_array_equal(alone, in_memory.support_)


def test_select_needs_memory():
    pruner = RandomPruner(prune_ratio=0.8).fit(in_parts(np.zeros((N, 2)), PARTS))
    with pytest.raises(ValueError, match="select needs all rows in memory"):
        pruner.select(prune_ratio=0.5)
