"""The selection problem: numbers in, nothing solved yet."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint

from .coordinates import Booleans, Coordinates, Floats, Integers, drawn_size_factors, random_change
from .inclusion import draw_dropped
from .quota import Counts, InfeasibleProblemError, KeptRange, Quota, decided_rows, kept_range


class Lengths(NamedTuple):
    """``‖Zᵀw‖₂``, and ``‖B_bᵀw‖₂`` for each B, of a set, without the size factor."""

    change: float
    imbalances: tuple[float, ...] = ()


class SelectionProblem:
    r"""The question which rows can go while the sum of their coordinates stays small.

    With ``w ∈ {0,1}ⁿ`` and ``w_i = 1`` meaning that row i is **dropped**:

    - *cardinality form* (``n_drop=m``): minimise :math:`\|Z^T w\|_2` subject to
      :math:`\sum_i w_i = m`;
    - *generalization form* (``tolerance=ε``): maximise :math:`\sum_i w_i` subject to
      :math:`\frac{N}{N - \nu^T w} \|Z^T w\|_2 \le ε`, where :math:`\nu` are the sample weights
      and N is their sum. The factor makes the constraint a second-order cone in w.

    Both forms hold under quotas, rows that must stay or go, and any linear row.

    Parameters
    ----------
    Z : ndarray or LinearOperator of shape (n_samples, n_coordinates)
        Row i is what dropping row i alone adds to the change. Never copied. An operator must
        also offer ``rows(indices)``, ``row_norms()`` and ``take(indices)``.
    n_drop : int, default=None
        Exact number of rows to drop. Give either this or ``tolerance``.
    tolerance : float, default=None
        Largest change allowed, in the unit of Z.
    cost : array-like of shape (n_samples,), default=None
        What dropping each row saves. In the cardinality form the change comes first and the
        saved cost is maximised among sets within a factor of the best change; in the
        generalization form it replaces the number of rows.
    balance : sequence of ndarray or LinearOperator of shape (n_samples, n_more), default=()
        What else is to stay balanced, such as the distribution of the rows: the search keeps each
        ``‖B_bᵀw‖`` small beside the change, which `tolerance` does not speak of.
    balance_weight : float, default=1.0
        β: minimised is :math:`\|Z^T w\|^2 + \sum_b ρ_b^2 \|B_b^T w\|^2` with
        :math:`ρ_b = β σ_Z / σ_b`, where σ is the root mean square norm of the rows. So each part
        is measured by about what random rows cost there.
    groups : array-like of shape (n_samples,), default=None
        Group of each row.
    quota : {"proportional", "equal"}, dict or KeptRange, default=None
        How many rows each group **keeps**; a dict gives a count, a share, or a
        ``(low, high)`` range for each group it names. What :func:`kept_range` made of one is taken
        as it is.
    must_keep, must_drop : array-like of bool of shape (n_samples,), default=None
        Rows whose fate is decided.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights ν in the size factor; None means 1.
    constraints : sequence of scipy.optimize.LinearConstraint
        Further rows ``lb <= A @ w <= ub``.

    Raises
    ------
    InfeasibleProblemError
        When counts, quotas and masks cannot be met together.
    """

    def __init__(
        self,
        Z: Any,
        *,
        n_drop: int | None = None,
        tolerance: float | None = None,
        cost: Any = None,
        balance: Sequence[Any] = (),
        balance_weight: float = 1.0,
        groups: Any = None,
        quota: Quota = None,
        must_keep: Any = None,
        must_drop: Any = None,
        sample_weight: Any = None,
        holds_norms: bool = True,
        constraints: LinearConstraint | Sequence[LinearConstraint] = (),
    ) -> None:
        if (n_drop is None) == (tolerance is None):
            raise ValueError(
                "give exactly one of n_drop and tolerance; "
                f"n_drop={n_drop!r} and tolerance={tolerance!r}."
            )
        self.coordinates = Coordinates(Z)
        n = self.n_samples = self.coordinates.n_samples
        self.must_keep, self.must_drop = decided_rows(must_keep, must_drop, n)
        self.cost = None if cost is None else _as_vector("cost", cost, n)
        self.sample_weight = np.ones(n) if sample_weight is None else _as_weights(sample_weight, n)
        self.n_drop, self.tolerance = self._check_form(n_drop, tolerance)
        self.group_names, self.groups = _as_codes(groups if quota is not None else None, n)
        self.holds_norms = holds_norms
        given = _as_rows(constraints, n)
        self.n_given_rows = len(given)
        self.constraints = self._with_weight_row(given)
        self.quota = quota
        self.kept_range = self._kept_range()
        if not balance_weight >= 0:
            raise ValueError(f"balance_weight must be 0 or more; it is {balance_weight!r}.")
        self.is_balanced = len(balance) > 0 and balance_weight > 0
        if self.is_balanced:
            self._balance(Z, balance, balance_weight)
        self.kept_share: Floats | None = None
        self._random_lengths: dict[bytes, Lengths] = {}
        self._random_factors: dict[bytes, tuple[float, ...]] = {}

    def _balance(self, Z: Any, balance: Sequence[Any], weight: float) -> None:
        """Put each B beside Z, as long in the root mean square, times its weight."""
        side_by_side = Coordinates(Z, balance, ratios=[1.0 for _ in balance])
        size, *others = side_by_side.sizes
        ratios = [weight * size / other if min(size, other) > 0 else weight for other in others]
        self.coordinates = side_by_side.weighted(ratios)

    def _check_form(
        self, n_drop: int | None, tolerance: float | None
    ) -> tuple[int | None, float | None]:
        n = self.n_samples
        if not self.sample_weight[~self.must_drop].any() and n:
            raise InfeasibleProblemError(
                f"some sample weight must stay; must_drop takes all of it ("
                f"{int(self.must_drop.sum())} of {n} rows). Free one row of positive weight."
            )
        if tolerance is not None:
            if not (np.isfinite(tolerance) and tolerance >= 0):
                raise ValueError(f"tolerance must be finite and >= 0; it is {tolerance!r}.")
            return None, float(tolerance)
        low, high = int(self.must_drop.sum()), n - int(self.must_keep.sum())
        if not isinstance(n_drop, Integral):
            raise ValueError(f"n_drop must be a whole number; it is {n_drop!r}. Round it.")
        if not 0 <= n_drop < max(n, 1):
            raise ValueError(f"n_drop must be in [0, {n - 1}], one row stays; it is {n_drop!r}.")
        if not low <= n_drop <= high:
            raise InfeasibleProblemError(
                f"n_drop={n_drop}, but must_drop and must_keep leave {low} to {high} rows to drop; "
                f"use n_drop in [{low}, {high}] or change the masks."
            )
        return int(n_drop), None

    def _with_weight_row(self, rows: LinearRows) -> LinearRows:
        """Add "some weight stays" where rows without weight would let all of it go."""
        weighted = self.sample_weight > 0
        n_weighted = int(weighted.sum())
        most = self.n_samples - 1 if self.n_drop is None else self.n_drop
        if n_weighted == self.n_samples or most < n_weighted or (weighted & self.must_keep).any():
            return rows
        return LinearRows(
            np.vstack([rows.A, weighted.astype(np.float64)]),
            np.r_[rows.low, 0.0],
            np.r_[rows.high, n_weighted - 1.0],
        )

    def _kept_range(self) -> KeptRange:
        sizes = self._sizes = self.count(np.ones(self.n_samples, dtype=bool))
        keep, drop = self.count(self.must_keep), self.count(self.must_drop)
        n_keep = None if self.n_drop is None else self.n_samples - self.n_drop
        bounds = self.quota
        if not isinstance(bounds, KeptRange):
            names = self.group_names.tolist()
            bounds = kept_range(bounds, names, sizes, keep, drop, n_keep)
        if n_keep is not None:
            bounds.counts(n_keep)
        return bounds

    @property
    def free(self) -> Booleans:
        """Rows whose fate is open, shape (n_samples,)."""
        return ~(self.must_keep | self.must_drop)

    @property
    def weight_must_stay(self) -> bool:
        """Whether a set of free rows could take all of the sample weight, and must not."""
        stays = bool(self.sample_weight[self.must_keep].any())
        return len(self.constraints) > self.n_given_rows and not stays

    def count(self, mask: Booleans) -> Counts:
        """Return the number of rows in ``mask`` for each group."""
        return np.bincount(self.groups[mask], minlength=len(self.group_names)).astype(np.int64)

    def dropped_counts(self, n_drop: int) -> Counts:
        """Return the rows that each group drops when ``n_drop`` are dropped in all."""
        return self._sizes - self.kept_range.counts(self.n_samples - n_drop)

    def dropped_bounds(self, n_drop: int) -> tuple[Counts, Counts]:
        """Return the least and the greatest number of rows that each group may drop.

        "proportional" and "equal" leave a share that is rounded down or up; a dict, or no quota,
        leaves a range.
        """
        low, high = self.kept_range.low, self.kept_range.high
        if self.kept_range.is_fixed:
            low, high = self.kept_range.rounded(self.n_samples - n_drop)
        return self._sizes - high, self._sizes - low

    def random_set(self, n_drop: int, rng: np.random.Generator) -> Booleans:
        """Draw rows to drop at random: those that must go, and of each group as many as go.

        Linear rows are not looked at.
        """
        n_dropped = self.dropped_counts(n_drop) - self.count(self.must_drop)
        labels = np.where(self.free, self.groups, -1)
        return self.must_drop | draw_dropped(labels, n_dropped, None, rng)

    def aimed_at(self, kept_share: Floats) -> SelectionProblem:
        """Return the cardinality form whose rows to keep are to look like those of a draw.

        Each cell keeps as many rows as the draw does on average, and each B is to sum to the draw's
        mean. The change is still to be zero.

        Parameters
        ----------
        kept_share : ndarray of shape (n_samples,)
            Probability with which the draw keeps each row; 1 and 0 where its fate is decided. They
            sum to the rows that each group keeps.
        """
        if self.n_drop is None or not ((kept_share >= 0) & (kept_share <= 1)).all():
            raise ValueError("kept_share must be probabilities of a problem with n_drop.")
        part = copy.copy(self)
        part.kept_share, part._random_lengths, part._random_factors = kept_share, {}, {}
        part.coordinates = self.coordinates.aimed_at(kept_share)
        return part

    def fixing(self, n_drop: int, must_keep: Booleans, must_drop: Booleans) -> SelectionProblem:
        """Return the cardinality form of this problem with more rows fixed; nothing is copied."""
        part = copy.copy(self)
        part.n_drop, part.tolerance = n_drop, None
        part._random_lengths, part._random_factors = {}, {}
        part.must_keep, part.must_drop = must_keep, must_drop
        return part

    def least_size_factor(self, n_drop: int) -> float:
        """Return the smallest size factor that a set of ``n_drop`` rows can have."""
        spare = np.sort(self.sample_weight[self.free])[: n_drop - int(self.must_drop.sum())]
        kept = self.sample_weight[~self.must_drop].sum() - spare.sum()
        return float(self.sample_weight.sum() / kept) if kept > 0 else np.inf

    def on(self, Z: Any) -> SelectionProblem:
        """Return the same problem with other coordinates for its rows."""
        part = copy.copy(self)
        part.coordinates = self.coordinates.replaced(Z)
        part._random_lengths, part._random_factors = {}, {}
        return part

    def size_factor(self, drop: Booleans) -> float:
        """Return ``N / (N - νᵀw)``; infinite when nothing is kept."""
        kept = float(self.sample_weight[~drop].sum())
        return float(self.sample_weight.sum()) / kept if kept > 0 else np.inf

    def change(self, drop: Booleans) -> float:
        """Return ``‖Zᵀw‖₂`` in float64 and the caller's units, without the size factor."""
        return self.coordinates.block(0).lengths(drop)[0]

    def predicted_change(self, drop: Booleans) -> float:
        """Return the change with the size factor, which a tolerance bounds."""
        return self.size_factor(drop) * self.change(drop)

    def lengths(self, drop: Booleans) -> Lengths:
        """Return the length of the sum of the dropped rows in Z and, less its aim, in each B."""
        change, *imbalances = self.coordinates.lengths(drop)
        return Lengths(change, tuple(imbalances))

    def saving(self, drop: Booleans) -> float:
        """Return what the set saves: its rows, or their cost where costs were given."""
        return float(drop.sum() if self.cost is None else self.cost[drop].sum())

    def with_free(self, chosen: Booleans) -> Booleans:
        """Return the set of the rows that must go and those chosen among the free ones."""
        drop = self.must_drop.copy()
        drop[self.free] = chosen
        return drop

    def random_lengths(self, drop: Booleans) -> Lengths:
        """Return the root mean squares of `lengths` over sets with the counts of ``drop``.

        Rows of fixed fate stay as they are, and nothing is aimed at. Kept, since it takes a pass
        over all rows.
        """
        counts = self.count(drop & self.free)
        key = counts.tobytes()
        if key not in self._random_lengths:
            labels = np.where(self.free, self.groups, -1)
            parts = [self.coordinates.block(b) for b in range(self.coordinates.n_blocks)]
            change, *imbalances = (
                part.scale * random_change(part, labels, counts, part.total(self.must_drop))
                for part in parts
            )
            self._random_lengths[key] = Lengths(change, tuple(imbalances))
        return self._random_lengths[key]

    def random_size_factors(self, drop: Booleans) -> tuple[float, ...]:
        """Return what the size factor makes of `random_lengths`, of Z and of each B.

        The root mean square of the length with the factor, as a share of that without. Where
        weights differ the factor is another one for each set, and goes with the length: by draws.
        """
        counts = self.count(drop & self.free)
        key = counts.tobytes()
        if key not in self._random_factors:
            labels = np.where(self.free, self.groups, -1)
            if _differ_in_a_group(self.sample_weight, labels, counts):
                factors = drawn_size_factors(
                    self.coordinates, labels, counts, self.must_drop, self.sample_weight
                )
            else:
                factors = (self.size_factor(drop),) * self.coordinates.n_blocks
            self._random_factors[key] = factors
        return self._random_factors[key]

    def random_objective(self, drop: Booleans) -> float:
        """Return the root mean square of what is minimised, over the same sets."""
        lengths = self.random_lengths(drop)
        return self.coordinates.combined([lengths.change, *lengths.imbalances])

    def is_feasible(self, drop: Booleans) -> bool:
        """Whether the set meets masks, counts, quotas and linear rows (not the tolerance)."""
        if (drop & self.must_keep).any() or (self.must_drop & ~drop).any():
            return False
        n_drop = int(drop.sum())
        if self.n_drop is not None and n_drop != self.n_drop:
            return False
        if not self.kept_range.admits(self.n_samples - n_drop):
            return False
        if not self.sample_weight[~drop].any():
            return False
        low, high = self.dropped_bounds(n_drop)
        counts = self.count(drop)
        if (counts < low).any() or (counts > high).any():
            return False
        return bool(self.constraints.violation(drop).max(initial=0.0) == 0.0)


def _differ_in_a_group(weights: Floats, labels: Integers, counts: Counts) -> bool:
    """Whether sets with these counts of each group can differ in the weight that they take."""
    parts = (weights[labels == group] for group in np.flatnonzero(counts))
    return any(part.min() < part.max() for part in parts)


class LinearRows:
    """The user's linear rows ``low <= A w <= high`` as one block.

    Each row is divided by its largest entry: HiGHS works to absolute tolerances, and would let a
    row of 1e-9 be broken.

    Attributes
    ----------
    A : ndarray of shape (n_rows, n_samples)
        Rows whose largest entry is 1 in absolute value.
    low, high : ndarray of shape (n_rows,)
        Bounds in the same units.
    units : ndarray of shape (n_rows,)
        What each row was divided by.
    """

    def __init__(self, A: Floats, low: Floats, high: Floats) -> None:
        largest = np.abs(A).max(axis=1, initial=0.0)
        self.units = np.where(largest > 0, largest, 1.0)
        self.A = A / self.units[:, None]
        self.low, self.high = low / self.units, high / self.units
        # What rounding may cost in A @ w; a violation below it is none.
        self.slack = 1e-12 * np.abs(self.A).sum(axis=1)

    def __len__(self) -> int:
        return len(self.A)

    def violation(self, w: Floats | Booleans) -> Floats:
        """Return how far each row is from being met, shape (n_rows,)."""
        value = self.A @ w.astype(np.float64)
        excess = np.maximum(self.low - value, value - self.high)
        return np.where(excess > self.slack, excess, 0.0)


def _as_rows(constraints: LinearConstraint | Sequence[LinearConstraint], n: int) -> LinearRows:
    if isinstance(constraints, LinearConstraint):
        constraints = (constraints,)
    blocks, lows, highs = [np.empty((0, n))], [np.empty(0)], [np.empty(0)]
    for number, constraint in enumerate(constraints):
        A = constraint.A.toarray() if hasattr(constraint.A, "toarray") else constraint.A
        A = np.atleast_2d(np.asarray(A, dtype=np.float64))
        if A.shape[1] != n or not np.isfinite(A).all():
            raise ValueError(
                f"constraints[{number}].A must be finite with {n} columns, one a row of Z; it has "
                f"shape {A.shape}."
            )
        low, high = (
            np.broadcast_to(b, len(A)).astype(float) for b in (constraint.lb, constraint.ub)
        )
        if not (low <= high).all():
            row = int(np.flatnonzero(~(low <= high))[0])
            raise ValueError(
                f"constraints[{number}] must have lb <= ub; in row {row} lb is {low[row]:g} and ub "
                f"{high[row]:g}. Swap them, or give numbers."
            )
        blocks.append(A)
        lows.append(low)
        highs.append(high)
    return LinearRows(np.vstack(blocks), np.concatenate(lows), np.concatenate(highs))


def _as_vector(name: str, value: Any, n: int) -> Floats:
    vector = np.asarray(value, dtype=np.float64)
    n_bad = int((~np.isfinite(vector)).sum())
    if vector.shape != (n,) or n_bad:
        raise ValueError(
            f"{name} must be finite and of shape ({n},), one number a row; it has shape "
            f"{vector.shape} and {n_bad} numbers that are NaN or infinite. Give one finite number "
            "for each row of Z."
        )
    return vector


def _as_weights(sample_weight: Any, n: int) -> Floats:
    """Return weights whose largest is 1, so that their sum neither overflows nor vanishes."""
    weights = _as_vector("sample_weight", sample_weight, n)
    if (weights < 0).any():
        row = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(
            f"sample_weight must be >= 0; row {row} has {weights[row]:g}. Give it weight 0, or "
            "leave it out."
        )
    return weights / (weights.max(initial=0.0) or 1.0)


def _as_codes(groups: Any, n: int) -> tuple[NDArray[Any], Integers]:
    if groups is None:
        return np.zeros(1, dtype=np.int64), np.zeros(n, dtype=np.int64)
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(
            f"groups must have shape ({n},), one label a row; it has shape {labels.shape}."
        )
    names, codes = np.unique(labels, return_inverse=True)
    return names, codes.astype(np.int64)
