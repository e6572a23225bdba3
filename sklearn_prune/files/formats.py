"""Formats of tables in files: CSV, TSV, Parquet, JSON lines, and the text ones through gzip."""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from .._types import Mask
from .errors import FileError, UsageError
from .records import copy_records, json_lines, json_object, open_source

if TYPE_CHECKING:
    from pandas import DataFrame

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
_SUFFIXES = "'.csv', '.tsv', '.jsonl' or '.ndjson', each also with '.gz', or '.parquet'"


@dataclass(frozen=True)
class TableFile:
    """A file that holds a table, whose format is in its name.

    Attributes
    ----------
    path : Path
        Where it is.
    suffix : str
        Of the format, without ``.gz``.
    is_gzip : bool
        Whether it is compressed.
    """

    path: Path
    suffix: str
    is_gzip: bool

    @classmethod
    def at(cls, path: str | Path) -> TableFile:
        """Return the file at ``path``, which need not be there; UsageError for another format."""
        path = Path(path)
        is_gzip = path.suffix == ".gz"
        suffix = (path.with_suffix("") if is_gzip else path).suffix.lower()
        text = {*_SEPARATORS, *_LINES}
        if suffix not in (text if is_gzip else {*text, *PARQUET}):
            raise UsageError(f"a table's file must end in {_SUFFIXES}; {path.name!r} does not.")
        return cls(path, suffix, is_gzip)

    @property
    def separator(self) -> str | None:
        """What separates cells; None where it is not CSV or TSV."""
        return _SEPARATORS.get(self.suffix)

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file, which keeps index and column types."""
        return self.suffix in PARQUET

    def has_format_of(self, other: TableFile) -> bool:
        """Whether rows of the other file can stand in this one as they are."""
        return (self.separator, self.is_parquet) == (other.separator, other.is_parquet)


def check_packages(*tables: TableFile) -> None:
    """Raise FileError if a package that the files need is not installed."""
    for table in tables:
        for package in ("pandas", "pyarrow") if table.is_parquet else ("pandas",):
            if find_spec(package) is None:
                raise FileError(
                    f"{table.path.name} needs {package}, which is not installed; "
                    "pip install 'sklearn-prune[files]'."
                )


def read_table(table: TableFile) -> DataFrame:
    """Return the table in a file, which has a row at least.

    Raises
    ------
    FileError
        If the file is missing, empty, damaged, or in another format than its name says.
    """
    check_packages(table)
    import pandas as pd

    name = table.path.name
    if not table.path.is_file():
        raise FileError(f"there is no file {str(table.path)!r}.")
    try:
        with warnings.catch_warnings():
            # Rows with more cells than the header has names.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = _read(table)
    except pd.errors.EmptyDataError:
        raise FileError(f"{name} is empty; give a table with a header and rows.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{name} cannot be read: {_one_line(error)}.") from error
    except (ValueError, Warning) as error:
        raise FileError(
            f"{name} is no {table.suffix[1:]} table in UTF-8: {_one_line(error)}"
        ) from error
    if not len(frame):
        raise FileError(f"{name} has no rows; give a table with rows.")
    return frame


def _read(table: TableFile) -> DataFrame:
    import pandas as pd

    if table.is_parquet:
        return pd.read_parquet(table.path, engine="pyarrow")
    with open_source(table.path) as file:
        if table.separator is None:
            # pandas.read_json would make a number of "007" and a date of "updated_at": 5.
            return pd.DataFrame([json_object(number, line) for number, line in json_lines(file)])
        return pd.read_csv(file, sep=table.separator, index_col=False, low_memory=False)


def write_rows(source: TableFile, frame: DataFrame, support: Mask, out: TableFile) -> None:
    """Write the rows that are kept; ``out`` appears whole or not at all.

    Text goes to text of the same format as it stands in the source. Parquet keeps index, types and
    metadata.

    Parameters
    ----------
    source : TableFile
        Where the rows were read.
    frame : DataFrame of shape (n_samples, n_columns)
        All rows, as read.
    support : ndarray of shape (n_samples,)
        True where a row is kept.
    out : TableFile
        Where to write.
    """
    with replacing(out.path) as file, _compressed(file, out) as stream:
        if out.has_format_of(source) and not out.is_parquet:
            copy_records(source.path, support, stream, out.separator)
        elif out.is_parquet:
            _write_parquet(source, frame, support, stream)
        else:
            _write_text(frame[support], stream, out)


def _write_parquet(source: TableFile, frame: DataFrame, support: Mask, out: BinaryIO) -> None:
    import pandas as pd

    rows = np.flatnonzero(support)
    if not source.is_parquet:
        frame.iloc[rows].to_parquet(out, engine="pyarrow", index=False)
        return
    import pyarrow.parquet as pq

    table = pq.read_table(source.path)
    had_range = table.num_columns == frame.shape[1] and table.schema.pandas_metadata is not None
    if had_range and isinstance(frame.index, pd.RangeIndex):
        # The metadata holds first and last label alone; the rows kept need one each.
        frame.iloc[rows].to_parquet(out, engine="pyarrow", index=True)
    else:
        pq.write_table(table.take(rows), out)


def _write_text(frame: DataFrame, out: BinaryIO, table: TableFile) -> None:
    has_index = any(name is not None for name in frame.index.names)
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    if table.separator is None:
        frame = frame.reset_index() if has_index else frame
        frame.to_json(text, orient="records", lines=True, date_format="iso", force_ascii=False)
    else:
        frame.to_csv(text, sep=table.separator, index=has_index, lineterminator="\n")
    text.detach()


@contextmanager
def _compressed(file: BinaryIO, table: TableFile) -> Iterator[BinaryIO]:
    if not table.is_gzip:
        yield file
        return
    # No name and no time, so that the same rows make the same file.
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as stream:
        yield cast(BinaryIO, stream)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside ``path`` that takes its place once the block ends without an error."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            yield file
        os.replace(beside, path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {_one_line(error)}.") from error
    finally:
        beside.unlink(missing_ok=True)


def _one_line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())
