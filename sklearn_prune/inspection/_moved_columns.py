"""How far the rows kept move each column, and which kept row stands for a dropped one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import Array, Floats, Mask, Rows
from ..data import ColumnsEncoder

_N_BINS, _N_NAMED = 24, 3
# Histograms end at these percentiles, so that single outliers do not make them one bar.
_SHOWN_PERCENTILES = (1, 99)


@dataclass(frozen=True)
class MovedColumn:
    """How far a column's distribution moved.

    Attributes
    ----------
    name : str
        The column. "target" for a target of numbers.
    part : str
        Its encoded column that moved most, such as "colour = red"; see
        :class:`sklearn_prune.data.ColumnsEncoder`.
    difference : float
        Mean of the part over the rows kept minus that over all rows, in its standard deviations
        over all rows; 0 if it is constant.
    all_rows, kept_rows : tuple of float
        Shares of rows in bins of equal width, over all rows and over those kept; two bins for a
        part of two values.
    """

    name: str
    part: str
    difference: float
    all_rows: tuple[float, ...]
    kept_rows: tuple[float, ...]


@dataclass(frozen=True)
class Represented:
    """A row, and the kept row that stands for it.

    Attributes
    ----------
    row, kept_row : int
        Positions among the training rows, counted from 0; equal for a row that is kept.
    distance : float
        Euclidean, in standard deviations of each encoded column.
    differs_in : tuple of str
        The columns in which the two rows differ most, at most three.
    """

    row: int
    kept_row: int
    distance: float
    differs_in: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """Rows in numbers that can be compared.

    Attributes
    ----------
    values : ndarray of shape (n_samples, n_encoded), float32
        As :class:`sklearn_prune.data.ColumnsEncoder` returns them.
    sources, parts : list of str
        For each of these, the column it encodes and its own name.
    support : ndarray of shape (n_samples,)
        True where a row is kept.
    weights : ndarray of shape (n_kept,)
        Weights of the kept rows.
    scales : ndarray of shape (n_encoded,)
        Standard deviation of each column over all rows.
    """

    values: Array
    sources: list[str]
    parts: list[str]
    support: Mask
    weights: Floats
    scales: Floats

    @classmethod
    def of(cls, X: Rows, support: Mask, weights: Floats, numbers: Array | None) -> EncodedRows:
        """Encode the columns of a table, and those of a target of ``numbers``."""
        encoder = ColumnsEncoder()
        values = encoder.fit_transform(X)
        sources = [
            name if isinstance(name, str) else f"column {name}" for name in encoder.source_columns()
        ]
        parts = list(encoder.get_feature_names_out())
        if numbers is not None:
            target = np.asarray(numbers, dtype=np.float32).reshape(len(values), -1)
            names = [f"target {j}" for j in range(target.shape[1])]
            names = ["target"] if len(names) == 1 else names
            values = np.c_[values, target]
            sources, parts = [*sources, *names], [*parts, *names]
        # A column at a time, as NumPy would copy the whole to float64.
        scales = np.array([column.std(dtype=np.float64) for column in values.T])
        return cls(values, sources, parts, support, weights, scales)

    def moved_columns(self) -> tuple[MovedColumn, ...]:
        """Return each column's part that moved most, the farthest first."""
        farthest: dict[str, tuple[float, int]] = {}
        for j, source in enumerate(self.sources):
            difference = self._difference(j)
            if source not in farthest or abs(difference) > abs(farthest[source][0]):
                farthest[source] = (difference, j)
        moved = sorted(farthest.items(), key=lambda item: -abs(item[1][0]))
        return tuple(self._moved(name, difference, j) for name, (difference, j) in moved)

    def _difference(self, j: int) -> float:
        values, scale = self.values[:, j], self.scales[j]
        kept = np.average(values[self.support].astype(np.float64), weights=self.weights)
        return float((kept - values.mean(dtype=np.float64)) / scale) if scale else 0.0

    def _moved(self, name: str, difference: float, j: int) -> MovedColumn:
        values = self.values[:, j].astype(np.float64)
        n_bins = 2 if len(np.unique(values)) <= 2 else _N_BINS
        low, high = np.percentile(values, _SHOWN_PERCENTILES)
        if n_bins == 2 or low == high:
            low, high = values.min(), values.max()
        edges = np.histogram_bin_edges(values, n_bins, (float(low), float(high)))
        inside = np.clip(values, edges[0], edges[-1])
        kept = np.histogram(inside[self.support], edges, weights=self.weights)[0]
        return MovedColumn(
            name,
            self.parts[j],
            difference,
            tuple((np.histogram(inside, edges)[0] / len(values)).tolist()),
            tuple((kept / self.weights.sum()).tolist()),
        )

    def nearest_kept(self, row: int, among: Mask) -> Represented:
        """Return the nearest kept row ``among`` those of a mask of shape (n_samples,)."""
        candidates = np.flatnonzero(self.support & among)
        scales = np.where(self.scales > 0, self.scales, 1.0).astype(np.float32)
        differences = (self.values[candidates] - self.values[row]) / scales
        lengths = np.sqrt((differences**2).sum(axis=1))
        nearest = int(np.argmin(lengths))
        differs_in = self._farthest_columns(differences[nearest])
        return Represented(row, int(candidates[nearest]), float(lengths[nearest]), differs_in)

    def _farthest_columns(self, differences: Floats) -> tuple[str, ...]:
        """Return the columns whose encoded ones differ most together, the farthest first."""
        squares: dict[str, float] = {}
        for source, difference in zip(self.sources, differences.tolist(), strict=True):
            squares[source] = squares.get(source, 0.0) + difference**2
        farthest = sorted(squares, key=squares.__getitem__, reverse=True)
        return tuple(name for name in farthest[:_N_NAMED] if squares[name] > 0)
