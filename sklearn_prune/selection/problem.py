"""The selection problem: what is minimised or maximised, over which sets of rows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import LinearConstraint

from .._types import Floats, Mask
from .coordinates import Coordinates, Matrix
from .quota import KeptQuota
from .random_change import drawn_size_factors, random_change
from .rules import Rules, as_vector


class Lengths(NamedTuple):
    """``‖Zᵀw‖₂`` and, for each B, ``‖B_bᵀw‖₂`` less its target; without the size factor."""

    change: float
    imbalances: tuple[float, ...] = ()


class SelectionProblem(Rules):
    r"""Which rows to drop so that the sum of their coordinates stays small.

    With ``w ∈ {0,1}ⁿ`` and ``w_i = 1`` meaning that row i is **dropped**:

    - *cardinality form* (``n_drop=m``): minimise :math:`\|Z^T w\|_2` subject to
      :math:`\sum_i w_i = m`;
    - *generalization form* (``tolerance=ε``): maximise :math:`\sum_i w_i` subject to
      :math:`\frac{N}{N - \nu^T w} \|Z^T w\|_2 \le ε`, where :math:`\nu` are the sample weights
      and N is their sum. The factor makes the constraint a second-order cone in w.

    :class:`Rules` says which sets are allowed; this class adds what they cost.

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
        What dropping each row saves. The cardinality form minimises the change first, and then
        maximises the saved cost among sets within 1.5 times the smallest change found. The
        generalization form maximises the saved cost instead of the number of rows.
    balance : sequence of ndarray or LinearOperator of shape (n_samples, n_more), default=()
        Further coordinates of the rows, such as those of their distribution: the search also makes
        each ``‖B_bᵀw‖`` small. `tolerance` does not bound these.
    balance_weight : float, default=1.0
        β. The search minimises :math:`\|Z^T w\|^2 + \sum_b ρ_b^2 \|B_b^T w\|^2` with
        :math:`ρ_b = β σ_Z / σ_b`, where σ is the root mean square norm of the rows. With β = 1,
        random rows cost about the same in each part.
    groups : array-like of shape (n_samples,), default=None
        Group of each row.
    quota : {"proportional", "equal"}, dict or KeptRange, default=None
        How many rows each group **keeps**; a dict gives a count, a share, or a
        ``(low, high)`` range for each group it names; see :func:`kept_range`. A
        :class:`KeptRange` is used as it is.
    must_keep, must_drop : array-like of bool of shape (n_samples,), default=None
        Rows that are always kept, always dropped.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights ν in the size factor; None means 1.
    holds_norms : bool, default=True
        Whether the same share of rows is kept at every norm (only with many rows).
    constraints : sequence of scipy.optimize.LinearConstraint
        Further rows ``lb <= A @ w <= ub``.

    Raises
    ------
    ValueError
        When an argument is malformed.
    InfeasibleProblemError
        When counts, quotas and masks cannot be met together.
    """

    def __init__(
        self,
        Z: Matrix,
        *,
        n_drop: int | None = None,
        tolerance: float | None = None,
        cost: ArrayLike | None = None,
        balance: Sequence[Matrix] = (),
        balance_weight: float = 1.0,
        groups: ArrayLike | None = None,
        quota: KeptQuota = None,
        must_keep: ArrayLike | None = None,
        must_drop: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        holds_norms: bool = True,
        constraints: LinearConstraint | Sequence[LinearConstraint] = (),
    ) -> None:
        if (n_drop is None) == (tolerance is None):
            raise ValueError(
                "give exactly one of n_drop and tolerance; "
                f"n_drop={n_drop!r} and tolerance={tolerance!r}."
            )
        if tolerance is not None and not (np.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"tolerance must be finite and >= 0; it is {tolerance!r}.")
        if not balance_weight >= 0:
            raise ValueError(f"balance_weight must be 0 or more; it is {balance_weight!r}.")
        self.coordinates = Coordinates(Z)
        super().__init__(
            self.coordinates.n_samples,
            n_drop=n_drop,
            groups=groups,
            quota=quota,
            must_keep=must_keep,
            must_drop=must_drop,
            sample_weight=sample_weight,
            constraints=constraints,
        )
        self.tolerance = None if tolerance is None else float(tolerance)
        self.cost = None if cost is None else as_vector("cost", cost, self.n_samples)
        self.holds_norms = holds_norms
        self.is_balanced = len(balance) > 0 and balance_weight > 0
        if self.is_balanced:
            self.coordinates = self.coordinates.beside(balance, balance_weight)
        self.kept_share: Floats | None = None
        self._random_lengths: dict[bytes, Lengths] = {}
        self._random_factors: dict[bytes, tuple[float, ...]] = {}

    def _copy(self) -> Self:
        part = copy.copy(self)
        part._random_lengths, part._random_factors = {}, {}
        return part

    @property
    def dropped_share(self) -> Floats:
        """Probability with which the draw drops each row; 1 for all rows if there is no draw."""
        return np.ones(self.n_samples) if self.kept_share is None else 1.0 - self.kept_share

    def aimed_at(self, kept_share: Floats) -> Self:
        """Return the problem of keeping rows that look like a random draw.

        Each cell keeps as many rows as the draw does on average, and the target of each B is its
        mean sum over the draw. The target of Z stays zero.

        Parameters
        ----------
        kept_share : ndarray of shape (n_samples,)
            Probability with which the draw keeps each row; 1 for must_keep and 0 for must_drop.
            In each group they sum to the number of rows that it keeps.
        """
        if self.n_drop is None or not ((kept_share >= 0) & (kept_share <= 1)).all():
            raise ValueError(
                "kept_share must be probabilities, and the problem must have n_drop; it has "
                f"n_drop={self.n_drop}, and the shares lie in [{kept_share.min():g}, "
                f"{kept_share.max():g}]. Clip the shares to [0, 1], or set n_drop."
            )
        part = self._copy()
        part.kept_share, part.coordinates = kept_share, self.coordinates.aimed_at(kept_share)
        return part

    def fixing(self, n_drop: int, must_keep: Mask, must_drop: Mask) -> Self:
        """Return the cardinality form of this problem with other masks; arrays are shared."""
        part = self._copy()
        part.n_drop, part.tolerance = n_drop, None
        part.must_keep, part.must_drop = must_keep, must_drop
        return part

    def on(self, Z: Matrix) -> Self:
        """Return the same problem with another Z for its rows."""
        part = self._copy()
        part.coordinates = self.coordinates.replaced(Z)
        return part

    def with_less_balance(self, share: float) -> Self:
        """Return the same problem with this share of the balance's weight."""
        part = self._copy()
        part.coordinates = self.coordinates.with_less_balance(share)
        return part

    def change(self, drop: Mask) -> float:
        """Return ``‖Zᵀw‖₂`` in float64 and the caller's units, without the size factor."""
        return self.coordinates.block(0).lengths(drop)[0]

    def predicted_change(self, drop: Mask) -> float:
        """Return the change with the size factor, which a tolerance bounds."""
        return self.size_factor(drop) * self.change(drop)

    def norm(self, drop: Mask) -> float:
        """Return the objective: the length of the residual in Z and all B's, in scaled units."""
        return float(np.linalg.norm(self.coordinates.residual(drop)))

    def lengths(self, drop: Mask) -> Lengths:
        """Return the length of the sum of the dropped rows in Z and, less its target, in each B."""
        change, *imbalances = self.coordinates.lengths(drop)
        return Lengths(change, tuple(imbalances))

    @property
    def savings(self) -> Floats:
        """What dropping each row saves: its cost, or 1 where no costs were given."""
        return np.ones(self.n_samples) if self.cost is None else self.cost

    def saving(self, drop: Mask) -> float:
        """Return what the set saves: its rows, or their cost where costs were given."""
        return float(self.savings[drop].sum())

    def random_lengths(self, drop: Mask) -> Lengths:
        """Return the root mean squares of `lengths` over sets with the counts of ``drop``.

        Masks are respected, and targets are zero. Cached, since it takes a pass over all rows.
        """
        counts = self.count(drop & self.free)
        key = counts.tobytes()
        if key not in self._random_lengths:
            parts = [self.coordinates.block(b) for b in range(self.coordinates.n_blocks)]
            change, *imbalances = (
                part.scale
                * random_change(part, self.free_groups, counts, part.total(self.must_drop))
                for part in parts
            )
            self._random_lengths[key] = Lengths(change, tuple(imbalances))
        return self._random_lengths[key]

    def random_size_factors(self, drop: Mask) -> tuple[float, ...]:
        """Return ``rms(factor * length) / rms(length)`` for Z and each B.

        The root mean squares are over the sets of `random_lengths`. With unequal weights the size
        factor differs between sets and is correlated with the length, so sets are drawn.
        """
        counts, groups = self.count(drop & self.free), self.free_groups
        key = counts.tobytes()
        if key not in self._random_factors:
            parts = (self.sample_weight[groups == group] for group in np.flatnonzero(counts))
            if any(part.min() < part.max() for part in parts):
                factors = drawn_size_factors(
                    self.coordinates, groups, counts, self.must_drop, self.sample_weight
                )
            else:
                factors = (self.size_factor(drop),) * self.coordinates.n_blocks
            self._random_factors[key] = factors
        return self._random_factors[key]

    def random_objective(self, drop: Mask) -> float:
        """Return the root mean square of the objective over the sets of `random_lengths`."""
        lengths = self.random_lengths(drop)
        return self.coordinates.combined([lengths.change, *lengths.imbalances])
