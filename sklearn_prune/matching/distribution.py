r"""The joint distribution of rows and labels, as coordinates to match beside the influences.

The kernel mean embedding of (x, y) is the mean of ``t(y) ⊗ φ(x)``. The distance that it moves when
rows are dropped is a maximum mean discrepancy. It bounds the change of the mean loss of *every*
model whose loss lies in the kernel's space (Gretton et al. 2012), which the influence on one head
does not. It has the form of a head's gradients, with t(y) in the place of the residual and φ(x) in
the place of the features.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator
from sklearn.utils import gen_batches

from .._types import Array, Floats, Integers, Positions
from ..utils import map_threads, position_blocks
from .feature_maps import (
    CHUNK,
    FITTED_ROWS,
    FeatureMap,
    FourierFeatures,
    LeafIndicators,
    Table,
    WhitenedKernelColumns,
)
from .features import Features, TableFeatures


class DistributionEmbedding(LinearOperator):
    r"""The operator B of shape (n_samples, n_labels * n_features).

    Row i is the term of row i in the centred mean embedding,

    .. math:: b_i = \frac{ν_i}{N} \big( t_i \otimes φ_i - μ \big), \qquad
              μ = \frac 1N \sum_j ν_j\, t_j \otimes φ_j

    so that the embedding of the kept rows is ``μ - N/(N - Σ ν_i w_i) Bᵀw``. The first feature is 1,
    so that the mean label is matched. The other features are centred; those of each map are scaled
    so that their variances sum to 1.

    Parameters
    ----------
    features : TableFeatures
        ``φ_i``, not scaled yet; they are scaled here.
    labels : ndarray of shape (n_samples, n_labels)
        ``t_i``: one-hot classes, or ``[1, y]``.
    sample_weight : ndarray of shape (n_samples,)
        ν.
    """

    def __init__(self, features: TableFeatures, labels: Floats, sample_weight: Floats) -> None:
        self._features = features
        self.labels = np.asarray(labels, dtype=np.float32)
        self.sample_weight = sample_weight
        self.weight_sum = float(sample_weight.sum())
        self._scale_features()
        super().__init__(np.float64, (len(self.labels), self._centre.size))
        self._measure_rows()

    def labelled(self, labels: Floats) -> DistributionEmbedding:
        """Return the embedding of the same rows with other labels ``t_i``."""
        part = copy.copy(self)
        part.labels = np.asarray(labels, dtype=np.float32)
        part.shape = (len(part.labels), part.labels.shape[1] * self._centre.shape[1])
        part._centre = part._moment(self.sample_weight) / self.weight_sum
        part._measure_rows()
        return part

    def on(
        self, table: Table, labels: Floats, sample_weight: Floats, weight_sum: float
    ) -> DistributionEmbedding:
        """Return the embedding of other rows, which may be a part of more.

        The features and μ stay those of these rows; N is ``weight_sum``.
        """
        part = copy.copy(self)
        part._features, part.weight_sum = self._features.of(table, len(labels)), weight_sum
        part.labels, part.sample_weight = np.asarray(labels, dtype=np.float32), sample_weight
        part.shape = (len(part.labels), self.shape[1])
        # Many parts are only added up, for which the norms are not needed.
        part._norms = None
        return part

    def among(self, indices: Integers) -> DistributionEmbedding:
        """Return the embedding of the rows at `indices` as if there were no other rows."""
        part = self.take(indices)
        part.weight_sum = float(part.sample_weight.sum())
        return part.labelled(part.labels)

    def aimed_at(self, mean: Floats) -> DistributionEmbedding:
        """Return the embedding with another mean in the place of μ, shape (n_labels, n_features).

        The sum of all rows of B is then no longer zero, but the difference of the two means.
        """
        part = copy.copy(self)
        part._centre = mean
        part._measure_rows()
        return part

    @property
    def mean(self) -> Floats:
        """Return μ, of shape (n_labels, n_features); its first column is the mean label."""
        return self._centre

    @property
    def row_bytes(self) -> int:
        """Bytes that the features of a row take when they are stored."""
        return self._features.row_bytes

    def _scale_features(self) -> None:
        """Centre the features, scale those of each map, and set μ."""

        def moments(rows: slice) -> tuple[Floats, Floats]:
            features, weight = self._features[rows], self.sample_weight[rows].astype(np.float32)
            labels = np.column_stack([np.ones_like(weight), self.labels[rows]])
            return features.sums(weight[:, None] * labels), features.column_squares(weight)

        batches = map_threads(moments, self._features.batches())
        sums, squares = (
            np.asarray(np.sum(parts, axis=0, dtype=np.float64)) / self.weight_sum
            for parts in zip(*batches, strict=True)
        )
        label_mean = self.sample_weight @ self.labels.astype(np.float64) / self.weight_sum
        mean, factor = sums[0], np.ones(len(squares))
        # The first feature, 1, stays.
        mean[0] = 0.0
        for columns in self._features.columns[1:]:
            square = squares[columns].sum()
            variance = square - mean[columns] @ mean[columns]
            # A smaller variance is nothing but rounding of float32 sums.
            factor[columns] = 1 / np.sqrt(variance) if variance > 1e-5 * square else 0.0
        self._centre: Floats = (sums[1:] - np.outer(label_mean, mean)) * factor
        self._centre[:, 0] = label_mean
        self._features.scale(mean.astype(np.float32), factor.astype(np.float32))

    def rows(self, indices: Positions) -> Floats:
        """Return the rows of B at `indices`, float32 of shape (len(indices), n_columns)."""
        features, labels = self._features[indices].toarray(), self.labels[indices]
        products = (labels[:, :, None] * features[:, None, :]).reshape(len(labels), -1)
        products -= self._centre.ravel().astype(np.float32)
        products *= self._share(indices)[:, None]
        return products

    def gram(self) -> Floats:
        """Return ``B Bᵀ``, float32; the rows should be few.

        No row of B is made: ``(t_i ⊗ φ_i)·(t_j ⊗ φ_j) = (t_i·t_j)(φ_i·φ_j)``.
        """
        everything = slice(None)
        features, labels = self._features[everything].toarray(), self.labels
        share, centre = self._share(everything), self._centre.astype(np.float32)
        crossed = np.einsum("ij,ij->i", features @ centre.T, labels)
        gram: Floats = features @ features.T
        gram *= labels @ labels.T
        gram -= crossed[:, None] + crossed[None, :] - np.sum(centre**2)
        gram *= share[:, None] * share[None, :]
        return gram

    def take(self, indices: Positions) -> DistributionEmbedding:
        """Return the operator of the rows at `indices` alone; N and μ stay those of all rows."""
        part = copy.copy(self)
        part.labels, part.sample_weight = self.labels[indices], self.sample_weight[indices]
        part._norms = None if self._norms is None else self._norms[indices]
        part._features = self._features.take(indices)
        part.shape = (len(part.labels), self.shape[1])
        return part

    def row_norms(self) -> Floats:
        """Return ``‖b_i‖`` of every row, of shape (n_samples,)."""
        if self._norms is None:
            self._measure_rows()
        assert self._norms is not None
        return self._norms

    def _share(self, rows: Positions) -> Floats:
        return (self.sample_weight[rows] / self.weight_sum).astype(np.float32)

    def _measure_rows(self) -> None:
        norms = map_threads(self._norms_of, self._features.batches())
        self._norms: Floats | None = np.concatenate(norms)

    def _norms_of(self, rows: slice) -> Floats:
        features, labels = self._features[rows], self.labels[rows]
        squared = np.einsum("ij,ij->i", labels, labels) * features.squared_norms()
        squared -= 2 * np.einsum("ij,ij->i", features @ self._centre.T, labels)
        squared = squared.astype(np.float64) + float(np.sum(self._centre**2))
        return np.sqrt(np.maximum(squared, 0.0)) * self._share(rows)

    def _moment(self, w: Floats) -> Floats:
        """Return ``Σ w_i t_i φ_iᵀ``, float64 of shape (n_labels, n_features)."""

        def moment(rows: Positions) -> Floats:
            weighted = self.labels[rows] * w[rows, None].astype(np.float32)
            return self._features[rows].sums(weighted).astype(np.float64)

        # A set of few rows costs a pass over these rows only.
        batches = position_blocks(np.flatnonzero(w), CHUNK)
        zeros = np.zeros((self.labels.shape[1], self._centre.shape[1]))
        return sum(map_threads(moment, batches), start=zeros)

    def _scores(self, features: Features, labels: Floats, share: Floats, v: Floats) -> Floats:
        V = np.reshape(v, self._centre.shape)
        centred = float(np.sum(V * self._centre))
        products = np.einsum("ij,ij->i", features @ V.T, labels)
        return (products - np.float32(centred)) * share

    def _matvec(self, v: Floats) -> Floats:
        def scores(rows: slice) -> Floats:
            return self._scores(self._features[rows], self.labels[rows], self._share(rows), v)

        return np.concatenate(map_threads(scores, self._features.batches())).astype(np.float64)

    def _matmat(self, V: Floats) -> Floats:
        # One pass over the rows, not one for each column.
        batches = [
            self.rows(np.arange(len(self.labels))[rows]) for rows in self._features.batches()
        ]
        return np.concatenate([rows @ V for rows in batches])

    def _rmatvec(self, w: Floats) -> Floats:
        weighted = np.ravel(w) * self.sample_weight
        moment = self._moment(weighted) - weighted.sum() * self._centre
        return moment.ravel() / self.weight_sum

    def _rmatmat(self, W: Floats) -> Floats:
        # With many classes each product is long, and scipy would copy it twice.
        products = np.empty((self.shape[1], W.shape[1]))
        for column, w in enumerate(W.T):
            products[:, column] = self._rmatvec(w)
        return products


def embed_distribution(
    table: Table,
    y: Array,
    sample_weight: Floats,
    *,
    is_labels: bool,
) -> DistributionEmbedding:
    """Return the joint embedding of the inputs of the heads and of the target.

    Parameters
    ----------
    table : Table
        The inputs of the heads.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes, or numbers; several labels are columns of 0 and 1.
    sample_weight : ndarray of shape (n_samples,)
        ν.
    is_labels : bool
        Whether y holds class codes.
    """
    targets = y if is_labels else standardised(y, sample_weight)
    labels = target_labels(y, sample_weight, is_labels=is_labels)
    return embed_labels(table, targets, labels, sample_weight, is_labels=is_labels)


def embed_labels(
    table: Table, targets: Array, labels: Floats, sample_weight: Floats, *, is_labels: bool
) -> DistributionEmbedding:
    """Do what `embed_distribution` does with the labels ``t_i`` given.

    ``targets`` are what trees are grown on: class codes, or numbers.
    """
    # A constant seed, so that the features depend on the data alone.
    rng = np.random.default_rng(0)
    maps: list[FeatureMap] = [
        FourierFeatures.fit(table, rng),
        LeafIndicators.fit(table, targets, rng, is_labels=is_labels),
    ]
    features = TableFeatures(table, maps, len(labels))
    return DistributionEmbedding(features, labels, sample_weight)


def embed_nonlinear_head(
    table: Table,
    y: Array,
    sample_weight: Floats,
    *,
    is_labels: bool,
    learned: Floats | None = None,
) -> DistributionEmbedding:
    r"""Return the influences of all rows on a ridge regression with kernel columns.

    It predicts one-hot classes, or standardised numbers, from the columns and 150 kernel columns.
    With whitened features ``φ = L⁻¹ f`` and the residual r in the place of the label, ``r_i ⊗ φ_i``
    is ``L⁻¹ g_i`` up to the scales of :class:`DistributionEmbedding`, so dropping rows that sum to
    zero leaves this model unchanged. Like most other models, it finds signal in what is noise to a
    linear head.

    Parameters
    ----------
    table, y, sample_weight, is_labels
        As in :func:`embed_distribution`.
    learned : ndarray of shape (n_samples, n_targets), default=None
        Targets that the regression is fitted to instead, in the same units. Residuals are still
        those of the targets.
    """
    targets = np.eye(int(y.max()) + 1)[y] if is_labels else standardised(y, sample_weight)
    _, embedding = NonlinearHead.fit_embed(table, targets, sample_weight, learned=learned)
    return embedding


@dataclass(frozen=True, eq=False)
class NonlinearHead:
    """A ridge regression with kernel columns; see `embed_nonlinear_head`.

    Attributes
    ----------
    features : WhitenedKernelColumns
        φ.
    mean : ndarray of shape (n_targets,)
        Mean of the targets that it was fitted to.
    coefficients : ndarray of shape (n_features, n_targets)
        Of the features.
    """

    features: WhitenedKernelColumns
    mean: Floats
    coefficients: Floats

    @classmethod
    def fit_embed(
        cls,
        table: Table,
        targets: Floats,
        sample_weight: Floats,
        *,
        learned: Floats | None = None,
    ) -> tuple[NonlinearHead, DistributionEmbedding]:
        """Fit it, and return it and the influences of all rows on it.

        Parameters
        ----------
        table, sample_weight, learned
            As in `embed_nonlinear_head`.
        targets : ndarray of shape (n_samples, n_targets)
            One-hot classes, or standardised numbers.
        """
        learned = targets if learned is None else learned
        rng = np.random.default_rng(0)
        columns = WhitenedKernelColumns.fit(table, rng)
        features = TableFeatures(table, [columns], len(targets))
        share = sample_weight / sample_weight.sum()
        mean = share @ learned
        some = table.some(FITTED_ROWS, rng)
        weighted = share[some, None] * (learned - mean)[some]

        def moment(batch: slice) -> Floats:
            return features[some[batch]].dense[:, 1:].T @ weighted[batch]

        # Whitened columns are orthonormal, so the coefficients are φᵀ t.
        moments = map_threads(moment, list(gen_batches(len(some), CHUNK)))
        head = cls(columns, mean, sum(moments) / share[some].sum())
        residuals = head._residuals(features, targets)
        return head, DistributionEmbedding(features, residuals, sample_weight)

    def residuals(self, table: Table, targets: Floats) -> Floats:
        """Return the targets of all rows of a table less what is predicted for them."""
        return self._residuals(TableFeatures(table, [self.features], len(targets)), targets)

    def _residuals(self, features: TableFeatures, targets: Floats) -> Floats:
        def fitted(rows: slice) -> Floats:
            return features[rows] @ np.vstack([self.mean, self.coefficients])

        return targets - np.concatenate(map_threads(fitted, features.batches()))


def target_labels(
    y: Array,
    sample_weight: Floats,
    *,
    is_labels: bool,
    strata: Integers | None = None,
) -> Floats:
    """Return the labels ``t_i``, of shape (n_samples, n_labels).

    One-hot classes, or ``[1, y]`` with y standardised. ``strata`` gives the pair of class and group
    (for a regression, the group) of each row; one-hot strata then replace the classes or the 1.
    """
    codes = strata if strata is not None else y if is_labels else np.zeros(len(y), dtype=np.int64)
    one_hot = np.eye(int(codes.max()) + 1, dtype=np.float32)[codes]
    if is_labels:
        return one_hot
    return np.hstack([one_hot, standardised(y, sample_weight)]).astype(np.float32)


def standardised(y: Array, sample_weight: Floats) -> Floats:
    """Return y as columns of mean 0 and variance 1, of shape (n_samples, n_outputs)."""
    columns = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    share = sample_weight / sample_weight.sum()
    columns = columns - share @ columns
    deviation = np.sqrt(share @ columns**2)
    return columns / np.where(deviation > 0, deviation, 1.0)
