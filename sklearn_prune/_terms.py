"""The terms of a selection: how many rows go, of which groups, and which must."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._validation import check_weights, plain
from .selection import InfeasibleProblemError, SelectionProblem

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Request:
    """What the user asks of a selection; see `InfluencePruner` for the meaning of each."""

    prune_ratio: float | None
    tolerance: float | None
    quota: Any
    trim: float

    def __post_init__(self) -> None:
        """Check what one parameter says about another."""
        if (self.prune_ratio is None) == (self.tolerance is None):
            raise ValueError(
                "give exactly one of prune_ratio and tolerance; prune_ratio is "
                f"{self.prune_ratio} and tolerance is {self.tolerance}. Set the other to None."
            )
        if self.prune_ratio is not None and self.trim > self.prune_ratio:
            raise ValueError(
                f"trim={self.trim} of the rows cannot go first where prune_ratio="
                f"{self.prune_ratio} go in all; lower trim to {self.prune_ratio} or less."
            )


@dataclass(frozen=True)
class RowTerms:
    """What is known of each row before anything is trained; arrays have shape (n_samples,).

    Attributes
    ----------
    n_samples : int
        Number of rows.
    classes : ndarray or None
        Class label of each row; None for regression.
    strata : ndarray or None
        Name of the group that quotas speak of: the class, ``"class / group"`` where groups are
        given, or the group for regression.
    must_keep, must_drop, cost, sample_weight : array-like or None
        As given to ``fit``.
    """

    n_samples: int
    classes: NDArray[Any] | None = None
    strata: NDArray[Any] | None = None
    must_keep: Any = None
    must_drop: Any = None
    cost: Any = None
    sample_weight: NDArray[np.float64] | None = None


def make_terms(
    n_samples: int,
    classes: NDArray[Any] | None,
    *,
    groups: Any = None,
    sample_weight: Any = None,
    sample_cost: Any = None,
    must_keep: Any = None,
    must_drop: Any = None,
) -> RowTerms:
    """Check weights and groups, and name the strata; masks and costs are checked by the solver.

    ``classes`` holds the label of each row, None for regression; the others are as given to
    ``fit``.
    """
    strata = classes
    if groups is not None:
        strata = np.asarray(groups)
        if strata.shape != (n_samples,):
            raise ValueError(
                f"groups must have shape ({n_samples},), one label a row; it has shape "
                f"{strata.shape}."
            )
        if classes is not None:
            strata = np.array([_pair(*pair) for pair in zip(classes, strata, strict=True)])
    return RowTerms(
        n_samples,
        classes,
        strata,
        must_keep=must_keep,
        must_drop=must_drop,
        cost=sample_cost,
        sample_weight=check_weights(sample_weight, n_samples),
    )


def _pair(label: Any, group: Any) -> str:
    return f"{label} / {group}"


def count_of(share: float, n_samples: int) -> int:
    """Return ``share * n_samples`` rounded to the nearest whole number, a half downward."""
    return math.ceil(share * n_samples - 0.5)


def n_to_drop(prune_ratio: float, n_samples: int, n_classes: int) -> int:
    """Return the number of rows to drop, one row a class (or one in all) being left.

    Raises
    ------
    ValueError
        When fewer rows are left.
    """
    n_drop = count_of(prune_ratio, n_samples)
    n_keep, needed = n_samples - n_drop, max(1, n_classes)
    if n_keep < needed:
        digits = max(2, len(str(n_samples)) - 1)
        highest = math.floor((n_samples - needed) / n_samples * 10**digits) / 10**digits
        target = f"{n_classes} classes" if n_classes else "the network to train on"
        raise ValueError(
            f"prune_ratio={prune_ratio} leaves {n_keep} rows for {target}; lower it to {highest} "
            "or less."
        )
    return n_drop


def make_problem(
    Z: Any, terms: RowTerms, request: Request, length_of: Any = float
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
    """
    n_drop = n_keep = None
    if request.prune_ratio is not None:
        n_classes = 0 if terms.classes is None else len(np.unique(terms.classes))
        n_drop = n_to_drop(request.prune_ratio, terms.n_samples, n_classes)
        n_keep = terms.n_samples - n_drop
    groups, quota = _groups_and_quota(terms, request.quota, n_keep)
    problem = SelectionProblem(
        Z,
        n_drop=n_drop,
        tolerance=None if request.tolerance is None else length_of(request.tolerance),
        cost=terms.cost,
        groups=groups,
        quota=quota,
        must_keep=terms.must_keep,
        must_drop=terms.must_drop,
        sample_weight=terms.sample_weight,
    )
    _check_no_class_vanishes(terms, problem.must_drop)
    return problem


def _check_no_class_vanishes(terms: RowTerms, must_drop: Booleans) -> None:
    if terms.classes is None or not must_drop.any():
        return
    gone = np.setdiff1d(terms.classes, terms.classes[~must_drop])
    if gone.size:
        raise InfeasibleProblemError(
            "every class keeps at least one row; must_drop takes all rows of class "
            f"{plain(gone[0])!r}. Free one of them, or remove the class from X and y."
        )


def _groups_and_quota(
    terms: RowTerms, quota: Any, n_keep: int | None
) -> tuple[NDArray[Any] | None, Any]:
    """Return the groups and the quota in the solver's words, so that each class keeps a row."""
    if isinstance(quota, Mapping):
        if terms.strata is None:
            raise ValueError(
                f"quota={dict(quota)!r} names groups of rows, but a regression target has no "
                "classes; give groups= to fit, or set quota=None."
            )
        return terms.strata, {**_survivors(terms), **_named_ranges(terms.strata, quota)}
    if quota is None or terms.strata is None:
        return terms.classes, _survivors(replace(terms, strata=terms.classes)) or None
    n_strata = len(np.unique(terms.strata))
    if n_keep is not None and n_strata > n_keep:
        # Fewer rows stay than there are pairs of class and group: every class keeps one row.
        return terms.strata, _survivors(terms) or "proportional"
    return terms.strata, "proportional" if quota == "class" else quota


def _survivors(terms: RowTerms) -> dict[Hashable, tuple[int, int]]:
    """Return "at least one row" for the largest stratum of each class."""
    if terms.classes is None or terms.strata is None:
        return {}
    survivors = {}
    for label in np.unique(terms.classes):
        free = terms.classes == label
        names, sizes = np.unique(terms.strata[free], return_counts=True)
        largest = int(sizes.argmax())
        survivors[names[largest].item()] = (1, int(sizes[largest]))
    return survivors


def _named_ranges(strata: NDArray[Any], quota: Mapping[Any, Any]) -> dict[Hashable, Any]:
    """Return the user's quota with pairs spelled as strata; one that is named keeps a row."""
    names, sizes = np.unique(strata, return_counts=True)
    size_of = dict(zip(names.tolist(), sizes.tolist(), strict=True))
    ranges: dict[Hashable, Any] = {}
    for label, value in quota.items():
        name = _pair(*label) if isinstance(label, tuple) else label
        low, high = value if isinstance(value, tuple) else (value, value)
        if name in size_of and _in_rows(high, size_of[name]) == 0:
            raise InfeasibleProblemError(
                f"every class or group keeps at least one row; quota={value!r} for {label!r} "
                f"keeps none of its {size_of[name]} rows. Raise it to 1 or more."
            )
        if name in size_of and _in_rows(low, size_of[name]) == 0:
            value = (1, high)
        ranges[name] = value
    return ranges


def _in_rows(part: Any, size: int) -> Any:
    return round(part * size) if isinstance(part, float) else part


def drop_first(
    terms: RowTerms, request: Request, share: float, candidates: Booleans, rank: NDArray[np.float64]
) -> RowTerms:
    """Return terms under which the candidates of highest rank must go as well.

    Parameters
    ----------
    terms : RowTerms
        Masks and groups.
    request : Request
        Ratio and quota.
    share : float
        Share of all rows that must go, the same in every stratum as far as the rows that must
        stay, the strata's own counts and the candidates allow.
    candidates : ndarray of bool of shape (n_samples,)
        Rows that may be taken.
    rank : ndarray of shape (n_samples,)
        The highest go first; ties go by position.
    """
    # Zeros in place of influences: only counts are read.
    problem = make_problem(np.zeros((terms.n_samples, 1)), terms, request)
    sizes, dropped = problem.count(np.ones_like(candidates)), problem.count(problem.must_drop)
    room = sizes - dropped - 1
    if problem.n_drop is not None:
        room = problem.dropped_counts(problem.n_drop) - dropped
    room = np.clip(room, 0, problem.count(problem.free & candidates))
    must_drop = problem.must_drop.copy()
    for stratum, n_rows in enumerate(_apportion(count_of(share, terms.n_samples), sizes, room)):
        free = np.flatnonzero((problem.groups == stratum) & problem.free & candidates)
        must_drop[free[np.argsort(-rank[free], kind="stable")][:n_rows]] = True
    return replace(terms, must_drop=must_drop)


def _apportion(total: int, sizes: NDArray[np.int64], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split ``total`` in proportion to ``sizes`` by largest remainders, none above its room."""
    shares = total * sizes / sizes.sum()
    counts = np.minimum(np.floor(shares).astype(np.int64), room)
    order = np.argsort(counts - shares, kind="stable")
    missing = total - int(counts.sum())
    while missing > 0 and (counts < room).any():
        for stratum in order[(counts < room)[order]][:missing]:
            counts[stratum] += 1
        missing = total - int(counts.sum())
    return counts
