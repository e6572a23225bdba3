"""The groups that quotas count: how many rows of each there are in each partition, and stay."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._types import Integers
from ..selection import CountedRequest, Request, counted_request
from .collection import Block
from .reading import Strata
from .survey import CountedRows


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
        """Count the rows; raise InfeasibleProblemError if the request cannot be met.

        With a tolerance, which leaves the number of rows to drop open, it is the least allowed.
        """
        asked = counted_request(counted.counts, request)
        counts, n_strata = asked.counts, len(counted.counts.sizes)
        group_of: Integers = np.arange(n_strata)
        if not counts.is_named:
            group_of = np.zeros(n_strata, dtype=np.int64)
        elif len(counts.sizes) < n_strata:
            assert counted.counts.class_of is not None
            group_of = counted.counts.class_of
        free = counted.free @ np.eye(len(counts.sizes), dtype=np.int64)[group_of]
        n_free, n_drop = free.sum(axis=0), asked.n_drop
        if n_drop is None:
            n_drop = counts.n_samples - int(asked.kept_range.high.sum())
        every = cls(asked, counted.strata, group_of, free, n_free, n_free, np.zeros_like(n_free))
        return every.dropping(n_drop)

    def dropping(self, n_drop: int) -> Groups:
        """Return the same groups of which so many rows are to be dropped in all."""
        request = replace(self.request, n_drop=n_drop)
        counts = request.counts
        kept = request.kept_range.counts(counts.n_samples - n_drop) - counts.must_keep
        return replace(self, request=request, n_kept=kept, n_dropped=self.n_free - kept)

    @property
    def most_dropped(self) -> int:
        """Most rows that the quota allows to be dropped."""
        return self.n_samples - max(1, int(self.request.kept_range.low.sum()))

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
