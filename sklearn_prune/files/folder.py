"""A folder of Parquet files: too large for memory, read and pruned file by file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .._types import Array, Mask
from ..data import ColumnsEncoder
from .errors import FileError
from .formats import PARQUET, TableFile, read_table, write_rows
from .parts import rows_that, take_apart

if TYPE_CHECKING:
    from pandas import DataFrame

# A data frame, series or array of Dask.
Collection: TypeAlias = Any

# Rows that the encoder learns categories, medians and scales from.
_ENCODED_FROM = 100_000


@dataclass(frozen=True)
class Folder:
    """Parquet files of the same columns, each of which fits into memory.

    Attributes
    ----------
    path : Path
        The folder.
    files : tuple of Path
        Its files that have rows, as Dask orders them: "part.2" before "part.10".
    lengths : tuple of int
        Rows of each.
    """

    path: Path
    files: tuple[Path, ...]
    lengths: tuple[int, ...]

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Return the Parquet files in a folder.

        Raises
        ------
        FileError
            If a package is not installed, or there are no files that can be read and have rows.
        """
        for package in ("dask", "pandas", "pyarrow"):
            if find_spec(package) is None:
                raise FileError(
                    f"a folder of Parquet files needs {package}, which is not installed; "
                    "pip install 'sklearn-prune[files,dask]'."
                )
        from dask.utils import natural_sort_key

        files = [file for file in path.iterdir() if file.suffix in PARQUET and file.is_file()]
        files.sort(key=lambda file: natural_sort_key(file.name))
        lengths = {file: _n_rows(file) for file in files}
        filled = {file: length for file, length in lengths.items() if length}
        if not filled:
            raise FileError(
                f"{path} is a folder in which no Parquet file has rows; give one that holds files "
                f"whose names end in {' or '.join(PARQUET)}."
            )
        return cls(path, tuple(filled), tuple(filled.values()))

    @property
    def n_samples(self) -> int:
        """Number of rows of all files."""
        return sum(self.lengths)

    def frame(self) -> Collection:
        """Return a Dask data frame with a partition for each file."""
        import dask.dataframe as dd

        return dd.read_parquet(list(map(str, self.files)), split_row_groups=False)


def _n_rows(file: Path) -> int:
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(file).num_rows)
    except (OSError, ValueError) as error:
        raise FileError(f"{file} cannot be read: {' '.join(str(error).split())}.") from error


@dataclass(frozen=True)
class FolderParts:
    """What `Parts` holds of one table, in partitions; X is encoded."""

    X: Collection
    y: Collection
    groups: Collection | None
    weight: Collection | None
    must_keep: Collection | None


@contextmanager
def encoded_parts(
    folder: Folder,
    target: str,
    groups: str | None = None,
    weight: str | None = None,
    keep_query: str | None = None,
    seed: int = 0,
) -> Iterator[FolderParts]:
    """Take the table in a folder apart, and encode what the pruner reads.

    The numbers lie in temporary files until the block ends, since a fit makes many passes, and text
    is slow to parse and to encode. The encoder learns from 100,000 rows at most.

    Parameters
    ----------
    folder : Folder
        The files.
    target, groups, weight, keep_query
        As in `take_apart`.
    seed : int, default=0
        Draws the rows that the encoder learns from.

    Raises
    ------
    FileError
        If a column is missing, or the query makes no mask.
    ValueError
        If the columns cannot be encoded.
    """
    from dask.delayed import delayed

    frame = folder.frame()
    # Without rows, it still has the names of all columns.
    empty = take_apart(folder.path.name, frame._meta, target, groups, weight, keep_query)
    rows = frame[list(empty.X.columns)]
    share = min(1.0, _ENCODED_FROM / folder.n_samples)
    few = rows if share == 1.0 else rows.sample(frac=share, random_state=seed)
    encoder = ColumnsEncoder().fit(few.compute())
    must_keep = None
    if keep_query is not None:
        masks = [delayed(rows_that)(part, keep_query) for part in frame.to_delayed()]
        must_keep = _array(masks, folder.lengths, bool)
    with tempfile.TemporaryDirectory(prefix="sklearn-prune-") as place:
        files = [os.path.join(place, f"{i}.npy") for i in range(len(folder.files))]
        _encode_all(rows, encoder, files)
        blocks = [delayed(np.load)(file) for file in files]
        yield FolderParts(
            X=_array(blocks, folder.lengths, np.float32, len(encoder.get_feature_names_out())),
            y=frame[target],
            groups=None if groups is None else frame[groups],
            weight=None if weight is None else frame[weight],
            must_keep=must_keep,
        )


def _encode_all(rows: Collection, encoder: ColumnsEncoder, files: list[str]) -> None:
    from dask.base import compute
    from dask.delayed import delayed

    save = delayed(_encode)
    compute(*(save(part, encoder, f) for part, f in zip(rows.to_delayed(), files, strict=True)))


def _encode(rows: DataFrame, encoder: ColumnsEncoder, file: str) -> None:
    np.save(file, encoder.transform(rows))


def _array(parts: list[Any], lengths: tuple[int, ...], dtype: type, *columns: int) -> Collection:
    import dask.array as da

    return da.concatenate(
        [
            da.from_delayed(part, (length, *columns), dtype=dtype)
            for part, length in zip(parts, lengths, strict=True)
        ]
    )


def write_folder(folder: Folder, kept: Array, out: Path) -> None:
    """Write the rows kept of each file to a file of its name; files without any are left out.

    Parameters
    ----------
    folder : Folder
        Where the rows were read.
    kept : ndarray of shape (n_kept,)
        Positions of the rows to keep, among those of all files.
    out : Path
        A folder that is not there; it appears whole or not at all.
    """
    support: Mask = np.zeros(folder.n_samples, dtype=bool)
    support[kept] = True
    masks = np.split(support, np.cumsum(folder.lengths)[:-1])
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        beside.mkdir()
        for file, mask in zip(folder.files, masks, strict=True):
            if mask.any():
                source = TableFile.at(file)
                write_rows(source, read_table(source), mask, TableFile.at(beside / file.name))
        os.replace(beside, out)
    except OSError as error:
        raise FileError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
