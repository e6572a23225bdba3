"""The unit of a change: a rise of the loss, or a distance of the parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._types import Floats
from ..influence import Influence, Norm


def in_unit_of(norm: Norm, length: float) -> float:
    """Return the change for a length ``‖Zᵀw‖₂``: ``½ length²`` for the norm "loss", else itself."""
    return 0.5 * length**2 if norm == "loss" else length


def length_in(norm: Norm) -> Callable[[float], float]:
    """Return the inverse of `in_unit_of`: the function from a change to a length."""
    return (lambda change: float(np.sqrt(2 * change))) if norm == "loss" else float


def single_row_changes(influence: Influence) -> Floats:
    """Return the first-order change from dropping each row alone, of shape (n_samples,).

    ``‖N/(N − ν_i) z_i‖``, or half its square for the loss norm; infinite for a row that carries
    all of the weight.
    """
    return changes_of_single_rows(
        influence.row_norms(), influence.sample_weight, influence.weight_sum, influence.norm
    )


def changes_of_single_rows(
    row_norms: Floats, weights: Floats, weight_sum: float, norm: Norm
) -> Floats:
    """Do what `single_row_changes` does for rows of these norms and weights, N in all."""
    rest = weight_sum - weights
    lengths = row_norms * weight_sum
    norms = np.divide(lengths, rest, out=np.full(len(rest), np.inf), where=rest > 0)
    return 0.5 * norms**2 if norm == "loss" else norms
