r"""Weights near 1 with which the kept rows hold the head exactly, and not just to first order.

A head that is retrained on the kept rows with weights v stays where it is if
:math:`\sum_i v_i z_i = 0` over them, since it is then stationary. Among such weights, those nearest
to 1 are chosen,

.. math:: \min_v \tfrac12 \|v - 1\|^2 + \tfrac c2 \|B^T v - b\|^2 \quad \text{subject to} \quad
          Z^T v = 0, \quad \sum_i v_i = n, \quad l \le v_i \le u

where n is the number of kept rows and the columns of B are held approximately: heads with more
damping, whose sums should be zero, and the distribution of the kept rows, whose sums should stay as
they are without weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import diags_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator, lsqr

from .._types import Floats, Integers
from ..influence import RefittableInfluence, RowMatrix, norms_of, part_of
from ..utils import serial_blas
from .matched import Matched

# A row counts at least half and at most twice. With wider bounds, a few rows would dominate what
# other models learn.
WEIGHT_BOUNDS = (0.5, 2.0)
# Heads with this many times the damping are held too, since other models regularise differently.
HELD_FACTORS = (10.0, 100.0)
# c, for rows of B with a mean square norm of 1: with equalities (on Diamonds, 90 % pruned, 0.1
# brings the distribution as close as 1 does), and without them.
_STRENGTH, _STRENGTH_ALONE = 0.1, 1.0
# The sum of Z counts as zero below this share of its unweighted length. If it is longer, weights
# are accepted only if their effective number of rows is this share of the rows.
_MET, _WORTH = 1e-3, 0.95
# The slack of the equalities in the dual, which keeps it bounded if they cannot be met; and how
# many times the violation that it leaves is corrected in their right-hand sides.
_SLACK, _N_CORRECTIONS = 1e-3, 6
# A correction that leaves more than this share of the violation is the last.
_PROGRESS = 0.7
_OPTIONS = {"maxiter": 300, "maxfun": 600, "maxcor": 30, "ftol": 1e-15, "gtol": 1e-8}
# Rounding error of a mean.
_ROUNDING = 1e-12
# Final steps onto the equalities, and iterations for each.
_N_STEPS, _N_ITERATIONS = 8, 2000


def kept_weights(matched: Matched, kept: Integers) -> Floats:
    """Return weights of the kept rows, of mean 1, with which they hold the head.

    Parameters
    ----------
    matched : Matched
        What the rows are to match.
    kept : ndarray of shape (n_kept,)
        Positions of the kept rows.

    Returns
    -------
    weights : ndarray of shape (n_kept,)
        Within `WEIGHT_BOUNDS`. If no such weights hold the head exactly, they hold it as well as
        possible, as long as their effective number of rows is 95 % of the rows or more. Otherwise,
        and if there are no more rows than coordinates, the head is one of the things that weights
        near 1 hold approximately.
    """

    def scaled(Z: RowMatrix) -> ScaledPart:
        return ScaledPart.of(part_of(Z, kept), Z)

    with serial_blas():
        damped, balance = map(scaled, _damped(matched)), map(scaled, matched.balance)
        return weights_of_parts(scaled(matched.coordinates.Z), list(damped), list(balance))


def _damped(matched: Matched) -> list[RowMatrix]:
    """Return Z for heads with more damping; none if the heads cannot be refitted."""
    influence = matched.influence
    if not isinstance(influence, RefittableInfluence):
        return []
    return [influence.damped(factor).Z for factor in HELD_FACTORS]


@dataclass(frozen=True, eq=False)
class ScaledPart:
    """The kept rows of a matrix, and the factor that gives its rows a mean square norm of 1.

    Attributes
    ----------
    kept : ndarray or RowCoordinates of shape (n_kept, n_columns)
        The rows.
    factor : float
        0 if the matrix is 0.
    """

    kept: RowMatrix
    factor: float

    @classmethod
    def of(cls, kept: RowMatrix, scale_of: RowMatrix) -> ScaledPart:
        """Return the part of the matrix ``scale_of``, or of one whose rows are as long."""
        size = float(np.sqrt(np.mean(np.square(norms_of(scale_of), dtype=np.float64))))
        return cls(kept, 1 / size if size > 0 else 0.0)


def weights_of_parts(
    head: ScaledPart, damped: Sequence[ScaledPart], balance: Sequence[ScaledPart]
) -> Floats:
    """Return what `kept_weights` does, from rows of what is matched.

    Parameters
    ----------
    head : ScaledPart
        Influences on the head, whose weighted sum is to be zero.
    damped : sequence of ScaledPart
        Influences on heads with more damping, whose weighted sums are to be near zero.
    balance : sequence of ScaledPart
        Terms of the distribution, whose weighted sums are to be near those without weights.
    """
    n_kept, n_coordinates = head.kept.shape
    ones, no_columns, beside = np.ones(n_kept), np.zeros((n_kept, 0)), [*damped, *balance]
    B = ScaledRows(beside) if beside else no_columns
    wanted = B.T @ ones
    wanted[: sum(part.kept.shape[1] for part in damped)] = 0
    if n_kept > n_coordinates:
        Z = ScaledRows([head])
        weights = near_one(Z, B, wanted)
        is_met = np.linalg.norm(Z.T @ weights) <= _MET * np.linalg.norm(Z.T @ ones)
        if is_met or _WORTH * (weights @ weights) <= n_kept:
            return weights
    wanted = np.r_[np.zeros(n_coordinates), wanted]
    return near_one(no_columns, ScaledRows([head, *beside]), wanted, strength=_STRENGTH_ALONE)


class ScaledRows(LinearOperator):
    """Kept rows of matrices side by side, each matrix scaled.

    Parameters
    ----------
    parts : sequence of ScaledPart
        At least one.
    """

    def __init__(self, parts: Sequence[ScaledPart]) -> None:
        widths = [part.kept.shape[1] for part in parts]
        super().__init__(np.float64, (parts[0].kept.shape[0], sum(widths)))
        self._bounds = np.cumsum(widths)[:-1]
        self._parts = parts

    def _matvec(self, v: Floats) -> Floats:
        pieces = zip(self._parts, np.split(np.ravel(v), self._bounds), strict=True)
        total: Floats = np.sum([part.kept @ (part.factor * v) for part, v in pieces], axis=0)
        return total

    def _rmatvec(self, w: Floats) -> Floats:
        return np.concatenate([part.factor * (part.kept.T @ np.ravel(w)) for part in self._parts])


def near_one(
    Z: Floats | LinearOperator,
    B: Floats | LinearOperator,
    wanted: float | Floats = 0.0,
    *,
    strength: float = _STRENGTH,
) -> Floats:
    r"""Return the weights nearest to 1 with which the rows of Z sum to zero.

    The dual of the module's problem is smooth and has no bounds: at multipliers μ of all columns
    the weights are ``clip(1 + [1, Z, B] μ, l, u)``, l and u being `WEIGHT_BOUNDS`, and its gradient
    is the violation of the equalities plus the slack. ``scipy.optimize.minimize`` solves it.

    Parameters
    ----------
    Z : ndarray or LinearOperator of shape (n_rows, n_held)
        Rows whose weighted sum is to be zero. If the bounds do not allow that, it is made small.
    B : ndarray or LinearOperator of shape (n_rows, n_near)
        Rows whose weighted sum should be near ``wanted``.
    wanted : float or ndarray of shape (n_near,), default=0.0
        b.
    strength : float, default=0.1
        c.

    Returns
    -------
    weights : ndarray of shape (n_rows,)
        v, of mean 1.
    """
    Z, B = aslinearoperator(Z), aslinearoperator(B)
    (n_rows, n_held), n_near = Z.shape, B.shape[1]
    # The equality of the mean has the least slack.
    slack = np.r_[1e-3 * _SLACK, np.full(n_held, _SLACK), np.full(n_near, 1 / strength)]
    target = np.r_[n_rows, np.zeros(n_held), np.broadcast_to(wanted, n_near)]

    def moved_by(multipliers: Floats) -> Floats:
        for_Z, for_B = np.split(multipliers[1:], [n_held])
        return multipliers[0] + Z @ for_Z + B @ for_B

    def dual(multipliers: Floats, target: Floats) -> tuple[float, Floats]:
        moved = moved_by(multipliers)
        v = np.clip(1 + moved, *WEIGHT_BOUNDS)
        value = v @ moved - 0.5 * np.sum((v - 1) ** 2) - target @ multipliers
        gradient = np.r_[v.sum(), Z.T @ v, B.T @ v] - target + slack * multipliers
        return float(value + 0.5 * multipliers @ (slack * multipliers)), gradient

    multipliers, violation, weights = np.zeros(len(slack)), np.inf, np.ones(n_rows)
    for _ in range(_N_CORRECTIONS):
        result = minimize(
            dual, multipliers, args=(target,), jac=True, method="L-BFGS-B", options=_OPTIONS
        )
        v = np.clip(1 + moved_by(result.x), *WEIGHT_BOUNDS)
        excess = np.r_[v.sum() - n_rows, Z.T @ v]
        if not np.linalg.norm(excess) < _PROGRESS * violation:
            break
        multipliers, violation, weights = result.x, float(np.linalg.norm(excess)), v
        target = target - np.r_[excess, np.zeros(n_near)]
    return _of_mean_one(_onto_equalities(Z, weights))


def _onto_equalities(Z: LinearOperator, weights: Floats) -> Floats:
    """Return the weights moved as little as possible to meet the equalities to rounding.

    Weights at a bound stay there, including those that a step moves to a bound. A step that does
    not reduce the violation is undone.
    """

    def excess_of(v: Floats) -> Floats:
        return np.r_[v.sum() - len(v), Z.T @ v]

    columns, (least, greatest) = _beside_ones(Z), WEIGHT_BOUNDS
    excess = excess_of(weights)
    for _ in range(_N_STEPS):
        free = ((weights > least) & (weights < greatest)).astype(np.float64)
        sums = columns.T @ aslinearoperator(diags_array(free))
        step = lsqr(sums, excess, atol=1e-15, btol=1e-15, iter_lim=_N_ITERATIONS)[0]
        v = np.clip(weights - step, *WEIGHT_BOUNDS)
        reached = excess_of(v)
        if not np.linalg.norm(reached) < np.linalg.norm(excess):
            break
        weights, excess = v, reached
    return weights


def _of_mean_one(weights: Floats) -> Floats:
    """Return the weights shifted within the bounds to a mean of 1; unshifted if it is 1 already."""
    low, high = WEIGHT_BOUNDS[0] - weights.max(), WEIGHT_BOUNDS[1] - weights.min()
    for _ in range(100):
        middle = (low + high) / 2
        if np.clip(weights + middle, *WEIGHT_BOUNDS).mean() < 1:
            low = middle
        else:
            high = middle
    shifted: Floats = np.clip(weights + (low + high) / 2, *WEIGHT_BOUNDS)
    return shifted if abs(weights.mean() - 1) > _ROUNDING else weights


def _beside_ones(Z: LinearOperator) -> LinearOperator:
    """Return ``[1, Z]``."""
    return LinearOperator(
        (Z.shape[0], 1 + Z.shape[1]),
        matvec=lambda m: np.ravel(m)[0] + Z @ np.ravel(m)[1:],
        rmatvec=lambda w: np.r_[np.sum(w), Z.T @ np.ravel(w)],
        dtype=np.float64,
    )
