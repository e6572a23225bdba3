"""Features whose means are matched: random Fourier features, tree leaves, kernel columns."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_array
from scipy.spatial.distance import pdist
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.utils import gen_batches

from .._types import Array, Floats, Integers, Positions, Rows
from ..networks import column_scaler
from ..utils import joblib_threads, map_threads

# Bandwidths of the Gaussian kernel: γ is each of these over the median squared distance. Large γ
# resolve what neighbours and forests use, the small one what nearly linear models use.
BANDWIDTHS = (0.2, 1.0, 5.0)
# Number of frequencies in all; each gives a cosine and a sine.
_N_FREQUENCIES = 150
# Most rows that the median distance is computed from, and that trees and heads are fitted on.
_MEDIAN_ROWS, FITTED_ROWS = 1_000, 20_000
_N_TREES, _N_LEAVES = 12, 32
# Kernel columns, and the damping of their whitening, in units of a column's variance.
_N_CENTRES, _RIDGE = 150, 1e-3
# Columns beyond which rows are projected.
_MAX_COLUMNS = 300
# Rows read at a time.
CHUNK = 4096


class FeatureMap(Protocol):
    """Turns standardised rows into features whose means are compared."""

    def __call__(self, rows: Floats) -> Floats | csr_array:
        """Return the features of these rows, float32 of shape (n_rows, n_features)."""


class Table:
    """The inputs of the heads of one or several networks, concatenated and standardised.

    ``table[rows]`` is a float32 array of shape (n_rows, n_columns). Each network's columns are
    divided by the square root of how many of them vary, so that every network contributes the same
    to a squared distance. Constant columns are zero. More than 300 columns are projected at random
    onto 300, which roughly preserves distances (Johnson and Lindenstrauss 1984).

    Parameters
    ----------
    designs : sequence of ndarray of shape (n_samples, n_columns_b)
        Inputs of each head; read a few thousand rows at a time.
    sample_weight : ndarray of shape (n_samples,)
        Weights of the rows in means and scales.
    """

    def __init__(self, designs: Sequence[Rows], sample_weight: Floats) -> None:
        self._designs = designs
        # Features are fitted on rows of positive weight only.
        self.weighing = np.flatnonzero(sample_weight)
        self._scales = [_column_scales(design, sample_weight) for design in designs]
        self.n_columns = sum(design.shape[1] for design in designs)
        self._projection: Floats | None = None
        if self.n_columns > _MAX_COLUMNS:
            draws = np.random.default_rng(0).standard_normal((self.n_columns, _MAX_COLUMNS))
            self._projection = (draws / np.sqrt(_MAX_COLUMNS)).astype(np.float32)
            self.n_columns = _MAX_COLUMNS

    def of(self, designs: Sequence[Rows], sample_weight: Floats) -> Table:
        """Return the table of other rows, with the scales of these."""
        part = copy.copy(self)
        part._designs, part.weighing = designs, np.flatnonzero(sample_weight)
        return part

    def some(self, most: int, rng: np.random.Generator) -> Integers:
        """Draw at most ``most`` rows of positive weight; return their positions, ascending."""
        return np.sort(rng.permutation(self.weighing)[:most])

    def __getitem__(self, rows: Positions) -> Floats:
        parts = [
            _scaled(np.asarray(design[rows]), *scale)
            for design, scale in zip(self._designs, self._scales, strict=True)
        ]
        columns = parts[0] if len(parts) == 1 else np.hstack(parts)
        return columns if self._projection is None else columns @ self._projection


def _scaled(rows: Floats, mean: Floats, factor: Floats) -> Floats:
    """Return ``(rows - mean) * factor`` as float32, computed in float64."""
    scaled: Floats = np.subtract(rows, mean, dtype=np.float64)
    return np.multiply(scaled, factor, out=scaled).astype(np.float32)


def _column_scales(design: Rows, sample_weight: Floats) -> tuple[Floats, Floats]:
    """Return each column's mean, and the factor that its deviation from the mean is scaled by."""
    scaler = column_scaler(design, sample_weight)
    is_constant = scaler.var_ <= 10 * np.finfo(np.float64).eps * scaler.mean_**2
    n_varying = max(1, int((~is_constant).sum()))
    factor = np.where(is_constant, 0.0, 1.0 / scaler.scale_) / np.sqrt(n_varying)
    return scaler.mean_, factor


def median_squared_distance(table: Table, rng: np.random.Generator) -> float:
    """Return the median of ``‖x - x'‖²`` over pairs of different rows; 1 if there are none."""
    distances = pdist(table[table.some(_MEDIAN_ROWS, rng)], "sqeuclidean")
    positive = distances[distances > 1e-12]
    return float(np.median(positive)) if positive.size else 1.0


@dataclass(frozen=True, eq=False)
class FourierFeatures:
    r"""Random Fourier features of Gaussian kernels of several bandwidths.

    .. math:: \varphi(x) = \big[\cos(W^T x), \sin(W^T x)\big] / \sqrt{D},
              \qquad W_{\cdot j} \sim N(0, 2 γ_j I)

    so that ``φ(x)·φ(x')`` estimates the mean of ``exp(-γ ‖x - x'‖²)`` over the bandwidths.

    Attributes
    ----------
    frequencies : ndarray of shape (n_columns, D)
        W, float32.

    References
    ----------
    Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.
    """

    frequencies: Floats

    @classmethod
    def fit(
        cls,
        table: Table,
        rng: np.random.Generator,
        bandwidths: Sequence[float] = BANDWIDTHS,
    ) -> FourierFeatures:
        """Draw frequencies; γ is a bandwidth over the median squared distance of some rows."""
        gammas = np.resize(bandwidths, _N_FREQUENCIES) / median_squared_distance(table, rng)
        draws = rng.standard_normal((table.n_columns, _N_FREQUENCIES))
        return cls((draws * np.sqrt(2 * gammas)).astype(np.float32))

    def __call__(self, rows: Floats) -> Floats:
        """Return cosines and sines, float32 of shape (n_rows, 2 D)."""
        angles = rows @ self.frequencies
        features = np.hstack([np.cos(angles), np.sin(angles)])
        features *= np.float32(1 / np.sqrt(angles.shape[1]))
        return features


@dataclass(frozen=True, eq=False)
class LeafIndicators:
    """Indicators of the leaf that a row falls into, in each of a few randomised trees.

    The trees are grown on the target, so they split where it changes, as forests and boosting do. A
    kernel, which treats all columns alike, does not resolve that.

    Attributes
    ----------
    forest : ExtraTreesClassifier or ExtraTreesRegressor
        Fitted.
    codes : tuple of ndarray
        For each tree, the column of each node's indicator; only leaves count.
    n_leaves : int
        Number of leaves in all.

    References
    ----------
    Geurts, Ernst and Wehenkel, "Extremely Randomized Trees", Machine Learning 63, 2006.
    """

    forest: ExtraTreesClassifier | ExtraTreesRegressor
    codes: tuple[Integers, ...]
    n_leaves: int

    @classmethod
    def fit(
        cls, table: Table, targets: Array, rng: np.random.Generator, *, is_labels: bool
    ) -> LeafIndicators:
        """Grow the trees on some rows; ``targets`` are class codes if ``is_labels``."""
        chosen = table.some(FITTED_ROWS, rng)
        make = ExtraTreesClassifier if is_labels else ExtraTreesRegressor
        forest = make(
            n_estimators=_N_TREES,
            max_leaf_nodes=_N_LEAVES,
            random_state=int(rng.integers(np.iinfo(np.int32).max)),
        )
        # One column of numbers is a vector to a tree.
        values = targets[chosen]
        with joblib_threads():
            forest.fit(table[chosen], values.ravel() if values.size == len(chosen) else values)
        codes, n_leaves = [], 0
        for tree in forest.estimators_:
            is_leaf = tree.tree_.children_left < 0
            codes.append(n_leaves + np.cumsum(is_leaf, dtype=np.int32) - 1)
            n_leaves += int(is_leaf.sum())
        return cls(forest, tuple(codes), n_leaves)

    def __call__(self, rows: Floats) -> csr_array:
        """Return ones at the leaves and zeros elsewhere, float32 of shape (n_rows, n_leaves)."""
        trees = zip(self.forest.estimators_, self.codes, strict=True)
        # A tree by itself: the forest checks the rows again, and each call starts its threads.
        leaves = np.column_stack([codes[tree.tree_.apply(rows)] for tree, codes in trees])
        ends = np.arange(0, leaves.size + 1, len(self.codes), dtype=np.int32)
        ones = np.ones(leaves.size, dtype=np.float32)
        return csr_array((ones, leaves.ravel(), ends), shape=(len(rows), self.n_leaves))


@dataclass(frozen=True, eq=False)
class WhitenedKernelColumns:
    r"""The columns and a Gaussian kernel's columns, whitened.

    .. math:: \varphi(x) = L^{-1} f(x), \qquad f(x) = [x, k(x, c_1), \dots, k(x, c_m)], \qquad
              \operatorname{cov}(f) + λ I = L L^T

    with every entry of f standardised and some rows as :math:`c_j`. These are the features of a
    ridge regression on the columns and on a Nyström approximation of the kernel (Williams and
    Seeger, "Using the Nyström Method to Speed Up Kernel Machines", NeurIPS 2000).

    Attributes
    ----------
    centres : ndarray of shape (m, n_columns)
        Rows c.
    gamma : float
        γ of the kernel ``exp(-γ ‖x - c‖²)``.
    mean : ndarray of shape (n_columns + m,)
        Mean of f.
    whitening : ndarray of shape (n_columns + m, n_columns + m)
        Matrix that ``f - mean`` is multiplied by.
    """

    centres: Floats
    gamma: float
    mean: Floats
    whitening: Floats

    @classmethod
    def fit(cls, table: Table, rng: np.random.Generator) -> WhitenedKernelColumns:
        """Choose centres and whiten, on some of the rows."""
        gamma = 1 / median_squared_distance(table, rng)
        chosen = rng.permutation(table.weighing)
        centres = table[np.sort(chosen[:_N_CENTRES])]
        raw = _beside_kernel(table[np.sort(chosen[:FITTED_ROWS])], centres, gamma)
        mean = raw.mean(axis=0, dtype=np.float64)

        def squares(rows: slice) -> Floats:
            centred = raw[rows] - mean
            return centred.T @ centred

        covariance = sum(map_threads(squares, list(gen_batches(len(raw), CHUNK)))) / len(raw)
        deviation = np.sqrt(np.diag(covariance))
        factor = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0.0)
        covariance = factor[:, None] * covariance * factor + _RIDGE * np.eye(len(mean))
        root = cholesky(covariance, lower=True)
        whitening = factor[:, None] * solve_triangular(root, np.eye(len(mean)), lower=True).T
        return cls(centres, gamma, mean.astype(np.float32), whitening.astype(np.float32))

    def __call__(self, rows: Floats) -> Floats:
        """Return the whitened columns, float32 of shape (n_rows, n_columns + m)."""
        return (_beside_kernel(rows, self.centres, self.gamma) - self.mean) @ self.whitening


def _beside_kernel(rows: Floats, centres: Floats, gamma: float) -> Floats:
    """Return the rows and, beside them, ``exp(-gamma ‖x - c‖²)`` for each centre c."""
    n_columns = rows.shape[1]
    columns: Floats = np.empty((len(rows), n_columns + len(centres)), dtype=np.float32)
    columns[:, :n_columns] = rows
    kernel = columns[:, n_columns:]
    squares, centre_squares = (np.einsum("ij,ij->i", part, part) for part in (rows, centres))
    np.add(squares[:, None], centre_squares, out=kernel)
    # Of finite rows; OpenBLAS has been seen to flag what it reads beyond a single one.
    with np.errstate(invalid="ignore"):
        products = rows @ centres.T
    products *= 2.0
    kernel -= products
    np.maximum(kernel, 0.0, out=kernel)
    kernel *= np.float32(-gamma)
    np.exp(kernel, out=kernel)
    return columns
