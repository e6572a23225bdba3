"""Multiple exchange: two, four or eight swaps at once, found by meet in the middle."""

from __future__ import annotations

import numpy as np

from ..._types import Floats, Integers, Mask
from ..coordinates import Coordinates

# With more coordinates, two short moves hardly ever add up to a shorter one: the number of moves
# would have to grow exponentially.
MAX_COORDINATES = 32
# Most kept and dropped rows that swaps are formed from.
_MAX_KEPT, _MAX_DROPPED = 5_000, 45_000
# At most this many moves, and at most this many times the square root of the number of swaps.
_MAX_MOVES, _MOVES_PER_ROOT = 36_000, 2.4
# Numbers in one block of products, and rows and columns of one tile, which should fit the cache.
_BLOCK_SIZE, _TILE = 1_000_000, 1000


def multiple_exchange(
    coordinates: Coordinates,
    labels: Integers,
    drop: Mask,
    rng: np.random.Generator,
    *,
    n_doublings: int = 1,
) -> Mask:
    r"""Return a set that differs by ``2 ** n_doublings`` swaps and is closer to zero, or the same.

    A swap (i, j) inside a stratum moves the residual c by ``-(z_i - z_j)``. Among the S shortest
    moves D, the pair a, b with

    .. math:: \min_{a, b} \| c - D_a - D_b \|^2 = \min_a \Big( \|c - D_a\|^2
              + \min_b \big( \|D_b\|^2 - 2 (c - D_a) \cdot D_b \big) \Big)

    is found by one blocked matrix product over S² pairs. If the moves fill a ball of radius ρ in k
    dimensions evenly, the best pair leaves about :math:`ρ S^{-2/k}` (Horowitz and Sahni 1974, in k
    dimensions). A doubling replaces the moves by the S shortest sums of two moves, whose radius is
    about :math:`\sqrt 2 ρ S^{-1/k}`: a gain for k up to about 24, and none beyond (similar to
    Schroeppel and Shamir 1981).

    Parameters
    ----------
    coordinates : Coordinates
        The rows, n_rows of them.
    labels : ndarray of shape (n_rows,)
        Stratum of each row; -1 for fixed rows.
    drop : ndarray of bool of shape (n_rows,)
        The set to improve.
    rng : numpy.random.Generator
        Draws the rows that swaps are formed from, and the halves that meet.
    n_doublings : int, default=1
        1 combines two swaps, 2 four, 3 eight.
    """
    rows, moves = _short_swaps(coordinates, labels, drop, rng)
    for _ in range(n_doublings - 1):
        rows, moves = _short_sums(rows, moves, rng)
    if len(rows) < 2:
        return drop
    residual = coordinates.residual(drop)
    first, second = _halves(len(rows), rng)
    for a, b in _closest_pairs(residual, moves[first], moves[second]):
        exchanged = np.concatenate([rows[first[a]], rows[second[b]]])
        if len(np.unique(exchanged)) < len(exchanged):
            continue
        improved = drop.copy()
        improved[exchanged] = ~improved[exchanged]
        if np.linalg.norm(coordinates.residual(improved)) < np.linalg.norm(residual):
            return improved
        break
    return drop


def _halves(size: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    order = rng.permutation(size)
    return order[::2], order[1::2]


def _short_sums(rows: Integers, moves: Floats, rng: np.random.Generator) -> tuple[Integers, Floats]:
    """Return about as many shortest sums of two moves, and the rows that they exchange."""
    if len(rows) < 2:
        return rows, moves
    first, second = _halves(len(rows), rng)
    a, b = _nearest(moves[first], -moves[second], len(rows))
    a, b = first[a], second[b]
    exchanged = np.sort(np.hstack([rows[a], rows[b]]), axis=1)
    distinct = (np.diff(exchanged, axis=1) > 0).all(axis=1)
    return exchanged[distinct], (moves[a] + moves[b])[distinct]


def _closest_pairs(target: Floats, A: Floats, B: Floats) -> list[tuple[int, int]]:
    """Return the 100 best pairs (a, b), each with the best b for its a, best pairs first.

    The best pair has ``A_a + B_b`` closest to the target.
    """
    rest = (target - A).astype(np.float32)
    constants = np.einsum("ij,ij->i", rest, rest)
    right = np.column_stack([B, np.einsum("ij,ij->i", B, B)]).astype(np.float32)
    left = np.column_stack([-2 * rest, np.ones(len(rest), np.float32)])
    partner = np.empty(len(A), dtype=np.int64)
    value = np.full(len(A), np.inf, dtype=np.float32)
    for start in range(0, len(A), _TILE):
        block = slice(start, start + _TILE)
        positions = np.arange(len(rest[block]))
        for first in range(0, len(B), _TILE):
            products = left[block] @ right[first : first + _TILE].T
            best = products.argmin(axis=1)
            least = products[positions, best]
            closer = least < value[block]
            partner[block][closer] = best[closer] + first
            value[block][closer] = least[closer]
    value += constants
    order = np.argsort(value)[:100]
    return [(int(a), int(partner[a])) for a in order]


def _short_swaps(
    coordinates: Coordinates, labels: Integers, drop: Mask, rng: np.random.Generator
) -> tuple[Integers, Floats]:
    """Return the shortest swaps (dropped row, kept row), and the move ``z_i - z_j`` of each."""
    n_strata = int(labels.max(initial=-1)) + 1
    pairs, moves = [], []
    for stratum in range(n_strata):
        members = labels == stratum
        back = _sample(np.flatnonzero(members & drop), _MAX_DROPPED // n_strata, rng)
        out = _sample(np.flatnonzero(members & ~drop), _MAX_KEPT // n_strata, rng)
        if len(back) and len(out):
            Z_back = coordinates.rows(back).astype(np.float32)
            Z_out = coordinates.rows(out).astype(np.float32)
            root = np.sqrt(len(back) * len(out))
            n_swaps = min(_MAX_MOVES // n_strata, _MOVES_PER_ROOT * root)
            i, j = _nearest(Z_back, Z_out, 2 * int(n_swaps))
            pairs.append(np.column_stack([back[i], out[j]]))
            moves.append(Z_back[i] - Z_out[j])
    if not pairs:
        return np.empty((0, 2), dtype=np.int64), np.empty((0, coordinates.n_coordinates))
    return np.vstack(pairs), np.vstack(moves)


def _sample(rows: Integers, size: int, rng: np.random.Generator) -> Integers:
    return rows if len(rows) <= size else rng.choice(rows, size=size, replace=False)


def _nearest(A: Floats, B: Floats, n_pairs: int) -> tuple[Integers, Integers]:
    """Return about ``n_pairs`` pairs (row of A, row of B) with the smallest distances."""
    right = np.column_stack([B, np.einsum("ij,ij->i", B, B)])
    left = np.column_stack([-2 * A, np.ones(len(A), A.dtype)])
    constants = np.einsum("ij,ij->i", A, A)
    # The cutoff is estimated on a sample of pairs, so that one pass over all pairs is enough.
    sample = left[:: max(1, len(A) // 500)] @ right.T + constants[:: max(1, len(A) // 500), None]
    share = min(1.0, n_pairs / (len(A) * len(B)))
    cutoff = np.quantile(sample, share)
    pairs_i, pairs_j = [], []
    step = max(1, _BLOCK_SIZE // len(B))
    for start in range(0, len(A), step):
        squared = left[start : start + step] @ right.T + constants[start : start + step, None]
        # Flat, because NumPy finds sparse True entries faster in one dimension.
        i, j = np.divmod(np.flatnonzero(squared <= cutoff), len(B))
        # Duplicated rows can tie at the cutoff by the million; each block keeps its fair share.
        most = 2 * n_pairs * step // len(A) + 1
        pairs_i.append(i[:most] + start)
        pairs_j.append(j[:most])
    return np.concatenate(pairs_i), np.concatenate(pairs_j)
