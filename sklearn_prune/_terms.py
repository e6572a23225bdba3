"""The terms of a selection: how many rows go, of which groups, and which must."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._validation import check_weights
from .selection import InfeasibleProblemError, SelectionProblem, parse_range

Booleans = NDArray[np.bool_]
Codes = NDArray[np.int64]
# Positions and what they stand for.
Strata = tuple[Codes | None, tuple[Any, ...]]


@dataclass(frozen=True)
class Request:
    """What the user asks of a selection; see `InfluencePruner` for the meaning of each."""

    prune_ratio: float | None
    tolerance: float | None
    quota: Any
    trim: float
    distribution_weight: float = 0.0

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
    classes : ndarray of int or None
        Class of each row, as a position in ``class_names``; None for regression.
    class_names : tuple
        The labels, sorted.
    strata : ndarray of int or None
        Group that quotas speak of, as a position in ``names``; None for regression without groups.
    names : tuple
        What each stratum is called: the class, ``(class, group)`` where groups are given, or the
        group for regression.
    must_keep, must_drop : ndarray of bool
        Rows whose fate is decided.
    cost : array-like or None
        As given to ``fit``.
    sample_weight : ndarray or None
        Weight of each row.
    """

    n_samples: int
    classes: Codes | None
    class_names: tuple[Any, ...]
    strata: Codes | None
    names: tuple[Any, ...]
    must_keep: Booleans
    must_drop: Booleans
    cost: Any = None
    sample_weight: NDArray[np.float64] | None = None

    def count(self, mask: Booleans) -> Codes:
        """Return the number of rows in ``mask`` for each stratum."""
        assert self.strata is not None
        return np.bincount(self.strata[mask], minlength=len(self.names))

    def by_class(self) -> RowTerms:
        """Return the same terms with the classes as strata."""
        return replace(self, strata=self.classes, names=self.class_names)


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
    """Check weights, masks and groups, and name the strata; costs are checked by the solver.

    ``classes`` holds the label of each row, None for regression; the others are as given to
    ``fit``.
    """
    keep = _as_mask("must_keep", must_keep, n_samples)
    drop = _as_mask("must_drop", must_drop, n_samples)
    if (keep & drop).any():
        raise InfeasibleProblemError(
            f"must_keep and must_drop share {int((keep & drop).sum())} rows; take each row out of "
            "one of them."
        )
    by_class: Strata = (None, ()) if classes is None else _coded(classes)
    strata: Strata = by_class if groups is None else _strata(n_samples, *by_class, groups)
    weights = check_weights(sample_weight, n_samples)
    return RowTerms(n_samples, *by_class, *strata, keep, drop, sample_cost, weights)


def _as_mask(name: str, value: Any, n_samples: int) -> Booleans:
    if value is None:
        return np.zeros(n_samples, dtype=bool)
    mask = np.asarray(value)
    if mask.dtype != bool or mask.shape != (n_samples,):
        raise ValueError(
            f"{name} must be a boolean mask of shape ({n_samples},); it has dtype {mask.dtype} "
            f"and shape {mask.shape}. Turn positions into a mask with "
            f"np.isin(np.arange({n_samples}), positions)."
        )
    return mask


def _strata(
    n_samples: int, classes: Codes | None, class_names: tuple[Any, ...], groups: Any
) -> tuple[Codes, tuple[Any, ...]]:
    # A list of 1 and "1" would become an array of strings.
    values = np.asarray(groups, dtype=None if hasattr(groups, "dtype") else object)
    if values.shape != (n_samples,):
        raise ValueError(
            f"groups must have shape ({n_samples},), one label a row; it has shape {values.shape}."
        )
    codes, labels = _coded(values)
    if classes is None:
        return codes, labels
    pairs, strata = np.unique(classes * len(labels) + codes, return_inverse=True)
    names = [(class_names[p // len(labels)], labels[p % len(labels)]) for p in pairs.tolist()]
    return strata.astype(np.int64), tuple(names)


def _coded(values: NDArray[Any]) -> tuple[Codes, tuple[Any, ...]]:
    """Return the position of each value among the distinct ones, and those."""
    try:
        distinct, codes = np.unique(values, return_inverse=True)
        names = distinct.tolist()
    except TypeError:
        # Labels of several types have no order; the way they are written has one.
        written = np.array([repr(value) for value in values])
        _, first, codes = np.unique(written, return_index=True, return_inverse=True)
        names = [values[row] for row in first]
    return codes.astype(np.int64), tuple(names)


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
        target = f"{n_classes} classes" if n_classes else "a model to train on"
        raise ValueError(
            f"prune_ratio={prune_ratio} leaves {_rows(n_keep)} for {target}; "
            f"{_lower_ratio(n_samples - needed, n_samples)}."
        )
    return n_drop


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _digits(n_samples: int) -> int:
    return max(2, len(str(n_samples)) - 1)


def _lower_ratio(most: int, n_samples: int, name: str = "it") -> str:
    """Return the advice that drops ``most`` rows at most."""
    scale = 10 ** _digits(n_samples)
    highest = most * scale // n_samples / scale
    if not highest:
        return f"set {name} to 0.0, or give more rows"
    return f"lower {name} to {highest} or less"


def make_problem(
    Z: Any,
    terms: RowTerms,
    request: Request,
    length_of: Any = float,
    balance: Any = None,
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
    balance : DistributionEmbedding, default=None
        What holds the distribution.
    """
    n_drop = n_keep = None
    if request.prune_ratio is not None:
        n_drop = n_to_drop(request.prune_ratio, terms.n_samples, len(terms.class_names))
        n_keep = terms.n_samples - n_drop
        _check_masks(terms, request.prune_ratio, n_drop)
    _check_no_class_vanishes(terms, request.prune_ratio, n_keep)
    groups, quota = _groups_and_quota(terms, request.quota, n_keep)
    problem = SelectionProblem(
        Z,
        n_drop=n_drop,
        tolerance=None if request.tolerance is None else length_of(request.tolerance),
        cost=terms.cost,
        balance=balance,
        balance_weight=request.distribution_weight,
        groups=groups,
        quota=quota,
        must_keep=terms.must_keep,
        must_drop=terms.must_drop,
        sample_weight=terms.sample_weight,
    )
    _check_weight_stays(problem)
    return problem


def _check_masks(terms: RowTerms, prune_ratio: float, n_drop: int) -> None:
    least, n = int(terms.must_drop.sum()), terms.n_samples
    most = n - int(terms.must_keep.sum())
    if n_drop > most:
        raise InfeasibleProblemError(
            f"prune_ratio={prune_ratio} drops {n_drop} of {n} rows, and must_keep leaves {most} "
            f"that may go; {_lower_ratio(most, n)}, or free rows of must_keep."
        )
    if n_drop < least:
        scale = 10 ** _digits(n)
        raise InfeasibleProblemError(
            f"prune_ratio={prune_ratio} drops {n_drop} of {n} rows, and must_drop takes {least}; "
            f"raise it to {-(-least * scale // n) / scale} or more, or free rows of must_drop."
        )


def _check_no_class_vanishes(
    terms: RowTerms, prune_ratio: float | None, n_keep: int | None
) -> None:
    if terms.classes is None:
        return
    classes = terms.by_class()
    keep, left = classes.count(terms.must_keep), classes.count(~terms.must_drop)
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
            f"{_lower_ratio(terms.n_samples - needed, terms.n_samples, 'prune_ratio')}, or free "
            f"{_rows(needed - n_keep)} of must_keep."
        )


def _check_weight_stays(problem: SelectionProblem) -> None:
    """Raise where all rows of positive weight would have to go."""
    positive = problem.sample_weight > 0
    if (positive & problem.must_keep).any():
        return
    sizes, most = problem.count(np.ones_like(positive)), problem.kept_range.high
    if problem.n_drop is not None:
        most = sizes - problem.dropped_bounds(problem.n_drop)[0]
    stay = problem.count(problem.must_keep)
    has_place = most > stay
    if problem.n_drop is not None and problem.n_samples - problem.n_drop == stay.sum():
        has_place[:] = False
    if has_place[problem.groups[positive & problem.free]].any():
        return
    raise InfeasibleProblemError(
        f"at least one of the {_rows(int(positive.sum()))} of positive sample_weight must stay; "
        f"must_drop takes {int((positive & problem.must_drop).sum())}, and must_keep and the "
        "quotas leave no place for another. Free a row of those masks, or leave out sample_weight."
    )


def _groups_and_quota(terms: RowTerms, quota: Any, n_keep: int | None) -> tuple[Codes | None, Any]:
    """Return the groups and the quota in the solver's words, so that each class keeps a row."""
    if isinstance(quota, Mapping):
        if terms.strata is None:
            raise ValueError(
                f"quota={dict(quota)!r} names groups of rows, but a regression target has no "
                "classes; give groups= to fit, or set quota=None."
            )
        ranges = _named_ranges(terms, quota)
        return terms.strata, {**_survivors(terms, ranges), **ranges}
    if terms.strata is None or (quota is None and terms.classes is None):
        return None, None
    if quota is None:
        terms = terms.by_class()
        return terms.strata, _survivors(terms) or None
    keep, left = terms.count(terms.must_keep), terms.count(~terms.must_drop)
    if n_keep is not None and np.maximum(keep, np.minimum(left, 1)).sum() > n_keep:
        # Not every pair of class and group can keep a row: every class keeps one.
        return terms.strata, _survivors(terms) or "proportional"
    return terms.strata, "proportional" if quota == "class" else quota


def _survivors(terms: RowTerms, named: Collection[int] = ()) -> dict[int, tuple[int, int]]:
    """Return "at least one row" for a stratum of each class that nothing else keeps a row of.

    The stratum is that with the most rows that may stay; those in ``named`` keep one anyway.
    """
    if terms.classes is None or terms.strata is None:
        return {}
    left, safe = terms.count(~terms.must_drop), terms.count(terms.must_keep) > 0
    safe[list(named)] = True
    survivors = {}
    class_of = np.empty(len(terms.names), dtype=np.int64)
    class_of[terms.strata] = terms.classes
    for label in range(len(terms.class_names)):
        strata = np.flatnonzero(class_of == label)
        if not safe[strata].any():
            largest = int(strata[left[strata].argmax()])
            survivors[largest] = (1, int(left[largest]))
    return survivors


def _named_ranges(terms: RowTerms, quota: Mapping[Any, Any]) -> dict[int, tuple[int, int]]:
    """Return the user's quota by the strata's positions; one that is named keeps a row."""
    position = {name: code for code, name in enumerate(terms.names)}
    keep, left = terms.count(terms.must_keep), terms.count(~terms.must_drop)
    sizes = terms.count(np.ones(terms.n_samples, dtype=bool))
    ranges = {}
    for label, value in quota.items():
        if label not in position:
            raise ValueError(
                f"quota names the group {label!r}, which no row belongs to; the groups are "
                f"{list(terms.names[:10])}. Name those, pairs as (class, group)."
            )
        code = position[label]
        low, high = parse_range(value, int(sizes[code]), label)
        if high == 0:
            raise InfeasibleProblemError(
                f"every class or group keeps at least one row; quota={value!r} for {label!r} "
                f"keeps none of its {sizes[code]} rows. Raise it to 1 or more."
            )
        low = max(low, 1)
        if low > high or low > left[code] or high < keep[code]:
            raise InfeasibleProblemError(
                f"quota={value!r} for {label!r} keeps between {low} and {high} of its "
                f"{sizes[code]} rows, and {keep[code]} to {left[code]} can be kept; change the "
                "quota, must_keep or must_drop."
            )
        ranges[code] = (low, high)
    return ranges


def first_to_go(
    terms: RowTerms, request: Request, hardness: Callable[[], NDArray[np.float64]]
) -> RowTerms:
    """Return terms under which the hardest share and the rows of weight zero must go.

    ``hardness`` gives the loss of each row; it is called where ``trim`` asks for it.
    """
    weight = terms.sample_weight
    if request.trim:
        losses, candidates = hardness(), np.ones(terms.n_samples, dtype=bool)
        if weight is not None:
            weighs = (weight > 0) & ~terms.must_drop
            candidates[np.where(weighs, losses, np.inf).argmin()] = False
        terms = drop_first(terms, request, request.trim, candidates, losses)
    if weight is None:
        return terms
    # Rows that weigh nothing cost nothing. Were they kept, rows that weigh something would have
    # to go in their place.
    weightless = weight == 0
    if request.tolerance is not None and terms.cost is not None:
        weightless &= np.asarray(terms.cost) >= 0
    return drop_first(terms, request, 1.0, weightless, weight)


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
    room = sizes - np.maximum(problem.kept_range.low, 1) - dropped
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
