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
    Reference,
    StageClock,
    changes_of_single_rows,
    require_exact,
    weight_of_distribution,
)
from ..selection import Request
from ..utils import serial_blas
from .alignment import Collection
from .certificate import KeptHead, RandomRows, certify_partitions
from .collection import Block, EachOwn
from .draw import Draw, OddsRule, block_odds, calibrated_draw, first_draw
from .exchange import LastExchange
from .first_pass import FirstPass
from .groups import Groups
from .head import MatchedHead, damped_head, match_head, measured_coordinates
from .random_rows import random_support
from .reading import RowReader
from .reference import follow_reference
from .row_maps import EmbeddingMap, HeadMap, RowMaps
from .search import Search
from .survey import Survey, survey
from .tolerance import ToleranceSearch
from .weights import require_few_kept, weights_of_kept

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
    reweight : bool
        Whether to weigh the rows kept.
    reference : Reference or None
        Rows that the head is fitted on, instead of all.
    """

    estimator: Network
    request: Request
    norm: Norm
    damping: float
    seed: int
    reweight: bool
    reference: Reference | None


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
    request, seed = job.request, job.seed
    with clock.stage("network"):
        known = survey(first, job.estimator, seed, reference=job.reference)
        groups = Groups.of(known.counted, request)
        if job.reweight and request.tolerance is None:
            require_few_kept(groups, None)
    # As in memory, there is no draw and no refinement for a tolerance, nor with costs.
    is_open = request.tolerance is None and known.counted.sample.cost is None
    with serial_blas():
        with clock.stage("head"):
            lead = None
            if job.reference is None:
                head = match_head(known, job.norm, job.damping)
                maps = RowMaps(known.reader, head.map, None)
            else:
                lead = follow_reference(
                    first, known, job.reference, request, job.norm, job.damping, seed
                )
                known, head, groups = lead.known, lead.head, lead.groups
                maps = RowMaps(known.reader, head.map, lead.embedding)
            measured = measured_coordinates(known, head)
            if request.tolerance is not None:
                require_exact(measured)
        with clock.stage("influence", n_parts=None):
            n_kept = groups.n_samples - groups.n_drop if is_open else 0
            maps = with_distribution(maps, known, request, n_kept)
            # Reference rows say themselves what the rows kept are to look like.
            is_drawn = is_open and lead is None
            draw, odds = _draw(maps, known, groups, seed, is_drawn=is_drawn)
        with clock.stage("distribution"):
            search = Search.of(maps, known, groups, draw, odds, seed, is_led=lead is not None)
        with clock.stage("selection", n_parts=None):
            if request.tolerance is None:
                found = search.exchanged()
            else:
                found = ToleranceSearch(search, head, request.tolerance).largest()
                if job.reweight:
                    require_few_kept(found.search.groups, request.tolerance)
            search, last = found.search, found.last
            random = _random_head(search, head)
            random_refit = random.refitted_change()
            kept = _kept_head(search, head, last.support)
            if is_open:
                last, kept = _refined(search, last, kept, head, _negligible(random_refit))
                last, kept = _with_more_damping(search, last, kept, random, head)
            weights = None
            if job.reweight:
                weights = weights_of_kept(kept.rows, known, head, maps.embedding)
                last, kept = last.weighted(kept.rows, weights), kept.weighted(weights)
        with clock.stage("certificate"):
            certificate = certify_partitions(
                last,
                search.sums,
                found.cells,
                kept,
                random_refit,
                search.groups,
                RandomRows.of(maps, known.sample, search.groups),
                head,
                measured,
                is_aimed=not draw.is_even,
                weights=weights,
                lead=lead,
            )
            if request.tolerance is not None and not certificate.n_dropped:
                certificate = replace(certificate, status="nothing to drop")
    traffic = known.partitioned.traffic
    certificate = replace(
        certificate,
        seconds=clock.seconds,
        n_passes=traffic.n_passes,
        bytes_moved=traffic.bytes_moved,
    )
    changes = known.partitioned.lazy(_row_changes, known.reader, maps.head, dtype=np.float64)
    return SelectedPartitions(last.support, certificate, known.reader.network, changes, weights)


def with_distribution(maps: RowMaps, known: Survey, request: Request, n_kept: int) -> RowMaps:
    """Return the maps with the distribution, unless its weight is 0.

    With reference rows, the maps have its target already. ``n_kept`` is the number of rows to keep;
    0 where it is open.
    """
    head = maps.head
    assert head is not None
    is_led = maps.embedding is not None
    weight = weight_of_distribution(request, n_kept, head.theta.size, is_led=is_led)
    if weight == 0:
        maps = replace(maps, embedding=None)
    elif maps.embedding is None:
        embedding = EmbeddingMap.fit(maps.reader, known.sample, head.weight_sum, is_alone=False)
        maps = replace(maps, embedding=embedding)
    return maps.scaled_on(known.sample, weight)


def _draw(
    maps: RowMaps, known: Survey, groups: Groups, seed: int, *, is_drawn: bool
) -> tuple[Draw, EachOwn]:
    """Return the draw that the rows kept are to look like, and the priorities behind it."""
    even = groups.n_kept / np.maximum(groups.n_free, 1)
    is_certain = (groups.n_kept == 0) | (groups.n_kept == groups.n_free)
    is_allocated = groups.n_free.sum() > FEWEST_ROWS and groups.n_kept.max() >= LEAST_KEPT
    if not is_drawn or maps.embedding is None or not is_allocated:
        return Draw.with_shares(even), EachOwn([None] * groups.n_partitions)
    even = np.where(is_certain | (groups.n_kept < LEAST_KEPT), even, np.nan)
    counted = known.counted
    rule, of_sample = OddsRule.fit(
        maps, known.sample, groups.n_samples, counted.sample.priority, counted.greatest_priority
    )
    positions = counted.positions
    firsts = np.cumsum([0, *map(len, positions)])[:-1]
    odds = known.partitioned.keep(
        block_odds, maps, rule, EachOwn(positions), EachOwn(firsts.tolist())
    )
    rng = np.random.default_rng([seed, 6])
    draw, vectors = first_draw(maps, groups, known.sample, of_sample, even, rng)
    if not draw.is_even:
        draw = calibrated_draw(known.partitioned, maps, odds, groups, draw, vectors)
    return draw, odds


def _random_head(search: Search, head: MatchedHead) -> KeptHead:
    """Return the head on random rows, of one draw."""
    rng = np.random.default_rng([search.seed, 4])
    support = random_support(search.known.partitioned, search.groups, rng)
    return _kept_head(search, head, support)


def _negligible(random_change: float) -> float:
    """Return the change that does not matter, given that on random rows."""
    return NEGLIGIBLE * random_change if np.isfinite(random_change) else 0.0


def _kept_head(search: Search, head: MatchedHead, support: list[Mask]) -> KeptHead:
    return KeptHead.of(search.known, head, support)


def _refined(
    search: Search, last: LastExchange, kept: KeptHead, head: MatchedHead, enough: float
) -> tuple[LastExchange, KeptHead]:
    """Exchange more rows of the pools, with the Hessian of the rows kept; see `refine`.

    A wide head has none.
    """
    best, curvature, maps = last, head.map.curvature, last.maps
    if not isinstance(curvature, DenseCurvature):
        return best, kept
    rng = np.random.default_rng([search.seed, 5])
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
    search: Search,
    last: LastExchange,
    kept: KeptHead,
    random: KeptHead,
    head: MatchedHead,
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
        trial = start.on(maps, moved).exchanged(np.random.default_rng([search.seed, 7]))
        of_damped = _kept_head(search, damped, trial.support)
        trial, _ = _refined(search, trial, of_damped, damped, enough)
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
        return Search.without_draw(maps, known, groups, seed).exchanged().last.support


def _row_changes(block: Block, reader: RowReader, head: HeadMap) -> Floats:
    """Return the first-order change from dropping each row alone."""
    rows = reader(block)
    lengths = head.influences(reader, rows).row_norms()
    return changes_of_single_rows(lengths, rows.sample_weight, head.weight_sum, head.norm)
