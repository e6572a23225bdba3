import numpy as np
import pytest

from sklearn_prune import InfluencePruner
from sklearn_prune.distributed import (
    EachOwn,
    Partitioned,
    column_moments,
    first_pass,
)
from sklearn_prune.distributed.draw import OddsRule, block_odds, calibrated_draw, first_draw
from sklearn_prune.distributed.fit import with_distribution
from sklearn_prune.distributed.groups import Groups
from sklearn_prune.distributed.head import match_head
from sklearn_prune.distributed.row_maps import RowMaps
from sklearn_prune.distributed.survey import survey
from sklearn_prune.selection import Request
from tests.distributed.conftest import in_parts

N, PARTS = 900, (300, 100, 300, 200)


@pytest.fixture(scope="module")
def ready():
    """The rows of all partitions, of which the sample is a third, and maps of their coordinates."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 3))
    y = (X[:, 0] + rng.standard_normal(N) > 0.5).astype(int)
    order = np.argsort(y, kind="stable")
    partitioned = Partitioned.of(in_parts(X[order], PARTS), in_parts(y[order], PARTS))
    first = first_pass(InfluencePruner(), partitioned, None, column_moments)
    request = Request(0.8, None, "class", "auto")
    known = survey(first, None, 0, n_sample=300)
    head = match_head(known, "loss", 1e-2)
    maps = RowMaps(known.reader, head.map, None)
    return known, with_distribution(maps, known, request, N // 5), request


@pytest.fixture(scope="module")
def drawn(ready):
    """The draw, the rows of all partitions with the probability of each, and their groups."""
    known, maps, request = ready
    groups = Groups.of(known.counted, request)
    rule, of_sample = OddsRule.fit(maps, known.sample, N)
    positions = known.counted.positions
    firsts = np.cumsum([0, *map(len, positions)])[:-1].tolist()
    odds = known.partitioned.keep(block_odds, maps, rule, EachOwn(positions), EachOwn(firsts))
    draw, vectors = first_draw(
        maps, groups, known.sample, of_sample, np.full(2, np.nan), np.random.default_rng(0)
    )
    draw = calibrated_draw(known.partitioned, maps, odds, groups, draw, vectors)
    parts = known.partitioned.compute(shares_of, odds, maps, groups, draw)
    shares, influences, labels = map(np.concatenate, zip(*parts, strict=True))
    return groups, shares, influences, labels


def shares_of(block, odds, maps, groups, draw):
    rows = maps.reader(block)
    group = groups.group_of[rows.strata]
    influences = maps.head.influences(maps.reader, rows).rows(np.arange(len(rows)))
    return draw.of_rows(maps, group, rows, odds), influences, group


def test_each_group_keeps_its_number_of_rows(drawn):
    groups, shares, _, labels = drawn
    assert ((shares > 0) & (shares <= 1)).all()
    np.testing.assert_allclose(np.bincount(labels, shares), groups.n_kept, rtol=1e-3)


def test_the_rows_dropped_hardly_move_the_head(drawn):
    _, shares, influences, _ = drawn
    moved = np.linalg.norm((1 - shares) @ influences)
    chance = np.sqrt(shares @ np.sum(influences**2, axis=1))
    assert moved < 0.2 * chance


def test_rows_are_preferred(drawn):
    _, shares, _, _ = drawn
    assert np.quantile(shares, 0.9) > 2 * np.quantile(shares, 0.1)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_priorities_that_the_sample_misses_count_in_their_unit(ready, unit):
    known, maps, _ = ready
    sample, none = known.sample, np.zeros(len(known.sample))
    rule, of_sample = OddsRule.fit(maps, sample, N, none, greatest=unit)
    some = none.copy()
    some[0] = unit
    odds = rule(maps, sample, np.arange(len(sample)), some).odds
    assert odds[0] == pytest.approx(20 * of_sample.odds[0])
    np.testing.assert_allclose(odds[1:], of_sample.odds[1:])


def test_a_rare_class_does_not_tilt_the_others():
    rng = np.random.default_rng(0)
    X, parts = rng.standard_normal((3000, 5)), (1000, 1000, 1000)
    # Classes that a line parts, and one of three rows.
    y = (X[:, 0] > 1).astype(int)
    y[-3:] = 2
    options = {"prune_ratio": 0.9, "random_state": 0}
    ours = InfluencePruner(**options).fit(in_parts(X, parts), in_parts(y, parts)).certificate_
    theirs = InfluencePruner(**options).fit(X, y).certificate_
    assert ours.distribution_tilt < 2 * theirs.distribution_tilt
    assert ours.distribution_error < 1.5 * theirs.distribution_error
    assert ours.actual_change < 1.5 * theirs.actual_change
