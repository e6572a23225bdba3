"""Cells: each is measured once and kept as a line of a csv file, so that a run can resume."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import Field, asdict, fields
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

from ._common import limit_threads

Key = tuple[Hashable, ...]
Done = set[Key]


class Cell(Protocol):
    """A dataclass of int, float and str: a measurement and what was measured.

    key : identifies the measurement within its file.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def key(self) -> Key: ...


C = TypeVar("C", bound=Cell)


def measure(
    name: str,
    kind: type[C],
    missing: Callable[[Done], Iterable[C]],
    report: Callable[[Sequence[C]], str],
    folder: Path | None,
    parser: argparse.ArgumentParser,
) -> None:
    """Measure the cells that the folder's name.csv lacks, then write and print the report.

    missing : yields cells whose keys are not among those given. Where a data file is missing, the
        program ends with what it says.
    report : the text of name.md, made of all cells.
    folder : None keeps nothing.
    """
    path = folder / f"{name}.csv" if folder else None
    limit_threads()
    cells = read_records(path, kind) if path else []
    started = perf_counter()
    try:
        for cell in missing({cell.key for cell in cells}):
            cells.append(cell)
            if path:
                append_record(path, cell)
            print(*cell.key, f"{perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
            started = perf_counter()
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    if path:
        # The file holds rounded values; reading them back makes the report reproducible from it.
        cells = read_records(path, kind)
        path.with_suffix(".md").write_text(report(cells) + "\n", encoding="utf-8")
    print(report(cells))


def append_record(path: Path, record: Cell) -> None:
    """Add a line to a csv file, after a line of the fields' names where there is no file."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(field.name for field in fields(record))
        writer.writerow(
            f"{cell:.6g}" if isinstance(cell, float) else cell for cell in asdict(record).values()
        )


def read_records(path: Path, kind: type[C]) -> list[C]:
    """Return what `append_record` wrote; nothing where there is no file."""
    if not path.exists():
        return []
    types = get_type_hints(kind)
    with path.open(encoding="utf-8", newline="") as file:
        return [
            kind(**{name: types[name](cell) for name, cell in line.items()})
            for line in csv.DictReader(file)
        ]
