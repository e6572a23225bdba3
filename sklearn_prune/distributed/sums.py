"""Results of one pass that add up over partitions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from .._types import Floats, Rows
from ..networks import column_scaler


class Sums:
    """Base class of dataclasses whose fields add up, one by one."""

    def __add__(self, other: Self) -> Self:
        """Return the sums over both."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted mean and scatter of columns, which add up without a loss of digits (Chan 1979).

    Attributes
    ----------
    weight : float
        Sum of the rows' weights.
    mean, scatter : ndarray of shape (n_columns,)
        Mean, and weighted sum of squared deviations from it.
    """

    weight: float
    mean: Floats
    scatter: Floats

    @classmethod
    def of(cls, values: Rows, sample_weight: Floats | None) -> Moments:
        """Return the moments of the columns of some rows; None weighs them equally."""
        scaler = column_scaler(values, sample_weight)
        weight = float(values.shape[0] if sample_weight is None else sample_weight.sum())
        with np.errstate(over="ignore", invalid="ignore"):
            return cls(weight, scaler.mean_, weight * scaler.var_)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows together."""
        weight = self.weight + other.weight
        share, shift = other.weight / weight, other.mean - self.mean
        # Squares that overflow are reported once all rows are in.
        with np.errstate(over="ignore", invalid="ignore"):
            scatter = self.scatter + other.scatter + self.weight * share * shift**2
        return Moments(weight, self.mean + share * shift, scatter)

    @property
    def scale(self) -> Floats:
        """Standard deviations; 1 for constant columns."""
        variance = self.scatter / self.weight
        is_constant = variance <= 10 * np.finfo(np.float64).eps * self.mean**2
        return np.where(is_constant, 1.0, np.sqrt(variance))

    def require_finite(self, name: str) -> Moments:
        """Return the same; raise ValueError, which names the columns, if squares overflowed."""
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scatter).all()):
            raise ValueError(
                f"the squares of {name} must fit float64, and they overflow. Divide it by its "
                "largest number, for example."
            )
        return self
