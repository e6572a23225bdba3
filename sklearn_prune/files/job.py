"""Prune the rows of a file, or say beforehand what that would take."""

from __future__ import annotations

import os
import re
import textwrap
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._influence_pruner import InfluencePruner
from .._types import Array, Params
from ..baselines import RandomPruner
from ..data import ColumnsEncoder, Kind, TargetKind, check_target, take_rows
from ..inspection import report
from ..matching import Certificate
from ..selection import count_of
from .errors import FileError, UsageError
from .folder import Folder, encoded_parts, write_folder
from .formats import TableFile, check_packages, read_table, replacing, write_rows
from .parts import Parts, columns_like, take_apart

if TYPE_CHECKING:
    from pandas import DataFrame

# Rows of the larger of two fits that a plan times, and below how many rows it times none.
_TIMED_ROWS, _FEWEST_TIMED = 4_000, 1_000


@dataclass(frozen=True)
class PruneJob:
    """What to prune, and by what.

    Attributes
    ----------
    path : Path
        Table to prune: ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson``, each also with ``.gz``,
        ``.parquet``, or a folder of Parquet files, which together need not fit into memory.
    target : str
        Column that a model is to predict.
    output : Path or None
        Where the kept rows go, a folder if ``path`` is one; None writes none.
    prune_ratio : float in [0, 1), or None
        Share of the rows to drop; None drops as many as ``tolerance`` allows.
    tolerance : float or None
        As in `InfluencePruner`.
    groups, weight : str or None
        Columns that hold a group, or a weight, for each row.
    keep_query : str or None
        Rows that are always kept, as :meth:`pandas.DataFrame.query` takes it.
    reference : Path or None
        A table of trusted rows with the same columns.
    report : Path or None
        Where the report goes, a page of HTML.
    target_kind : {"auto", "classification", "regression"}
        Whether the target holds classes or numbers.
    seed : int
        Seeds the pruner.
    time_limit : float
        As in `InfluencePruner`, in seconds.
    """

    path: Path
    target: str
    output: Path | None = None
    prune_ratio: float | None = None
    tolerance: float | None = None
    groups: str | None = None
    weight: str | None = None
    keep_query: str | None = None
    reference: Path | None = None
    report: Path | None = None
    target_kind: TargetKind = "auto"
    seed: int = 0
    time_limit: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    output : Path
        Where the kept rows are.
    n_samples, n_kept : int
        Rows in all, and rows kept.
    certificate : Certificate
        What dropping the others costs.
    """

    output: Path
    n_samples: int
    n_kept: int
    certificate: Certificate

    def __str__(self) -> str:
        """Return the count in one line, and what to expect below it."""
        counts = f"{self.output}: {self.n_kept:,} of {self.n_samples:,} rows kept"
        return f"{counts}\n{textwrap.fill(self.certificate.summary(), 96)}"


@dataclass(frozen=True)
class Plan:
    """What pruning a file would take.

    Attributes
    ----------
    n_samples, n_columns : int
        Size of the table.
    target : str
        What the target column holds, in words.
    kinds : dict
        From the name of each column that the pruner may read to what it holds.
    n_encoded : int
        Columns of numbers that these become, which are the coordinates of a row.
    n_kept : int or None
        Rows that would be kept; None if a tolerance decides.
    timed : tuple of (int, float)
        Rows and processor seconds of fits that were tried; empty for a small table.
    """

    n_samples: int
    n_columns: int
    target: str
    kinds: dict[str, str]
    n_encoded: int
    n_kept: int | None
    timed: tuple[tuple[int, float], ...]

    def __str__(self) -> str:
        """Return an aligned line for each fact."""
        counts = Counter(self.kinds.values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        left_out = [name for name, kind in self.kinds.items() if kind == "left out"]
        names = f" ({', '.join(left_out)}: text that hardly ever repeats)" if left_out else ""
        kept = "as many as the tolerance asks" if self.n_kept is None else f"{self.n_kept:,}"
        lines = [
            ("rows, columns", f"{self.n_samples:,}, {self.n_columns:,}"),
            ("target", self.target),
            ("columns read", kinds + names),
            ("coordinates", f"{self.n_encoded:,} numbers a row"),
            ("rows kept", f"{kept} of {self.n_samples:,}"),
            ("seconds", self._seconds()),
            ("files written", "none, as this is a dry run"),
        ]
        return "\n".join(f"{name:<14} {value}" for name, value in lines)

    def _seconds(self) -> str:
        if not self.timed:
            return "not tried, as the table is small"
        tried = ", ".join(f"{seconds:.1f} for {rows:,} rows" for rows, seconds in self.timed)
        (few, short), (many, long) = self.timed
        slope = max(0.0, (long - short) / (many - few))
        whole = long + slope * (self.n_samples - many)
        return f"{tried} (tried here); about {whole:.0f} for all, if they grow as the rows do"


def prune_file(job: PruneJob) -> Outcome:
    """Prune the rows of a file, and write those that are kept as they are.

    Parameters
    ----------
    job : PruneJob
        What to do; it needs an ``output``.

    Returns
    -------
    outcome : Outcome
        What came of it.

    Raises
    ------
    UsageError
        If formats or paths are wrong, whatever the files hold.
    FileError
        If a file cannot be read or written, or does not hold what is asked of it.
    """
    if job.output is None:
        raise UsageError("prune needs a file to write to; give -o OUT, or --dry-run.")
    if job.path.is_dir():
        return _prune_folder(job, job.output)
    source, out = TableFile.at(job.path), TableFile.at(job.output)
    _check_paths(job)
    check_packages(source, out)
    frame = read_table(source)
    parts = _parts(job, source, frame)
    encoder = ColumnsEncoder()
    pruner = _pruner(job)
    try:
        rows = encoder.fit_transform(parts.X)
        pruner.fit(rows, parts.y, **_fit_params(job, parts, encoder))
    except ValueError as error:
        raise FileError(f"{source.path.name} cannot be pruned so: {_one_line(error)}") from error
    page, failure = b"", None
    if job.report is not None:
        try:
            page = report(pruner, parts.X, parts.y, groups=parts.groups).to_html().encode("utf-8")
        # Whatever it is, it must not cost the rows.
        except Exception as error:
            failure = error
    support, certificate = pruner.support_, pruner.certificate_
    # Writing takes memory too, so the features of all rows go first.
    del pruner, rows
    write_rows(source, frame, support, out)
    if failure is not None:
        raise FileError(
            f"{out.path.name} is written, but its report failed: {_one_line(failure)}"
        ) from failure
    if job.report is not None:
        with replacing(job.report) as file:
            file.write(page)
    return Outcome(job.output, len(frame), int(support.sum()), certificate)


def _prune_folder(job: PruneJob, output: Path) -> Outcome:
    """Do what `prune_file` does, of a folder of Parquet files and into another."""
    for option, path in (("--reference", job.reference), ("--report", job.report)):
        if path is not None:
            raise UsageError(
                f"{option} is for a single file, and {job.path} is a folder; leave it out, or "
                "prune a file."
            )
    if output.exists():
        raise FileError(f"{output} is there already; name a folder that is not.")
    _check_paths(job)
    folder = Folder.at(job.path)
    pruner = _pruner(job)
    columns = (job.target, job.groups, job.weight, job.keep_query)
    try:
        with encoded_parts(folder, *columns, seed=job.seed) as parts:
            pruner.fit(
                parts.X,
                parts.y,
                target_kind=job.target_kind,
                groups=parts.groups,
                sample_weight=parts.weight,
                must_keep=parts.must_keep,
            )
            kept = pruner.get_support(indices=True)
    except ValueError as error:
        reason = re.sub(
            r"^In partition (\d+):",
            lambda match: f"in {folder.files[int(match[1])].name},",
            _one_line(error),
        )
        raise FileError(f"{folder.path.name} cannot be pruned so: {reason}") from error
    write_folder(folder, kept, output)
    return Outcome(output, folder.n_samples, len(kept), pruner.certificate_)


def plan_pruning(job: PruneJob) -> Plan:
    """Say what `prune_file` would take; no file is written.

    Parameters
    ----------
    job : PruneJob
        What to do.

    Returns
    -------
    plan : Plan
        Sizes, and processor seconds of fits on a few of the rows.

    Raises
    ------
    UsageError, FileError
        As `prune_file` does.
    """
    if job.path.is_dir():
        raise UsageError(
            f"--dry-run needs all rows in memory, and {job.path} is a folder; try one of its files."
        )
    source = TableFile.at(job.path)
    if job.output is not None:
        check_packages(source, TableFile.at(job.output))
    _check_paths(job)
    frame = read_table(source)
    parts = _parts(job, source, frame)
    encoder = ColumnsEncoder()
    try:
        rows = encoder.fit_transform(parts.X)
        target = check_target(InfluencePruner(), parts.y, len(rows), _given_kind(job))
        timed = _timed_fits(job, parts, rows)
    except ValueError as error:
        raise FileError(f"{source.path.name} cannot be pruned so: {_one_line(error)}") from error
    n_samples = len(rows)
    ratio = job.prune_ratio
    return Plan(
        n_samples=n_samples,
        n_columns=frame.shape[1],
        target="numbers" if target.classes is None else f"{len(target.classes)} classes",
        kinds={str(name): kind for name, kind in encoder.kinds_.items()},
        n_encoded=rows.shape[1],
        n_kept=None if ratio is None else n_samples - count_of(ratio, n_samples),
        timed=timed,
    )


def _check_paths(job: PruneJob) -> None:
    """Raise if a file to be written is one that is read, or has no folder."""
    read = [path for path in (job.path, job.reference) if path is not None]
    written = [path for path in (job.output, job.report) if path is not None]
    for path in written:
        if any(_is_same(path, other) for other in read):
            raise UsageError(f"{path} is read, and would be overwritten; write to another file.")
        if not path.absolute().parent.is_dir():
            raise FileError(f"there is no folder {str(path.absolute().parent)!r} to write to.")
        if path.is_dir():
            raise FileError(f"{path} is a folder; name a file to write.")
    if len(written) == 2 and _is_same(*written):
        raise UsageError(f"rows and report need a file each; both would be {written[0]}.")


def _is_same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return os.path.samefile(path, other)
    return path.resolve() == other.resolve()


def _parts(job: PruneJob, source: TableFile, frame: DataFrame) -> Parts:
    return take_apart(source.path.name, frame, job.target, job.groups, job.weight, job.keep_query)


def _pruner(job: PruneJob) -> InfluencePruner:
    return InfluencePruner(
        prune_ratio="auto" if job.prune_ratio is None else job.prune_ratio,
        tolerance=job.tolerance,
        time_limit=job.time_limit,
        random_state=job.seed,
    )


def _given_kind(job: PruneJob) -> Kind | None:
    return None if job.target_kind == "auto" else job.target_kind


def _fit_params(job: PruneJob, parts: Parts, encoder: ColumnsEncoder) -> Params:
    params: Params = {
        "target_kind": job.target_kind,
        "groups": parts.groups,
        "sample_weight": parts.weight,
        "must_keep": parts.must_keep,
    }
    if job.reference is not None:
        table = TableFile.at(job.reference)
        reference = take_apart(table.path.name, read_table(table), job.target)
        rows = columns_like(table.path.name, reference.X, parts.X)
        try:
            params |= {"X_ref": encoder.transform(rows), "y_ref": reference.y}
        except ValueError as error:
            raise FileError(f"{table.path.name} is not like the table: {error}") from error
    return params


def _timed_fits(job: PruneJob, parts: Parts, rows: Array) -> tuple[tuple[int, float], ...]:
    """Fit the pruner on a few rows and on twice as many, and return what that took."""
    many = min(len(rows) // 10, _TIMED_ROWS)
    if many < _FEWEST_TIMED:
        return ()
    timed = []
    for n_rows in (many // 2, many):
        sampler = RandomPruner(1 - n_rows / len(rows), random_state=job.seed)
        kept = sampler.fit(rows, parts.y, target_kind=job.target_kind).sample_indices_
        few = [take_rows(part, kept) for part in (rows, parts.y, parts.groups, parts.weight)]
        start = time.process_time()
        _pruner(job).fit(*few[:2], target_kind=job.target_kind, groups=few[2], sample_weight=few[3])
        timed.append((len(kept), time.process_time() - start))
    return tuple(timed)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
