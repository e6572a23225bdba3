"""The coordinates in which rows of any partition are matched: influences and distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .._types import Floats, Integers
from ..influence import (
    DenseCurvature,
    HeadCoordinates,
    HeadGradients,
    KroneckerCurvature,
    LinearMap,
    Norm,
    WideHeadCoordinates,
)
from ..matching import DistributionEmbedding, NonlinearHead, Table, embed_labels
from ..selection import Coordinates
from .reading import ReadRows, RowReader

# Rows whose coordinates are computed at a time in a pass over all rows.
CHUNK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class HeadMap:
    """From rows to their influences on a head; see `HeadCoordinates`.

    Attributes
    ----------
    theta : ndarray of shape (n_outputs, n_features)
        The head of all rows, or of reference rows.
    centre : ndarray of shape (n_params,)
        As in `HeadGradients`.
    weight_sum : float
        N, of all rows.
    curvature : DenseCurvature or KroneckerCurvature
        H of all rows, or of a wide head what approximates it.
    norm : {"loss", "parameter"}
        How a change is measured.
    linear_map : LinearMap
        M in ``z_i = M g_i / N``.
    """

    theta: Floats
    centre: Floats
    weight_sum: float
    curvature: DenseCurvature | KroneckerCurvature
    norm: Norm
    linear_map: LinearMap

    def gradient(self, z: Floats) -> Floats:
        """Return the sum of ``g_i / N`` whose influences sum to z; not after `with_map`.

        Only with a dense curvature.
        """
        assert isinstance(self.curvature, DenseCurvature)
        if self.norm == "loss":
            return self.curvature.uncolor(z)
        return self.curvature.hessian() @ z

    def influences(self, reader: RowReader, rows: ReadRows) -> HeadCoordinates:
        """Return the influences of some rows."""
        objective = reader.objective(rows, 0.0, self.weight_sum)
        gradients = HeadGradients(objective, self.theta, self.centre)
        if isinstance(self.curvature, KroneckerCurvature):
            return WideHeadCoordinates(gradients, self.curvature, self.norm)
        return HeadCoordinates(gradients, self.linear_map)


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """From rows to their terms in the mean embedding, and in that of a nonlinear head.

    Features, their means and scales come from a sample of the rows, and so does μ, which all terms
    are relative to. It cancels in all that is compared.

    Attributes
    ----------
    table : Table
        Of no rows, with the scales of the sample.
    distribution : DistributionEmbedding
        Of a single row, with the features of the sample.
    nonlinear : DistributionEmbedding or None
        The same for the nonlinear head; None if it is not matched.
    nonlinear_head : NonlinearHead or None
        Fitted on the sample.
    weight_sum : float
        N, of all rows.
    """

    table: Table
    distribution: DistributionEmbedding
    nonlinear: DistributionEmbedding | None
    nonlinear_head: NonlinearHead | None
    weight_sum: float

    @classmethod
    def fit(
        cls,
        reader: RowReader,
        sample: ReadRows,
        weight_sum: float,
        *,
        is_alone: bool,
        taught: Floats | None = None,
    ) -> EmbeddingMap:
        """Fit all features on a sample; ``is_alone`` leaves out the nonlinear head.

        That is fitted to the targets ``taught``, if they are given, of shape (n_rows, n_targets).
        """
        table = Table([sample.design], sample.sample_weight)
        has_classes = reader.classes is not None
        distribution = embed_labels(
            table, sample.target, reader.labels(sample), sample.sample_weight, is_labels=has_classes
        )
        # One row, since no features can be made of none.
        nonlinear, head, one = None, None, np.arange(1)
        if not is_alone:
            head, embedding = NonlinearHead.fit_embed(
                table, reader.learned(sample), sample.sample_weight, learned=taught
            )
            nonlinear = embedding.take(one)
        # The rows of the sample need not travel to the workers.
        table = table.of([sample.design[:0]], sample.sample_weight[:0])
        return cls(table, distribution.take(one), nonlinear, head, weight_sum)

    def table_of(self, rows: ReadRows) -> Table:
        """Return the inputs of the head, scaled as those of the sample."""
        return self.table.of([rows.design], rows.sample_weight)

    def terms(self, reader: RowReader, rows: ReadRows) -> list[DistributionEmbedding]:
        """Return the embeddings of some rows."""
        return self._terms(rows, reader.labels(rows), reader.learned(rows))

    def taught(self, rows: ReadRows, targets: Floats) -> list[DistributionEmbedding]:
        """Return those of the rows with other targets, of shape (n_rows, n_targets); no groups."""
        n_ones = self.distribution.labels.shape[1] - targets.shape[1]
        labels = np.hstack([np.ones((len(rows), n_ones)), targets])
        return self._terms(rows, labels, targets)

    def _terms(
        self, rows: ReadRows, labels: Floats, learned: Floats
    ) -> list[DistributionEmbedding]:
        table, weights, total = self.table_of(rows), rows.sample_weight, self.weight_sum
        terms = [self.distribution.on(table, labels, weights, total)]
        if self.nonlinear is not None and self.nonlinear_head is not None:
            residuals = self.nonlinear_head.residuals(table, learned)
            terms.append(self.nonlinear.on(table, residuals, weights, total))
        return terms

    def means_with(self, sums: Sequence[Floats]) -> list[Floats]:
        """Return the means of all rows, whose terms sum to these."""
        means = [part.mean for part in self._parts]
        return [m + s.reshape(m.shape) for m, s in zip(means, sums, strict=True)]

    def aimed_at(self, means: Sequence[Floats]) -> EmbeddingMap:
        """Return the same with terms relative to other means."""
        distribution, *others = (
            part.aimed_at(mean) for part, mean in zip(self._parts, means, strict=True)
        )
        return replace(self, distribution=distribution, nonlinear=others[0] if others else None)

    @property
    def _parts(self) -> list[DistributionEmbedding]:
        return [self.distribution, *([] if self.nonlinear is None else [self.nonlinear])]


@dataclass(frozen=True, eq=False)
class RowMaps:
    """From a block to the coordinates of its rows.

    Attributes
    ----------
    reader : RowReader
        Reads blocks.
    head : HeadMap or None
        None if the distribution alone is matched.
    embedding : EmbeddingMap or None
        None if the head alone is matched.
    ratios : tuple of float
        What each embedding is multiplied by; see `SelectionProblem`.
    scale : float
        Length of one unit.
    """

    reader: RowReader
    head: HeadMap | None
    embedding: EmbeddingMap | None
    ratios: tuple[float, ...] = ()
    scale: float = 1.0

    def scaled_on(self, sample: ReadRows, balance_weight: float) -> RowMaps:
        """Return the same with the ratios and the unit that suit a sample of the rows."""
        first, *others = self._operators(sample)
        coordinates = Coordinates(first)
        if others:
            coordinates = coordinates.beside(others, balance_weight)
        return replace(self, ratios=tuple(coordinates.ratios), scale=coordinates.scale)

    def coordinates(self, rows: ReadRows) -> Coordinates:
        """Return the coordinates of some rows; their offset is zero."""
        first, *others = self._operators(rows)
        return Coordinates(first, others, ratios=self.ratios, scale=self.scale)

    def totals(self, rows: ReadRows, w: Floats) -> Floats:
        """Return the sums of the coordinates with weights w, of shape (n_coordinates, n_sums).

        ``w`` has the shape (n_rows, n_sums). Rows without weight cost nothing.
        """
        counting = np.flatnonzero(w.any(axis=1))
        chunks = [counting[i : i + CHUNK_ROWS] for i in range(0, len(counting), CHUNK_ROWS)]
        totals = np.zeros((sum(self._widths()), w.shape[1]))
        factors = np.array([1.0, *self.ratios]) / self.scale
        for chunk in chunks:
            operators = self._operators(rows.take(chunk))
            totals += np.vstack(
                [
                    f * (operator.T @ w[chunk])
                    for f, operator in zip(factors, operators, strict=True)
                ]
            )
        return totals

    def lengths(self, rows: ReadRows) -> Floats:
        """Return the norm of each row's first block of coordinates, of shape (n_rows,)."""
        if self.head is not None:
            return self.head.influences(self.reader, rows).row_norms()
        assert self.embedding is not None
        return self.embedding.terms(self.reader, rows)[0].row_norms()

    def part(self, sums: Floats, position: int) -> Floats:
        """Return what sums of coordinates hold of one block, in its own unit."""
        bounds = np.cumsum(self._widths())[:-1]
        ratio = (1.0, *self.ratios)[position]
        return np.split(sums, bounds)[position] * self.scale / ratio

    def _widths(self) -> list[int]:
        widths = [] if self.head is None else [self.head.theta.size]
        if self.embedding is not None:
            widths.append(self.embedding.distribution.shape[1])
            if self.embedding.nonlinear is not None:
                widths.append(self.embedding.nonlinear.shape[1])
        return widths

    def with_map(self, linear_map: LinearMap) -> RowMaps:
        """Return the same with another M."""
        assert self.head is not None
        return replace(self, head=replace(self.head, linear_map=linear_map))

    def with_less_balance(self, share: float) -> RowMaps:
        """Return the same with this share of each embedding's ratio."""
        return replace(self, ratios=tuple(share * ratio for ratio in self.ratios))

    def converted(self, sums: Floats, other: RowMaps) -> Floats:
        """Return sums of coordinates as they are in other maps of the same features.

        Not after `with_map`.
        """
        parts = np.split(sums, np.cumsum(self._widths())[:-1])
        if self.head is not None and other.head is not None and other.head is not self.head:
            parts[0] = other.head.linear_map.forward(self.head.gradient(parts[0]))
        for b, (before, after) in enumerate(zip(self.ratios, other.ratios, strict=True), 1):
            parts[b] = after / before * parts[b]
        return np.concatenate(parts)

    def _operators(self, rows: ReadRows) -> list[LinearOperator]:
        operators: list[LinearOperator] = []
        if self.head is not None:
            operators.append(self.head.influences(self.reader, rows))
        if self.embedding is not None:
            operators.extend(self.embedding.terms(self.reader, rows))
        return operators


def chunks_of(n_rows: int) -> list[Integers]:
    """Return the positions of the rows, some at a time."""
    return [
        np.arange(start, min(start + CHUNK_ROWS, n_rows)) for start in range(0, n_rows, CHUNK_ROWS)
    ]
