"""The coordinates that a selection matches: all of them, or a thin array of the leading ones."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..losses import Array
from ..utils import serial_blas
from .head.head_influence import HeadInfluence, Influence
from .head.wide_head import WideHeadInfluence
from .stack import StackedCoordinates, StackedInfluence

# Parameters up to which "auto" matches all coordinates of a head.
_ALL_MATCHED = 20_000
# Coordinates that "auto" keeps where not all of them are matched, and the numbers (1 GB in
# float32) that they may take.
_MAX_COMPONENTS, _MAX_NUMBERS = 1024, 2**28
# Random sets on which the coordinates are compared with the change they stand for, and their size.
_N_SETS, _SHARE = 3, 0.4


@dataclass(frozen=True, eq=False)
class Coordinates:
    """What the selection matches.

    Attributes
    ----------
    Z : HeadInfluence, StackedCoordinates or ndarray of shape (n_samples, n_components)
        An operator of all coordinates, the leading ones in float32, or those of several networks.
    energy_share : float
        Share of ``sum_i ||z_i||^2`` that is in Z; 1 where all of it is.
    relative_error : float
        ``|predicted by Z / first-order change - 1|`` of the change (in the unit of the norm) for
        random sets of 40 % of the rows: the median of three. 0 where Z is exact.
    length_ratio : float
        First-order length over that in Z, the median for the same sets; 1 where Z is exact.
    """

    Z: Any
    energy_share: float = 1.0
    relative_error: float = 0.0
    length_ratio: float = 1.0

    @property
    def is_operator(self) -> bool:
        """Whether Z is the influence itself, of one head or several, in all coordinates."""
        blocks = self.Z.blocks if isinstance(self.Z, StackedCoordinates) else [self.Z]
        return all(isinstance(block, HeadInfluence) for block in blocks)


def n_components_for(n_components: int | Literal["auto"], n_samples: int, n_params: int) -> int:
    """Return how many coordinates to keep: for "auto" 1,024, or as many as take 1 GB."""
    if n_components == "auto":
        return min(n_params, _MAX_COMPONENTS, max(1, _MAX_NUMBERS // n_samples))
    return min(n_components, n_params)


def head_coordinates(
    influence: HeadInfluence,
    n_components: int | Literal["auto"] = "auto",
    *,
    random_state: int = 0,
) -> Coordinates:
    """Return the coordinates to match for a head.

    With "auto", all of them up to 20,000 parameters; otherwise the 1,024 leading ones. A number
    keeps as many: the leading directions of Z, or, where curvature is Kronecker-factored, the
    leading ones of its eigenvectors.

    Parameters
    ----------
    influence : HeadInfluence
        Influences of all rows.
    n_components : int or "auto", default="auto"
        Columns of Z.
    random_state : int, default=0
        Seeds directions and the sets that the error is measured on.

    Returns
    -------
    Coordinates
        The operator or array, with the error that leaving coordinates out makes.
    """
    n_samples, n_params = influence.shape
    limit = _ALL_MATCHED if n_components == "auto" else n_components
    if n_params <= limit:
        return Coordinates(influence) if influence.is_exact else measured(influence, influence)
    k = n_components_for(n_components, n_samples, n_params)
    if isinstance(influence, WideHeadInfluence):
        Z = influence.coordinates_at(influence.leading_pairs(k))
    else:
        directions = leading_directions(
            lambda: (influence.rows(block) for block in influence.row_blocks()),
            n_params,
            k,
            random_state=random_state,
        )
        Z = np.asarray(influence @ directions, dtype=np.float32)
    return measured(influence, Z, random_state)


def stacked_coordinates(
    influence: StackedInfluence, parts: Sequence[Coordinates], *, random_state: int = 0
) -> Coordinates:
    """Return the coordinates of several networks as one Z, as `StackedCoordinates` scales them.

    Parameters
    ----------
    influence : StackedInfluence
        Influences on the networks.
    parts : sequence of Coordinates
        What is matched of each.
    random_state : int, default=0
        Seeds the sets that the error is measured on, where coordinates were left out.
    """
    blocks = [part.Z for part in parts]
    Z: Any = StackedCoordinates(blocks, influence.units)
    if all(isinstance(block, np.ndarray) for block in blocks):
        Z = Z.rows(np.arange(Z.shape[0]))
    is_whole = all(part.relative_error == 0 for part in parts)
    return Coordinates(Z) if is_whole else measured(influence, Z, random_state)


def leading_directions(
    blocks: Callable[[], Generator[Array, None, None]],
    n_params: int,
    n_components: int,
    *,
    n_passes: int = 2,
    random_state: int = 0,
) -> Array:
    """Return directions that hold most of the energy of Z, orthonormal, of shape (p, k).

    Randomised subspace iteration (Halko, Martinsson & Tropp 2011): ``Z^T (Z Omega)``, one pass
    over the rows for each multiplication.

    Parameters
    ----------
    blocks : callable
        Begins a pass: returns a generator of the rows of Z, in arrays of shape (m, n_params).
    n_params, n_components : int
        p and k.
    n_passes : int, default=2
        Passes over the rows.
    random_state : int, default=0
        Seeds Omega.
    """
    rng = np.random.default_rng(random_state)
    # A few columns more than are kept make the kept ones more certain.
    basis = rng.standard_normal((n_params, min(n_params, n_components + 10)))
    with serial_blas():
        for _ in range(n_passes):
            product = np.zeros_like(basis)
            narrow = basis.astype(np.float32)
            with closing(blocks()) as all_rows:
                for Z in all_rows:
                    product += Z.T @ (Z @ narrow.astype(Z.dtype, copy=False))
            basis = np.linalg.svd(product, full_matrices=False)[0]
    return basis[:, :n_components]


def measured(influence: Influence, Z: Any, random_state: int = 0) -> Coordinates:
    """Return the coordinates with what they leave out, by energy and on random sets.

    Parameters
    ----------
    influence : Influence
        Its `first_order_step` is what Z is compared with.
    Z : HeadInfluence, StackedCoordinates or ndarray of shape (n_samples, n_components)
        The coordinates.
    random_state : int, default=0
        Seeds the sets.
    """
    total = float((influence.row_norms() ** 2).sum())
    if isinstance(Z, np.ndarray):
        kept = float(np.einsum("ij,ij->", Z, Z, dtype=np.float64))
    else:
        kept = float((Z.row_norms() ** 2).sum())
    rng = np.random.default_rng(random_state)
    errors, ratios = [], []
    of_all = 0.0 if influence.is_centred else Z.T @ np.ones(Z.shape[0])
    for _ in range(_N_SETS):
        drop = rng.random(Z.shape[0]) < _SHARE
        change = influence.measure(influence.first_order_step(drop))
        length = influence.size_factor(drop) * float(np.linalg.norm(Z.T @ drop - of_all))
        predicted = 0.5 * length**2 if influence.norm == "loss" else length
        # Where nothing changes there is no ratio.
        if change > 0 and predicted > 0:
            errors.append(abs(predicted / change - 1))
            power = 0.5 if influence.norm == "loss" else 1.0
            ratios.append((change / predicted) ** power)
    return Coordinates(
        Z,
        energy_share=kept / total if total > 0 else 1.0,
        relative_error=float(np.median(errors or [0.0])),
        length_ratio=float(np.median(ratios or [1.0])),
    )
