"""Masks as bits, in which they are kept and sent: a row takes one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .._types import Array, Mask


def packed(masks: Iterable[Mask]) -> list[NDArray[np.uint8]]:
    """Return masks as bits; the last byte of each is filled up with zeros."""
    return [np.packbits(mask) for mask in masks]


def unpacked(bits: Array, length: int) -> Mask:
    """Return the mask of so many rows."""
    return np.unpackbits(bits, count=length).astype(bool)
