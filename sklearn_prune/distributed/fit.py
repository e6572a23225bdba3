"""The stations of a fit on partitions: head, priorities, cells, exchanges and certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from skorch import NeuralNet

from .._types import Floats, Mask
from ..influence import DenseCurvature, Norm, map_given
from ..matching import (
    CLOSE,
    DAMPING_FACTORS,
    FEWEST_ROWS,
    LEAST_KEPT,
    LEAST_PROGRESS,
    NEGLIGIBLE,
    Certificate,
    Network,
    StageClock,
    changes_of_single_rows,
    weight_of_distribution,
)
from ..selection import Request
from ..utils import serial_blas
from .alignment import Collection
from .cells import (
    CellRule,
    CountedCells,
    PartitionSums,
    count_cells,
    main_directions,
    partition_sums,
)
from .certificate import KeptHead, RandomRows, certify_partitions
from .collection import Block, EachOwn
from .draw import Draw, OddsRule, block_odds, calibrated_draw, first_draw
from .exchange import LastExchange, exchange_in_block
from .first_pass import FirstPass
from .groups import Groups
from .head import MatchedHead, SummedObjective, damped_head, match_head, measured_coordinates
from .random_rows import random_support
from .reading import RowReader
from .row_maps import EmbeddingMap, HeadMap, RowMaps
from .survey import Survey, survey
from .weights import require_few_kept, weights_of_kept

# As in `matching.refinement`.
_N_ROUNDS = 2
# Share of the balance in the last exchange: with it the head's change falls to a third, and the
# distribution is as near.
_LAST_BALANCE = 0.5


@dataclass(frozen=True)
class PartitionJob:
    """What `select_partitions` is asked for.

    Attributes
    ----------
    estimator : None or FrozenEstimator
        The default linear network, or a trained one.
    request : Request
        Ratio, quota and the weight of the distribution.
    norm, damping
        As in `InfluencePruner`; the damping is a number.
    seed : int
        Seeds all draws.
    reweight : bool
        Whether to weigh the rows kept.
    """

    estimator: Network
    request: Request
    norm: Norm
    damping: float
    seed: int
    reweight: bool


@dataclass(frozen=True, eq=False)
class SelectedPartitions:
    """The rows kept of all partitions.

    Attributes
    ----------
    support : list of ndarray of bool
        Mask of each partition.
    certificate : Certificate
        What that costs.
    network : skorch net
        The network that was matched.
    row_changes : dask array of shape (n_samples,)
        First-order change from dropping each row alone.
    weights : ndarray of shape (n_kept,) or None
        Weights of the rows kept, of mean 1; None if they were not asked for.
    """

    support: list[Mask]
    certificate: Certificate
    network: NeuralNet
    row_changes: Collection
    weights: Floats | None


def select_partitions(first: FirstPass, job: PartitionJob, clock: StageClock) -> SelectedPartitions:
    """Choose the rows of all partitions, and certify the choice.

    Parameters
    ----------
    first : FirstPass
        What the partitions hold.
    job : PartitionJob
        What to match, and how many rows to drop.
    clock : StageClock
        Times the stages.
    """
    with clock.stage("network"):
        known = survey(first, job.estimator, job.seed)
        groups = Groups.of(known.counted, job.request)
        if job.reweight:
            require_few_kept(groups)
    with serial_blas():
        with clock.stage("head"):
            head = match_head(known, job.norm, job.damping)
            maps = RowMaps(known.reader, head.map, None)
        with clock.stage("influence", n_parts=None):
            maps = with_distribution(maps, known, groups, job.request)
            draw, odds = _draw(maps, known, groups, job.seed)
        with clock.stage("distribution"):
            search = _summed(maps, known, groups, draw, odds, job.seed)
        with clock.stage("selection", n_parts=None):
            last, cells = _exchanged(search, job.seed)
            random = _random_head(search, head, job.seed)
            random_refit = random.refitted_change()
            last, kept = _refined(search, last, head, job.seed, _negligible(random_refit))
            last, kept = _with_more_damping(search, last, kept, random, head, job.seed)
            weights = None
            if job.reweight:
                weights = weights_of_kept(kept.rows, known, head, maps.embedding)
                last, kept = last.weighted(kept.rows, weights), kept.weighted(weights)
        with clock.stage("certificate"):
            certificate = certify_partitions(
                last,
                search.sums,
                cells,
                kept,
                random_refit,
                groups,
                RandomRows.of(maps, known.sample, groups),
                head,
                measured_coordinates(known, head),
                is_aimed=not draw.is_even,
                weights=weights,
            )
    traffic = known.partitioned.traffic
    certificate = replace(
        certificate,
        seconds=clock.seconds,
        n_passes=traffic.n_passes,
        bytes_moved=traffic.bytes_moved,
    )
    changes = known.partitioned.lazy(_row_changes, known.reader, maps.head, dtype=np.float64)
    return SelectedPartitions(last.support, certificate, known.reader.network, changes, weights)


def with_distribution(maps: RowMaps, known: Survey, groups: Groups, request: Request) -> RowMaps:
    """Return the maps with the distribution, unless its weight is 0."""
    assert maps.head is not None
    n_kept = groups.n_samples - groups.n_drop
    weight = weight_of_distribution(request, n_kept, maps.head.theta.size)
    if weight > 0:
        embedding = EmbeddingMap.fit(
            maps.reader, known.sample, maps.head.weight_sum, is_alone=False
        )
        maps = replace(maps, embedding=embedding)
    return maps.scaled_on(known.sample, weight)


def _draw(maps: RowMaps, known: Survey, groups: Groups, seed: int) -> tuple[Draw, EachOwn]:
    """Return the draw that the rows kept are to look like, and the priorities behind it."""
    even = groups.n_kept / np.maximum(groups.n_free, 1)
    is_certain = (groups.n_kept == 0) | (groups.n_kept == groups.n_free)
    is_allocated = groups.n_free.sum() > FEWEST_ROWS and groups.n_kept.max() >= LEAST_KEPT
    if maps.embedding is None or not is_allocated:
        return Draw.with_shares(even), EachOwn([None] * groups.n_partitions)
    even = np.where(is_certain | (groups.n_kept < LEAST_KEPT), even, np.nan)
    priority = known.counted.sample.priority
    rule, of_sample = OddsRule.fit(maps, known.sample, groups.n_samples, priority)
    positions = known.counted.positions
    firsts = np.cumsum([0, *map(len, positions)])[:-1]
    odds = known.partitioned.keep(
        block_odds, maps, rule, EachOwn(positions), EachOwn(firsts.tolist())
    )
    rng = np.random.default_rng([seed, 6])
    draw, vectors = first_draw(maps, groups, known.sample, of_sample, even, rng)
    if not draw.is_even:
        draw = calibrated_draw(known.partitioned, maps, odds, groups, draw, vectors)
    return draw, odds


@dataclass(frozen=True, eq=False)
class _Search:
    """All that the exchanges need.

    Attributes
    ----------
    known, groups, maps, draw, odds
        From the stations before.
    rule : CellRule
        The cells inside a partition.
    sums : list of PartitionSums
        Of each partition.
    directions : ndarray of shape (n_coordinates, n_directions)
        In which the cells' means are known.
    target : ndarray of shape (n_coordinates,)
        What all rows dropped are to sum to.
    """

    known: Survey
    groups: Groups
    maps: RowMaps
    draw: Draw
    odds: EachOwn
    rule: CellRule
    sums: list[PartitionSums]
    directions: Floats
    target: Floats


def _summed(
    maps: RowMaps, known: Survey, groups: Groups, draw: Draw, odds: EachOwn, seed: int
) -> _Search:
    """Sum the coordinates of all rows, by cell and by partition."""
    rule = CellRule.fit(maps, known.sample, groups)
    directions = main_directions(maps, known.sample, np.random.default_rng(seed))
    dropped_share = groups.n_dropped / np.maximum(groups.n_free, 1)
    sums = known.partitioned.compute(
        partition_sums, odds, maps, rule, draw, dropped_share, directions, seed
    )
    target = np.sum([part.left for part in sums], axis=0)
    if draw.is_even:
        # The distribution of all rows, whatever the quota.
        total = np.sum([part.total for part in sums], axis=0)
        target = groups.n_drop / groups.n_samples * total
    if maps.head is not None:
        # The rows dropped are not to move the head.
        target[: maps.head.theta.size] = 0.0
    return _Search(known, groups, maps, draw, odds, rule, sums, directions, target)


def _exchanged(search: _Search, seed: int) -> tuple[LastExchange, CountedCells]:
    """Count the cells, exchange rows in every partition, and then among all of them."""
    sums, target, groups = search.sums, search.target, search.groups
    rng = np.random.default_rng([seed, 3])
    forced = np.sum([part.forced for part in sums], axis=0)
    offset = (forced - target) @ search.directions
    cells = count_cells(sums, groups, offset, rng)
    # What the parts of the draw leave to reach the target is shared by numbers of rows.
    missing = target - np.sum([part.left for part in sums], axis=0)
    sizes = groups.free_by_partition.sum(axis=1)
    shares = sizes / max(1, sizes.sum())
    targets = [part.left + share * missing for part, share in zip(sums, shares, strict=True)]
    parts = search.known.partitioned.compute(
        exchange_in_block,
        search.odds,
        EachOwn(cells.by_partition),
        EachOwn([part.total for part in sums]),
        EachOwn(targets),
        search.maps,
        search.rule,
        search.draw,
        groups.n_partitions,
        seed,
    )
    last = LastExchange.of(parts, target, search.maps).exchanged(rng)
    if search.maps.head is not None and search.maps.embedding is not None:
        last = last.exchanged(rng, search.maps.with_less_balance(_LAST_BALANCE))
    return last, cells


def _random_head(search: _Search, head: MatchedHead, seed: int) -> KeptHead:
    """Return the head on random rows, of one draw."""
    rng = np.random.default_rng([seed, 4])
    support = random_support(search.known.partitioned, search.groups, rng)
    return _kept_head(search, head, support)


def _negligible(random_change: float) -> float:
    """Return the change that does not matter, given that on random rows."""
    return NEGLIGIBLE * random_change if np.isfinite(random_change) else 0.0


def _kept_head(search: _Search, head: MatchedHead, support: list[Mask]) -> KeptHead:
    known, n_features = search.known, head.map.theta.shape[1]
    objective = SummedObjective(
        known.partitioned, known.reader, head.objective.damping, n_features, support
    )
    return KeptHead(head, objective)


def _refined(
    search: _Search, last: LastExchange, head: MatchedHead, seed: int, enough: float
) -> tuple[LastExchange, KeptHead]:
    """Exchange more rows of the pools, with the Hessian of the rows kept; see `refine`.

    A wide head has none.
    """
    best, kept = last, _kept_head(search, head, last.support)
    curvature, maps = head.map.curvature, last.maps
    if not isinstance(curvature, DenseCurvature):
        return best, kept
    rng = np.random.default_rng([seed, 5])
    shortest, hessian = kept.step_change(), kept.hessian
    for _ in range(_N_ROUNDS):
        if shortest <= max(CLOSE * kept.first_order_change(), enough):
            break
        given = map_given(hessian, curvature, head.map.norm)
        last = last.exchanged(rng, maps.with_map(given))
        trial = _kept_head(search, head, last.support)
        change, hessian = trial.step_change(), trial.hessian
        if change < shortest:
            best, kept, shortest = last, trial, change
    return best, kept


def _with_more_damping(
    search: _Search,
    last: LastExchange,
    kept: KeptHead,
    random: KeptHead,
    head: MatchedHead,
    seed: int,
) -> tuple[LastExchange, KeptHead]:
    """Match a head with more damping, if the rows kept hold too little of it.

    See `try_more_damping`. A wide head stays as it is, as in memory.
    """
    n_kept = search.groups.n_samples - search.groups.n_drop
    is_dense = isinstance(head.map.curvature, DenseCurvature)
    if n_kept >= head.map.theta.size or not is_dense:
        return last, kept
    start, least = last, kept.retrained_change()
    enough = _negligible(random.retrained_change())
    for factor in DAMPING_FACTORS if least > enough else ():
        damped = damped_head(search.known, head, factor)
        maps = replace(search.maps, head=damped.map)
        moved = _kept_head(search, damped, start.support).dropped_influence()
        trial = start.on(maps, moved).exchanged(np.random.default_rng([seed, 7]))
        trial, _ = _refined(search, trial, damped, seed, enough)
        of_trial = _kept_head(search, head, trial.support)
        change = of_trial.retrained_change()
        pays = change < (1 - LEAST_PROGRESS) * least
        if change < least:
            last, kept, least = (
                trial.on(search.maps, of_trial.dropped_influence()),
                of_trial,
                change,
            )
        if not pays:
            break
    return last, kept


def select_by_distribution(
    first: FirstPass, estimator: Network, request: Request, seed: int
) -> list[Mask]:
    """Return masks of the rows that are kept if their distribution alone is matched."""
    known = survey(first, estimator, seed)
    groups = Groups.of(known.counted, request)
    with serial_blas():
        embedding = EmbeddingMap.fit(
            known.reader, known.sample, float(groups.n_samples), is_alone=True
        )
        maps = RowMaps(known.reader, None, embedding).scaled_on(known.sample, 0.0)
        draw = Draw.with_shares(groups.n_kept / np.maximum(groups.n_free, 1))
        nothing = EachOwn([None] * groups.n_partitions)
        search = _summed(maps, known, groups, draw, nothing, seed)
        return _exchanged(search, seed)[0].support


def _row_changes(block: Block, reader: RowReader, head: HeadMap) -> Floats:
    """Return the first-order change from dropping each row alone."""
    rows = reader(block)
    lengths = head.influences(reader, rows).row_norms()
    return changes_of_single_rows(lengths, rows.sample_weight, head.weight_sum, head.norm)
