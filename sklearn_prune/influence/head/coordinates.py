"""Coordinates of all rows for a head: the operator Z, and the map from gradients to its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ..._types import Array, Positions
from ...utils import map_threads
from ..curvature.dense import DenseCurvature
from ..curvature.kronecker import KroneckerCurvature
from ..protocols import Norm
from .gradients import HeadGradients, row_blocks

# Rows of Z that a thread computes at a time.
_BLOCK_ROWS = 512


@dataclass(frozen=True)
class LinearMap:
    """The matrix M in ``z_i = M g_i / N``, given by its products with arrays (n_params, k).

    Attributes
    ----------
    forward, transposed : callable
        ``G -> M G`` and ``V -> M^T V``.
    """

    forward: Callable[[Array], Array]
    transposed: Callable[[Array], Array]


def by_curvature(curvature: DenseCurvature | KroneckerCurvature, norm: Norm) -> LinearMap:
    """Return M: ``L^-1`` for the norm "loss", with ``H = L L^T``, and ``H^-1`` for "parameter"."""
    if norm == "parameter":
        return LinearMap(curvature.solve, curvature.solve)
    return LinearMap(curvature.whiten, curvature.unwhiten)


def by_another_curvature(other: DenseCurvature, curvature: DenseCurvature, norm: Norm) -> LinearMap:
    """Return M for steps by the Hessian H~ that are measured with H.

    ``L^T H~^-1`` for the norm "loss", with ``H = L L^T``, and ``H~^-1`` for "parameter".
    """
    if norm == "parameter":
        return LinearMap(other.solve, other.solve)
    # For many rows, one product with M is faster than two solves and a product.
    matrix = other.solve(curvature.factor.astype(np.float32)).T
    return LinearMap(
        lambda G: matrix @ G if G.dtype == np.float32 else curvature.color(other.solve(G)),
        lambda V: other.solve(curvature.uncolor(V)),
    )


class HeadCoordinates(LinearOperator):
    r"""The operator Z of shape (n_samples, n_params), whose row i is ``z_i = M g_i / N``.

    ``Z^T w`` and ``Z v`` cost one pass over the design; Z itself is never computed.

    Parameters
    ----------
    gradients : HeadGradients
        ``g_i`` of all rows.
    linear_map : LinearMap
        M.
    row_norms : ndarray of shape (n_samples,), default=None
        What `row_norms` returns, instead of ``||z_i||``; None computes ``||z_i||`` when needed.
    """

    def __init__(
        self, gradients: HeadGradients, linear_map: LinearMap, row_norms: Array | None = None
    ) -> None:
        super().__init__(np.float64, gradients.shape)
        self.gradients, self._map = gradients, linear_map
        if row_norms is not None:
            self._row_norms = row_norms

    def rows(self, indices: Array) -> Array:
        """Return the rows of Z at `indices`, float32 of shape (len(indices), n_params)."""
        indices = np.asarray(indices)
        parts = np.array_split(indices, max(1, -(-len(indices) // _BLOCK_ROWS)))
        return np.concatenate(map_threads(self._rows, parts))

    def _rows(self, indices: Positions) -> Array:
        return self._map.forward(self.gradients.rows(indices).T).T

    def take(self, indices: Array) -> HeadCoordinates:
        """Return the operator of the rows at `indices` alone; N and M stay those of all rows."""
        return HeadCoordinates(self.gradients.take(indices), self._map, self.row_norms()[indices])

    def row_norms(self) -> Array:
        """Return ``||z_i||`` of every row, or the norms given; float64 of shape (n_samples,)."""
        return self._row_norms

    @cached_property
    def _row_norms(self) -> Array:
        blocks = row_blocks(np.arange(self.shape[0]), self.shape[1])
        norms = map_threads(lambda rows: np.linalg.norm(self._rows(rows), axis=1), blocks)
        return np.concatenate(norms).astype(np.float64)

    def _matmat(self, V: Array) -> Array:
        U = self._map.transposed(np.asarray(V, dtype=np.float64)) / self.gradients.weight_sum
        return self.gradients.products(U)

    def _rmatmat(self, W: Array) -> Array:
        return self._map.forward(self.gradients.sum(W)) / self.gradients.weight_sum

    def _rmatvec(self, w: Array) -> Array:
        return self._rmatmat(np.reshape(w, (-1, 1)))[:, 0]
