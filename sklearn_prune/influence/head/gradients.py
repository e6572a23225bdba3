"""The gradients of all rows with respect to a head's parameters, stored as thin factors."""

from __future__ import annotations

import copy

import numpy as np

from ..._types import Array, Positions
from ...utils import map_threads, position_blocks
from .objective import HeadObjective

# Numbers in one block of rows: 64 MB in float32.
BLOCK_SIZE = 16_000_000


class HeadGradients:
    r"""Centred gradients ``g_i = nu_i (r_i a_i^T - mean)`` of all rows, as operations on factors.

    ``r_i`` is the residual and ``a_i`` the features of row i. No array of shape (n_samples,
    n_params) is made. Only `rows` divides by N.

    Parameters
    ----------
    objective : HeadObjective
        The objective on the rows.
    theta : ndarray of shape (n_outputs, n_features)
        Parameters of the head.
    centre : ndarray of shape (n_params,)
        Minus the mean of ``r a^T``; times its weight, it is added to every row. See `centre_of`.

    Attributes
    ----------
    residual : ndarray of shape (n_samples, n_outputs)
        ``nu_i r_i``.
    """

    def __init__(self, objective: HeadObjective, theta: Array, centre: Array) -> None:
        self.design, self.sample_weight = objective.design, objective.sample_weight
        self.weight_sum = objective.weight_sum
        self.residual = objective.sample_weight[:, None] * objective.residual(theta)
        self.centre = centre

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_samples, n_params)``."""
        return len(self.design), len(self.centre)

    def take(self, indices: Array) -> HeadGradients:
        """Return the gradients of the rows at `indices` alone, centred as they are here."""
        part = copy.copy(self)
        part.design, part.residual = self.design[indices], self.residual[indices]
        part.sample_weight = self.sample_weight[indices]
        return part

    def rows(self, indices: Positions) -> Array:
        """Return ``g_i / N`` of the rows at `indices`, float32 of shape (n_rows, n_params)."""
        features = self.design[indices].astype(np.float32, copy=False)
        residual = self.residual[indices].astype(np.float32)
        gradients = (residual[:, :, None] * features[:, None, :]).reshape(len(features), -1)
        weights = self.sample_weight[indices].astype(np.float32)
        gradients += weights[:, None] * self.centre.astype(np.float32)
        gradients /= np.float32(self.weight_sum)
        return gradients

    def sum(self, w: Array) -> Array:
        """Return ``sum_i w_i g_i`` in float64, for w of shape (n_samples,) or (n_samples, k).

        Not divided by N.
        """
        W = np.asarray(w, dtype=np.float64).reshape(len(self.design), -1)
        width = self.residual.shape[1] * W.shape[1]

        def terms(rows: Positions) -> Array:
            features = self.design[rows].astype(np.float64, copy=False)
            weighted = W[rows, :, None] * self.residual[rows, None, :]
            return features.T @ weighted.reshape(len(features), -1)

        # A set of few rows costs a pass over those rows only.
        blocks = row_blocks(np.flatnonzero(W.any(axis=1)), width)
        zeros = np.zeros((self.design.shape[1], width))
        total = sum(map_threads(terms, blocks), start=zeros)
        sums = total.T.reshape(W.shape[1], -1).T
        sums += np.outer(self.centre, self.sample_weight @ W)
        return sums[:, 0] if np.ndim(w) == 1 else sums

    def products(self, U: Array) -> Array:
        """Return ``g_i u`` of every row, shape (n_samples, k), for U of shape (n_params, k).

        Not divided by N. The pass over the rows runs in the design's own dtype.
        """
        n_outputs, k = self.residual.shape[1], U.shape[1]
        by_output = U.reshape(n_outputs, -1, k)
        by_feature = by_output.swapaxes(0, 1).reshape(by_output.shape[1], -1)
        by_feature = by_feature.astype(self.design.dtype)

        def products(rows: Positions) -> Array:
            residual, outputs = self.residual[rows], self.design[rows] @ by_feature
            return np.einsum("ij,ijk->ik", residual, outputs.reshape(*residual.shape, k))

        blocks = row_blocks(np.arange(len(self.design)), n_outputs * k)
        result = np.concatenate(map_threads(products, blocks))
        return result + np.outer(self.sample_weight, self.centre @ U)


def centre_of(gradient: Array, theta: Array, damping: float) -> Array:
    """Return minus the weighted mean of ``r a^T``, from the gradient of the damped mean loss."""
    return -(gradient - damping * theta).ravel()


def row_blocks(indices: Array, width: int) -> list[Positions]:
    """Split `indices` into blocks, so that an array of `width` numbers per row stays small."""
    return position_blocks(indices, max(1, min(2048, BLOCK_SIZE // width)))
