"""The first pass over a collection: all checks, and what the later passes read blocks with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

from .._types import Array, Integers
from ..data import (
    Kind,
    Target,
    as_labels,
    as_numbers,
    check_distinct,
    check_rows,
    check_target,
    codes_in,
    n_rows,
    raw_weights,
    record_columns,
    require_positive,
    target_array,
)
from ..selection import make_terms
from .collection import Block, Partitioned, Parts, added

# What has ``+``, or a tuple of such things; see `Partitioned.total`.
Sums: TypeAlias = Any

# Distinct labels that a partition reports at most, so that its report stays thin.
_MOST_LABELS = 10_000


@dataclass(frozen=True)
class FirstPass:
    """What all partitions hold.

    Attributes
    ----------
    partitioned : Partitioned
        The partitions that have rows; blocks have class positions, weights of mean 1 and group
        positions.
    target : Target or None
        Kind and classes of y; its values are those of some rows. None without y.
    group_names : ndarray of shape (n_groups,) or None
        The groups, sorted; None where none are given.
    sums : object
        The sum of ``sums(block)`` over all partitions; None without ``sums``.
    """

    partitioned: Partitioned
    target: Target | None
    group_names: Array | None
    sums: Sums

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.partitioned.n_samples


def first_pass(
    estimator: BaseEstimator,
    partitioned: Partitioned,
    kind: Kind | None,
    sums: Callable[[Block], Sums] | None = None,
) -> FirstPass:
    """Check all rows and what comes with them, in one pass.

    Parameters
    ----------
    estimator : estimator
        Its tags say which rows are accepted; with ``no_validation``, X is not read, and blocks have
        no columns. Its ``n_features_in_`` and ``feature_names_in_`` are set.
    partitioned : Partitioned
        What `Partitioned.of` returns.
    kind : {"classification", "regression"} or None
        Whether y holds classes or numbers; None infers it as `check_target` does.
    sums : callable, default=None
        Gets each block, with labels and weights as they were given, and returns what is to be added
        up over the partitions.

    Returns
    -------
    first : FirstPass
        What the partitions hold.

    Raises
    ------
    ValueError
        If rows, target, weights, masks, costs or groups are malformed; the message begins with the
        partition's number where the fault is in one.
    """
    checker = clone(estimator)
    tags = get_tags(estimator)
    for checked in (estimator, checker):
        check = record_columns if tags.no_validation else check_rows
        check(checked, partitioned.like, reset=True)
    if tags.no_validation:
        partitioned = partitioned.without_rows()
    if "y" not in partitioned.columns and tags.target_tags.required:
        check_target(estimator, None, 0, kind)
    raw = RawReader(checker)
    surveys = partitioned.read_by(raw).compute(_survey, sums)
    filled = [survey for survey in surveys if survey.n_rows]
    n_samples = sum(survey.n_rows for survey in filled)
    if n_samples < 2:
        raise ValueError(
            f"X has {n_samples} sample(s) in {len(surveys)} partitions, and at least 2 are "
            "required; give more rows."
        )
    positions = [i for i, survey in enumerate(surveys) if survey.n_rows]
    labels = _united("y", positions, [survey.labels for survey in filled])
    target = None if labels is None else _target(labels, n_samples, kind)
    groups = _united("groups", positions, [survey.groups for survey in filled])
    group_names = None if groups is None else _all_values("groups", groups)
    classes = None if target is None else target.classes
    reader = CodedReader(raw, classes, group_names, _mean_weight(filled, n_samples))
    return FirstPass(
        partitioned.read_by(reader, [survey.n_rows for survey in surveys]),
        target,
        group_names,
        None if sums is None else added([survey.sums for survey in filled]),
    )


@dataclass(frozen=True)
class RawReader:
    """Checks what a partition holds, and leaves labels and weights as they are.

    Attributes
    ----------
    checker : estimator
        Its tags, ``n_features_in_`` and ``feature_names_in_`` say which rows are accepted.
    """

    checker: BaseEstimator

    def __call__(self, position: int, parts: Parts) -> Block | None:
        """Return the block; None where a partition has no rows."""
        X = parts["X"]
        n_samples = n_rows(X)
        for name, part in parts.items():
            if n_rows(part) != n_samples:
                raise ValueError(
                    f"{name} must have one entry for each row of X; it has {n_rows(part)}, and X "
                    f"has {n_samples} rows. Take both from the same table."
                )
        if not n_samples:
            return None
        given = {name: part for name, part in parts.items() if name not in ("X", "y")}
        weights, groups = given.pop("sample_weight", None), given.get("groups")
        # Positive for some rows of some partition, which the survey checks.
        priority = given.pop("sample_priority", None)
        terms = make_terms(n_samples, None, **given)
        if not get_tags(self.checker).no_validation:
            X = check_rows(self.checker, X, reset=False)
        return Block(
            X=X,
            y=target_array(self.checker, parts["y"]) if "y" in parts else None,
            sample_weight=None if weights is None else raw_weights(weights, n_samples),
            groups=None if groups is None else as_labels("groups", groups),
            must_keep=terms.must_keep,
            must_drop=terms.must_drop,
            cost=terms.cost,
            position=position,
            priority=None
            if priority is None
            else as_numbers("sample_priority", priority, n_samples),
        )


@dataclass(frozen=True)
class CodedReader:
    """Reads blocks as numbers that mean the same in all partitions.

    Attributes
    ----------
    raw : RawReader
        Checks the rows.
    classes : ndarray of shape (n_classes,) or None
        The labels of y, sorted; None where y holds numbers.
    group_names : ndarray of shape (n_groups,) or None
        The groups, sorted.
    mean_weight : float
        Mean weight of the rows of all partitions.
    """

    raw: RawReader
    classes: Array | None
    group_names: Array | None
    mean_weight: float

    def __call__(self, position: int, parts: Parts) -> Block:
        """Return the block."""
        block = self.raw(position, parts)
        if block is None:
            raise ValueError(
                "it had rows in the first pass and has none now. Rows must not change between "
                "passes; persist the collection if they are drawn or read anew."
            )
        y, weights, groups = block.y, block.sample_weight, block.groups
        if y is not None:
            y = y.astype(np.float64) if self.classes is None else _codes(y, self.classes)
        return replace(
            block,
            y=y,
            sample_weight=None if weights is None else weights / self.mean_weight,
            groups=None if self.group_names is None else _codes(groups, self.group_names),
        )


@dataclass(frozen=True)
class _Distinct:
    """Distinct values of a partition's labels, sorted; only some of them where not ``is_all``."""

    values: Array
    is_all: bool = True

    @classmethod
    def of(cls, labels: Array) -> _Distinct:
        if labels.ndim > 1:
            # Several outputs are never classes, so their kind is all that matters.
            return cls(labels[:_MOST_LABELS], is_all=False)
        if labels.dtype.kind == "f":
            broken = labels[labels != np.floor(labels)]
            if len(broken):
                return cls(broken[:1], is_all=False)
        if labels.dtype.kind == "O":
            # Labels of several types have no order; `_united` refuses them.
            return cls(labels[:1])
        values = np.unique(labels)
        return cls(values[:_MOST_LABELS], len(values) <= _MOST_LABELS)


@dataclass(frozen=True)
class _Survey:
    """What one partition holds; all of it thin."""

    n_rows: int
    labels: _Distinct | None = None
    groups: _Distinct | None = None
    largest_weight: float | None = None
    mean_weight: float = 0.0
    sums: Sums = None


def _survey(block: Block | None, sums: Callable[[Block], Sums] | None) -> _Survey:
    if block is None:
        return _Survey(0)
    largest, mean = None, 0.0
    if block.sample_weight is not None:
        largest = float(block.sample_weight.max())
        # The sum of large weights may overflow.
        mean = largest * float(np.mean(block.sample_weight / largest)) if largest else 0.0
    return _Survey(
        n_rows=len(block),
        labels=None if block.y is None else _Distinct.of(block.y),
        groups=None if block.groups is None else _Distinct.of(block.groups),
        largest_weight=largest,
        mean_weight=mean,
        sums=None if sums is None else sums(block),
    )


def _united(
    name: str, positions: Sequence[int], parts: Sequence[_Distinct | None]
) -> _Distinct | None:
    """Return the distinct values of all partitions; ValueError where their types differ."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    types = [_type(part.values) for part in known]
    for position, own, part in zip(positions, types, known, strict=True):
        if own != types[0] or own == "O":
            raise ValueError(
                f"{name} must have values of one type and shape in all partitions; partition "
                f"{position} holds {part.values.dtype} of shape {part.values.shape[1:]}, partition "
                f"{positions[0]} {known[0].values.dtype} of shape {known[0].values.shape[1:]}. "
                f"Convert {name} first, for example by astype(str)."
            )
    together = np.concatenate([part.values for part in known])
    values = together if together.ndim > 1 else np.unique(together)
    return _Distinct(values, all(part.is_all for part in known))


def _type(values: Array) -> tuple[str, tuple[int, ...]] | str:
    kind = "number" if values.dtype.kind in "biuf" else values.dtype.kind
    return "O" if kind == "O" else (kind, values.shape[1:])


def _target(labels: _Distinct, n_samples: int, kind: Kind | None) -> Target:
    target = check_distinct(labels.values, n_samples, kind)
    if target.classes is not None:
        _all_values("y", labels)
    return target


def _all_values(name: str, distinct: _Distinct) -> Array:
    if not distinct.is_all:
        raise ValueError(
            f"{name} must have at most {_MOST_LABELS} distinct values in a partition, each of "
            "which is a class or group; a partition has more. Where y holds numbers, set "
            "target_kind='regression'; unite small groups."
        )
    return distinct.values


def _mean_weight(surveys: Sequence[_Survey], n_samples: int) -> float:
    """Return the mean weight of all rows; 1 where none are given."""
    largest = [survey.largest_weight for survey in surveys if survey.largest_weight is not None]
    if not largest:
        return 1.0
    require_positive(max(largest), n_samples)
    return sum(survey.mean_weight * (survey.n_rows / n_samples) for survey in surveys)


def _codes(values: Array | None, names: Array) -> Integers:
    """Return the position of each value among the sorted names."""
    assert values is not None
    positions: Integers = np.searchsorted(names, values).clip(max=len(names) - 1)
    if values.ndim != 1 or (names[positions] != values).any():
        # It finds the label that the first pass did not see, and says so.
        return codes_in(values, names)
    return positions.astype(np.int64)
