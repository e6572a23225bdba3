"""Weights of the rows kept, all of which one pass brings here."""

from __future__ import annotations

import math

from .._types import Floats
from ..influence import DenseCurvature
from ..matching import HELD_FACTORS, ScaledPart, weights_of_parts
from .groups import Groups
from .head import MatchedHead, damped_on_sample
from .reading import ReadRows
from .row_maps import EmbeddingMap, HeadMap
from .survey import SAMPLE_ROWS, Survey


def require_few_kept(groups: Groups, tolerance: float | None) -> None:
    """Raise ValueError if more rows are kept than are weighed here."""
    n_samples, n_kept = groups.n_samples, groups.n_samples - groups.n_drop
    if n_kept > SAMPLE_ROWS:
        # Rounded up, so that it does not ask for a row too few.
        least = math.ceil(1e6 * (1 - SAMPLE_ROWS / n_samples)) / 1e6
        remedy = f"raise prune_ratio to {least:g} or more"
        if tolerance is not None:
            remedy = f"raise tolerance from {tolerance:g}"
        raise ValueError(
            f"reweight=True weighs at most {SAMPLE_ROWS} kept rows of a Dask collection, and "
            f"{n_kept} of {n_samples} are kept; {remedy}, leave reweight out, "
            "or give X.compute() and y.compute()."
        )


def weights_of_kept(
    rows: ReadRows, known: Survey, head: MatchedHead, embedding: EmbeddingMap | None
) -> Floats:
    """Return weights of the rows kept, of mean 1, with which they hold the head.

    They hold what `matching.kept_weights` says, which scales all of it on all rows; here these are
    the sample's.

    Parameters
    ----------
    rows : ReadRows
        The rows kept.
    known : Survey
        What is known of all rows.
    head : MatchedHead
        The head of all rows. Unless it is wide, two more are held, with more damping.
    embedding : EmbeddingMap or None
        The distribution, which the weights hold near that of the rows kept; None fits one.
    """
    reader, sample = known.reader, known.sample
    if embedding is None:
        embedding = EmbeddingMap.fit(reader, sample, head.map.weight_sum, is_alone=False)

    def influences(head_map: HeadMap) -> ScaledPart:
        return ScaledPart.of(head_map.influences(reader, rows), head_map.influences(reader, sample))

    is_dense = isinstance(head.map.curvature, DenseCurvature)
    factors = HELD_FACTORS if is_dense else ()
    terms = zip(embedding.terms(reader, rows), embedding.terms(reader, sample), strict=True)
    return weights_of_parts(
        influences(head.map),
        [influences(damped_on_sample(known, head, factor)) for factor in factors],
        [ScaledPart.of(kept, of_sample) for kept, of_sample in terms],
    )
