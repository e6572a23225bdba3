"""The selection problem: numbers in, nothing solved yet."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from .._types import Floats, Mask
from .coordinates import Coordinates, Matrix
from .quota import KeptQuota
from .random_change import drawn_size_factors, random_change
from .rules import Rules, as_vector


class Lengths(NamedTuple):
    """``‖Zᵀw‖₂``, and ``‖B_bᵀw‖₂`` for each B, of a set, without the size factor."""

    change: float
    imbalances: tuple[float, ...] = ()


class SelectionProblem(Rules):
    r"""Which rows can go while the sum of their coordinates stays small.

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
        What dropping each row saves. In the cardinality form the change comes first and the
        saved cost is maximised among sets within a factor of the best change; in the
        generalization form it replaces the number of rows.
    balance : sequence of ndarray or LinearOperator of shape (n_samples, n_more), default=()
        What else to keep balanced, such as the distribution of the rows: the search also makes each
        ``‖B_bᵀw‖`` small. `tolerance` does not include it.
    balance_weight : float, default=1.0
        β: minimised is :math:`\|Z^T w\|^2 + \sum_b ρ_b^2 \|B_b^T w\|^2` with
        :math:`ρ_b = β σ_Z / σ_b`, where σ is the root mean square norm of the rows, so each part
        is in units of about what random rows cost.
    groups : array-like of shape (n_samples,), default=None
        Group of each row.
    quota : {"proportional", "equal"}, dict or KeptRange, default=None
        How many rows each group **keeps**; a dict gives a count, a share, or a
        ``(low, high)`` range for each group it names. A :class:`KeptRange` is taken as it is.
    must_keep, must_drop : array-like of bool of shape (n_samples,), default=None
        Rows that are always kept, always dropped.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights ν in the size factor; None means 1.
    holds_norms : bool, default=True
        Whether rows of similar norm keep the same share.

    Raises
    ------
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

    def aimed_at(self, kept_share: Floats) -> Self:
        """Return the problem of keeping rows that look like those of a random draw.

        Each cell keeps as many rows as the draw does on average, and each B aims at the draw's mean
        sum. Z still aims at zero.

        Parameters
        ----------
        kept_share : ndarray of shape (n_samples,)
            Probability with which the draw keeps each row; 1 for must_keep and 0 for must_drop.
            In each group they sum to the rows that it keeps.
        """
        if self.n_drop is None or not ((kept_share >= 0) & (kept_share <= 1)).all():
            raise ValueError("kept_share must be probabilities of a problem with n_drop.")
        part = self._copy()
        part.kept_share, part.coordinates = kept_share, self.coordinates.aimed_at(kept_share)
        return part

    def fixing(self, n_drop: int, must_keep: Mask, must_drop: Mask) -> Self:
        """Return the cardinality form of this problem with more rows fixed; nothing is copied."""
        part = self._copy()
        part.n_drop, part.tolerance = n_drop, None
        part.must_keep, part.must_drop = must_keep, must_drop
        return part

    def on(self, Z: Matrix) -> Self:
        """Return the same problem with other coordinates for its rows."""
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
        """Return what is minimised: the length of the residual in Z and all B's, in units."""
        return float(np.linalg.norm(self.coordinates.residual(drop)))

    def lengths(self, drop: Mask) -> Lengths:
        """Return the length of the sum of the dropped rows in Z and, less its aim, in each B."""
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

        Under must_keep and must_drop, without an aim. Cached: it takes a pass over all rows.
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
        """Return the root mean square of factor times length over that of length, for Z and each B.

        Over the sets of `random_lengths`. With unequal weights each set has its own size factor,
        which depends on the length, so sets are drawn.
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
        """Return the root mean square of what is minimised, over the same sets."""
        lengths = self.random_lengths(drop)
        return self.coordinates.combined([lengths.change, *lengths.imbalances])
