"""A Dask collection as aligned partitions, of which functions see one block at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import DTypeLike

from .._types import Array, Floats, Mask, Rows, Values
from ..data import as_labels, is_collection, n_rows, two_rows_like
from ..utils import serial_blas, warn_user

# A dask.delayed.Delayed: a value that a worker will compute. Dask has no types.
Lazy: TypeAlias = Any
# A dask.array.Array, or a DataFrame or Series of dask.dataframe.
Collection: TypeAlias = Any
# What a partition holds, by the name of the argument of fit: parts of arrays and frames.
Parts: TypeAlias = dict[str, Values]

T = TypeVar("T")

_CLOSED = (
    "the Client was closed, or lost its cluster, in the middle of a pass. Connect a Client, and "
    "fit again: nothing of this fit is kept."
)
# What becomes of errors of dask.distributed, which only says what happened.
_LOST: dict[str, tuple[type[Exception], str]] = {
    "KilledWorker": (
        MemoryError,
        "a partition killed every worker that it was given to, most likely for lack of memory. "
        "Make partitions smaller, by X.rechunk or X.repartition.",
    ),
    **dict.fromkeys(
        ("ClosedClientError", "CancelledError", "FutureCancelledError"), (ConnectionError, _CLOSED)
    ),
}

# Sums that are added up at a time: a worker holds so many, and a tree of them is log8 deep.
_FAN_IN = 8


@dataclass(frozen=True)
class Block:
    """The rows of one partition, in memory on the worker that computes with them.

    Attributes
    ----------
    X : ndarray or csr_array of shape (n_rows, n_features, ...)
        Checked as the rows of one machine are.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs), or None
        Positions in the classes of all partitions (int64), or numbers (float64). The labels as they
        are, until the first pass knows all of them.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights whose mean over the rows of *all* partitions is 1; as given, until the first pass
        knows their mean.
    groups : ndarray of shape (n_rows,) or None
        Positions in the names of all groups (int64). The labels as they are, until the first pass
        knows all of them.
    must_keep, must_drop : ndarray of bool of shape (n_rows,)
        False where not given.
    cost : ndarray of shape (n_rows,) or None
        What dropping each row saves.
    position : int
        Number of the partition in the user's collection.
    priority : ndarray of shape (n_rows,) or None
        How much models learn from each row, as far as the user knows.
    """

    X: Rows
    y: Array | None
    sample_weight: Floats | None
    groups: Array | None
    must_keep: Mask
    must_drop: Mask
    cost: Floats | None
    position: int
    priority: Floats | None = None

    def __len__(self) -> int:
        return int(self.X.shape[0])


# Makes a block of a partition's number and what it holds.
Reader: TypeAlias = Callable[[int, Parts], Any]


@dataclass(frozen=True)
class EachOwn:
    """Marks an argument of `Partitioned.compute` of which each partition gets its own entry."""

    values: Sequence[Any]


@dataclass
class Traffic:
    """What computing on the partitions has cost so far.

    Attributes
    ----------
    n_passes : int
        How often all partitions were computed.
    bytes_moved : int
        Arguments and results, counted once for each partition. Less moves, since a worker gets what
        all its partitions need once and adds up their sums.
    """

    n_passes: int = 0
    bytes_moved: int = 0


@dataclass(frozen=True)
class Partitioned:
    """Aligned partitions of a collection and of what has one entry for each row.

    Attributes
    ----------
    columns : dict
        From the name of each argument of ``fit`` to its parts, one a partition.
    positions : tuple of int
        Number of each partition in the user's collection; those without rows are missing after the
        first pass.
    lengths : tuple of int or None
        Rows of each partition; None before they are counted.
    reader : callable or None
        Makes a block of a partition's parts. None before the first pass.
    n_partitions : int
        Partitions of the user's collection, those without rows too.
    like : ndarray or DataFrame
        Two rows of zeros that have the columns of X.
    traffic : Traffic
        Counts passes and bytes; shared by all views of the same collection.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn_prune.distributed import Partitioned
    >>> X, y = da.ones((6, 2), chunks=(4, 2)), da.arange(6, chunks=4)
    >>> Partitioned.of(X, y).lengths
    (4, 2)
    """

    columns: dict[str, list[Lazy]]
    positions: tuple[int, ...]
    lengths: tuple[int, ...] | None
    n_partitions: int
    like: Rows
    reader: Reader | None = None
    traffic: Traffic = field(default_factory=Traffic)

    @classmethod
    def of(cls, X: Collection, y: Values = None, **aligned: Values) -> Partitioned:
        """Take a collection and what is aligned with it apart.

        Parameters
        ----------
        X : dask array or data frame of shape (n_samples, n_features, ...)
            The rows; an array has one block along its columns.
        y : dask array, series or data frame, or array-like, of shape (n_samples, ...), default=None
            Of the same partitions, or in memory.
        **aligned : as y
            By name; None is left out.

        Returns
        -------
        partitioned : Partitioned
            Nothing is computed, unless something is in memory and X does not know how many rows its
            partitions have. Then they are counted, in one pass.

        Raises
        ------
        TypeError
            If X is another kind of collection.
        ValueError
            If partitions do not agree; the message says by which call they will.

        Warns
        -----
        UserWarning
            If rows are counted.
        """
        named = {"y": y, **aligned}
        given = {name: value for name, value in named.items() if value is not None}
        lazy = {"X": X, **{name: value for name, value in given.items() if is_collection(value)}}
        pieces = {name: _Pieces.of(name, value) for name, value in lazy.items()}
        for name, own in pieces.items():
            _require_same_partitions(name, own, pieces["X"])
        lengths = next((own.lengths for own in pieces.values() if own.lengths is not None), None)
        columns = {name: own.parts for name, own in pieces.items()}
        n_partitions = len(pieces["X"].parts)
        positions = tuple(range(n_partitions))
        partitioned = cls(columns, positions, lengths, n_partitions, two_rows_like(X))
        eager = {name: as_labels(name, value) for name, value in given.items() if name not in lazy}
        return partitioned._with_arrays(eager) if eager else partitioned

    def _with_arrays(self, arrays: Mapping[str, Array]) -> Partitioned:
        """Add arrays in memory, split along the partitions."""
        lengths = self.lengths
        if lengths is None:
            warn_user(
                f"X does not know how many rows its {len(self.positions)} partitions have, and "
                f"{', '.join(arrays)} must be split along them; they are counted in one pass. Give "
                "collections of the same partitions, or X.compute_chunk_sizes() of an array."
            )
            lengths = tuple(self._computed([_lazy(_length)(part) for part in self.columns["X"]]))
        n_samples = sum(lengths)
        for name, array in arrays.items():
            if n_rows(array) != n_samples:
                raise ValueError(
                    f"{name} must have one entry for each row of X; it has {len(array)}, and X has "
                    f"{n_samples} rows. Take both from the same table."
                )
        split = {name: _split(array, lengths) for name, array in arrays.items()}
        return replace(self, lengths=lengths, columns=self.columns | split)

    @property
    def n_samples(self) -> int:
        """Number of rows, once they are counted."""
        assert self.lengths is not None
        return sum(self.lengths)

    def read_by(self, reader: Reader, lengths: Sequence[int] | None = None) -> Partitioned:
        """Return the same partitions, read by ``reader``.

        With ``lengths``, which the first pass counts, without the partitions that have no rows.
        """
        if lengths is None:
            return replace(self, reader=reader)
        filled = [i for i, length in enumerate(lengths) if length]
        return replace(
            self,
            reader=reader,
            lengths=tuple(lengths[i] for i in filled),
            positions=tuple(self.positions[i] for i in filled),
            columns={name: [parts[i] for i in filled] for name, parts in self.columns.items()},
        )

    def compute(self, function: Callable[..., T], *args: object) -> list[T]:
        """Return ``function(block, *args)`` of each partition, in one pass.

        The active `distributed.Client` computes it, or the scheduler that `dask.config` names, or
        threads. Keep the results thin, since they leave the worker; the rows do not.

        Parameters
        ----------
        function : callable
            Takes a `Block`, and ``args``. It must give the same result when it is run again, which
            Dask does where a worker is lost.
        *args : object
            Each is sent once; of an `EachOwn`, each partition gets its own entry.

        Raises
        ------
        Exception
            What ``function`` raised; a ValueError's message begins with the partition's number.
        MemoryError
            If the same partition killed several workers.
        ConnectionError
            If the Client is closed, or loses its cluster, while it waits.
        """
        tasks = self._tasks(function, args)
        results: list[T] = self._computed(tasks)
        self._count_bytes(args, sum(map(_n_bytes, results)))
        return results

    def total(self, function: Callable[..., T], *args: object) -> T:
        """Return the sum over partitions of ``function(block, *args)``, in one pass.

        It is added up on the workers, by a tree that does not depend on how many there are: the sum
        is the same to the last bit. What is added has ``+``, or is a tuple of such things.

        Parameters
        ----------
        function, *args
            As in `compute`.
        """
        sums = self._tasks(function, args)
        while len(sums) > 1:
            sums = [
                _lazy(added)(sums[first : first + _FAN_IN])
                for first in range(0, len(sums), _FAN_IN)
            ]
        (result,) = self._computed(sums)
        self._count_bytes(args, _n_bytes(result) * len(self.positions))
        return result

    def keep(self, function: Callable[..., Any], *args: object) -> EachOwn:
        """Return ``function(block, *args)`` of each partition, which stays where it is computed.

        One pass computes it. Each call of a later one gets its own partition's result.

        Parameters
        ----------
        function, *args
            As in `compute`.
        """
        from dask.base import persist

        _refuse_asynchronous_client()
        self.traffic.n_passes += 1
        results = list(persist(*self._tasks(function, args)))
        self._count_bytes(args, 0)
        return EachOwn(results)

    def lazy(self, function: Callable[..., Array], *args: object, dtype: DTypeLike) -> Collection:
        """Return ``function(block, *args)``, one number per row, as a Dask array; computes nothing.

        Its partitions are those of X.

        Parameters
        ----------
        function, *args
            As in `compute`.
        dtype : dtype
            Of the numbers.
        """
        return self.rows_of(self._tasks(function, args), dtype)

    def rows_of(self, parts: Sequence[Lazy], dtype: DTypeLike) -> Collection:
        """Return parts of one entry per row as a Dask array with the partitions of X."""
        return joined(parts, self.positions, self.lengths or (), self.n_partitions, dtype)

    def of_rows(self, parts: Sequence[Array]) -> Collection:
        """Return one array for each partition, in memory, as a Dask array."""
        return self.rows_of([_lazy_constant(part) for part in parts], parts[0].dtype)

    def _tasks(self, function: Callable[..., T], args: Sequence[object]) -> list[Lazy]:
        assert self.reader is not None, "the first pass says how blocks are read"
        reader = _lazy_constant(self.reader)
        shared = [arg if isinstance(arg, EachOwn) else _lazy_constant(arg) for arg in args]
        return [
            _lazy(_run)(
                function,
                reader,
                position,
                {name: parts[i] for name, parts in self.columns.items()},
                *(_lazy_constant(a.values[i]) if isinstance(a, EachOwn) else a for a in shared),
            )
            for i, position in enumerate(self.positions)
        ]

    def _computed(self, tasks: list[Lazy]) -> list[Any]:
        from dask.base import compute

        _refuse_asynchronous_client()
        self.traffic.n_passes += 1
        try:
            return list(compute(*tasks))
        except Exception as error:
            kind, message = _LOST.get(type(error).__name__, (None, ""))
            if kind is None:
                raise
            raise kind(f"{message} ({type(error).__name__}: {error})") from error

    def _count_bytes(self, args: Sequence[object], n_result_bytes: int) -> None:
        for arg in args:
            if isinstance(arg, EachOwn):
                self.traffic.bytes_moved += sum(map(_n_bytes, arg.values))
            else:
                self.traffic.bytes_moved += _n_bytes(arg) * len(self.positions)
        self.traffic.bytes_moved += n_result_bytes


def joined(
    parts: Sequence[Lazy],
    positions: Sequence[int],
    lengths: Sequence[int],
    n_partitions: int,
    dtype: DTypeLike,
) -> Collection:
    """Return a Dask array of one dimension, made of these parts and of empty partitions."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"rows-{uuid4().hex}"
    # dask.array.concatenate would leave the empty partitions out.
    graph: dict[Any, Any] = {(name, i): (np.zeros, 0, dtype) for i in range(n_partitions)}
    chunks = [0] * n_partitions
    for position, length, part in zip(positions, lengths, parts, strict=True):
        graph[name, position], chunks[position] = part.key, length
    layers = HighLevelGraph.from_collections(name, graph, dependencies=parts)
    return da.Array(layers, name, (tuple(chunks),), dtype=dtype)


@dataclass(frozen=True)
class _Pieces:
    """One collection, taken apart.

    Attributes
    ----------
    parts : list
        One a partition.
    lengths : tuple of int or None
        Their rows, where the collection knows them.
    is_frame : bool
        Whether they are parts of a frame.
    """

    parts: list[Lazy]
    lengths: tuple[int, ...] | None
    is_frame: bool

    @classmethod
    def of(cls, name: str, collection: Collection) -> _Pieces:
        if _is_frame(collection):
            # Dask's own optimization would read several partitions of few columns as one.
            return cls(collection.simplify().to_delayed(optimize_graph=False), None, True)
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
        return cls(parts, tuple(map(int, lengths)) if is_known else None, False)

    def __str__(self) -> str:
        if self.lengths is None:
            return f"{len(self.parts)} partitions"
        return f"{len(self.parts)} partitions of {_shown(self.lengths)}, {sum(self.lengths)} rows"


def _is_frame(collection: Collection) -> bool:
    # A delayed value has every attribute that it is asked for; its type has not.
    return hasattr(type(collection), "divisions") and hasattr(type(collection), "simplify")


def parts_of(name: str, collection: Collection, lengths: tuple[int, ...]) -> list[Lazy]:
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


def _shown(lengths: Sequence[int]) -> str:
    shown = ", ".join(map(str, lengths[:6]))
    return f"({shown}{', ...' if len(lengths) > 6 else ''})"


def _split(array: Array, lengths: Sequence[int]) -> list[Lazy]:
    """Return the pieces of an array, which are sent to the workers now."""
    from dask.base import persist

    pieces = np.split(array, np.cumsum(lengths)[:-1])
    return list(persist(*map(_lazy_constant, pieces)))


def _run(
    function: Callable[..., T], reader: Reader, position: int, parts: Parts, *args: object
) -> T:
    """Read a partition and call the function; runs on a worker."""
    try:
        # BLAS adds up in an order that depends on its threads, of which workers have many or few.
        with serial_blas():
            return function(reader(position, parts), *args)
    except ValueError as error:
        # Some errors, as that of a Unicode string, take other arguments than a message.
        kind = type(error) if len(error.args) == 1 else ValueError
        raise kind(f"In partition {position}: {error}") from error
    except Exception as error:
        error.add_note(f"This happened in partition {position}.")
        raise


def added(sums: Sequence[Any]) -> Any:
    """Return the sum of things that have ``+``, or of tuples of such things."""
    first, *others = sums
    for other in others:
        first = (
            tuple(added(pair) for pair in zip(first, other, strict=True))
            if isinstance(first, tuple)
            else first + other
        )
    return first


def _length(part: Values) -> int:
    return int(part.shape[0])


def _n_bytes(value: object) -> int:
    # It comes with Dask, whose own sizeof does not look into objects.
    import cloudpickle

    # What was kept stays on its worker.
    return 0 if is_collection(value) else len(cloudpickle.dumps(value))


def _lazy(function: Callable[..., T]) -> Callable[..., Lazy]:
    from dask.delayed import delayed

    # Not pure: Dask shall neither hash the arguments nor keep results for later calls.
    return delayed(function, pure=False)


def _lazy_constant(value: object) -> Lazy:
    """Return a value as a node of its own, so that a worker gets it once."""
    from dask.delayed import delayed

    return delayed(value, pure=False, traverse=False)


def _refuse_asynchronous_client() -> None:
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return
    try:
        client = distributed.default_client()
    except ValueError:
        return
    if client.asynchronous:
        raise RuntimeError(
            "the active Client is asynchronous, and fit waits for results; make one with "
            "Client(asynchronous=False), or fit in a thread of its own."
        )
