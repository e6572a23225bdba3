"""Collections taken apart into aligned partitions, and partitions put together as an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
from numpy.typing import DTypeLike

# A dask.delayed.Delayed: a value that a worker will compute. Dask has no types.
Lazy: TypeAlias = Any
# A dask.array.Array, or a DataFrame or Series of dask.dataframe.
Collection: TypeAlias = Any


@dataclass(frozen=True)
class _Pieces:
    """One collection, taken apart.

    Attributes
    ----------
    parts : list
        One a partition.
    lengths : tuple of int or None
        Their rows, where the collection knows them.
    divisions : tuple or None
        First label of the index of each partition, and the last of all, where a frame knows them.
    is_frame : bool
        Whether they are parts of a frame.
    """

    parts: list[Lazy]
    lengths: tuple[int, ...] | None
    divisions: tuple[Any, ...] | None
    is_frame: bool

    @classmethod
    def of(cls, name: str, collection: Collection) -> _Pieces:
        if _is_frame(collection):
            divisions = collection.divisions if collection.known_divisions else None
            # Dask's own optimization would read several partitions of few columns as one.
            parts = collection.simplify().to_delayed(optimize_graph=False)
            return cls(parts, None, divisions, True)
        if not hasattr(type(collection), "chunks"):
            raise TypeError(
                f"{name} must be an array or a data frame of Dask; it is a "
                f"{type(collection).__name__}. Turn it into one: to_dataframe() of a bag, "
                "dask.array.from_delayed of a delayed value."
            )
        if not collection.chunks:
            raise ValueError(f"{name} must have rows; it is a single number.")
        for axis, chunks in enumerate(collection.chunks):
            if axis and (len(chunks) > 1 or np.isnan(chunks[0])):
                raise ValueError(
                    f"{name} must have one block of known size along its columns; it has "
                    f"{_shown(chunks)} along axis {axis}. Give {name}.rechunk({{{axis}: -1}})."
                )
        lengths = collection.chunks[0]
        is_known = not any(np.isnan(length) for length in lengths)
        # Optimized one by one, X and y would each compute anew what both are made of.
        parts = collection.to_delayed(optimize_graph=False).ravel().tolist()
        return cls(parts, tuple(map(int, lengths)) if is_known else None, None, False)

    def __str__(self) -> str:
        if self.lengths is None:
            return f"{len(self.parts)} partitions"
        return f"{len(self.parts)} partitions of {_shown(self.lengths)}, {sum(self.lengths)} rows"


def _is_frame(collection: Collection) -> bool:
    # A delayed value has every attribute that it is asked for; its type has not.
    return hasattr(type(collection), "divisions") and hasattr(type(collection), "simplify")


def aligned_parts(
    collections: Mapping[str, Collection],
) -> tuple[dict[str, list[Lazy]], tuple[int, ...] | None]:
    """Return the partitions of each collection, and their lengths where one of them knows these.

    Parameters
    ----------
    collections : dict
        By name, that of the rows ("X") included.

    Raises
    ------
    TypeError, ValueError
        As `Partitioned.of` says.
    """
    pieces = {name: _Pieces.of(name, collection) for name, collection in collections.items()}
    for name, own in pieces.items():
        _require_same_partitions(name, own, pieces["X"])
    lengths = next((own.lengths for own in pieces.values() if own.lengths is not None), None)
    return {name: own.parts for name, own in pieces.items()}, lengths


def parts_like(name: str, collection: Collection, lengths: tuple[int, ...]) -> list[Lazy]:
    """Return the partitions of a collection that is aligned with the training rows.

    Parameters
    ----------
    name : str
        Its name in errors.
    collection : dask array, data frame or series
        Several blocks along its columns are united.
    lengths : tuple of int
        Rows of each partition of the training rows.

    Raises
    ------
    ValueError
        If it is known to have other partitions.
    """
    if hasattr(collection, "chunks"):
        collection = collection.rechunk({axis: -1 for axis in range(1, collection.ndim)})
    pieces = _Pieces.of(name, collection)
    if len(pieces.parts) != len(lengths) or pieces.lengths not in (None, lengths):
        raise ValueError(
            f"{name} must have the partitions of the training rows; it has {pieces}, and they have "
            f"{len(lengths)} partitions of {_shown(lengths)}, {sum(lengths)} rows. Give an array's "
            "rechunk({0: X.chunks[0]}), or take both from one frame."
        )
    return pieces.parts


def _require_same_partitions(name: str, own: _Pieces, rows: _Pieces) -> None:
    same_count = len(own.parts) == len(rows.parts)
    if same_count and own.divisions and rows.divisions and own.divisions != rows.divisions:
        raise ValueError(
            f"{name} and X must have the same divisions; {name} has {_shown(own.divisions)}, and X "
            f"has {_shown(rows.divisions)}. Give {name}.repartition(divisions=X.divisions), or "
            f"{name}.clear_divisions() if row i of both is the same row."
        )
    if same_count and (None in (own.lengths, rows.lengths) or own.lengths == rows.lengths):
        return
    if own.lengths and rows.lengths and sum(own.lengths) != sum(rows.lengths):
        remedy = "Take both from the same table."
    elif own.is_frame and rows.is_frame:
        remedy = f"Give {name}.repartition(divisions=X.divisions), or take both from one frame."
    elif own.is_frame or rows.is_frame:
        frame = name if own.is_frame else "X"
        remedy = f"Take both from one frame, or give {frame}.to_dask_array(lengths=True) rechunked."
    else:
        remedy = f"Give {name}.rechunk({{0: X.chunks[0]}})."
    raise ValueError(
        f"{name} and X must have the same partitions; {name} has {own}, and X has {rows}. {remedy}"
    )


def _shown(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:6]))
    return f"({shown}{', ...' if len(values) > 6 else ''})"


def joined(parts: Sequence[Lazy], lengths: Sequence[int], dtype: DTypeLike) -> Collection:
    """Return a Dask array of one dimension, made of these parts; empty ones stay."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"rows-{uuid4().hex}"
    # dask.array.concatenate would leave the empty partitions out.
    graph: dict[Any, Any] = {(name, i): part.key for i, part in enumerate(parts)}
    layers = HighLevelGraph.from_collections(name, graph, dependencies=parts)
    return da.Array(layers, name, (tuple(lengths),), dtype=dtype)
