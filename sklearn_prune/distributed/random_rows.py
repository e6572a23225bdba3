"""Random rows of all partitions, as many of each group as are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._types import Integers, Mask
from ..selection import Request
from .collection import Block, EachOwn, Partitioned
from .first_pass import FirstPass
from .groups import Groups
from .survey import count_rows

# NumPy draws hypergeometric numbers from fewer rows only.
_MOST_ROWS = 10**9


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
            drawn_counts(sizes, int(n), rng)
            for sizes, n in zip(groups.free_by_partition.T, groups.n_kept, strict=True)
        ]
    )
    return partitioned.compute(_drawn, EachOwn(list(counts)), groups, int(rng.integers(2**32)))


def drawn_counts(sizes: Integers, n_drawn: int, rng: np.random.Generator) -> Integers:
    """Return how many of ``n_drawn`` rows are from each part, of shape (n_parts,).

    They are drawn without replacement from parts of these sizes: the counts are multivariate
    hypergeometric.
    """
    n_rows = int(sizes.sum())
    if n_rows < _MOST_ROWS:
        return rng.multivariate_hypergeometric(sizes, n_drawn, method="marginals")
    # Draw each row on its own, then draw those that are missing, or put back the surplus. In both
    # steps all rows are alike, so this is exact too.
    counts = rng.binomial(sizes, n_drawn / n_rows)
    surplus = int(counts.sum()) - n_drawn
    movable = counts if surplus > 0 else sizes - counts
    rows = rng.choice(int(movable.sum()), size=abs(surplus), replace=False)
    parts = np.searchsorted(np.cumsum(movable), rows, side="right")
    moved = np.bincount(parts, minlength=len(sizes))
    return counts - moved if surplus > 0 else counts + moved


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
        kept = 1 + drawn_counts(groups.n_free - 1, rest, rng)
        groups = replace(groups, n_kept=kept, n_dropped=groups.n_free - kept)
    return random_support(first.partitioned, groups, rng)
