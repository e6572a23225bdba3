"""The stations of a fit on partitions: head, priorities, cells, exchanges and certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from skorch import NeuralNet

from .._types import Floats, Integers, Mask
from ..influence import (
    DenseCurvature,
    HeadFit,
    Norm,
    by_curvature,
    centre_of,
    fit_head,
    map_given,
    refit_head,
    warn_if_not_convex,
)
from ..matching import (
    CLOSE,
    FEWEST_ROWS,
    LEAST_KEPT,
    NEGLIGIBLE,
    Certificate,
    Network,
    StageClock,
    changes_of_single_rows,
    weight_of_distribution,
)
from ..networks import write_head
from ..selection import CountedRequest, Request, counted_request
from ..utils import serial_blas
from .cells import (
    CellRule,
    CountedCells,
    PartitionSums,
    count_cells,
    main_directions,
    partition_sums,
)
from .certificate import KeptHead, RandomRows, certify_partitions, first_order_change
from .collection import Block, Collection, EachOwn
from .draw import Draw, OddsRule, block_odds, calibrated_draw, first_draw
from .exchange import LastExchange, exchange_in_block
from .first_pass import FirstPass
from .head import SummedObjective
from .random_rows import random_support
from .row_maps import EmbeddingMap, HeadMap, RowMaps
from .survey import Survey, survey

# As in `matching.refinement`.
_N_ROUNDS = 2


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
    """

    estimator: Network
    request: Request
    norm: Norm
    damping: float
    seed: int


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
    """

    support: list[Mask]
    certificate: Certificate
    network: NeuralNet
    row_changes: Collection


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
        counts = Counts.of(known, job.request)
    with serial_blas():
        with clock.stage("head"):
            maps, fit = _match_head(known, job)
        with clock.stage("influence", n_parts=None):
            maps = _with_distribution(maps, known, counts, job.request)
            draw, odds = _draw(maps, known, counts)
        with clock.stage("distribution"):
            search = _summed(maps, known, counts, draw, odds, job.seed)
        with clock.stage("selection", n_parts=None):
            last, cells = _exchanged(search, job.seed)
            random_refit = _random_refit(search, job)
            last, kept = _refined(search, last, job, random_refit)
        with clock.stage("certificate"):
            certificate = certify_partitions(
                last,
                search.sums,
                cells,
                kept,
                random_refit,
                counts.request,
                RandomRows.of(maps, known.sample, search.groups, len(counts.n_free)),
                counts.n_free,
                counts.n_dropped,
                fit,
                is_aimed=not draw.is_even,
            )
    traffic = known.partitioned.traffic
    certificate = replace(
        certificate,
        seconds=clock.seconds,
        n_passes=traffic.n_passes,
        bytes_moved=traffic.bytes_moved,
    )
    changes = known.partitioned.lazy(_row_changes, maps, dtype=np.float64)
    return SelectedPartitions(last.support, certificate, known.reader.network, changes)


@dataclass(frozen=True, eq=False)
class Counts:
    """How many rows each group has, keeps and drops.

    Attributes
    ----------
    request : CountedRequest
        Of the groups, with the number of rows to drop.
    group_of : ndarray of int of shape (n_strata,)
        Group of each stratum.
    free_by_partition : ndarray of int of shape (n_partitions, n_groups)
        Rows that may be kept or dropped.
    n_free, n_kept, n_dropped : ndarray of int of shape (n_groups,)
        Of these rows: all, and those that the quota keeps and drops.
    """

    request: CountedRequest
    group_of: Integers
    free_by_partition: Integers
    n_free: Integers
    n_kept: Integers
    n_dropped: Integers

    @classmethod
    def of(cls, known: Survey, request: Request) -> Counts:
        """Count the rows; raise InfeasibleProblemError if the request cannot be met."""
        counted = counted_request(known.counts, request)
        assert counted.n_drop is not None
        n_strata = len(known.counts.sizes)
        group_of: Integers = np.arange(n_strata)
        if not counted.counts.is_named:
            group_of = np.zeros(n_strata, dtype=np.int64)
        elif len(counted.counts.sizes) < n_strata:
            assert known.counts.class_of is not None
            group_of = known.counts.class_of
        n_groups = len(counted.counts.sizes)
        free = known.free @ np.eye(n_groups, dtype=np.int64)[group_of]
        counts = counted.counts
        kept = counted.kept_range.counts(counts.n_samples - counted.n_drop) - counts.must_keep
        n_free = free.sum(axis=0)
        return cls(counted, group_of, free, n_free, kept, n_free - kept)

    @property
    def n_partitions(self) -> int:
        """Number of partitions with rows."""
        return len(self.free_by_partition)


def _match_head(known: Survey, job: PartitionJob) -> tuple[RowMaps, HeadFit]:
    """Fit the head of all rows, from that of the sample."""
    reader, sample, damping = known.reader, known.sample, job.damping
    on_sample = reader.objective(sample, damping, None)
    start = fit_head(on_sample, known.theta)
    objective = SummedObjective(known.partitioned, reader, damping, known.theta.shape[1])
    fit = refit_head(objective, start.theta)
    if reader.is_linear:
        write_head(reader.network, fit.theta)
    warn_if_not_convex(on_sample, fit.theta)
    curvature = DenseCurvature(objective.hessian(fit.theta))
    head = HeadMap(
        fit.theta,
        centre_of(objective.gradient(fit.theta), fit.theta, damping),
        objective.weight_sum(fit.theta),
        curvature,
        job.norm,
        by_curvature(curvature, job.norm),
    )
    return RowMaps(reader, head, None), fit


def _with_distribution(maps: RowMaps, known: Survey, counts: Counts, request: Request) -> RowMaps:
    """Return the maps with the distribution, unless its weight is 0."""
    assert maps.head is not None
    n_kept = counts.request.counts.n_samples - (counts.request.n_drop or 0)
    weight = weight_of_distribution(request, n_kept, maps.head.theta.size)
    if weight > 0:
        embedding = EmbeddingMap.fit(
            maps.reader, known.sample, maps.head.weight_sum, is_alone=False
        )
        maps = replace(maps, embedding=embedding)
    return maps.scaled_on(known.sample, weight)


def _draw(maps: RowMaps, known: Survey, counts: Counts) -> tuple[Draw, EachOwn]:
    """Return the draw that the rows kept are to look like, and the priorities behind it."""
    even = counts.n_kept / np.maximum(counts.n_free, 1)
    is_certain = (counts.n_kept == 0) | (counts.n_kept == counts.n_free)
    is_allocated = counts.n_free.sum() > FEWEST_ROWS and counts.n_kept.max() >= LEAST_KEPT
    none = np.zeros(0)
    if maps.embedding is None or not is_allocated:
        draw = Draw(even, np.zeros(len(even)), none, none, none, 1.0)
        return draw, EachOwn([None] * counts.n_partitions)
    even = np.where(is_certain | (counts.n_kept < LEAST_KEPT), even, np.nan)
    sample, n = known.sample, counts.request.counts.n_samples
    rule = OddsRule.fit(maps, sample, n)
    firsts = np.cumsum([0, *map(len, known.positions)])[:-1]
    odds = known.partitioned.keep(
        block_odds, maps, rule, EachOwn(known.positions), EachOwn(firsts.tolist())
    )
    groups = counts.group_of[sample.strata]
    draw = first_draw(maps, groups, sample, rule, counts.n_kept, counts.n_free, even)
    if draw.is_even:
        return draw, odds
    draw = calibrated_draw(known.partitioned, maps, odds, counts.group_of, draw, counts.n_kept)
    return draw, odds


@dataclass(frozen=True, eq=False)
class _Search:
    """All that the exchanges need.

    Attributes
    ----------
    known, counts, maps, draw, odds
        From the stations before.
    rule : CellRule
        The cells inside a partition.
    sums : list of PartitionSums
        Of each partition.
    directions : ndarray of shape (n_coordinates, n_directions)
        In which the cells' means are known.
    target : ndarray of shape (n_coordinates,)
        What all rows dropped are to sum to.
    groups : ndarray of int of shape (n_sample,)
        Group of each row of the sample.
    """

    known: Survey
    counts: Counts
    maps: RowMaps
    draw: Draw
    odds: EachOwn
    rule: CellRule
    sums: list[PartitionSums]
    directions: Floats
    target: Floats
    groups: Integers


def _summed(
    maps: RowMaps, known: Survey, counts: Counts, draw: Draw, odds: EachOwn, seed: int
) -> _Search:
    """Sum the coordinates of all rows, by cell and by partition."""
    sample, request = known.sample, counts.request
    scarce = np.minimum(counts.n_kept, counts.n_dropped)
    rule = CellRule.fit(maps, sample, counts.group_of, scarce, counts.n_partitions)
    directions = main_directions(maps, sample, np.random.default_rng(seed))
    dropped_share = counts.n_dropped / np.maximum(counts.n_free, 1)
    sums = known.partitioned.compute(
        partition_sums, odds, maps, rule, draw, dropped_share, directions, seed
    )
    target = np.sum([part.left for part in sums], axis=0)
    if draw.is_even:
        # The distribution of all rows, whatever the quota.
        n, n_drop = request.counts.n_samples, request.n_drop or 0
        target = n_drop / n * np.sum([part.total for part in sums], axis=0)
    if maps.head is not None:
        # The rows dropped are not to move the head.
        target[: maps.head.theta.size] = 0.0
    groups = counts.group_of[sample.strata]
    return _Search(known, counts, maps, draw, odds, rule, sums, directions, target, groups)


def _exchanged(search: _Search, seed: int) -> tuple[LastExchange, CountedCells]:
    """Count the cells, exchange rows in every partition, and then among all of them."""
    sums, target, counts = search.sums, search.target, search.counts
    rng = np.random.default_rng([seed, 3])
    n_forced = counts.request.counts.must_drop
    forced = np.sum([part.forced for part in sums], axis=0)
    offset = (forced - target) @ search.directions
    cells = count_cells(sums, counts.request, n_forced, offset, rng)
    left = np.sum([part.left for part in sums], axis=0)
    # What the parts of the draw leave to reach the target is shared by numbers of rows.
    sizes = counts.free_by_partition.sum(axis=1)
    shares = sizes / max(1, sizes.sum())
    targets = [
        part.left + share * (target - left) for part, share in zip(sums, shares, strict=True)
    ]
    parts = search.known.partitioned.compute(
        exchange_in_block,
        search.odds,
        EachOwn(cells.by_partition),
        EachOwn([part.total for part in sums]),
        EachOwn(targets),
        search.maps,
        search.rule,
        search.draw,
        counts.n_partitions,
        seed,
    )
    return LastExchange.of(parts, target, search.maps).exchanged(rng), cells


def _random_refit(search: _Search, job: PartitionJob) -> float:
    """Return the change of the head when it is refitted on random rows, of one draw."""
    counts, known = search.counts, search.known
    support = random_support(
        known.partitioned,
        known.reader.strata,
        counts.group_of,
        counts.free_by_partition,
        counts.n_kept,
        np.random.default_rng([job.seed, 4]),
        has_classes=known.has_classes,
    )
    return _kept_head(search, job, support).refitted_change(warns=False)


def _kept_head(search: _Search, job: PartitionJob, support: list[Mask]) -> KeptHead:
    head = search.maps.head
    assert head is not None
    known = search.known
    return KeptHead(known.partitioned, known.reader, head, job.damping, support)


def _refined(
    search: _Search, last: LastExchange, job: PartitionJob, random_refit: float
) -> tuple[LastExchange, KeptHead]:
    """Exchange more rows of the pools, with the Hessian of the rows kept; see `refine`."""
    head = search.maps.head
    assert head is not None
    rng = np.random.default_rng([job.seed, 5])
    enough = NEGLIGIBLE * random_refit if np.isfinite(random_refit) else 0.0
    best, kept = last, _kept_head(search, job, last.support)
    shortest, hessian = kept.step_change(), kept.hessian
    for _ in range(_N_ROUNDS):
        predicted = first_order_change(best, kept.weight)
        if shortest <= max(CLOSE * predicted, enough):
            break
        last = last.exchanged(rng, map_given(hessian, head.curvature, head.norm))
        trial = _kept_head(search, job, last.support)
        change, hessian = trial.step_change(), trial.hessian
        if change < shortest:
            best, kept, shortest = last, trial, change
    return best, kept


def _row_changes(block: Block, maps: RowMaps) -> Floats:
    """Return the first-order change from dropping each row alone."""
    rows, head = maps.reader(block), maps.head
    assert head is not None
    lengths = head.influences(maps.reader, rows).row_norms()
    return changes_of_single_rows(lengths, rows.sample_weight, head.weight_sum, head.norm)
