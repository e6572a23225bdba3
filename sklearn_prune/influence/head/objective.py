"""The training objective of a network's last layer (the head), on features that stay fixed."""

from __future__ import annotations

import copy
from functools import cached_property, partial

import numpy as np
from sklearn.utils import gen_batches

from ..._types import Array
from ...losses import HeadLoss, NonConvexLossWarning, OutputHessians, TorchLoss
from ...utils import map_chunks, map_threads, warn_user

# Rows read at a time: their copy in float64 stays in a core's cache until it has been used.
CHUNK = 2048
# From this many features per row on, an orthonormal basis of the rows pays; it may hold this many
# numbers (0.8 GB).
_WIDE, _MAX_BASIS = 2, 100_000_000


class HeadObjective:
    r"""Damped mean loss of a linear head, and its derivatives.

    ``J(Theta) = (1/N) sum_i nu_i l(Theta a_i, y_i) + (damping/2) ||Theta||^2``

    with ``N = sum_i nu_i``. Gradient ``(1/N) sum nu_i r_i a_i^T + damping Theta``, Hessian
    ``(1/N) sum nu_i C_i (x) a_i a_i^T + damping I`` over ``theta = vec(Theta)``, row by row.
    Rows are read in chunks and cast to float64 there; no array of shape (n, p) is made.

    Parameters
    ----------
    design : ndarray of shape (n_samples, n_features)
        Features ``a_i`` that enter the head, with a last column of ones if it has a bias.
    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes for `SoftmaxCrossEntropy`, else one column per output.
    loss : HeadLoss
        Loss of one sample as a function of its outputs.
    damping : float
        Weight of the squared parameters, the bias included.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights ``nu_i``; None means 1 for every row.
    n_outputs : int, default=None
        Outputs K of the head; None takes as many as `targets` has columns or classes.
    weight_sum : float, default=None
        N, if the rows are a part of more; None is the sum of their weights. With a damping of 0,
        the values, gradients and Hessians of the parts then add up to those of the whole.
    """

    def __init__(
        self,
        design: Array,
        targets: Array,
        loss: HeadLoss,
        damping: float,
        sample_weight: Array | None = None,
        *,
        n_outputs: int | None = None,
        weight_sum: float | None = None,
    ) -> None:
        self.design = design
        self.targets = targets
        self.loss = loss
        self.damping = damping
        self.n_samples, self.n_features = design.shape
        if sample_weight is None:
            sample_weight = np.ones(self.n_samples)
        self.sample_weight = np.asarray(sample_weight, dtype=np.float64)
        self.weight_sum = float(self.sample_weight.sum()) if weight_sum is None else weight_sum
        if n_outputs is None:
            n_outputs = int(targets.max()) + 1 if targets.ndim == 1 else targets.shape[1]
        self.n_outputs = n_outputs
        self.shape = (n_outputs, self.n_features)
        self.n_params = n_outputs * self.n_features

    def subset(self, keep: Array, factor: Array | float = 1.0) -> HeadObjective:
        """Return the objective on the rows in `keep` (mask or positions), with N their weight.

        Their weights are multiplied by `factor`: one number, or one for each of these rows.
        """
        return HeadObjective(
            self.design[keep],
            self.targets[keep],
            self.loss,
            self.damping,
            factor * self.sample_weight[keep],
            n_outputs=self.n_outputs,
        )

    def without(self, drop: Array) -> HeadObjective:
        """Return the objective without the share ``w_i`` of each row's weight.

        `drop` is a mask of dropped rows, or the shares ``w_i``, of shape (n_samples,) and at most
        1. A kept row that counts ``v_i`` times has the share ``1 - v_i``, which may be negative.
        """
        kept = drop < 1
        return self.subset(kept, 1.0 - drop[kept])

    def damped(self, factor: float) -> HeadObjective:
        """Return the objective with `factor` times the damping."""
        damped = copy.copy(self)
        damped.damping = factor * self.damping
        return damped

    def value(self, theta: Array) -> float:
        """Return ``J(theta)`` for `theta` of shape (n_outputs, n_features)."""
        return self.value_and_gradient(theta)[0]

    def gradient(self, theta: Array) -> Array:
        """Return the gradient of ``J``, of the shape of `theta` (n_outputs, n_features)."""
        return self.value_and_gradient(theta)[1]

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return ``J(theta)`` and its gradient from one pass over the rows."""

        def terms(rows: slice) -> tuple[float, Array]:
            features = self._features(rows)
            outputs = features @ theta.T
            weights, targets = self.sample_weight[rows], self.targets[rows]
            residual = self.loss.residual(outputs, targets)
            value = float(weights @ self.loss.value(outputs, targets))
            return value, (features.T @ (weights[:, None] * residual)).T

        values, gradients = zip(*map_threads(terms, self.chunks), strict=True)
        value = sum(values) / self.weight_sum + self.damping / 2 * float(np.sum(theta**2))
        return value, sum(gradients) / self.weight_sum + self.damping * theta

    def gradient_scale(self, theta: Array) -> float:
        """Return the norm of ``(1/N) sum |gradient terms|``, to which rounding is proportional."""
        residual = np.abs(self.sample_weight[:, None] * self.residual(theta))

        def terms(rows: slice) -> Array:
            return (np.abs(self._features(rows)).T @ residual[rows]).T

        scale = sum(map_threads(terms, self.chunks)) / self.weight_sum
        return float(np.linalg.norm(scale + np.abs(self.damping * theta)))

    def outputs(self, theta: Array) -> Array:
        """Return the head's outputs ``Theta a_i``, of shape (n_samples, n_outputs)."""
        return np.concatenate(map_threads(lambda rows: self._features(rows) @ theta.T, self.chunks))

    def losses(self, theta: Array) -> Array:
        """Return the loss of every sample, not weighted, of shape (n_samples,)."""

        def losses(rows: slice) -> Array:
            return self.loss.value(self._features(rows) @ theta.T, self.targets[rows])

        return np.concatenate(map_threads(losses, self.chunks))

    def residual(self, theta: Array) -> Array:
        """Return ``r_i = dl/df`` of every sample, of shape (n_samples, n_outputs), unweighted."""
        return self.loss.residual(self.outputs(theta), self.targets)

    def output_hessians(self, theta: Array) -> OutputHessians:
        """Return ``C_i = d2l/df2`` of every sample, unweighted."""
        return self.loss.hessians(self.outputs(theta), self.targets)

    def hessian(self, theta: Array) -> Array:
        """Return H, damping included, of shape (n_params, n_params) in float64.

        Block (j, k) is ``(1/N) A^T diag(nu C_jk) A``, plus ``damping I`` if j is k.
        """
        n_outputs, n_features = self.shape
        hessians = self.output_hessians(theta)
        blocks = np.zeros((n_outputs, n_features, n_outputs, n_features))
        pairs = [(j, j) for j in range(n_outputs)]
        if self.loss.couples_outputs:
            n_free = n_outputs - hessians.rows_sum_to_zero
            pairs = [(j, k) for j in range(n_free) for k in range(j, n_free)]

        # Not a closure, which not every backend can pickle.
        block = partial(self._hessian_block, hessians)
        moments = map_chunks(block, pairs, self.hessian_flops)
        for (j, k), moment in zip(pairs, moments, strict=True):
            blocks[j, :, k] = blocks[k, :, j] = moment
        if hessians.rows_sum_to_zero:
            # The last output's blocks follow from the others.
            blocks[:-1, :, -1] = -blocks[:-1, :, :-1].sum(axis=2)
            blocks[-1, :, :-1] = blocks[:-1, :, -1].swapaxes(0, 1)
            blocks[-1, :, -1] = -blocks[:-1, :, -1].sum(axis=0)
        hessian = blocks.reshape(self.n_params, self.n_params)
        hessian[np.diag_indices(self.n_params)] += self.damping
        return hessian

    def _hessian_block(self, hessians: OutputHessians, pair: tuple[int, int]) -> Array:
        return self._weighted_moment(hessians.entry(*pair))

    def _weighted_moment(self, entries: Array) -> Array:
        """Return ``(1/N) sum nu_i c_i a_i a_i^T`` for entries c of shape (n,).

        For entries of one sign it is ``± W^T W`` with ``W = diag(sqrt|nu c|) A``, which BLAS
        computes in half the time; entries of both signs take one such product for each sign.
        """
        moment = np.zeros((self.n_features, self.n_features))
        buffer = np.empty((min(CHUNK, self.n_samples), self.n_features))
        for sign in (1.0, -1.0):
            roots = np.sqrt(self.sample_weight * np.maximum(sign * entries, 0))
            if not roots.any():
                continue
            for rows in self.chunks:
                weighted = buffer[: rows.stop - rows.start]
                np.multiply(roots[rows, None], self.design[rows], out=weighted)
                moment += sign * (weighted.T @ weighted)
        return moment / self.weight_sum

    @property
    def hessian_flops(self) -> float:
        """Number of operations that `hessian` and its Cholesky factor take."""
        n_blocks = float(self.n_outputs)
        if self.loss.couples_outputs:
            n_blocks *= (self.n_outputs + 1) / 2
        return self.n_samples * self.n_features**2 * n_blocks + self.n_params**3 / 3

    @cached_property
    def feature_eigenbasis(self) -> tuple[Array, Array]:
        """Eigenvalues (ascending) and eigenvectors of ``(1/N) sum nu_i a_i a_i^T``.

        With few rows and many features, only the eigenvectors in the span of the rows; the others
        have the eigenvalue 0.
        """
        if self.is_wide:
            values, vectors = self.projected(self.row_basis).feature_eigenbasis
            return values, self.row_basis @ vectors
        values, vectors = np.linalg.eigh(self.feature_moment())
        return np.maximum(values, 0), vectors

    def feature_moment(self) -> Array:
        """Return ``(1/N) sum nu_i a_i a_i^T``, of shape (n_features, n_features)."""
        return self._weighted_moment(np.ones(self.n_samples))

    @property
    def is_wide(self) -> bool:
        """Whether there are so few rows that computing in their span saves time."""
        return self.n_features >= _WIDE * self.n_samples and self.design.size <= _MAX_BASIS

    @cached_property
    def row_basis(self) -> Array:
        """Orthonormal basis of a space that contains all rows, (n_features, n_samples)."""
        return np.linalg.qr(self.design.T.astype(np.float64, copy=False))[0]

    def projected(self, basis: Array) -> HeadObjective:
        """Return the objective as a function of ``Theta V``, V an orthonormal basis of the rows."""
        return HeadObjective(
            self.design @ basis,
            self.targets,
            self.loss,
            self.damping,
            self.sample_weight,
            n_outputs=self.n_outputs,
        )

    @cached_property
    def design_float32(self) -> Array:
        """The design in float32; not a copy if it already is."""
        return self.design.astype(np.float32, copy=False)

    @cached_property
    def chunks(self) -> list[slice]:
        """Slices of the rows, each of which is read at a time."""
        return list(gen_batches(self.n_samples, CHUNK))

    def _features(self, rows: slice) -> Array:
        return self.design[rows].astype(np.float64, copy=False)


def warn_if_not_convex(objective: HeadObjective, theta: Array) -> None:
    """Warn if the loss has negative curvature at the outputs for `theta`.

    Parameters
    ----------
    objective : HeadObjective
        Its loss is convex unless it is a `TorchLoss`.
    theta : ndarray of shape (n_outputs, n_features)
        Parameters of the head.

    Warns
    -----
    NonConvexLossWarning
        If it has; names the smallest curvature and the damping.
    """
    loss = objective.loss
    if not isinstance(loss, TorchLoss):
        return
    smallest = loss.smallest_curvatures(objective.outputs(theta), objective.targets)
    row = int(smallest.argmin())
    # Eigenvalues have rounding errors of the size of the largest one's.
    negative = smallest < -1e-9
    if negative.any():
        warn_user(
            f"criterion={loss.name} is not convex: the smallest curvature in the outputs is "
            f"{smallest[row]:.3g}, in row {row}, and {int(negative.sum())} of {len(smallest)} rows "
            "have a negative one. It is replaced by zero, so that with damping="
            f"{objective.damping:g} the Hessian is positive definite, but forecasts are less exact "
            "than for a convex criterion; compare them with the actual change in the certificate.",
            NonConvexLossWarning,
        )
