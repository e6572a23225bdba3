"""A Hessian taken for a Kronecker product: for heads whose dense Hessian does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...losses import Array


class KroneckerCurvature:
    r"""Eigenvectors and eigenvalues of ``H = S (x) A + damping I``.

    With ``S = Q diag(s) Q^T`` and ``A = V diag(a) V^T``, H has the eigenvectors ``Q (x) V`` and
    the eigenvalues ``s_j a_k + damping``, so the damping is exact. ``L = (Q (x) V) D^(1/2)``
    whitens, ``H = L L^T``, as the Cholesky factor of `DenseCurvature` does. Parameters are
    ``theta = vec(Theta)`` row by row, Theta having a row for each output (Martens & Grosse 2015).

    Parameters
    ----------
    output_basis : array of shape (n_outputs, n_outputs)
        Q, numpy or torch; what is solved for must be of the same kind.
    feature_basis : array of shape (n_features, n_features)
        V.
    spectrum : array of shape (n_outputs, n_features)
        The eigenvalues of H, all positive.
    """

    def __init__(self, output_basis: Any, feature_basis: Any, spectrum: Any) -> None:
        self.spectrum = spectrum
        self._bases = {spectrum.dtype: (output_basis, feature_basis, spectrum)}

    @classmethod
    def from_factors(
        cls, output_curvature: Array, feature_moment: Array, damping: float
    ) -> KroneckerCurvature:
        """Return the curvature of ``S (x) A + damping I``, negative eigenvalues taken for 0.

        Parameters
        ----------
        output_curvature : ndarray of shape (n_outputs, n_outputs)
            S, the mean second derivative of the loss in the outputs.
        feature_moment : ndarray of shape (n_features, n_features)
            A, the mean of ``a_i a_i^T``.
        damping : float
            Positive.
        """
        s, Q = np.linalg.eigh(output_curvature)
        a, V = np.linalg.eigh(feature_moment)
        return cls(Q, V, np.outer(np.maximum(s, 0), np.maximum(a, 0)) + damping)

    def rotate(self, rows: Any) -> Any:
        """Return ``Q^T G_i V`` for rows of shape (m, n_params), flattened."""
        Q, V, _ = self._in_dtype_of(rows)
        return (Q.T @ rows.reshape(-1, len(Q), len(V)) @ V).reshape(*rows.shape[:-1], -1)

    def unrotate(self, rows: Any) -> Any:
        """Return ``Q G_i V^T``, the inverse of `rotate`."""
        Q, V, spectrum = self._in_dtype_of(rows)
        return (Q @ rows.reshape(-1, *spectrum.shape) @ V.T).reshape(*rows.shape[:-1], -1)

    def solve(self, B: Any) -> Any:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return _turned(self.unrotate(self.rotate(_turned(B)) / self._eigenvalues(B)))

    def whiten(self, B: Any) -> Any:
        """Return ``L^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return _turned(self.rotate(_turned(B)) / self._eigenvalues(B) ** 0.5)

    def unwhiten(self, B: Any) -> Any:
        """Return ``L^-T B`` for B of shape (n_params,) or (n_params, k)."""
        return _turned(self.unrotate(_turned(B) / self._eigenvalues(B) ** 0.5))

    def quadratic_form(self, delta: Any) -> float:
        """Return ``delta^T H delta`` for delta of shape (n_params,)."""
        return float((self.rotate(delta) ** 2 * self._eigenvalues(delta)).sum())

    def _eigenvalues(self, B: Any) -> Any:
        return self._in_dtype_of(B)[2].reshape(-1)

    def _in_dtype_of(self, B: Any) -> tuple[Any, Any, Any]:
        """Return bases and spectrum in the dtype of B, so that products are taken in it."""
        if B.dtype not in self._bases:
            own = self._bases[self.spectrum.dtype]
            self._bases[B.dtype] = tuple(_cast(part, B.dtype) for part in own)
        return self._bases[B.dtype]


class RowSpaceCurvature(KroneckerCurvature):
    r"""The same where V holds only the features' directions that rows have.

    In all others H is ``damping I``. H is whitened by its symmetric root, ``L = H^(1/2)``, so that
    coordinates need no basis of these.

    Parameters
    ----------
    output_basis, feature_basis, spectrum
        As in `KroneckerCurvature`, with a feature basis of shape (n_features, n_directions) and a
        spectrum of shape (n_outputs, n_directions).
    damping : float
        The eigenvalue in all other directions.
    """

    def __init__(
        self, output_basis: Array, feature_basis: Array, spectrum: Array, damping: float
    ) -> None:
        super().__init__(output_basis, feature_basis, spectrum)
        self.damping = damping

    def solve(self, B: Array) -> Array:
        """Return ``H^-1 B`` for B of shape (n_params,) or (n_params, k)."""
        return self._times_power(B, -1.0)

    def whiten(self, B: Array) -> Array:
        """Return ``H^(-1/2) B`` for B of shape (n_params,) or (n_params, k)."""
        return self._times_power(B, -0.5)

    unwhiten = whiten

    def quadratic_form(self, delta: Array) -> float:
        """Return ``delta^T H delta`` for delta of shape (n_params,)."""
        return float(delta @ self._times_power(delta, 1.0))

    def _times_power(self, B: Array, power: float) -> Array:
        inside = self.rotate(_turned(B))
        scaled = inside * (self._eigenvalues(B) ** power - self.damping**power)
        return B * self.damping**power + _turned(self.unrotate(scaled))


def _turned(B: Any) -> Any:
    """Return the transpose; a vector stays as it is."""
    return B.swapaxes(0, -1)


def _cast(part: Any, dtype: Any) -> Any:
    return part.astype(dtype) if isinstance(part, np.ndarray) else part.to(dtype)
