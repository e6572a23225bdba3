"""The coordinates that a selection matches: all of them, or a thin array of the leading ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import limits
from .head.head_influence import HeadInfluence, WideHeadInfluence
from .protocols import Influence
from .row_coordinates import RowMatrix
from .stack import StackedCoordinates, StackedInfluence

# Number of random sets on which coordinates are compared with the first-order change, and the share
# of the rows that they drop.
_N_SETS, _SHARE = 3, 0.4


@dataclass(frozen=True, eq=False)
class MatchedCoordinates:
    """The coordinates that a selection matches, and how far they are from exact.

    Attributes
    ----------
    Z : RowCoordinates or ndarray of shape (n_samples, n_components)
        An operator of all coordinates, the leading ones in float32, or those of several networks.
    energy_share : float
        Share of ``sum_i ||z_i||^2`` that is in Z; 1 if Z is exact.
    relative_error : float
        ``|change by Z / first-order change - 1|``, both in the unit of the norm: the median over
        three random sets of 40 % of the rows. 0 if Z is exact.
    length_ratio : float
        First-order length divided by the length in Z: the median over the same sets. 1 if Z is
        exact.
    """

    Z: RowMatrix
    energy_share: float = 1.0
    relative_error: float = 0.0
    length_ratio: float = 1.0


def n_leading(n_samples: int, n_params: int) -> int:
    """Return how many leading coordinates to keep; see `limits`."""
    fitting = max(1, limits.LEADING_NUMBERS // n_samples)
    return min(n_params, limits.LEADING_COORDINATES, fitting)


def head_coordinates(influence: HeadInfluence) -> MatchedCoordinates:
    """Return the coordinates to match for a head.

    These are all coordinates up to `limits.ALL_MATCHED_PARAMS` parameters; for a wider head, whose
    curvature is Kronecker-factored, those of the leading eigenvectors.
    """
    if not isinstance(influence, WideHeadInfluence):
        return MatchedCoordinates(influence.Z)
    n_samples, n_params = influence.shape
    if n_params <= limits.ALL_MATCHED_PARAMS:
        return measured(influence, influence.Z)
    return measured(influence, influence.Z.leading(n_leading(n_samples, n_params)))


def stacked_coordinates(
    influence: StackedInfluence, parts: Sequence[MatchedCoordinates]
) -> MatchedCoordinates:
    """Return the coordinates of several networks as one Z, scaled as in `StackedCoordinates`.

    Parameters
    ----------
    influence : StackedInfluence
        Influences on the networks.
    parts : sequence of MatchedCoordinates
        The coordinates to match of each network.
    """
    stacked = StackedCoordinates([part.Z for part in parts], influence.units)
    Z: RowMatrix = stacked
    if all(isinstance(block, np.ndarray) for block in stacked.blocks):
        Z = stacked.rows(np.arange(stacked.shape[0]))
    if all(part.relative_error == 0 for part in parts):
        return MatchedCoordinates(Z)
    return measured(influence, Z)


def measured(influence: Influence, Z: RowMatrix) -> MatchedCoordinates:
    """Return the coordinates with the energy they hold and their error on random sets.

    Parameters
    ----------
    influence : Influence
        Its `first_order_step` is what Z is compared with.
    Z : RowCoordinates or ndarray of shape (n_samples, n_components)
        The coordinates.
    """
    total = float((influence.row_norms() ** 2).sum())
    if isinstance(Z, np.ndarray):
        kept = float(np.einsum("ij,ij->", Z, Z, dtype=np.float64))
    else:
        kept = float((Z.row_norms() ** 2).sum())
    rng = np.random.default_rng(0)
    errors, ratios = [], []
    sum_of_all = 0.0 if influence.is_centred else Z.T @ np.ones(Z.shape[0])
    power = 0.5 if influence.norm == "loss" else 1.0
    for _ in range(_N_SETS):
        drop = np.less(rng.random(Z.shape[0]), _SHARE)
        change = influence.measure(influence.first_order_step(drop))
        length = influence.size_factor(drop) * float(np.linalg.norm(Z.T @ drop - sum_of_all))
        predicted = 0.5 * length**2 if influence.norm == "loss" else length
        # If nothing changes there is no ratio.
        if change > 0 and predicted > 0:
            errors.append(abs(predicted / change - 1))
            ratios.append((change / predicted) ** power)
    return MatchedCoordinates(
        Z,
        energy_share=kept / total if total > 0 else 1.0,
        relative_error=float(np.median(errors or [0.0])),
        length_ratio=float(np.median(ratios or [1.0])),
    )
