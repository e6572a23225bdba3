"""The directions in which the rows of a matrix, read in blocks, have the most energy."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from ..._types import Array
from ...utils import serial_blas

_N_PASSES = 2
# A few more columns than are kept make the kept ones more accurate.
_N_SPARE = 10


def leading_directions(
    blocks: Callable[[], Generator[Array, None, None]], n_params: int, n_components: int
) -> Array:
    """Return orthonormal directions that hold most of the energy of Z, of shape (p, k).

    Randomised subspace iteration (Halko, Martinsson & Tropp 2011): two passes over the rows, each
    of which multiplies the directions by ``Z^T Z``.

    Parameters
    ----------
    blocks : callable
        Starts a pass: returns a generator of the rows of Z, in arrays of shape (m, n_params).
    n_params, n_components : int
        p and k.
    """
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((n_params, min(n_params, n_components + _N_SPARE)))
    with serial_blas():
        for _ in range(_N_PASSES):
            product = np.zeros_like(basis)
            narrow = basis.astype(np.float32)
            with closing(blocks()) as all_rows:
                for Z in all_rows:
                    product += Z.T @ (Z @ narrow.astype(Z.dtype, copy=False))
            basis = np.linalg.svd(product, full_matrices=False)[0]
    return basis[:, :n_components]
