"""Records of a text file, byte for byte: a line of JSON, or a CSV row with its quoted line ends."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from .._types import Mask
from .errors import FileError


def open_source(path: Path) -> BinaryIO:
    """Open a file for reading, through gzip if its name ends in ``.gz``."""
    return cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def copy_records(source: Path, support: Mask, out: BinaryIO, separator: str | None) -> None:
    """Copy the header and the records that are kept, without reading them into memory.

    Parameters
    ----------
    source : Path
        Text in UTF-8.
    support : ndarray of shape (n_samples,)
        True where a record is kept.
    out : binary file
        Written to.
    separator : str or None
        What separates the cells of a CSV file; None for JSON lines, which have no header.

    Raises
    ------
    FileError
        If the file holds another number of records.
    """
    with open_source(source) as file:
        records: Iterator[bytes]
        if separator is None:
            records = (line for _, line in json_lines(file))
        else:
            records = _csv_records(file, separator)
            out.write(next(records))
        n_records = 0
        for n_records, record in enumerate(records, start=1):
            if n_records <= len(support) and support[n_records - 1]:
                out.write(record)
    if n_records != len(support):
        raise FileError(
            f"records are copied as they stand in {source.name}, and there are {n_records} of them "
            f"by its line ends and quotes, but {len(support)} rows by pandas; mend the quotes, or "
            "write to another format."
        )


def json_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number, from 1, and the bytes of each line; blank lines are none."""
    for number, line in enumerate(file, start=1):
        if line.strip():
            yield number, line


def json_object(number: int, line: bytes) -> dict[str, object]:
    """Return what a line holds; ValueError unless it is an object of JSON."""
    try:
        cells = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error
    if not isinstance(cells, dict):
        raise ValueError(f"line {number} holds {type(cells).__name__}, and an object is needed")
    return cells


class _Lines:
    """Lines of a file, which remembers those of the record that is being read."""

    def __init__(self, file: BinaryIO) -> None:
        # Without a newline, a line ends at each of the three ends there are, and keeps its own.
        self._file, self._raw = io.TextIOWrapper(file, encoding="utf-8", newline=""), ""

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self._raw += line
            yield line

    def take(self) -> bytes:
        """Return the bytes since the last call."""
        raw, self._raw = self._raw, ""
        return raw.encode("utf-8")


def _csv_records(file: BinaryIO, separator: str) -> Iterator[bytes]:
    """Yield the header and each record with its line end; blank lines are none."""
    lines = _Lines(file)
    blank = b" \t\r\n".replace(separator.encode(), b"")
    try:
        for _ in csv.reader(iter(lines), delimiter=separator):
            record = lines.take()
            if record.strip(blank):
                yield record
    except csv.Error as error:
        raise FileError(
            f"records are copied as they stand, and one cannot be told from the next ({error}); "
            "write to another format."
        ) from error
