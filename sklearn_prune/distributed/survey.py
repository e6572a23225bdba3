"""The second pass: how many rows each stratum has, and a sample of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skorch import NeuralNet

from .._types import Array, Floats, Integers
from ..influence import most_matched_params
from ..matching import Network, Reference, unfrozen
from ..networks import (
    UnsupportedNetworkError,
    network_codes,
    network_kind,
    read_criterion,
    read_head,
    unscaled_network,
)
from ..selection import StratumCounts, require_priority
from .collection import Block, EachOwn, Partitioned
from .first_pass import FirstPass
from .reading import ReadRows, RowReader, Strata, joined_blocks, taken_block
from .sums import Moments

# Rows that features, forests and the start of the head are fitted on.
SAMPLE_ROWS = 20_000


def column_moments(block: Block) -> Moments:
    """Return the moments of the columns; goes with the first pass.

    Raises
    ------
    ValueError
        If a weight is not positive.
    """
    _require_positive_weights(block)
    weights = None if block.sample_weight is None else block.sample_weight.astype(np.float64)
    if block.X.ndim != 2:
        raise ValueError(
            f"estimator=None is a linear model on the columns of a table, and X has {block.X.ndim} "
            "dimensions; give a trained network in a FrozenEstimator, or reshape X."
        )
    return Moments.of(block.X, weights)


def _require_positive_weights(block: Block) -> None:
    weights = block.sample_weight
    if weights is not None and not (weights > 0).all():
        raise ValueError(
            "sample_weight must be positive where X is a Dask collection; it is not in "
            f"{int((weights <= 0).sum())} of {len(weights)} rows. Filter these out first."
        )


@dataclass(frozen=True, eq=False)
class _BlockCounts:
    """Counts of the rows of a block by class and group, and some of its rows.

    Attributes
    ----------
    counts : ndarray of int of shape (3, n_classes, n_groups)
        All rows, those of must_keep and those of must_drop.
    sample : Block
        The rows drawn.
    positions : ndarray of int
        Their places in the partition.
    y_moments : Moments or None
        Of numbers to predict.
    priorities : ndarray
        The least and the greatest of the user's priorities; empty without any.
    """

    counts: Integers
    sample: Block
    positions: Integers
    y_moments: Moments | None
    priorities: Floats


def _count_block(block: Block, size: int, n_classes: int, n_groups: int, seed: int) -> _BlockCounts:
    # A trained network needs no `column_moments`.
    _require_positive_weights(block)
    # The last number tells this stream from those of later stations.
    rng = np.random.default_rng([seed, block.position, 3])
    positions = np.sort(rng.choice(len(block), size=size, replace=False))
    y_moments, codes = None, block.y
    if codes is None or not n_classes:
        codes = np.zeros(len(block), dtype=np.int64)
        if block.y is not None:
            y_moments = Moments.of(block.y.reshape(len(block), -1), block.sample_weight)
    pairs = codes * n_groups + (0 if block.groups is None else block.groups)
    shape = max(1, n_classes), n_groups
    masks = (np.ones(len(block), dtype=bool), block.must_keep, block.must_drop)
    counts = [np.bincount(pairs[mask], minlength=shape[0] * n_groups) for mask in masks]
    given = [] if block.priority is None else [block.priority.min(), block.priority.max()]
    return _BlockCounts(
        np.array(counts).reshape(3, *shape),
        taken_block(block, positions),
        positions,
        y_moments,
        np.array(given),
    )


@dataclass(frozen=True, eq=False)
class CountedRows:
    """How many rows each stratum has in each partition.

    Attributes
    ----------
    strata : Strata
        Of the rows.
    counts : StratumCounts
        Of all rows.
    free : ndarray of int of shape (n_partitions, n_strata)
        Rows of each partition that may be kept or dropped.
    sample : Block
        Some rows of all partitions.
    positions : list of ndarray
        Places of these rows in each partition.
    y_moments : Moments or None
        Of numbers to predict.
    greatest_priority : float
        Of the user's priorities of all rows; 0 without any.
    """

    strata: Strata
    counts: StratumCounts
    free: Integers
    sample: Block
    positions: list[Integers]
    y_moments: Moments | None
    greatest_priority: float


def count_rows(first: FirstPass, n_sample: int = 0, seed: int = 0) -> CountedRows:
    """Count the rows of each stratum, and draw a sample, in one pass.

    Parameters
    ----------
    first : FirstPass
        What the partitions hold.
    n_sample : int, default=0
        Rows to draw, or a few more.
    seed : int, default=0
        Seeds the draw, together with each partition's number.

    Raises
    ------
    ValueError
        If some priority is negative, all are zero, or some weight is not positive.
    """
    classes = None if first.target is None else first.target.classes
    n_classes = 0 if classes is None else len(classes)
    n_groups = 1 if first.group_names is None else len(first.group_names)
    lengths = np.array(first.partitioned.lengths)
    sizes = np.minimum(lengths, -(-n_sample * lengths // lengths.sum()))
    parts = first.partitioned.compute(
        _count_block, EachOwn(sizes.tolist()), n_classes, n_groups, seed
    )
    priorities = np.concatenate([part.priorities for part in parts])
    if len(priorities):
        require_priority(float(priorities.min()), float(priorities.max()))
    by_partition = np.array([part.counts for part in parts])
    counts = by_partition.sum(axis=0)
    strata = Strata.of(counts[0], has_classes=classes is not None)
    inside = strata.codes >= 0
    free = by_partition[:, 0] - by_partition[:, 1] - by_partition[:, 2]
    total, keep, drop = (count[inside] for count in counts)
    return CountedRows(
        strata,
        StratumCounts(
            _names(classes, first.group_names, inside),
            () if classes is None else tuple(classes.tolist()),
            None if classes is None else np.nonzero(inside)[0],
            total,
            keep,
            drop,
            is_named=classes is not None or first.group_names is not None,
        ),
        free[:, inside],
        joined_blocks([part.sample for part in parts]),
        [part.positions for part in parts],
        _summed_moments([part.y_moments for part in parts]),
        float(priorities.max(initial=0.0)),
    )


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of all rows before anything is computed on them.

    Attributes
    ----------
    partitioned : Partitioned
        The rows.
    counted : CountedRows
        How many there are of each stratum, and a sample.
    reader : RowReader
        Reads them.
    theta : ndarray of shape (n_outputs, n_features)
        Head of the network.
    sample : ReadRows
        The sample, read.
    """

    partitioned: Partitioned
    counted: CountedRows
    reader: RowReader
    theta: Floats
    sample: ReadRows


def survey(
    first: FirstPass,
    estimator: Network,
    seed: int,
    n_sample: int | None = None,
    reference: Reference | None = None,
) -> Survey:
    """Count the rows of each stratum, draw a sample, and read it by the network.

    Parameters
    ----------
    first : FirstPass
        With the sum of `column_moments` where the estimator is None.
    estimator : None or FrozenEstimator
        The default linear network, or a trained one.
    seed : int
        Seeds the sample.
    n_sample : int, default=None
        Its size; None is `SAMPLE_ROWS`.
    reference : Reference, default=None
        Rows whose scales the default network gets; None means all.

    Raises
    ------
    UnsupportedNetworkError
        If the head has too many parameters for all of them to be matched, or the criterion weighs
        classes.
    """
    assert first.target is not None
    counted = count_rows(first, SAMPLE_ROWS if n_sample is None else n_sample, seed)
    x_moments, y_moments = first.sums, counted.y_moments
    if reference is not None:
        x_moments = Moments.of(reference.X, None) if estimator is None else None
        y_moments = None
        if first.target.classes is None:
            y_moments = Moments.of(reference.y.reshape(len(reference.y), -1), None)
    reader, theta = _read(estimator, counted, first.target.classes, x_moments, y_moments)
    return Survey(first.partitioned, counted, reader, theta, reader(counted.sample))


def _summed_moments(parts: list[Moments | None]) -> Moments | None:
    total = None
    for part in parts:
        total = part if total is None or part is None else total + part
    return total


def _names(classes: Array | None, groups: Array | None, inside: Array) -> tuple[object, ...]:
    """Return the name of each stratum, as `RowTerms` has it."""
    class_names = None if classes is None else classes.tolist()
    group_names = None if groups is None else groups.tolist()
    pairs = zip(*np.nonzero(inside), strict=True)
    if class_names is None:
        return tuple(None if group_names is None else group_names[g] for _, g in pairs)
    if group_names is None:
        return tuple(class_names[c] for c, _ in pairs)
    return tuple((class_names[c], group_names[g]) for c, g in pairs)


def _read(
    estimator: Network,
    counted: CountedRows,
    classes: Array | None,
    x_moments: Moments | None,
    y_moments: Moments | None,
) -> tuple[RowReader, Floats]:
    """Return how rows are read, and the head of the network."""
    sample = counted.sample
    assert sample.y is not None
    mean: Floats = np.zeros(0)
    scale: Floats = np.zeros(0)
    if y_moments is not None:
        mean, scale = y_moments.require_finite("y").mean, y_moments.scale
    network = unfrozen(estimator)
    if estimator is None:
        assert x_moments is not None
        network = _linear_network(classes, x_moments, mean, scale)
        n_outputs = network.module_.linear.out_features
        theta = np.zeros((n_outputs, sample.X.shape[1] + 1))
        loss = read_criterion(network, sample.y).loss
    else:
        codes = sample.y
        if classes is not None:
            codes = network_codes(network, sample.X, sample.y, classes)
        head = read_head(network, sample.X, codes)
        if head.sample_weight is not None:
            raise UnsupportedNetworkError(
                "the network's criterion weighs classes, and a Dask collection gives weights by "
                "sample_weight alone; give the weight of each row's class in it, and a criterion "
                "without weights."
            )
        theta, loss = head.theta, head.loss
    most = most_matched_params()
    if theta.size > most:
        raise UnsupportedNetworkError(
            f"the last layer has {theta.size} parameters, and at most {most} are matched "
            "over a Dask collection, since each partition returns sums of all their gradients. "
            "Give fewer columns, or a network with a smaller last layer."
        )
    reader = RowReader(
        network, loss, len(theta), estimator is None, classes, counted.strata, mean, scale
    )
    return reader, theta


def _linear_network(
    classes: Array | None, x_moments: Moments, y_mean: Floats, y_scale: Floats
) -> NeuralNet:
    """Return the default linear network with the scales of all rows; its weights are zero."""
    kind = network_kind(classes)
    like = np.zeros((1, len(y_mean))) if classes is None else np.array([[len(classes) - 1]])
    moments = x_moments.require_finite("X")
    network = unscaled_network(kind, len(moments.mean), like)
    module = network.module_
    module.mean.copy_(torch.as_tensor(moments.mean))
    module.scale.copy_(torch.as_tensor(moments.scale))
    if classes is None:
        module.target_mean.copy_(torch.as_tensor(y_mean))
        module.target_scale.copy_(torch.as_tensor(y_scale))
    return network
