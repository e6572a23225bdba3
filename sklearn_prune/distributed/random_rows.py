"""Random rows of all partitions, as many of each group as are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._types import Integers, Mask
from ..selection import CountedRequest, Request, counted_request
from .collection import Block, EachOwn, Partitioned
from .first_pass import FirstPass
from .reading import Strata
from .survey import CountedRows, count_rows


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups between which rows compete, and how many rows of each to keep.

    Attributes
    ----------
    request : CountedRequest
        Of the groups, with the number of rows to drop.
    strata : Strata
        Of the rows.
    group_of : ndarray of int of shape (n_strata,)
        Group of each stratum.
    free_by_partition : ndarray of int of shape (n_partitions, n_groups)
        Rows that may be kept or dropped.
    n_free, n_kept, n_dropped : ndarray of int of shape (n_groups,)
        Of these rows: all, and those that the quota keeps and drops.
    """

    request: CountedRequest
    strata: Strata
    group_of: Integers
    free_by_partition: Integers
    n_free: Integers
    n_kept: Integers
    n_dropped: Integers

    @classmethod
    def of(cls, counted: CountedRows, request: Request) -> Groups:
        """Count the rows; raise InfeasibleProblemError if the request cannot be met."""
        asked = counted_request(counted.counts, request)
        assert asked.n_drop is not None
        counts, n_strata = asked.counts, len(counted.counts.sizes)
        group_of: Integers = np.arange(n_strata)
        if not counts.is_named:
            group_of = np.zeros(n_strata, dtype=np.int64)
        elif len(counts.sizes) < n_strata:
            assert counted.counts.class_of is not None
            group_of = counted.counts.class_of
        free = counted.free @ np.eye(len(counts.sizes), dtype=np.int64)[group_of]
        kept = asked.kept_range.counts(counts.n_samples - asked.n_drop) - counts.must_keep
        n_free = free.sum(axis=0)
        return cls(asked, counted.strata, group_of, free, n_free, kept, n_free - kept)

    @property
    def n_drop(self) -> int:
        """Rows to drop in all."""
        assert self.request.n_drop is not None
        return self.request.n_drop

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.request.counts.n_samples

    @property
    def n_partitions(self) -> int:
        """Number of partitions with rows."""
        return len(self.free_by_partition)

    def of_rows(self, block: Block) -> Integers:
        """Return the group of each row of a block."""
        return self.group_of[self.strata.of_rows(block)]


def random_support(
    partitioned: Partitioned, groups: Groups, rng: np.random.Generator
) -> list[Mask]:
    """Draw rows to keep, without replacement: in a group, every set has the same probability.

    Parameters
    ----------
    partitioned : Partitioned
        The rows.
    groups : Groups
        How many of each group to keep.
    rng : numpy.random.Generator
        Draws how many of them each partition keeps, and the seed of its own draw.

    Returns
    -------
    support : list of ndarray of bool
        Mask of the rows that each partition keeps.
    """
    counts = np.column_stack(
        [
            rng.multivariate_hypergeometric(sizes, n, method="marginals")
            for sizes, n in zip(groups.free_by_partition.T, groups.n_kept, strict=True)
        ]
    )
    return partitioned.compute(_drawn, EachOwn(list(counts)), groups, int(rng.integers(2**32)))


def _drawn(block: Block, n_kept: Integers, groups: Groups, seed: int) -> Mask:
    rng = np.random.default_rng([seed, block.position])
    group = groups.of_rows(block)
    support, free = block.must_keep.copy(), ~(block.must_keep | block.must_drop)
    for number, n in enumerate(n_kept):
        members = np.flatnonzero(free & (group == number))
        support[rng.choice(members, size=int(n), replace=False)] = True
    return support


def drawn_partitions(
    first: FirstPass, request: Request, rng: np.random.Generator, *, stratify: bool
) -> list[Mask]:
    """Draw random rows to keep, as `RandomPruner` does.

    Parameters
    ----------
    first : FirstPass
        What the partitions hold.
    request : Request
        How many rows to drop.
    rng : numpy.random.Generator
        Draws.
    stratify : bool
        Whether each class keeps the same share; otherwise it keeps at least one row.
    """
    counted = count_rows(first)
    groups = Groups.of(counted, request)
    if not stratify and len(groups.n_free) > 1:
        rest = groups.n_kept.sum() - len(groups.n_free)
        kept = 1 + rng.multivariate_hypergeometric(groups.n_free - 1, rest, method="marginals")
        groups = replace(groups, n_kept=kept, n_dropped=groups.n_free - kept)
    return random_support(first.partitioned, groups, rng)
