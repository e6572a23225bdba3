"""What the benchmarks share: arguments, threads, the machine's description, result files."""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from joblib import cpu_count
from threadpoolctl import threadpool_limits

from .data import DATA_DIR_VARIABLE, default_data_dir

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
BENCHMARKS_README = Path(__file__).parent / "README.md"
N_THREADS = 2
# Reports on rows that an earlier release chose, with its number; to be left out when measured anew.
EARLIER_RELEASE = dict.fromkeys(("selection", "expected_gap"), "0.1")
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "skorch")


@dataclass(frozen=True)
class Figure:
    """One measured number. Tables are made from these, never the other way round.

    method : "full" (all training rows), "pruned", "random", or what else was timed.
    seed : of the pruner or of the draw; None where nothing is random.
    """

    job: str
    method: str
    prune_ratio: float | None
    seed: int | None
    metric: str
    value: float


def argument_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=default_data_dir(),
        help=f"folder of the data files (default: ${DATA_DIR_VARIABLE}, else ../shared/data)",
    )
    parser.add_argument(
        "--subset", type=int, metavar="N", help="at most N training rows: a trial of the script"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for result files (default: benchmarks/results; with --subset, none)",
    )
    return parser


def output_folder(args: argparse.Namespace) -> Path | None:
    """Where results go; a trial on a subset must not overwrite the real ones by accident."""
    if args.out is not None:
        return args.out
    return None if args.subset else RESULTS


def limit_threads(n_threads: int | None = None) -> None:
    """Hold BLAS, OpenMP and torch to so many threads, and to the cores this process may use."""
    n_threads = min(n_threads or N_THREADS, cpu_count())
    threadpool_limits(n_threads)
    torch.set_num_threads(n_threads)


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def peak_resident_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent process had before exec.
        line = next(x for x in status.read_text(encoding="utf-8").splitlines() if "VmHWM" in x)
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others kilobytes.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def environment(packages: Sequence[str] = ()) -> dict[str, object]:
    """Describe the machine and the versions that timings depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        **{package: _version(package) for package in packages},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def write_figures(
    folder: Path, name: str, figures: Iterable[Figure], packages: Sequence[str] = ()
) -> None:
    """Write name.csv, one line a figure, and name.json, the machine that measured them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Figure))
        for figure in figures:
            cells = asdict(figure).values()
            writer.writerow(f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells)
    described = json.dumps(environment(packages), indent=2)
    (folder / f"{name}.json").write_text(described + "\n", encoding="utf-8")


def read_figures(folder: Path, pattern: str = "*.csv") -> list[Figure]:
    """Read every such file of the folder that holds figures; other benchmarks have their own."""
    figures = []
    columns = {field.name for field in fields(Figure)}
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not columns <= set(reader.fieldnames or ()):
                continue
            for line in reader:
                figures.append(
                    Figure(
                        line["job"],
                        line["method"],
                        float(line["prune_ratio"]) if line["prune_ratio"] else None,
                        int(line["seed"]) if line["seed"] else None,
                        line["metric"],
                        float(line["value"]),
                    )
                )
    return figures


def with_release(report: str, text: str) -> str:
    """Return the text of a report, under the release measured if that is an earlier one."""
    release = EARLIER_RELEASE.get(report)
    if release is None:
        return text
    return f"Measured with the search of release {release}, not yet with that of today.\n\n{text}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class AroundTable:
    """A page's text, split around one of its tables."""

    before: str
    table: str
    after: str


def around_table(page: Path, name: str) -> AroundTable:
    """Split a page's text around the table between the comments of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, opened, rest = page.read_text(encoding="utf-8").partition(begin)
    table, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{page} needs the comments {begin} and {end} around its table.")
    return AroundTable(before + begin, table.strip(), end + after)


def insert_table(page: Path, name: str, table: str) -> None:
    around = around_table(page, name)
    page.write_text(f"{around.before}\n{table}\n{around.after}", encoding="utf-8")
