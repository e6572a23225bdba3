"""How many rows of each class or group are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import Array, Mask
from ..data import plain


@dataclass(frozen=True)
class KeptShare:
    """How many rows of a class or group are kept.

    Attributes
    ----------
    label : object
        The class or group.
    n_samples, n_kept, n_dropped : int
        Its rows in all, kept and dropped.
    """

    label: object
    n_samples: int
    n_kept: int

    @property
    def n_dropped(self) -> int:
        """Rows of it that are dropped."""
        return self.n_samples - self.n_kept


def kept_shares(labels: Array, support: Mask) -> tuple[KeptShare, ...]:
    """Return what is kept of each label, in sorted order; labels of several types as text."""
    if labels.dtype == object:
        labels = labels.astype(str)
    values, codes = np.unique(labels, return_inverse=True)
    n_samples, n_kept = np.bincount(codes), np.bincount(codes[support], minlength=len(values))
    return tuple(
        KeptShare(plain(value), int(n_samples[i]), int(n_kept[i])) for i, value in enumerate(values)
    )
