"""Annealed exchange: swaps inside a pool at a falling temperature."""

from __future__ import annotations

import numpy as np

from ._coordinates import Booleans, Coordinates, Floats, Integers
from ._exchange import Exchanged
from ._pool import Pool, draw_pool

# Rows of a pool: at least so many, and so many for each coordinate, so that what the pool can
# reach is not limited by its own size.
_LEAST_POOL, _ROWS_PER_COORDINATE, _MAX_POOL = 3000, 2, 6000
# Steps for each row of the pool at each temperature.
_N_TEMPERATURES, _STEPS_PER_ROW = 20, 0.7
# First temperature (drawn log-uniformly between two values) and last one, in units of the mean
# square of a coordinate of the residual.
_HOTTEST, _COLDEST = (2.0, 60.0), 0.2
# Gumbel variates that are read from a random place on, in every step.
_N_VARIATES = 100_000


def annealed_round(
    coordinates: Coordinates, labels: Integers, drop: Booleans, rng: np.random.Generator
) -> Exchanged:
    r"""Swap rows of the same stratum inside one pool, uphill too, at a falling temperature.

    Each step is one of Gibbs sampling for :math:`p(w) \propto e^{-\|Z^T w\|^2 / T}`: a dropped row
    i of the pool, drawn evenly, is put back, and one of the rows that are kept now, i included, is
    dropped with

    .. math:: p(j) \propto \exp\big(-\tfrac1T (2 s_j + q_j - 2 z_i \cdot z_j)\big),
              \qquad s = Z c,\quad q_j = \|z_j\|^2

    drawn as the maximum of the exponents with Gumbel noise added (Geman and Geman 1984; Maddison,
    Tarlow and Minka 2014). With the pool's Gram matrix that is two sums and a maximum over the
    stratum, so that one step looks at a thousand swaps in microseconds. The temperature falls from
    a few times the mean square of a coordinate of the residual to a fifth of it; the last steps
    are taken at zero.

    The result may be worse than ``drop``.

    Parameters
    ----------
    coordinates : Coordinates
        The rows, n_rows of them.
    labels : ndarray of shape (n_rows,)
        Stratum of each row; swaps stay inside a stratum. -1: the row is fixed.
    drop : ndarray of bool of shape (n_rows,)
        The set to start from.
    rng : numpy.random.Generator
        Draws pool, temperature and steps.
    """
    k = coordinates.n_coordinates
    size = min(_MAX_POOL, max(_LEAST_POOL, _ROWS_PER_COORDINATE * k))
    pool = draw_pool(coordinates, labels, drop, rng, size=size)
    sampler = _Sampler(pool, rng)
    residual = coordinates.residual(drop)
    mean_square = float(residual @ residual) / k
    hottest = np.exp(rng.uniform(*np.log(_HOTTEST)))
    n_steps = int(_STEPS_PER_ROW * len(pool.indices))
    for factor in np.geomspace(hottest, _COLDEST, _N_TEMPERATURES):
        sampler.run(factor * mean_square, n_steps)
    sampler.run(0.0, n_steps)
    return Exchanged(pool.improved(drop, sampler.drop), sampler.n_swaps)


class _Sampler:
    """Gibbs sampling of the dropped rows of a pool.

    ``_gain_back[i] = 2 s_i - q_i`` is what putting back a dropped row gains alone, and
    ``_gain_out[j] = -2 s_j - q_j`` what dropping a kept one does; -inf where the row is on the
    other side. Single precision is enough for decisions that are random, and the caller
    recomputes the sum.
    """

    def __init__(self, pool: Pool, rng: np.random.Generator) -> None:
        self._rng = rng
        self._twice_gram = (2 * pool.gram).astype(np.float32)
        self._twice_norms = self._twice_gram.diagonal().copy()
        twice, norms = 2 * pool.scores, pool.gram.diagonal()
        self._gain_back: Floats = np.where(pool.drop, twice - norms, -np.inf).astype(np.float32)
        self._gain_out: Floats = np.where(pool.drop, -np.inf, -twice - norms).astype(np.float32)
        self._noise = rng.gumbel(size=_N_VARIATES).astype(np.float32)
        self._bounds = [(0, 0)] * len(pool.labels)
        for first, end in pool.bounds:
            self._bounds[first:end] = [(first, end)] * (end - first)
        self._dropped = [int(i) for i in np.flatnonzero(pool.drop) if self._bounds[i][1]]
        self._fixed = pool.drop.copy()
        self._fixed[self._dropped] = False
        self.n_swaps = 0

    @property
    def drop(self) -> Booleans:
        """True where a row of the pool is dropped now."""
        drop = self._fixed.copy()
        drop[self._dropped] = True
        return drop

    def run(self, temperature: float, n_steps: int) -> None:
        """Do so many steps at one temperature."""
        n_rows = len(self._bounds)
        if not self._dropped:
            return
        noise = self._noise * np.float32(temperature)
        places = self._rng.integers(len(self._dropped), size=n_steps).tolist()
        offsets = self._rng.integers(len(noise) - n_rows, size=n_steps).tolist()
        own_noise = noise[self._rng.integers(len(noise), size=n_steps)].tolist()
        back, out, twice_gram = self._gain_back, self._gain_out, self._twice_gram
        gains, change = np.empty_like(out), np.empty_like(out)
        for place, offset, stays in zip(places, offsets, own_noise, strict=True):
            i = self._dropped[place]
            first, end = self._bounds[i]
            with_i, gain = twice_gram[i], gains[first:end]
            np.add(out[first:end], with_i[first:end], out=gain)
            np.add(gain, noise[offset : offset + end - first], out=gain)
            j = first + int(gain.argmax())
            if not gains[j] + back[i] > stays:
                continue
            np.subtract(twice_gram[j], with_i, out=change)
            np.add(back, change, out=back)
            np.subtract(out, change, out=out)
            # Both scores of a row add up to -2 q.
            out[i], back[i] = -back[i] - self._twice_norms[i], -np.inf
            back[j], out[j] = -out[j] - self._twice_norms[j], -np.inf
            self._dropped[place] = j
            self.n_swaps += 1
