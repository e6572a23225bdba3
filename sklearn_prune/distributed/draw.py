r"""The probability with which each row is kept, calibrated by sums over the partitions.

As in `matching.allocation`: row i of group g is kept with the probability

.. math:: π_i = \min\big(1, o_i \exp(c_g + l \cdot a_i)\big)

where o are the odds of its priorities and a the expected classes and the influence on the head.
Newton steps find l such that the rows dropped hold a mean share of a, and then c such that each
group keeps its number of rows. Some steps on a sample of the rows are followed by a few on all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .._types import Floats, Integers
from ..influence import most_dense_params
from ..matching import LEAST_RELATIVE_ODDS, DistanceScale, Priorities, PriorityScale
from ..selection import inclusion_probabilities, leading_directions
from .collection import Block, EachOwn, Partitioned
from .groups import Groups
from .reading import ReadRows
from .row_maps import RowMaps, chunks_of
from .sums import Sums

# Newton steps on the sample and on all rows. They end once the totals are this share of a random
# draw's, since exchanges do the rest, or once a step gains less than the last share.
_SAMPLE_STEPS, _STEPS, _CALIBRATED, _LEAST_GAIN = 20, 3, 0.05, 0.1
# Steps after it that bring each group to its number of rows.
_NORMING_STEPS = 2
# Bound on the change of an exponent by all steps; on that by one step, for this share of the rows;
# and what is added to the diagonal of the Hessian, as a share of its largest eigenvalue.
_LONGEST, _LONGEST_STEP, _TYPICAL, _RIDGE = 3.0, 1.5, 0.99, 1e-2
# Leading directions in which a wide head is calibrated, whose Newton steps would need a Hessian of
# all parameters otherwise, and rows of the sample that they are found on.
_N_DIRECTIONS, _DIRECTION_ROWS = 256, 2_000
# Distances are measured to as many rows as for this many rows in memory, or fewer.
_MANY_ROWS = 100_000


@dataclass(frozen=True, eq=False)
class Odds:
    """The priorities of the rows of a partition; float32, since they stay on the worker.

    Attributes
    ----------
    odds : ndarray of shape (n_rows,)
        ``o_i``.
    expected : ndarray of shape (n_rows, n_classes - 1)
        Probability of each class but the first.
    """

    odds: Floats
    expected: Floats


@dataclass(frozen=True, eq=False)
class OddsRule:
    """From rows to their odds.

    Attributes
    ----------
    scale : PriorityScale or DistanceScale
        Fitted on a sample.
    floors : tuple of float
        Least factors, from the sample.
    means : tuple of float
        Mean distance and mean spread of the sample.
    """

    scale: PriorityScale | DistanceScale
    floors: tuple[float, float, float]
    means: tuple[float, float]

    @classmethod
    def fit(
        cls,
        maps: RowMaps,
        sample: ReadRows,
        n_rows: int,
        priority: Floats | None = None,
        greatest: float = 0.0,
    ) -> tuple[OddsRule, Odds]:
        """Fit the scale on the sample, of ``n_rows`` in all; return the odds of the sample too.

        Forests are grown unless the user gives the ``priority`` of its rows; ``greatest`` is then
        that of all rows.
        """
        assert maps.embedding is not None
        classes, n_rows = maps.reader.classes, max(n_rows, _MANY_ROWS)
        table = maps.embedding.table_of(sample)
        scale: PriorityScale | DistanceScale
        if priority is not None:
            scale = DistanceScale.fit(table, len(sample), n_rows)
        else:
            scale = PriorityScale.fit(
                table,
                sample.target,
                sample.sample_weight,
                n_rows,
                is_labels=classes is not None,
                n_classes=None if classes is None else len(classes),
            )
            scale = replace(scale, is_fast=True)
        learned = sample.target if priority is None else priority
        factors = scale.factors(table, learned, np.arange(len(sample)))
        floors = factors.floors(is_given=priority is not None)
        if priority is not None and not priority.any():
            # The sample does not show the unit of so rare priorities.
            floors = floors[0], LEAST_RELATIVE_ODDS * greatest, floors[2]
        raised = factors.raised(floors)
        means = float(raised.distance.mean()), float(raised.spread.mean())
        rule = cls(scale, floors, means)
        return rule, rule._odds(raised)

    def __call__(
        self, maps: RowMaps, rows: ReadRows, fitted: Integers, priority: Floats | None = None
    ) -> Odds:
        """Return the odds of rows; ``fitted`` is their position in the sample, or -1."""
        assert maps.embedding is not None
        learned = rows.target if priority is None else priority
        factors = self.scale.factors(maps.embedding.table_of(rows), learned, fitted)
        return self._odds(factors.raised(self.floors))

    def _odds(self, factors: Priorities) -> Odds:
        distance, spread = factors.distance / self.means[0], factors.spread / self.means[1]
        odds = (distance * spread * factors.belief).astype(np.float32)
        return Odds(odds, factors.expected)


def block_odds(block: Block, maps: RowMaps, rule: OddsRule, sampled: Integers, first: int) -> Odds:
    """Return the odds of a block, whose rows at ``sampled`` are the sample's from ``first``."""
    fitted = np.full(len(block), -1, dtype=np.int64)
    fitted[sampled] = first + np.arange(len(sampled))
    return rule(maps, maps.reader(block), fitted, block.priority)


@dataclass(frozen=True, eq=False)
class Draw:
    """The draw that the rows kept are to look like.

    Attributes
    ----------
    even : ndarray of shape (n_groups,)
        Probability of every free row of a group; NaN in those that are calibrated.
    offsets : ndarray of shape (n_groups,)
        c.
    tilt : ndarray of shape (n_vectors,)
        l.
    expected_mean, expected_size : ndarray of shape (n_classes - 1,)
        What is subtracted from the expected classes, and what they are divided by.
    unit : float
        What the influences are divided by.
    directions : ndarray of shape (n_params, n_directions) or None
        Directions of the influences of a wide head that are calibrated; None means all.
    """

    even: Floats
    offsets: Floats
    tilt: Floats
    expected_mean: Floats
    expected_size: Floats
    unit: float
    directions: Floats | None = None

    @classmethod
    def with_shares(cls, even: Floats) -> Draw:
        """Return the draw in which all rows of a group have the same probability."""
        none = np.zeros(0)
        return cls(even, np.zeros(len(even)), none, none, none, 1.0)

    @property
    def is_even(self) -> bool:
        """Whether all rows of a group have the same probability."""
        return not np.isnan(self.even).any()

    def vectors(self, maps: RowMaps, rows: ReadRows, expected: Floats) -> Floats:
        """Return ``a_i`` of each row."""
        assert maps.head is not None
        influences = maps.head.influences(maps.reader, rows)
        classes = (expected - self.expected_mean) / self.expected_size
        if self.directions is None:
            projected = influences.rows(np.arange(len(rows)))
        else:
            projected = influences @ self.directions
        return np.hstack([classes, projected / self.unit])

    def shares(self, groups: Integers, rows: ReadRows, odds: Floats, score: Floats) -> Floats:
        """Return the probability of each row; ``score`` is ``l·a_i``."""
        exponent = np.nan_to_num(self.offsets)[groups] + np.clip(score, -_LONGEST, _LONGEST)
        calibrated = np.minimum(1.0, odds * np.exp(exponent))
        even = self.even[groups]
        shares = np.where(np.isnan(even), calibrated, even)
        shares[rows.must_keep], shares[rows.must_drop] = 1.0, 0.0
        return shares

    def of_rows(self, maps: RowMaps, groups: Integers, rows: ReadRows, odds: Odds | None) -> Floats:
        """Return the probability of each row of a partition, of shape (n_rows,)."""
        if odds is None or self.is_even:
            ones = np.ones(len(rows))
            return self.shares(groups, rows, ones, np.zeros(len(rows)))
        parts = []
        for chunk in chunks_of(len(rows)):
            part = rows.take(chunk)
            score = self.vectors(maps, part, odds.expected[chunk]) @ self.tilt
            parts.append(self.shares(groups[chunk], part, odds.odds[chunk], score))
        return np.concatenate(parts)


@dataclass(frozen=True)
class _DrawSums(Sums):
    """Sums over rows at one point of the calibration.

    Attributes
    ----------
    kept : ndarray of shape (n_groups,)
        Expected number of free rows kept in the groups that are calibrated.
    left : ndarray of shape (n_vectors,)
        ``Σ (1 - π_i) a_i``, must_drop included.
    n_left : float
        ``Σ (1 - π_i)``.
    total, n_rows : ndarray of shape (n_vectors,) and int
        ``Σ a_i`` over all rows, and how many these are.
    hessian : ndarray of shape (n_groups + n_vectors, n_groups + n_vectors)
        Derivative of what is kept by c and l.
    chance : float
        Expected squared length of a random draw's totals.
    """

    kept: Floats
    left: Floats
    n_left: float
    total: Floats
    n_rows: int
    hessian: Floats
    chance: float

    @property
    def movable(self) -> Floats:
        """Expected number of rows kept of each group that are not certain to be kept."""
        return np.diag(self.hessian)[: len(self.kept)]


def _draw_sums(
    maps: RowMaps, groups: Integers, rows: ReadRows, odds: Odds, draw: Draw
) -> _DrawSums:
    n_groups, total = len(draw.even), None
    for chunk in chunks_of(len(rows)):
        part, group = rows.take(chunk), groups[chunk]
        a = draw.vectors(maps, part, odds.expected[chunk])
        score = a @ draw.tilt
        shares = draw.shares(group, part, odds.odds[chunk], score)
        is_calibrated = np.isnan(draw.even)[group] & part.free
        indicator = np.zeros((len(part), n_groups))
        indicator[np.arange(len(part)), group] = is_calibrated
        movable = np.where(is_calibrated & (shares < 1.0), shares, 0.0)
        tilted = np.where(np.abs(score) < _LONGEST, movable, 0.0)
        beside = np.hstack([indicator, a])
        weights = np.hstack([movable[:, None] * indicator, tilted[:, None] * a])
        sums = _DrawSums(
            shares @ indicator,
            (1.0 - shares) @ a,
            float((1.0 - shares).sum()),
            a.sum(axis=0),
            len(part),
            beside.T @ weights,
            float(movable @ np.einsum("ij,ij->i", a, a)),
        )
        total = sums if total is None else total + sums
    assert total is not None
    return total


def _block_sums(
    block: Block, odds: Odds, maps: RowMaps, group_of: Integers, draw: Draw
) -> _DrawSums:
    rows = maps.reader(block)
    return _draw_sums(maps, group_of[rows.strata], rows, odds, draw)


def first_draw(
    maps: RowMaps,
    groups: Groups,
    sample: ReadRows,
    odds: Odds,
    even: Floats,
    rng: np.random.Generator,
) -> tuple[Draw, Floats]:
    """Return the draw calibrated on the sample, and ``a_i`` of its rows.

    Parameters
    ----------
    maps : RowMaps
        From rows to coordinates.
    groups : Groups
        How many rows of each to keep.
    sample : ReadRows
        The sample.
    odds : Odds
        Of its rows.
    even : ndarray of shape (n_groups,)
        As in `Draw`.
    rng : numpy.random.Generator
        Draws rows of the sample for the directions of a wide head.
    """
    assert maps.head is not None
    share = sample.sample_weight / sample.sample_weight.sum()
    mean = share @ odds.expected
    size = np.sqrt(np.mean((odds.expected - mean) ** 2, axis=0))
    influences = maps.head.influences(maps.reader, sample)
    lengths = influences.row_norms()
    directions, n_directions = None, maps.head.theta.size
    if n_directions > most_dense_params():
        some = influences.rows(rng.permutation(len(sample))[:_DIRECTION_ROWS])
        directions = leading_directions(some.astype(np.float64), _N_DIRECTIONS, rng)
        n_directions = directions.shape[1]
    group, n_groups = groups.group_of[sample.strata], len(even)
    n_sampled = np.bincount(group[sample.free], minlength=n_groups)
    wanted = n_sampled * groups.n_kept / np.maximum(groups.n_free, 1)
    n_vectors = odds.expected.shape[1] + n_directions
    draw = Draw(
        even,
        np.full(n_groups, _common_offset(odds.odds[sample.free], float(wanted.sum()))),
        np.zeros(n_vectors),
        mean,
        np.where(size > 0, size, 1.0),
        float(np.sqrt(np.mean(lengths**2))) or 1.0,
        directions,
    )

    def sums_at(draw: Draw) -> _DrawSums:
        return _draw_sums(maps, group, sample, odds, draw)

    vectors = draw.vectors(maps, sample, odds.expected)
    return _calibrated(draw, sums_at, wanted, vectors, n_steps=_SAMPLE_STEPS), vectors


def _common_offset(odds: Floats, n_kept: float) -> float:
    """Return the c with which ``Σ min(1, odds_i exp(c))`` is the number of rows to keep."""
    shares = inclusion_probabilities(odds.astype(np.float64), n_kept)
    is_open = shares < 1.0
    if not is_open.any():
        return float(-np.log(odds.min(initial=1.0)))
    return float(np.log(max(shares[is_open].sum(), 1e-12) / odds[is_open].sum()))


def calibrated_draw(
    partitioned: Partitioned,
    maps: RowMaps,
    odds: EachOwn,
    groups: Groups,
    draw: Draw,
    vectors: Floats,
) -> Draw:
    """Return the draw of `first_draw` calibrated on all rows, in a few passes."""

    def sums_at(draw: Draw) -> _DrawSums:
        return partitioned.total(_block_sums, odds, maps, groups.group_of, draw)

    return _calibrated(draw, sums_at, groups.n_kept, vectors, n_steps=_STEPS)


def _calibrated(
    draw: Draw,
    sums_at: Callable[[Draw], _DrawSums],
    n_kept: Floats | Integers,
    vectors: Floats,
    *,
    n_steps: int,
) -> Draw:
    """Return the draw with another tilt, and with offsets by which each group keeps its rows.

    The tilt is found by damped Newton steps, with one offset for all groups, since a quota may
    contradict what it aims at. No step changes the offset, or the exponents of most rows of the
    sample, whose ``vectors`` are given, by more than a bound: where all rows are kept, nothing
    tells how far to go. A step that lengthens what is left is halved.
    """
    best, shortest = draw, np.inf
    step: Floats = np.zeros(1 + len(draw.tilt))
    for _ in range(n_steps):
        sums = sums_at(draw)
        left, hessian = _united(draw, sums, n_kept)
        length = float(np.linalg.norm(left))
        is_stalled = (1 - _LEAST_GAIN) * shortest < length < shortest
        if length < shortest:
            best, shortest = draw, length
            # Where directions are many or classes far apart, some are hardly determined.
            ridge = _RIDGE * np.linalg.norm(hessian, 2) + 1e-12
            step = np.linalg.solve(hessian + ridge * np.eye(len(hessian)), left)
            longest = max(
                float(np.quantile(np.abs(vectors @ step[1:]), _TYPICAL)), abs(float(step[0]))
            )
            step *= min(1.0, _LONGEST_STEP / max(longest, 1e-12))
        else:
            step = step / 2
        if is_stalled or shortest <= _CALIBRATED * np.sqrt(sums.chance):
            break
        draw = replace(best, offsets=best.offsets + step[0], tilt=best.tilt + step[1:])
    draw = best
    for _ in range(_NORMING_STEPS):
        sums = sums_at(draw)
        kept, movable = (np.maximum(part, 1e-12) for part in (sums.kept, sums.movable))
        step = np.log(np.maximum(n_kept, 1e-12) / kept) * kept / movable
        draw = replace(draw, offsets=draw.offsets + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP))
    return draw


def _united(draw: Draw, sums: _DrawSums, n_kept: Floats | Integers) -> tuple[Floats, Floats]:
    """Return what is left to reach, and its derivative, with all groups as one."""
    n_groups, n_vectors = len(draw.even), len(draw.tilt)
    is_open = np.isnan(draw.even)
    unite = np.zeros((1 + n_vectors, n_groups + n_vectors))
    unite[0, :n_groups] = is_open
    unite[1:, n_groups:] = np.eye(n_vectors)
    # The rows dropped are to have the mean of all rows, which for influences is zero.
    centred = sums.left - sums.n_left / sums.n_rows * sums.total
    left = np.r_[n_kept - sums.kept, centred]
    return unite @ left, unite @ sums.hessian @ unite.T
