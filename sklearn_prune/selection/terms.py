"""The user's request: how many rows to drop, of which groups, and which rows must stay or go."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .._types import Array, Floats, Integers, Mask, Values
from ..data import as_labels, as_numbers, check_weights, is_missing
from .cells import can_keep_weight
from .problem import SelectionProblem
from .quota import InfeasibleProblemError, KeptRange, Quota, decided_rows, kept_range

# A label of y or a group, or a pair of them, as plain Python values.
Names: TypeAlias = tuple[Hashable, ...]


@dataclass(frozen=True)
class Request:
    """The parameters of a selection; see `InfluencePruner` for the meaning of each."""

    prune_ratio: float | Literal["auto"]
    tolerance: float | None
    quota: Quota
    distribution_weight: float | Literal["auto"] = 0.0

    def __post_init__(self) -> None:
        """Check the parameters against each other."""
        if self.prune_ratio == "auto" and self.tolerance is None:
            raise ValueError(
                "prune_ratio='auto' drops as many rows as tolerance allows, and tolerance is None; "
                "set tolerance, or give prune_ratio a number."
            )
        if self.prune_ratio != "auto" and self.tolerance is not None:
            raise ValueError(
                f"prune_ratio={self.prune_ratio} fixes how many rows to drop, and tolerance="
                f"{self.tolerance} drops as many as it allows, so only one of them can hold; set "
                "prune_ratio='auto' or tolerance=None."
            )
        for label in self.quota if isinstance(self.quota, Mapping) else ():
            if any(map(is_missing, label if isinstance(label, tuple) else (label,))):
                raise ValueError(
                    f"quota names the label {label!r}, and no label may be missing; "
                    "remove it from the dict."
                )

    @property
    def ratio(self) -> float | None:
        """The share of rows to drop; None if the tolerance decides."""
        return None if self.prune_ratio == "auto" else self.prune_ratio

    def n_drop(self, terms: RowTerms | StratumCounts) -> int | None:
        """Return the number of rows to drop; None if the tolerance decides.

        Raises
        ------
        ValueError
            If no row stays, or fewer than there are classes.
        """
        if self.ratio is None:
            return None
        n, n_classes = terms.n_samples, len(terms.class_names)
        n_drop = count_of(self.ratio, n)
        n_keep, needed = n - n_drop, max(1, n_classes)
        if n_keep < needed:
            target = f"{n_classes} classes" if n_classes else "a model to train on"
            raise ValueError(
                f"prune_ratio={self.ratio} leaves {_rows(n_keep)} for {target}; "
                f"{_lower_ratio(n - needed, n)}."
            )
        return n_drop


@dataclass(frozen=True)
class RowTerms:
    """What the user says of the rows: classes, groups, masks, costs, weights, priorities.

    Arrays have shape (n_samples,).

    Attributes
    ----------
    n_samples : int
        Number of rows.
    classes : ndarray of int or None
        Class of each row, as a position in ``class_names``; None for regression.
    class_names : tuple
        The labels, sorted.
    strata : ndarray of int or None
        The group that quotas refer to, as a position in ``names``; None for regression without
        groups.
    names : tuple
        Name of each stratum: the class, ``(class, group)`` if groups are given, or the group for
        regression.
    must_keep, must_drop : ndarray of bool
        Rows that are always kept, and rows that are always dropped.
    cost : ndarray or None
        What dropping each row saves.
    sample_weight : ndarray or None
        Weight of each row.
    priority : ndarray or None
        How much models learn from each row, as far as the user knows.
    """

    n_samples: int
    classes: Integers | None
    class_names: Names
    strata: Integers | None
    names: Names
    must_keep: Mask
    must_drop: Mask
    cost: Floats | None = None
    sample_weight: Floats | None = None
    priority: Floats | None = None

    def count(self, mask: Mask) -> Integers:
        """Return the number of rows in ``mask`` for each stratum."""
        assert self.strata is not None
        return np.bincount(self.strata[mask], minlength=len(self.names))

    def by_class(self) -> RowTerms:
        """Return the same terms with the classes as strata."""
        return replace(self, strata=self.classes, names=self.class_names)

    def counts(self) -> StratumCounts:
        """Return how many rows each stratum has; without strata, all rows are one."""
        terms, class_of = self, None
        if terms.strata is None:
            terms = replace(self, strata=np.zeros(self.n_samples, dtype=np.int64), names=(None,))
        elif terms.classes is not None:
            class_of = np.empty(len(terms.names), dtype=np.int64)
            class_of[terms.strata] = terms.classes
        return StratumCounts(
            terms.names,
            self.class_names,
            class_of,
            terms.count(np.ones(self.n_samples, dtype=bool)),
            terms.count(self.must_keep),
            terms.count(self.must_drop),
            is_named=self.strata is not None,
        )


@dataclass(frozen=True)
class StratumCounts:
    """How many rows each stratum has, and how many of them are decided: all that rules count.

    Attributes
    ----------
    names, class_names : tuple
        As in `RowTerms`.
    class_of : ndarray of int or None
        Class of each stratum; None for regression.
    sizes, must_keep, must_drop : ndarray of int of shape (n_strata,)
        Rows in all, always kept, always dropped.
    is_named : bool
        Whether there are classes or groups; otherwise all rows are one stratum.
    """

    names: Names
    class_names: Names
    class_of: Integers | None
    sizes: Integers
    must_keep: Integers
    must_drop: Integers
    is_named: bool = True

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.sizes.sum())

    def by_class(self) -> StratumCounts:
        """Return the counts of the classes; of all rows where there are none."""
        code = np.zeros(len(self.sizes), dtype=np.int64) if self.class_of is None else self.class_of
        names = self.class_names or (None,)

        def summed(counts: Integers) -> Integers:
            return np.bincount(code, counts, minlength=len(names)).astype(np.int64)

        return StratumCounts(
            names,
            self.class_names,
            None if self.class_of is None else np.arange(len(names)),
            summed(self.sizes),
            summed(self.must_keep),
            summed(self.must_drop),
            is_named=self.class_of is not None,
        )


def make_terms(
    n_samples: int,
    classes: Array | None,
    *,
    groups: Values = None,
    sample_weight: Values = None,
    sample_cost: Values = None,
    sample_priority: Values = None,
    must_keep: Values = None,
    must_drop: Values = None,
) -> RowTerms:
    """Check weights, masks, costs, priorities and groups, and name the strata.

    ``classes`` holds the label of each row (None for regression); the others are as the user gave
    them to ``fit``.

    Raises
    ------
    ValueError
        When one of them is malformed.
    InfeasibleProblemError
        When must_keep and must_drop share a row.
    """
    keep = None if must_keep is None else as_labels("must_keep", must_keep)
    drop = None if must_drop is None else as_labels("must_drop", must_drop)
    keep, drop = decided_rows(keep, drop, n_samples)
    cost = None if sample_cost is None else as_numbers("sample_cost", sample_cost, n_samples)
    codes, class_names = (None, ()) if classes is None else _coded(classes)
    strata, names = codes, class_names
    if groups is not None:
        strata, names = _strata(n_samples, codes, class_names, groups)
    weights = check_weights(sample_weight, n_samples)
    priority = None if sample_priority is None else _checked_priority(sample_priority, n_samples)
    return RowTerms(
        *(n_samples, codes, class_names, strata, names, keep, drop),
        cost=cost,
        sample_weight=weights,
        priority=priority,
    )


def _checked_priority(sample_priority: Values, n_samples: int) -> Floats:
    priority = as_numbers("sample_priority", sample_priority, n_samples)
    require_priority(float(priority.min()), float(priority.max()))
    return priority


def require_priority(least: float, greatest: float) -> None:
    """Raise ValueError unless priorities between these are 0 or more, and more for some rows."""
    if least < 0 or not greatest > 0:
        raise ValueError(
            "sample_priority must be 0 or more, and more for some rows; it lies between "
            f"{least:g} and {greatest:g}. Give for example the loss of each row."
        )


def _strata(
    n_samples: int, classes: Integers | None, class_names: Names, groups: Values
) -> tuple[Integers, Names]:
    # A list of 1 and "1" would become an array of strings.
    is_typed = hasattr(groups, "dtype")
    values = as_labels("groups", groups if is_typed else np.asarray(groups, dtype=object))
    if values.shape != (n_samples,):
        raise ValueError(
            f"groups must have shape ({n_samples},), one label per row; it has shape "
            f"{values.shape}. Give one label for each row of X."
        )
    codes, labels = _coded(values)
    if classes is None:
        return codes, labels
    pairs, strata = np.unique(classes * len(labels) + codes, return_inverse=True)
    names = [(class_names[p // len(labels)], labels[p % len(labels)]) for p in pairs.tolist()]
    return strata.astype(np.int64), tuple(names)


def _coded(values: Array) -> tuple[Integers, Names]:
    """Return the position of each value among the distinct values, and the distinct values."""
    try:
        distinct, codes = np.unique(values, return_inverse=True)
        names = distinct.tolist()
    except TypeError:
        # Labels of several types have no order, but their representations have.
        written = np.array([repr(value) for value in values])
        _, first, codes = np.unique(written, return_index=True, return_inverse=True)
        names = [values[row] for row in first]
    return codes.astype(np.int64), tuple(names)


def count_of(share: float, n_samples: int) -> int:
    """Return ``share * n_samples`` rounded to the nearest whole number, halves down."""
    return math.ceil(share * n_samples - 0.5)


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _digits(n_samples: int) -> int:
    return max(2, len(str(n_samples)) - 1)


def _lower_ratio(most: int, n_samples: int, name: str = "it") -> str:
    """Return advice on a ratio that drops at most ``most`` rows."""
    scale = 10 ** _digits(n_samples)
    highest = most * scale // n_samples / scale
    if not highest:
        return f"set {name} to 0.0, or give more rows"
    return f"lower {name} to {highest} or less"


def make_problem(
    Z: Floats | LinearOperator,
    terms: RowTerms,
    request: Request,
    length_of: Callable[[float], float] = float,
    balance: Sequence[LinearOperator] = (),
    balance_weight: float = 0.0,
    *,
    holds_norms: bool = True,
) -> SelectionProblem:
    """Return the selection problem that the request states on these rows.

    Parameters
    ----------
    Z : ndarray or LinearOperator of shape (n_samples, n_coordinates)
        What each row adds to the change.
    terms : RowTerms
        Masks, costs, and groups.
    request : Request
        Ratio or tolerance, and quota.
    length_of : callable, default=float
        Turns ``tolerance``, in the unit of the norm, into a length of ``Zᵀw``.
    balance, balance_weight, holds_norms
        As in `SelectionProblem`.

    Returns
    -------
    problem : SelectionProblem
        The problem, in the cardinality form if the request has a ratio.

    Raises
    ------
    InfeasibleProblemError
        When counts, masks, quotas and weights cannot be met together, in the user's terms.
    """
    counted = counted_request(terms.counts(), request)
    groups, quota = None, None
    if counted.counts.is_named:
        is_by_class = request.quota is None
        groups, quota = terms.classes if is_by_class else terms.strata, counted.kept_range
    problem = SelectionProblem(
        Z,
        n_drop=counted.n_drop,
        tolerance=None if request.tolerance is None else length_of(request.tolerance),
        cost=terms.cost,
        balance=balance,
        balance_weight=balance_weight,
        groups=groups,
        quota=quota,
        must_keep=terms.must_keep,
        must_drop=terms.must_drop,
        sample_weight=terms.sample_weight,
        holds_norms=holds_norms,
    )
    _check_weight_stays(problem)
    return problem


def count_problem(terms: RowTerms, request: Request) -> SelectionProblem:
    """Return the problem of the counts alone, with zeros in the place of influences."""
    return make_problem(np.zeros((terms.n_samples, 1)), terms, request)


@dataclass(frozen=True)
class CountedRequest:
    """What a request comes to for these counts of rows.

    Attributes
    ----------
    counts : StratumCounts
        The strata that the quota refers to.
    n_drop : int or None
        Rows to drop; None leaves it open.
    kept_range : KeptRange
        How many rows each stratum keeps.
    """

    counts: StratumCounts
    n_drop: int | None
    kept_range: KeptRange


def counted_request(counts: StratumCounts, request: Request) -> CountedRequest:
    """Return how many rows to drop and how many each stratum keeps.

    Raises
    ------
    InfeasibleProblemError
        When counts, masks and quotas cannot be met together, in the user's terms.
    """
    _check_some_row_stays(counts)
    n_drop, n_keep = request.n_drop(counts), None
    if request.ratio is not None and n_drop is not None:
        n_keep = counts.n_samples - n_drop
        _check_masks(counts, request.ratio, n_drop)
    _check_no_class_vanishes(counts, request.ratio, n_keep)
    counts = counts.by_class() if request.quota is None else counts
    return CountedRequest(counts, n_drop, _kept_range(counts, request.quota, n_keep))


def _check_some_row_stays(counts: StratumCounts) -> None:
    if counts.must_drop.sum() == counts.n_samples:
        raise InfeasibleProblemError(
            f"at least one row must stay, and must_drop takes all {counts.n_samples}; free a row "
            "of must_drop."
        )


def _check_masks(counts: StratumCounts, prune_ratio: float, n_drop: int) -> None:
    least, n = int(counts.must_drop.sum()), counts.n_samples
    most = n - int(counts.must_keep.sum())
    if n_drop > most:
        raise InfeasibleProblemError(
            f"prune_ratio={prune_ratio} drops {n_drop} of {n} rows, and must_keep leaves {most} "
            f"that may be dropped; {_lower_ratio(most, n)}, or free rows of must_keep."
        )
    if n_drop < least:
        scale = 10 ** _digits(n)
        raise InfeasibleProblemError(
            f"prune_ratio={prune_ratio} drops {n_drop} of {n} rows, and must_drop takes {least}; "
            f"raise it to {-(-least * scale // n) / scale} or more, or free rows of must_drop."
        )


def _check_no_class_vanishes(
    counts: StratumCounts, prune_ratio: float | None, n_keep: int | None
) -> None:
    if counts.class_of is None:
        return
    classes = counts.by_class()
    keep, left = classes.must_keep, classes.sizes - classes.must_drop
    if not left.all():
        raise InfeasibleProblemError(
            "every class keeps at least one row; must_drop takes all rows of class "
            f"{classes.names[int(left.argmin())]!r}. Free one of them, or remove the class from X "
            "and y."
        )
    needed = int(np.maximum(keep, 1).sum())
    if n_keep is not None and needed > n_keep:
        waiting = [name for name, count in zip(classes.names, keep, strict=True) if not count]
        listed = ", ".join(map(repr, waiting[:10])) + (", ..." if len(waiting) > 10 else "")
        taken = int(keep.sum())
        raise InfeasibleProblemError(
            f"every class keeps at least one row; must_keep takes {taken} of the "
            f"{_rows(n_keep)} that prune_ratio={prune_ratio} keeps, which leaves "
            f"{n_keep - taken} for classes {listed}; "
            f"{_lower_ratio(counts.n_samples - needed, counts.n_samples, 'prune_ratio')}, or free "
            f"{_rows(needed - n_keep)} of must_keep."
        )


def _check_weight_stays(problem: SelectionProblem) -> None:
    """Raise if all rows of positive weight would have to be dropped."""
    if can_keep_weight(problem):
        return
    positive = problem.sample_weight > 0
    raise InfeasibleProblemError(
        f"at least one of the {_rows(int(positive.sum()))} of positive sample_weight must stay; "
        f"must_drop takes {int((positive & problem.must_drop).sum())}, and must_keep and the "
        "quotas leave no place for another. Free a row of those masks, or leave out sample_weight."
    )


def _kept_range(counts: StratumCounts, quota: Quota, n_keep: int | None) -> KeptRange:
    """Return how many rows each stratum may keep, so that each class keeps one."""
    if isinstance(quota, Mapping) and quota and not counts.is_named:
        raise ValueError(
            f"quota={dict(quota)!r} names groups of rows, but a regression target has no "
            "classes; give groups= to fit, or set quota=None."
        )
    if not counts.is_named:
        quota = None
    return kept_range(
        "proportional" if quota == "class" else quota,
        counts.names,
        counts.sizes,
        counts.must_keep,
        counts.must_drop,
        n_keep,
        least_named=1,
        classes=counts.class_of,
    )


def drop_weightless(terms: RowTerms, request: Request) -> RowTerms:
    """Return terms in which rows of weight zero must go, as far as masks and quotas allow.

    Dropping them costs nothing; if kept, they would take the places of rows with weight.
    """
    weight = terms.sample_weight
    if weight is None:
        return terms
    weightless = weight == 0
    if request.tolerance is not None and terms.cost is not None:
        weightless &= terms.cost >= 0
    return drop_first(terms, request, weightless, weight)


def drop_first(terms: RowTerms, request: Request, candidates: Mask, rank: Floats) -> RowTerms:
    """Return terms in which as many candidates must go as masks and counts allow.

    Parameters
    ----------
    terms : RowTerms
        Masks and groups.
    request : Request
        Ratio and quota.
    candidates : ndarray of bool of shape (n_samples,)
        Rows that should go.
    rank : ndarray of shape (n_samples,)
        In each stratum, candidates of the highest rank go first; ties go by position.
    """
    problem = count_problem(terms, request)
    sizes, dropped = problem.count(np.ones_like(candidates)), problem.count(problem.must_drop)
    room = sizes - np.maximum(problem.kept_range.low, 1) - dropped
    if problem.n_drop is not None:
        room = problem.dropped_counts(problem.n_drop) - dropped
    must_drop = problem.must_drop.copy()
    for stratum, n_rows in enumerate(np.maximum(room, 0)):
        rows = np.flatnonzero((problem.groups == stratum) & problem.free & candidates)
        must_drop[rows[np.argsort(-rank[rows], kind="stable")][:n_rows]] = True
    return replace(terms, must_drop=must_drop)
