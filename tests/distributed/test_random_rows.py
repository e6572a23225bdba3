from itertools import product

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare, multivariate_hypergeom

from sklearn_prune.baselines import RandomPruner
from sklearn_prune.distributed import random_rows
from sklearn_prune.distributed.random_rows import drawn_counts
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


def fail(part):
    raise AssertionError("a partition of X was computed")


@pytest.mark.parametrize("parts", [PARTS, (N,)])
def test_rows_are_not_read(parts):
    X = in_parts(np.zeros((N, 2)), parts).map_blocks(fail, dtype=object, meta=np.empty((0, 2)))
    pruner = RandomPruner(prune_ratio=0.8, random_state=0).fit(X, in_parts(Y, parts))
    assert len(pruner.sample_indices_) == 60
    assert pruner.n_features_in_ == 2


def test_a_table_of_text_is_drawn_from_and_only_its_target_is_read():
    table = pd.DataFrame({"text": ["x", None] * (N // 2), "y": Y})
    frame = dd.from_pandas(table, npartitions=3)
    rows = frame[["text"]].map_partitions(fail, meta=table[["text"]])
    pruner = RandomPruner(prune_ratio=0.8, random_state=0).fit(rows, frame["y"])
    assert pruner.feature_names_in_.tolist() == ["text"]
    small = pruner.prune(frame).compute()
    assert small["y"].value_counts().to_dict() == {"a": 54, "b": 6}
    # Without a target, rows are counted.
    assert len(RandomPruner(prune_ratio=0.8).fit(frame[["text"]]).sample_indices_) == 60


def test_counts_of_any_number_of_rows_are_hypergeometric(monkeypatch):
    monkeypatch.setattr(random_rows, "_MOST_ROWS", 0)
    sizes, rng = np.array([3, 0, 4, 2]), np.random.default_rng(0)
    draws = [tuple(drawn_counts(sizes, 5, rng).tolist()) for _ in range(3000)]
    outcomes = [c for c in product(*(range(n + 1) for n in sizes)) if sum(c) == 5]
    expected = multivariate_hypergeom(sizes, 5).pmf(outcomes) * len(draws)
    observed = [draws.count(outcome) for outcome in outcomes]
    assert sum(observed) == len(draws)
    assert chisquare(observed, expected).pvalue > 0.01


def test_billions_of_rows_are_drawn_from():
    sizes, rng = np.array([4 * 10**9, 0, 10**9]), np.random.default_rng(0)
    draws = np.array([drawn_counts(sizes, 10**6, rng) for _ in range(50)])
    assert (draws.sum(axis=1) == 10**6).all()
    # A standard deviation of one draw is 400 rows.
    np.testing.assert_allclose(draws.mean(axis=0), [800_000, 0, 200_000], atol=4 * 400 / 50**0.5)
    assert 250 < draws[:, 0].std() < 550
    np.testing.assert_array_equal(drawn_counts(sizes, 5 * 10**9, rng), sizes)


def test_one_partition_gives_the_rows_in_memory():
    alone = support_of(parts=(N,)).compute()
    in_memory = RandomPruner(prune_ratio=0.8, random_state=0).fit(np.zeros((N, 2)), Y)
    np.testing.assert_array_equal(alone, in_memory.support_)


def test_select_needs_memory():
    pruner = RandomPruner(prune_ratio=0.8).fit(in_parts(np.zeros((N, 2)), PARTS))
    with pytest.raises(ValueError, match="select needs all rows in memory"):
        pruner.select(prune_ratio=0.5)
