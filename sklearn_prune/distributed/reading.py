"""From a block to the inputs and targets of the head, and to the strata of its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import issparse, vstack
from skorch import NeuralNet

from .._types import Array, Floats, Integers, Mask, Positions
from ..influence import HeadObjective
from ..losses import HeadLoss
from ..networks import head_targets, network_codes, read_head
from .collection import Block


@dataclass(frozen=True, eq=False)
class Strata:
    """The groups that quotas refer to: pairs of class and group, or one of the two.

    Attributes
    ----------
    codes : ndarray of int of shape (n_classes, n_groups)
        Stratum of each pair, -1 where there is no row; one class or group where there are none.
    has_classes : bool
        Whether y holds classes.
    """

    codes: Integers
    has_classes: bool

    @classmethod
    def of(cls, counts: Integers, *, has_classes: bool) -> Strata:
        """Return codes of the pairs that have rows, of these ``counts`` (n_classes, n_groups)."""
        codes = np.full(counts.shape, -1, dtype=np.int64)
        codes[counts > 0] = np.arange(np.count_nonzero(counts))
        return cls(codes, has_classes)

    @property
    def n_strata(self) -> int:
        """Number of strata."""
        return int(self.codes.max()) + 1

    def of_rows(self, block: Block) -> Integers:
        """Return the stratum of each row."""
        zeros = np.zeros(len(block), dtype=np.int64)
        classes = block.y if self.has_classes and block.y is not None else zeros
        return self.codes[classes, zeros if block.groups is None else block.groups]


@dataclass(frozen=True, eq=False)
class ReadRows:
    """Rows as they are matched; all arrays have one entry for each.

    Attributes
    ----------
    design : ndarray of shape (n_rows, n_features)
        Inputs of the head, with a last column of ones if it has a bias.
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        As the head's loss takes them.
    target : ndarray of shape (n_rows,) or (n_rows, n_columns)
        Class codes, or numbers of mean 0 and variance 1.
    strata : ndarray of int of shape (n_rows,)
        Stratum that quotas refer to.
    sample_weight : ndarray of shape (n_rows,)
        ν.
    must_keep, must_drop : ndarray of bool of shape (n_rows,)
        Decided rows.
    cost : ndarray of shape (n_rows,)
        What dropping each row saves; zeros where no costs are given.
    """

    design: Floats
    targets: Array
    target: Array
    strata: Integers
    sample_weight: Floats
    must_keep: Mask
    must_drop: Mask
    cost: Floats

    def __len__(self) -> int:
        return len(self.design)

    @property
    def free(self) -> Mask:
        """Rows that may be kept or dropped."""
        return ~(self.must_keep | self.must_drop)

    def take(self, rows: Positions | Mask) -> ReadRows:
        """Return these rows."""
        return ReadRows(**{name: array[rows] for name, array in vars(self).items()})

    def weighted(self, weights: Floats) -> ReadRows:
        """Return the rows with their weights multiplied by these."""
        return replace(self, sample_weight=weights * self.sample_weight)


def joined_rows(parts: list[ReadRows]) -> ReadRows:
    """Return the rows of all parts, one after the other."""
    names = vars(parts[0])
    return ReadRows(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


@dataclass(frozen=True, eq=False)
class RowReader:
    """Reads blocks by a network.

    Attributes
    ----------
    network : skorch net
        Whose head is matched.
    loss : HeadLoss
        Of the head.
    n_outputs : int
        Of the head.
    is_linear : bool
        Whether it is the default network, whose inputs are standardised columns.
    classes : ndarray of shape (n_classes,) or None
        The labels, sorted; None for numbers.
    strata : Strata
        Of the rows.
    y_mean, y_scale : ndarray of shape (n_columns,)
        Of numbers to predict; empty for classes.
    """

    network: NeuralNet
    loss: HeadLoss
    n_outputs: int
    is_linear: bool
    classes: Array | None
    strata: Strata
    y_mean: Floats
    y_scale: Floats

    def __call__(self, block: Block) -> ReadRows:
        """Return the rows of a block."""
        assert block.y is not None
        target = block.y
        if self.classes is None:
            target = (block.y.reshape(len(block), -1) - self.y_mean) / self.y_scale
        design, targets = self._head_of(block)
        weights = block.sample_weight
        return ReadRows(
            design,
            targets,
            target,
            self.strata.of_rows(block),
            np.ones(len(block)) if weights is None else weights,
            block.must_keep,
            block.must_drop,
            np.zeros(len(block)) if block.cost is None else block.cost,
        )

    def _head_of(self, block: Block) -> tuple[Floats, Array]:
        assert block.y is not None
        if self.is_linear:
            # In NumPy, since torch lets one thread at a time work.
            module = self.network.module_
            X = block.X.toarray() if issparse(block.X) else block.X
            design = np.ones((len(block), X.shape[1] + 1))
            np.subtract(X, module.mean.numpy(), out=design[:, :-1])
            design[:, :-1] /= module.scale.numpy()
            return design, head_targets(self.network, self.loss, block.y, self.n_outputs)
        codes = block.y
        if self.classes is not None:
            codes = network_codes(self.network, block.X, block.y, self.classes)
        head = read_head(self.network, block.X, codes)
        return head.design, head.targets

    def objective(self, rows: ReadRows, damping: float, weight_sum: float | None) -> HeadObjective:
        """Return the objective of the head on these rows."""
        return HeadObjective(
            rows.design,
            rows.targets,
            self.loss,
            damping,
            rows.sample_weight,
            n_outputs=self.n_outputs,
            weight_sum=weight_sum,
        )

    def labels(self, rows: ReadRows) -> Floats:
        """Return ``t_i``: one-hot strata and, for numbers, the standardised ones beside them."""
        one_hot = np.eye(self.strata.n_strata, dtype=np.float32)[rows.strata]
        if self.classes is not None:
            return one_hot
        return np.hstack([one_hot, rows.target]).astype(np.float32)

    def learned(self, rows: ReadRows) -> Floats:
        """Return what a regression would predict: one-hot classes, or the standardised numbers."""
        return rows.target if self.classes is None else np.eye(len(self.classes))[rows.target]


def joined_blocks(blocks: list[Block]) -> Block:
    """Return the rows of all blocks as one, which has the first one's number."""

    def joined(name: str) -> Any:
        arrays = [getattr(block, name) for block in blocks]
        if issparse(arrays[0]):
            return vstack(arrays, format="csr")
        return None if arrays[0] is None else np.concatenate(arrays)

    names = [name for name in vars(blocks[0]) if name != "position"]
    return Block(**{name: joined(name) for name in names}, position=blocks[0].position)


def taken_block(block: Block, rows: Integers) -> Block:
    """Return some rows of a block."""
    arrays: dict[str, Any] = {n: a for n, a in vars(block).items() if n != "position"}
    taken: dict[str, Any] = {n: None if a is None else a[rows] for n, a in arrays.items()}
    return Block(**taken, position=block.position)
