"""Masks as bits, in which they are kept and sent: a row takes one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._types import Mask


@dataclass(frozen=True, eq=False)
class PackedMask:
    """The mask of a partition.

    Attributes
    ----------
    bits : ndarray of uint8
        As `numpy.packbits` packs it.
    length : int
        Number of rows.
    """

    bits: NDArray[np.uint8]
    length: int

    @classmethod
    def of(cls, mask: Mask) -> PackedMask:
        """Pack a mask."""
        return cls(np.packbits(mask), len(mask))

    def unpacked(self) -> Mask:
        """Return the mask, of shape (length,)."""
        return np.unpackbits(self.bits, count=self.length).astype(bool)
