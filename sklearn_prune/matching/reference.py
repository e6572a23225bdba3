"""What reference rows determine: the head to hold, the suspect labels, and the target mean."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold

from .._types import Array, Floats, Integers, Mask, Positions
from ..influence import HeadFit, HeadObjective, refit_head
from ..selection import KeptRange, Request, StratumCounts
from .distribution import DistributionEmbedding, embed_distribution, embed_nonlinear_head
from .feature_maps import Table
from .teacher import Taught, teach_labels, teach_numbers

# Multiples of the damping that are tried, since few rows need more damping.
_FACTORS = (1.0, 10.0, 100.0, 1e3, 1e4)
# Number of folds; beyond this many rows, the smaller number.
_N_FOLDS, _MANY_ROWS, _FEW_FOLDS = 5, 5_000, 2
# Smallest share of a class.
_LEAST_SHARE = 1e-12


@dataclass(frozen=True, eq=False)
class ReferenceHead:
    """A head that was fitted on reference rows.

    Attributes
    ----------
    objective : HeadObjective
        The objective on the reference rows, with the damping that was chosen.
    fit : HeadFit
        Its minimiser.
    held_out : ndarray of shape (n_reference, n_outputs)
        Outputs for each row by a head that was fitted without that row.
    score : float
        Accuracy of these outputs, or R² for numbers.
    """

    objective: HeadObjective
    fit: HeadFit
    held_out: Floats
    score: float


@dataclass(frozen=True, eq=False)
class Aim:
    """What reference rows say about the training rows.

    Attributes
    ----------
    losses : ndarray of shape (n_samples,)
        How far each training row's target is from the prediction of the reference rows.
    suspect : ndarray of bool of shape (n_samples,)
        Whether its label is more likely wrong than right.
    balance : tuple of DistributionEmbedding
        The target distribution, and a nonlinear head fitted to it.
    similarity : float
        1 if the reference rows look like a random draw of training rows, so that the target mean is
        over the training rows; near 0 if they do not, so that it is over the reference rows.
    n_rows : int
        Number of reference rows.
    score, damping : float
        Those of the head; for several heads, the mean.
    is_labels : bool
        Whether targets are classes.
    """

    losses: Floats
    suspect: Mask
    balance: tuple[DistributionEmbedding, ...]
    similarity: float
    n_rows: int
    score: float
    damping: float
    is_labels: bool

    @property
    def class_shares(self) -> Floats | None:
        """Target shares of the classes, of shape (n_classes,); None for numbers."""
        return self.balance[0].mean[:, 0] if self.is_labels else None


def fit_reference_head(
    objective: HeadObjective, theta_start: Floats, y: Array, *, is_labels: bool
) -> ReferenceHead:
    """Fit a head on reference rows, with the objective's damping or more.

    Cross-validation multiplies the damping by ten as long as that lowers the held-out loss.

    Parameters
    ----------
    objective : HeadObjective
        The objective on the reference rows, with the least damping.
    theta_start : ndarray of shape (n_outputs, n_features)
        Where to begin.
    y : ndarray of shape (n_reference,) or (n_reference, n_outputs)
        Class codes, by which folds are stratified, or numbers.
    is_labels : bool
        Whether y holds class codes.

    Returns
    -------
    head : ReferenceHead
        The head with the chosen damping, and its held-out outputs.
    """
    folds = _folds(y, is_labels=is_labels)
    chosen, least = objective, np.inf
    held_out: Floats = np.empty(0)
    for factor in _FACTORS:
        damped = objective if factor == 1 else objective.damped(factor)
        outputs = _held_out(damped, theta_start, folds)
        weights = objective.sample_weight
        loss = float(weights @ objective.loss.value(outputs, objective.targets)) / weights.sum()
        if factor > 1 and not loss < least:
            break
        chosen, held_out, least = damped, outputs, loss
    score = _score(held_out, y if is_labels else chosen.targets, is_labels=is_labels)
    return ReferenceHead(chosen, refit_head(chosen, theta_start), held_out, score)


def _folds(y: Array, *, is_labels: bool) -> list[tuple[Integers, Integers]]:
    n_folds = _FEW_FOLDS if len(y) > _MANY_ROWS else min(_N_FOLDS, len(y))
    if is_labels and np.bincount(y)[np.unique(y)].min() >= n_folds:
        return list(StratifiedKFold(n_folds, shuffle=True, random_state=0).split(y, y))
    return list(KFold(n_folds, shuffle=True, random_state=0).split(y))


def _held_out(
    objective: HeadObjective, theta_start: Floats, folds: Sequence[tuple[Integers, Integers]]
) -> Floats:
    outputs = np.empty((objective.n_samples, objective.n_outputs))
    for others, fold in folds:
        theta = refit_head(objective.subset(others), theta_start).theta
        outputs[fold] = objective.subset(fold).outputs(theta)
    return outputs


def _score(outputs: Floats, truth: Array, *, is_labels: bool) -> float:
    if not is_labels:
        return float(r2_score(truth, outputs))
    codes = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(int)
    return float(accuracy_score(truth, codes))


class _StackedTables:
    """Two tables of the same columns, the second below the first; rows are read on demand."""

    def __init__(self, first: Floats, second: Floats) -> None:
        self._first, self._second = first, second
        self.shape = (len(first) + len(second), first.shape[1])

    def __getitem__(self, rows: Positions) -> Floats:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.shape[0]))
        n_first, rows = len(self._first), np.asarray(rows)
        is_first = rows < n_first
        table = np.empty((len(rows), self.shape[1]))
        table[is_first] = self._first[rows[is_first]]
        table[~is_first] = self._second[rows[~is_first] - n_first]
        return table


def aim_at_reference(
    objectives: Sequence[HeadObjective],
    heads: Sequence[ReferenceHead],
    designs: Sequence[tuple[Floats, Floats]],
    y: Array,
    reference_y: Array,
    *,
    is_labels: bool,
) -> Aim:
    """Return what the reference rows say about the training rows.

    Parameters
    ----------
    objectives : sequence of HeadObjective
        The objective of each head on the training rows.
    heads : sequence of ReferenceHead
        The same heads, fitted on the reference rows.
    designs : sequence of pairs of ndarray
        Tables of training rows and of reference rows, whose distribution is to be matched.
    y, reference_y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes, or numbers.
    is_labels : bool
        Whether these are class codes.
    """
    n, weights = len(y), objectives[0].sample_weight
    # A reference row counts as much as a training row does on average.
    all_weights = np.r_[weights, np.full(len(reference_y), weights.mean())]
    table = Table([_StackedTables(*pair) for pair in designs], all_weights)
    outputs = np.hstack(
        [
            objective.outputs(head.fit.theta)
            for objective, head in zip(objectives, heads, strict=True)
        ]
    )
    taught = (teach_labels if is_labels else teach_numbers)(
        table[np.arange(n)],
        y,
        outputs,
        table[np.arange(n, n + len(reference_y))],
        reference_y,
        np.hstack([head.held_out for head in heads]),
    )
    balance, similarity = _aimed_balance(
        table, y, reference_y, all_weights, taught, is_labels=is_labels
    )
    return Aim(
        losses=taught.losses,
        suspect=taught.suspect,
        balance=balance,
        similarity=similarity,
        n_rows=len(reference_y),
        score=float(np.mean([head.score for head in heads])),
        damping=float(np.mean([head.objective.damping for head in heads])),
        is_labels=is_labels,
    )


def _aimed_balance(
    table: Table,
    y: Array,
    reference_y: Array,
    weights: Floats,
    taught: Taught,
    *,
    is_labels: bool,
) -> tuple[tuple[DistributionEmbedding, ...], float]:
    """Return the target distribution and nonlinear head, and the similarity of the columns."""
    n, every = len(y), np.concatenate([y, reference_y])
    if is_labels:
        own = np.eye(int(every.max()) + 1)[every]
        learned = np.vstack([taught.targets, own[n:]])
    else:
        every = every.reshape(len(every), -1).astype(np.float64)
        share = weights / weights.sum()
        mean = share @ every
        deviation = np.sqrt(share @ (every - mean) ** 2)
        deviation = np.where(deviation > 0, deviation, 1.0)
        own = every = (every - mean) / deviation
        learned = np.vstack([(taught.targets - mean) / deviation, own[n:]])
    correction = learned[:n] - own[:n]
    distribution = embed_distribution(table, every, weights, is_labels=is_labels)
    nonlinear = embed_nonlinear_head(table, every, weights, learned=learned, is_labels=is_labels)
    # For numbers, the label 1 of the mean needs no correction.
    n_ones = distribution.labels.shape[1] - correction.shape[1]
    padded = np.hstack([np.zeros((n, n_ones)), correction])
    embeddings = distribution, nonlinear
    training = [embedding.among(np.arange(n)) for embedding in embeddings]
    references = [embedding.among(np.arange(n, len(every))) for embedding in embeddings]
    taught_means = [
        embedding.labelled(embedding.labels + change).mean
        for embedding, change in zip(training, (padded, correction), strict=True)
    ]
    means, similarity = aimed_means(references, taught_means)
    aimed = (part.aimed_at(mean) for part, mean in zip(training, means, strict=True))
    return tuple(aimed), similarity


def aimed_means(
    references: Sequence[DistributionEmbedding], taught_means: Sequence[Floats]
) -> tuple[list[Floats], float]:
    r"""Return the target of each embedding, and the similarity of the columns.

    The mean embedding of the reference rows, :math:`μ_r`, is unbiased but noisy, since they are
    few. That of the training rows with the targets that they should have, :math:`μ_t`, has little
    noise, but is unbiased only if the columns of both have the same distribution. The target is
    between them,

    .. math:: s μ_t + (1 - s) μ_r, \qquad s = \min(1, E\|μ_r - E μ_r\|^2 / \|μ_r - μ_t\|^2)

    which is :math:`μ_t` if they differ by no more than that noise (James and Stein 1961).

    Parameters
    ----------
    references : sequence of DistributionEmbedding
        Of the reference rows alone; the similarity is that of the first.
    taught_means : sequence of ndarray of shape (n_labels, n_features)
        :math:`μ_t` of each.
    """
    first, taught = references[0], taught_means[0]
    noise = float(np.sum(first.row_norms() ** 2))
    distance = float(np.sum((first.mean - taught) ** 2))
    similarity = min(1.0, noise / distance) if distance > 0 else 1.0
    means = [
        similarity * taught_mean + (1 - similarity) * reference.mean
        for reference, taught_mean in zip(references, taught_means, strict=True)
    ]
    return means, similarity


def class_quota(counts: StratumCounts, request: Request, shares: Floats) -> dict[Hashable, int]:
    """Return how many rows each class (or pair of class and group) keeps, by shares of classes.

    As close to the shares as masks and class sizes allow; groups keep their shares of their class.
    """
    n_drop, class_of, sizes = request.n_drop(counts), counts.class_of, counts.sizes
    assert n_drop is not None and class_of is not None
    most = sizes - counts.must_drop
    least = np.minimum(np.maximum(counts.must_keep, 1), most)
    in_class = np.bincount(class_of, sizes, minlength=len(shares))[class_of]
    wanted = np.maximum(shares, 0)[class_of] * sizes / in_class
    # A class with a target share of zero still keeps its least number of rows.
    shared = KeptRange(least, most, np.maximum(wanted, _LEAST_SHARE))
    kept = shared.counts(counts.n_samples - n_drop)
    return dict(zip(counts.names, kept.tolist(), strict=True))
