"""What reference rows, which are here, say of rows that lie in partitions; see `InfluencePruner`.

The head is fitted on them, as in memory. The forest that judges labels, and all features, come from
the sample. One pass then judges every row, and finds the distribution of the rows with the targets
that they should have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._types import Floats, Integers, Mask
from ..influence import Norm
from ..matching import (
    LabelTeacher,
    NumberTeacher,
    Reference,
    ReferenceHead,
    Table,
    aimed_means,
    class_quota,
    fit_reference_head,
)
from ..selection import Request
from .collection import Block, EachOwn, Partitioned
from .first_pass import FirstPass
from .groups import Groups
from .head import MatchedHead, reference_head
from .masks import packed
from .reading import ReadRows, RowReader, joined_rows
from .row_maps import EmbeddingMap, chunks_of
from .survey import SAMPLE_ROWS, Survey, count_rows

Teacher: TypeAlias = LabelTeacher | NumberTeacher


@dataclass(frozen=True, eq=False)
class _Judged:
    """What a partition holds according to the reference rows.

    Attributes
    ----------
    suspect : ndarray of uint8
        Mask of suspect rows, packed.
    free, strata, losses : ndarray of shape (n_free_suspects,)
        Of those that may go: their places in the partition, their strata, and how far their targets
        are off.
    sums : list of ndarray of shape (n_coordinates,)
        Sums of each embedding's rows with the targets that they should have.
    """

    suspect: NDArray[np.uint8]
    free: Integers
    strata: Integers
    losses: Floats
    sums: list[Floats]


@dataclass(frozen=True, eq=False)
class Lead:
    """What reference rows determine.

    Attributes
    ----------
    known : Survey
        The rows, of which suspect ones must go as far as counts allow.
    groups : Groups
        With the classes' shares of the target distribution.
    head : MatchedHead
        The head of the reference rows.
    embedding : EmbeddingMap
        The distribution, relative to its target.
    fitted : ReferenceHead
        How the head was fitted.
    similarity : float
        As in `Aim`.
    judged : list of _Judged
        What each partition holds.
    """

    known: Survey
    groups: Groups
    head: MatchedHead
    embedding: EmbeddingMap
    fitted: ReferenceHead
    similarity: float
    judged: list[_Judged]

    def n_suspect(self, masks: list[Mask] | None = None) -> int:
        """Return how many labels are more likely wrong than right, of all rows or of masks."""
        suspect = [part.suspect for part in self.judged]
        if masks is not None:
            suspect = [own & mask for own, mask in zip(suspect, packed(masks), strict=True)]
        return int(sum(np.unpackbits(bits).sum() for bits in suspect))


def follow_reference(
    first: FirstPass,
    known: Survey,
    reference: Reference,
    request: Request,
    norm: Norm,
    damping: float,
    seed: int,
) -> Lead:
    """Fit what reference rows determine, and judge all rows by it.

    Parameters
    ----------
    first : FirstPass
        What the partitions hold.
    known : Survey
        What is known of the rows; its network is scaled by the reference rows.
    reference : Reference
        Their rows and targets.
    request : Request
        How many rows to drop.
    norm, damping
        As in `PartitionJob`; the damping is the least.
    seed : int
        That of the sample.
    """
    reader = known.reader
    has_classes = reader.classes is not None
    rows = reader(_as_block(reference))
    fitted = fit_reference_head(
        reader.objective(rows, damping, None), known.theta, rows.target, is_labels=has_classes
    )
    head = reference_head(known, norm, fitted)
    teacher, embedding = _fitted_on_sample(known, rows, fitted, head.map.weight_sum)
    judged = _judged(known, embedding, teacher, fitted.fit.theta)
    references = [part.among(np.arange(len(rows))) for part in embedding.terms(reader, rows)]
    sums = [np.sum(parts, axis=0) for parts in zip(*(part.sums for part in judged), strict=True)]
    means, similarity = aimed_means(references, embedding.means_with(sums))
    embedding = embedding.aimed_at(means)
    if request.quota == "class" and has_classes:
        shares = embedding.distribution.mean[:, 0]
        request = replace(request, quota=class_quota(known.counted.counts, request, shares))
    masks = _first_to_go(judged, Groups.of(known.counted, request), first.partitioned)
    first = replace(first, partitioned=first.partitioned.dropping(masks))
    counted = count_rows(first, SAMPLE_ROWS, seed)
    known = Survey(first.partitioned, counted, reader, known.theta, reader(counted.sample))
    groups = Groups.of(counted, request)
    return Lead(known, groups, head, embedding, fitted, similarity, judged)


def _fitted_on_sample(
    known: Survey, rows: ReadRows, fitted: ReferenceHead, weight_sum: float
) -> tuple[Teacher, EmbeddingMap]:
    """Return what judges rows, and features of the distribution.

    ``rows`` are the reference rows. Their weight of 1 is also the mean of all rows.
    """
    reader, sample, n = known.reader, known.sample, len(known.sample)
    together = joined_rows([sample, rows])
    table = Table([together.design], together.sample_weight)
    kind: type[Teacher] = NumberTeacher if reader.classes is None else LabelTeacher
    teacher = kind.fit(
        table[np.arange(n)],
        sample.target,
        table[np.arange(n, len(together))],
        rows.target,
        fitted.held_out,
    )
    taught = teacher(teacher.seen, sample.target, sample.design @ fitted.fit.theta.T)
    targets = np.vstack([taught.targets, reader.learned(rows)])
    return teacher, EmbeddingMap.fit(reader, together, weight_sum, is_alone=False, taught=targets)


def _judged(
    known: Survey, embedding: EmbeddingMap, teacher: Teacher, theta: Floats
) -> list[_Judged]:
    """Judge the rows of all partitions, each by trees that were not grown on it."""
    positions = known.counted.positions
    bounds = np.cumsum([len(places) for places in positions])[:-1]
    return known.partitioned.compute(
        _judge,
        EachOwn(positions),
        EachOwn(np.split(teacher.seen, bounds)),
        known.reader,
        embedding,
        replace(teacher, seen=teacher.seen[:0]),
        theta,
    )


def _judge(
    block: Block,
    sampled: Integers,
    seen_of_sampled: Floats,
    reader: RowReader,
    embedding: EmbeddingMap,
    teacher: Teacher,
    theta: Floats,
) -> _Judged:
    rows = reader(block)
    seen = teacher.predict(embedding.table_of(rows)[np.arange(len(rows))])
    seen[sampled] = seen_of_sampled
    taught = teacher(seen, rows.target, rows.design @ theta.T)
    sums = [
        [terms.T @ np.ones(len(chunk)) for terms in embedding.taught(rows.take(chunk), targets)]
        for chunk, targets in ((c, taught.targets[c]) for c in chunks_of(len(rows)))
    ]
    free = np.flatnonzero(taught.suspect & rows.free)
    return _Judged(
        packed([taught.suspect])[0],
        free,
        rows.strata[free],
        taught.losses[free],
        [np.sum(parts, axis=0) for parts in zip(*sums, strict=True)],
    )


def _first_to_go(judged: list[_Judged], groups: Groups, partitioned: Partitioned) -> list[Mask]:
    """Return which suspects go: of a group that drops fewer, those of the largest losses."""
    assert partitioned.lengths is not None
    firsts = np.cumsum([0, *partitioned.lengths])
    places = np.concatenate(
        [first + part.free for first, part in zip(firsts, judged, strict=False)]
    )
    losses = np.concatenate([part.losses for part in judged])
    group = groups.group_of[np.concatenate([part.strata for part in judged])]
    goes = np.zeros(firsts[-1], dtype=bool)
    for number, n_dropped in enumerate(groups.n_dropped):
        members = np.flatnonzero(group == number)
        worst = members[np.argsort(-losses[members], kind="stable")][:n_dropped]
        goes[places[worst]] = True
    return np.split(goes, firsts[1:-1])


def _as_block(reference: Reference) -> Block:
    nothing = np.zeros(len(reference.y), dtype=bool)
    return Block(
        X=reference.X,
        y=reference.y,
        sample_weight=None,
        groups=None,
        must_keep=nothing,
        must_drop=nothing,
        cost=None,
        position=0,
    )
