"""A Dask collection as aligned partitions, of which functions see one block at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .._types import Array, Floats, Mask, Rows, Values
from ..data import as_labels, is_collection, n_rows, two_rows_like
from ..utils import serial_blas, telling, warn_user
from .alignment import Collection, Lazy, aligned_parts, joined
from .masks import packed, unpacked

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
        Checked as the rows of one machine are. Without columns for an estimator that does not
        validate X, since it is not read.
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
    sent : dict
        The parts of arrays in memory once more, as the workers hold them.
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
    sent: dict[str, list[Lazy]] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)

    @classmethod
    def of(cls, X: Collection, y: Values = None, **aligned: Values) -> Partitioned:
        """Take a collection and what is aligned with it apart.

        Parameters
        ----------
        X : dask array or data frame of shape (n_samples, n_features, ...)
            The rows; an array has one block along its columns.
        y : dask array, series or data frame, or array-like, of shape (n_samples, ...), default=None
            Of the same partitions, or in memory. Row i of all is the same row: an index is not
            compared, except for divisions that are known.
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
        columns, lengths = aligned_parts(lazy)
        n_partitions = len(columns["X"])
        positions = tuple(range(n_partitions))
        partitioned = cls(columns, positions, lengths, n_partitions, two_rows_like(X))
        eager = {name: as_labels(name, value) for name, value in given.items() if name not in lazy}
        return partitioned._with_arrays(eager) if eager else partitioned

    def _with_arrays(self, arrays: Mapping[str, Array]) -> Partitioned:
        """Add arrays in memory, split along the partitions."""
        from dask.base import persist

        lengths = self.lengths
        if lengths is None:
            warn_user(
                f"X does not know how many rows its {len(self.positions)} partitions have, and "
                f"{', '.join(arrays)} must be split along them; they are counted in one pass. Give "
                "collections of the same partitions, or X.compute_chunk_sizes() of an array."
            )
            lengths = tuple(self._computed([_lazy(n_rows)(part) for part in self.columns["X"]]))
        n_samples = sum(lengths)
        for name, array in arrays.items():
            if n_rows(array) != n_samples:
                raise ValueError(
                    f"{name} must have one entry for each row of X; it has {len(array)}, and X has "
                    f"{n_samples} rows. Take both from the same table."
                )
        bounds = np.cumsum(lengths)[:-1]
        split = {name: [*map(_constant, np.split(a, bounds))] for name, a in arrays.items()}
        sent = {name: list(persist(*parts)) for name, parts in split.items()}
        return replace(self, lengths=lengths, columns=self.columns | split, sent=sent)

    def dropping(self, masks: Sequence[Mask]) -> Partitioned:
        """Return the same partitions with more rows of must_drop, given as a mask for each."""
        from dask.base import persist

        given = self.columns.get("must_drop", [None] * len(masks))
        drop = [
            _lazy(_either)(own, bits, len(mask))
            for own, bits, mask in zip(given, packed(masks), masks, strict=True)
        ]
        sent = self.sent | {"must_drop": list(persist(*drop))}
        return replace(self, columns=self.columns | {"must_drop": drop}, sent=sent)

    def without_rows(self) -> Partitioned:
        """Return the same partitions with rows of no columns, so that X is not read.

        Where lengths are unknown, rows of y are counted, or those of X where there is no y.
        """
        if self.lengths is None:
            counted = self.columns.get("y", self.columns["X"])
            parts = [_lazy(_without_columns)(part) for part in counted]
        else:
            parts = [_lazy(np.empty)((length, 0)) for length in self.lengths]
        return replace(self, columns=self.columns | {"X": parts})

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
        columns, sent = (
            {name: [parts[i] for i in filled] for name, parts in table.items()}
            for table in (self.columns, self.sent)
        )
        return replace(
            self,
            reader=reader,
            lengths=tuple(lengths[i] for i in filled),
            positions=tuple(self.positions[i] for i in filled),
            columns=columns,
            sent=sent,
        )

    def for_all(self, values: Sequence[T], empty: T) -> list[T]:
        """Return one value for each partition of the user's collection; ``empty`` without rows."""
        known = dict(zip(self.positions, values, strict=True))
        return [known.get(i, empty) for i in range(self.n_partitions)]

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

        Its partitions are those of X. It needs no Client but that of collections that are persisted
        or made of futures: what was given in memory is read from there.

        Parameters
        ----------
        function, *args
            As in `compute`.
        dtype : dtype
            Of the numbers.
        """
        return self._rows_of(replace(self, sent={})._tasks(function, args), dtype)

    def of_rows(self, parts: Sequence[Array]) -> Collection:
        """Return one array for each partition, in memory, as a Dask array."""
        return self._rows_of([_constant(part) for part in parts], parts[0].dtype)

    def _rows_of(self, parts: Sequence[Lazy], dtype: DTypeLike) -> Collection:
        empty = _constant(np.zeros(0, dtype))
        return joined(self.for_all(parts, empty), self.for_all(self.lengths or (), 0), dtype)

    def _tasks(self, function: Callable[..., T], args: Sequence[object]) -> list[Lazy]:
        assert self.reader is not None, "the first pass says how blocks are read"
        reader, columns = _constant(self.reader), self.columns | self.sent
        shared = [arg if isinstance(arg, EachOwn) else _constant(arg) for arg in args]
        return [
            _lazy(_run)(
                function,
                reader,
                position,
                {name: parts[i] for name, parts in columns.items()},
                *(_constant(arg.values[i]) if isinstance(arg, EachOwn) else arg for arg in shared),
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


def _run(
    function: Callable[..., T], reader: Reader, position: int, parts: Parts, *args: object
) -> T:
    """Read a partition and call the function; runs on a worker."""
    try:
        # BLAS adds up in an order that depends on its threads, of which workers have many or few.
        # Callbacks cannot count parts that threads finish at the same time.
        with serial_blas(), telling(None):
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


def _either(given: Values, bits: Array, length: int) -> Mask:
    mask = unpacked(bits, length)
    return mask if given is None else mask | as_labels("must_drop", given)


def _without_columns(part: Values) -> Array:
    return np.empty((n_rows(part), 0))


def _n_bytes(value: object) -> int:
    # It comes with Dask, whose own sizeof does not look into objects.
    import cloudpickle

    # What was kept stays on its worker.
    return 0 if is_collection(value) else len(cloudpickle.dumps(value))


def _lazy(function: Callable[..., T]) -> Callable[..., Lazy]:
    from dask.delayed import delayed

    # Not pure: Dask shall neither hash the arguments nor keep results for later calls.
    return delayed(function, pure=False)


def _constant(value: object) -> Lazy:
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
