"""What a fit will cost, from a fit on a few of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..influence import (
    CHEAP_FLOPS,
    HeadInfluence,
    HeadObjective,
    Influence,
    influences_of,
)
from ..selection import BLOCK_ROWS, MAX_BLOCKS, POOL_ROWS, STORED_SIZE, WHOLE_ROWS
from .certificate import n_random_refits
from .features import STORED_ROWS
from .matched import Matched

# Rows that a trial takes: this share, and at least so many.
_TRIAL_SHARE, _LEAST_TRIAL = 0.05, 200
# A nominal machine, for the shares of terms in a stage: seconds per multiplication of matrices in
# float32, in float64, and in a Cholesky factor, and per number that a pass over the rows reads.
_FLOAT32, _FLOAT64, _CHOLESKY, _NUMBER = 2e-11, 7e-11, 1.6e-10, 2e-9
# A typical search: Hessians and other passes in the fit of a head, steps of the calibration, rounds
# of exchange where one pool does not hold all rows, and trials of more damping. Below as many kept
# rows per parameter, the search is refined twice.
_N_HESSIANS, _N_PASSES, _N_STEPS, _N_ROUNDS, _N_TRIALS, _FEW_ROWS = 8, 20, 60, 2, 3, 1.8
# What a refit costs, which starts near its end, as a share of a fit.
_REFIT = 0.6
# Gram matrices of a pool's strata, as a share of that of the pool; nominal seconds of visits to the
# strata for each row of a pool, if it has as many numbers as this or more.
_STRATA, _VISITS, _LARGE_POOL = 0.1, 2.5e-4, 4e6


@dataclass(frozen=True)
class CostEstimate:
    """What `InfluencePruner.fit` will cost, about.

    Attributes
    ----------
    seconds : dict of str to float
        Seconds of the wall clock for each stage, as in ``certificate_.seconds``. The time limit is
        not considered.
    memory : int
        Bytes that the fit needs at its peak, beside X and y.
    n_coordinates : int
        Number of coordinates of the influences that the selection matches.
    """

    seconds: dict[str, float]
    memory: int
    n_coordinates: int


def n_trial_rows(n_samples: int) -> int:
    """Return the number of rows that a trial takes."""
    return min(n_samples, max(_LEAST_TRIAL, round(_TRIAL_SHARE * n_samples)))


def scaled_cost(
    trial: Matched, seconds: Mapping[str, float], n_samples: int, share_kept: float
) -> CostEstimate:
    """Return the cost of a fit on all rows from that of a trial.

    Each stage up to the distribution is scaled by the work that it does on all rows over that in
    the trial. The selection and the certificate, which a trial on few rows does not show, take
    their nominal seconds times the speed of the trial.

    Parameters
    ----------
    trial : Matched
        What the trial's rows are to match.
    seconds : mapping of str to float
        The seconds of each stage of the trial.
    n_samples : int
        Number of rows in all.
    share_kept : float
        Share of the rows to keep.
    """
    few, all_rows = _Work(trial, len(trial.y), share_kept), _Work(trial, n_samples, share_kept)
    measured = {name: seconds.get(name, 0.0) for name in ("head", "influence", "distribution")}
    nominal = few.head() + few.distribution()
    speed = (measured["head"] + measured["distribution"]) / nominal
    growth = n_samples / len(trial.y)
    return CostEstimate(
        {
            "network": growth * seconds["network"],
            "head": all_rows.head() / few.head() * measured["head"],
            "influence": all_rows.influence() / few.influence() * measured["influence"],
            "distribution": all_rows.distribution() / few.distribution() * measured["distribution"],
            "selection": speed * all_rows.selection(),
            "certificate": speed * all_rows.certificate(),
        },
        all_rows.memory(),
        trial.coordinates.Z.shape[1],
    )


class _Work:
    """Nominal seconds of each stage with these many rows, and the memory of a fit."""

    def __init__(self, matched: Matched, n_rows: int, share_kept: float) -> None:
        self._influences = influences_of(matched.influence)
        self._n, self._n_kept = n_rows, max(1.0, share_kept * n_rows)
        self._n_params = max(influence.shape[1] for influence in self._influences)
        self._n_coordinates = matched.coordinates.Z.shape[1]
        self._n_columns = sum(map(_n_columns, self._influences))
        balance = matched.balance
        self._n_matched = sum(embedding.shape[1] for embedding in balance)
        self._n_features = sum(embedding.mean.shape[1] for embedding in balance)
        self._row_bytes = sum(embedding.row_bytes for embedding in balance)

    def head(self, n_rows: float | None = None) -> float:
        """Fit the heads on all rows, or on so many."""
        n = self._n if n_rows is None else n_rows
        return sum(_head_seconds(influence, n) for influence in self._influences)

    def influence(self) -> float:
        """Factor the Hessians and find the norm of every row."""
        return sum(_influence_seconds(influence, self._n) for influence in self._influences)

    def distribution(self) -> float:
        """Grow forests, find neighbours and compute features."""
        return 0.06 + 4e-5 * min(self._n, 5_000) + 1.8e-5 * self._n * (1 + self._n_columns / 200)

    def selection(self) -> float:
        """Calibrate, exchange rows, refit on random rows and, with few rows, try more damping."""
        n, calibration = self._n, _N_STEPS * self._n * self._n_columns * 2 * _NUMBER
        n_searches, refits = 1, self._refit()
        if self._n_kept < _FEW_ROWS * self._n_params:
            n_searches += 2
        if self._n_kept < self._n_params:
            n_searches += 3 * _N_TRIALS
            refits += _N_TRIALS * (2 * self._refit() + self.head())
        return 0.04 + 0.8e-5 * n + calibration + n_searches * self._search() + refits

    def _search(self) -> float:
        block = self._n if self._n <= WHOLE_ROWS else BLOCK_ROWS
        pool, n_blocks = min(block, POOL_ROWS), min(-(-self._n // block), MAX_BLOCKS)
        size = pool * (self._n_features + self._n_coordinates)
        gram = _STRATA * pool * size * _FLOAT32
        visits = _VISITS * pool * min(1.0, size / _LARGE_POOL)
        n_rounds = 1 if self._n <= POOL_ROWS else _N_ROUNDS
        return n_blocks * (visits + n_rounds * (gram + block * self._n_features * _NUMBER))

    def certificate(self) -> float:
        """Refit on the rows kept and on random rows."""
        n_refits = 1 + n_random_refits(self._n_kept, self._n_params)
        return 0.005 + 3e-6 * self._n + n_refits * self._refit()

    def _refit(self) -> float:
        return _REFIT * self.head(self._n_kept)

    def memory(self) -> int:
        """Return the bytes of features, of a pool and its parts, of Hessians and designs."""
        pool = min(self._n, POOL_ROWS)
        # Of more rows, those of one block are stored.
        stored = (self._n if self._n <= STORED_ROWS else BLOCK_ROWS) * self._row_bytes
        gathered = pool * (self._n_matched + self._n_coordinates)
        if gathered > STORED_SIZE:
            gathered = pool * (self._n_features + self._n_coordinates)
        numbers = 2 * gathered + _STRATA * pool**2
        numbers += 6 * self._n_params**2 + 2 * self._n * self._n_columns
        return int(stored + 4 * numbers + 2e7)


def _n_columns(influence: Influence) -> int:
    if isinstance(influence, HeadInfluence):
        return influence.objective.n_features
    return influence.shape[1]


def _head_seconds(influence: Influence, n_rows: float) -> float:
    """Return the nominal seconds of fitting a head, dense or by conjugate gradients."""
    if not isinstance(influence, HeadInfluence):
        return _influence_seconds(influence, n_rows)
    objective, (hessian, factor) = influence.objective, _flops(influence.objective, n_rows)
    row = _N_PASSES * objective.n_features * (1 + 0.3 * objective.n_outputs) * _NUMBER
    if hessian + factor <= CHEAP_FLOPS:
        return row * n_rows + _N_HESSIANS * (hessian * _FLOAT64 + factor * _CHOLESKY) + 0.002
    # With few rows for each parameter, conjugate gradients take more iterations.
    return 1.4 * row * (n_rows + 6 * objective.n_params)


def _influence_seconds(influence: Influence, n_rows: float) -> float:
    n_params, seconds = influence.shape[1], 0.001
    if isinstance(influence, HeadInfluence) and influence.curvature_name == "dense":
        hessian, factor = _flops(influence.objective, n_rows)
        seconds += hessian * _FLOAT64 + factor * _CHOLESKY
    return seconds + n_rows * n_params * _NUMBER


def _flops(objective: HeadObjective, n_rows: float) -> tuple[float, float]:
    """Return the operations of the Hessian on these rows, and of its factor."""
    factor = objective.n_params**3 / 3
    return (objective.hessian_flops - factor) * n_rows / objective.n_samples, factor
