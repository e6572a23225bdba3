"""A Hessian approximated by a Kronecker product: cheap to solve with, exact for squared error."""

from __future__ import annotations

import numpy as np

from ..._types import Array
from ...utils import serial_blas
from .conjugate_gradients import Columns


class KroneckerCurvature:
    r"""Eigenvectors and eigenvalues of ``H = S (x) A + damping I``.

    With ``S = Q diag(s) Q^T`` and ``A = V diag(a) V^T``, H has the eigenvectors ``Q (x) V`` and
    the eigenvalues ``s_j a_k + damping``, so the damping is exact. ``L = (Q (x) V) D^(1/2)``
    whitens, ``H = L L^T``, as the Cholesky factor of `DenseCurvature` does. Parameters are
    ``theta = vec(Theta)`` row by row, Theta having a row for each output (Martens & Grosse 2015).

    Parameters
    ----------
    output_basis : array of shape (n_outputs, n_outputs)
        Q, a numpy array or a torch tensor; right-hand sides must be of the same type.
    feature_basis : array of shape (n_features, n_features)
        V.
    spectrum : array of shape (n_outputs, n_features)
        The eigenvalues of H, all positive.
    """

    def __init__(self, output_basis: Columns, feature_basis: Columns, spectrum: Columns) -> None:
        self.spectrum = spectrum
        self._bases = {spectrum.dtype: (output_basis, feature_basis, spectrum)}

    @classmethod
    def of_factors(cls, outputs: Array, features: Array, damping: float) -> KroneckerCurvature:
        """Return that of S, (n_outputs, n_outputs), and A, (n_features, n_features)."""
        with serial_blas():
            s, Q = np.linalg.eigh(outputs)
            a, V = np.linalg.eigh(features)
        return cls(Q, V, np.outer(np.maximum(s, 0), np.maximum(a, 0)) + damping)

    def rotate(self, rows: Columns) -> Columns:
        """Return ``Q^T G_i V`` for rows of shape (m, n_params), flattened."""
        Q, V, _ = self.in_dtype_of(rows)
        return (Q.T @ rows.reshape(-1, len(Q), len(V)) @ V).reshape(*rows.shape[:-1], -1)

    def unrotate(self, rows: Columns) -> Columns:
        """Return ``Q G_i V^T``, the inverse of `rotate`."""
        Q, V, spectrum = self.in_dtype_of(rows)
        return (Q @ rows.reshape(-1, *spectrum.shape) @ V.T).reshape(*rows.shape[:-1], -1)

    def solve(self, B: Columns) -> Columns:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return _turned(self.unrotate(self.rotate(_turned(B)) / self._eigenvalues(B)))

    def whiten(self, B: Columns) -> Columns:
        """Return ``L^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return _turned(self.rotate(_turned(B)) / self._eigenvalues(B) ** 0.5)

    def unwhiten(self, B: Columns) -> Columns:
        """Return ``L^-T B`` for B of shape (n_params,) or (n_params, k)."""
        return _turned(self.unrotate(_turned(B) / self._eigenvalues(B) ** 0.5))

    def _eigenvalues(self, B: Columns) -> Columns:
        return self.in_dtype_of(B)[2].reshape(-1)

    def in_dtype_of(self, B: Columns) -> tuple[Columns, Columns, Columns]:
        """Return Q, V and the spectrum in the dtype of B, in which products are computed."""
        if B.dtype not in self._bases:
            bases = self._bases[self.spectrum.dtype]
            self._bases[B.dtype] = tuple(_cast(part, B) for part in bases)
        return self._bases[B.dtype]


class RowSpaceCurvature(KroneckerCurvature):
    r"""A Kronecker product whose V spans only the directions of the rows' features.

    In all other directions H is ``damping I``. Whitening is by the symmetric root ``L = H^(1/2)``,
    which needs no basis of these directions.

    Parameters
    ----------
    output_basis, feature_basis, spectrum
        As in `KroneckerCurvature`, with a feature basis of shape (n_features, n_directions) and a
        spectrum of shape (n_outputs, n_directions).
    damping : float
        The eigenvalue of H in all other directions.
    """

    def __init__(
        self, output_basis: Columns, feature_basis: Columns, spectrum: Columns, damping: float
    ) -> None:
        super().__init__(output_basis, feature_basis, spectrum)
        self.damping = damping

    def solve(self, B: Columns) -> Columns:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return self._times_power(B, -1.0)

    def whiten(self, B: Columns) -> Columns:
        """Return ``H^(-1/2) B`` for B of shape (n_params,) or (n_params, k)."""
        return self._times_power(B, -0.5)

    unwhiten = whiten

    def _times_power(self, B: Columns, power: float) -> Columns:
        inside = self.rotate(_turned(B))
        scaled = inside * (self._eigenvalues(B) ** power - self.damping**power)
        return B * self.damping**power + _turned(self.unrotate(scaled))


def _cast(part: Columns, B: Columns) -> Columns:
    return part.astype(B.dtype) if isinstance(part, np.ndarray) else part.to(B.dtype)


def _turned(B: Columns) -> Columns:
    """Return the transpose; a vector stays as it is."""
    return B.swapaxes(0, -1)
