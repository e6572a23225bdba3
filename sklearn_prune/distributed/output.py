"""The rows kept of a collection, as a mask and as lazily filtered collections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._types import Array, Integers, Mask, Rows
from ..data import is_collection, n_rows, take_rows
from .alignment import Collection, Lazy, joined, parts_like
from .collection import Partitioned
from .masks import packed, unpacked


@dataclass(frozen=True)
class KeptRows:
    """Which rows of each partition are kept; it can be pickled, and a row takes a bit.

    Attributes
    ----------
    lengths : tuple of int
        Rows of each partition of the user's collection, those without rows too.
    bits : tuple of ndarray of uint8
        Mask of each, packed.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from sklearn_prune.distributed import KeptRows, Partitioned
    >>> X = da.arange(6, chunks=3)[:, np.newaxis]
    >>> masks = [np.array([False, True, True]), np.array([False, False, False])]
    >>> kept = KeptRows.of(Partitioned.of(X), masks)
    >>> kept.take(X).chunks
    ((2,), (1,))
    >>> kept.take(X).compute().ravel()
    array([1, 2])
    """

    lengths: tuple[int, ...]
    bits: tuple[NDArray[np.uint8], ...]

    @classmethod
    def of(cls, partitioned: Partitioned, masks: Sequence[Mask]) -> KeptRows:
        """Take masks, one for each of the partitions that have rows."""
        every = partitioned.for_all(masks, np.zeros(0, dtype=bool))
        return cls(tuple(map(len, every)), tuple(packed(every)))

    def _positions(self) -> Iterator[Integers]:
        """Yield positions of the rows kept in each partition, unpacked one at a time."""
        for bits, length in zip(self.bits, self.lengths, strict=True):
            yield np.flatnonzero(unpacked(bits, length))

    @property
    def support(self) -> Collection:
        """A Dask array of bool of shape (n_samples,), with the partitions of X."""
        from dask.delayed import delayed

        parts = map(delayed(unpacked, pure=True), self.bits, self.lengths)
        return joined(list(parts), self.lengths, bool)

    @property
    def _counts(self) -> list[int]:
        return list(map(len, self._positions()))

    def in_partitions(self, values: Array) -> Collection:
        """Return what belongs to the rows kept with the partitions that `take` returns.

        Parameters
        ----------
        values : ndarray of shape (n_kept,)
            One value for each row kept, in their order.

        Returns
        -------
        array : dask array of shape (n_kept,)
            The values.
        """
        import dask.array as da

        return da.from_array(values, chunks=(tuple(filter(None, self._counts)),))

    @property
    def indices(self) -> Integers:
        """Positions of the rows kept among all rows, ascending, of shape (n_kept,)."""
        firsts = np.cumsum([0, *self.lengths[:-1]])
        return np.concatenate(
            [first + kept for first, kept in zip(firsts, self._positions(), strict=True)]
        )

    def take(self, container: Rows) -> Rows:
        """Return the rows kept of what is aligned with the training rows.

        Parameters
        ----------
        container : dask array, data frame or series, or any container in memory
            One row for each training row; a collection has their partitions.

        Returns
        -------
        kept : same type
            Of a collection: computed when asked for, with known chunk sizes and no empty
            partitions. Index, column types, and divisions where they are known, stay.

        Raises
        ------
        ValueError
            If the rows are not aligned. Where a collection does not know its chunk sizes, this is
            found when it is computed.
        """
        if container is None:
            return None
        if is_collection(container):
            return self._take_lazily(container)
        if n_rows(container) != sum(self.lengths):
            raise ValueError(
                f"prune needs containers aligned with the {sum(self.lengths)} training rows; one "
                f"has {n_rows(container)}. Give one row for each row given to fit, in the same "
                "order."
            )
        return take_rows(container, self.indices)

    def _take_lazily(self, collection: Collection) -> Collection:
        from dask.delayed import delayed

        parts = parts_like("a container to prune", collection, self.lengths)
        counts = self._counts
        filled = np.flatnonzero(counts).tolist()
        take = delayed(_take, pure=True)
        kept = [take(parts[i], self.bits[i], self.lengths[i], i) for i in filled]
        if hasattr(collection, "divisions"):
            return _as_frame(kept, collection, filled)
        return _as_array(kept, collection, [counts[i] for i in filled])


def _as_frame(kept: Sequence[Lazy], collection: Collection, filled: Sequence[int]) -> Collection:
    import dask.dataframe as dd

    divisions = None
    if collection.known_divisions:
        # A partition's rows begin at its division, and end before the next partition's.
        starts, last = collection.divisions, filled[-1]
        divisions = (*(starts[i] for i in filled), starts[last + 1])
    meta = collection._meta
    return dd.from_delayed(kept, meta=meta, divisions=divisions, verify_meta=False)


def _as_array(kept: Sequence[Lazy], collection: Collection, counts: Sequence[int]) -> Collection:
    import dask.array as da

    columns = collection.shape[1:]
    meta = collection._meta
    blocks = [
        da.from_delayed(part, (count, *columns), meta=meta)
        for part, count in zip(kept, counts, strict=True)
    ]
    return da.concatenate(blocks)


def _take(part: Rows, bits: Array, length: int, position: int) -> Rows:
    if n_rows(part) != length:
        raise ValueError(
            f"prune needs containers aligned with the training rows; partition {position} has "
            f"{n_rows(part)} rows, and had {length} in fit. Give the same rows in the same order."
        )
    return take_rows(part, np.flatnonzero(unpacked(bits, length)))
