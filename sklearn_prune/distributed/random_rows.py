"""Random rows of all partitions, as many of each group as are asked for."""

from __future__ import annotations

import numpy as np

from .._types import Integers, Mask
from .collection import Block, EachOwn, Partitioned
from .reading import Strata


def random_support(
    partitioned: Partitioned,
    strata: Strata,
    group_of: Integers,
    sizes: Integers,
    n_kept: Integers,
    rng: np.random.Generator,
    *,
    has_classes: bool,
) -> list[Mask]:
    """Draw rows to keep, without replacement: every set of so many has the same probability.

    Parameters
    ----------
    partitioned : Partitioned
        The rows.
    strata : Strata
        Of the rows.
    group_of : ndarray of int of shape (n_strata,)
        Group of each stratum.
    sizes : ndarray of int of shape (n_partitions, n_groups)
        Free rows of each group.
    n_kept : ndarray of int of shape (n_groups,)
        How many of them to keep. Rows of must_keep are kept besides.
    rng : numpy.random.Generator
        Draws how many of them each partition keeps, and the seed of its own draw.
    has_classes : bool
        Whether y holds classes.

    Returns
    -------
    support : list of ndarray of bool
        Mask of the rows that each partition keeps.
    """
    counts = np.column_stack(
        [
            rng.multivariate_hypergeometric(of_group, n, method="marginals")
            for of_group, n in zip(sizes.T, n_kept, strict=True)
        ]
    )
    seed = int(rng.integers(2**32))
    return partitioned.compute(_drawn, EachOwn(list(counts)), strata, group_of, seed, has_classes)


def _drawn(
    block: Block,
    n_kept: Integers,
    strata: Strata,
    group_of: Integers,
    seed: int,
    has_classes: bool,
) -> Mask:
    rng = np.random.default_rng([seed, block.position])
    groups = group_of[strata.of_rows(block, has_classes=has_classes)]
    support, free = block.must_keep.copy(), ~(block.must_keep | block.must_drop)
    for group, n in enumerate(n_kept):
        members = np.flatnonzero(free & (groups == group))
        support[rng.choice(members, size=int(n), replace=False)] = True
    return support
