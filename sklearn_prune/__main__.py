"""The command ``sklearn-prune``: prune the rows of a file, or show what pruning costs."""

from __future__ import annotations

import argparse
import ctypes
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from . import demo
from .files import FileError, PruneJob, UsageError, plan_pruning, prune_file

__all__ = ["main"]

_DONE, _DATA_ERROR, _USAGE_ERROR, _INTERRUPTED = 0, 1, 2, 130
# As malloc.h of glibc numbers it.
_M_ARENA_MAX = -8
_EPILOG = """\
Without a command it runs the demo. Exit codes: 0 done, 1 a file or what it holds is wrong,
2 the command line is wrong."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None takes those of the process. Without any, the demo runs.

    Returns
    -------
    code : int
        0 when done, 1 if a file or what it holds is wrong. A wrong command line exits with 2.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] == "demo":
        demo.main(argv[1:])
        return _DONE
    parser = _parser()
    arguments = parser.parse_args(argv)
    _check(parser, arguments)
    return _prune(arguments)


def _prune(arguments: argparse.Namespace) -> int:
    fields = vars(arguments).copy()
    is_dry = fields.pop("dry_run")
    del fields["command"]
    job = PruneJob(**fields)
    _share_one_heap()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _tell_warning(message)
            print(plan_pruning(job) if is_dry else prune_file(job))
    except UsageError as error:
        _tell(f"error: {error}")
        return _USAGE_ERROR
    except FileError as error:
        _tell(f"error: {error}")
        return _DATA_ERROR
    except KeyboardInterrupt:
        _tell("interrupted; no file is half written.")
        return _INTERRUPTED
    return _DONE


def _share_one_heap() -> None:
    """Let the threads of this process take memory from one heap, where the C library is glibc.

    Otherwise each thread has a heap of its own, which keeps what it frees. For Adult that is 45 of
    710 MB.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


def _tell(message: str) -> None:
    print(f"sklearn-prune: {message}", file=sys.stderr)


def _tell_warning(message: Warning | str) -> None:
    _tell(f"warning: {' '.join(str(message).split())}")


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error if a number is out of its range."""
    ratio, tolerance = arguments.prune_ratio, arguments.tolerance
    if ratio is not None and not 0 <= ratio < 1:
        parser.error(f"--ratio must be in [0, 1), {ratio} is not; 0.9 drops 90 %")
    for option, value in (("--tolerance", tolerance), ("--time-limit", arguments.time_limit)):
        if value is not None and not 0 < value < float("inf"):
            parser.error(f"{option} must be above 0, {value} is not")
    if not 0 <= arguments.seed < 2**32:
        parser.error(f"--seed must be in [0, 2**32), {arguments.seed} is not")
    if arguments.output is None and not arguments.dry_run:
        parser.error("-o OUT is needed, a file for the rows kept; --dry-run writes none")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-prune",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("demo", help="prune a bundled data set, and retrain on the rows kept")
    prune = commands.add_parser(
        "prune",
        help="prune the rows of a file",
        description="Prune the rows of FILE, and write those that are kept to OUT as they are.",
    )
    add = prune.add_argument
    kinds = "CSV, TSV, JSON lines (also .gz), Parquet, or a folder of Parquet files"
    add("path", metavar="FILE", type=Path, help=kinds)
    add("--target", metavar="COL", required=True, help="column that a model is to predict")
    share = prune.add_mutually_exclusive_group(required=True)
    share.add_argument(
        "--ratio", dest="prune_ratio", metavar="R", type=float, help="share of rows to drop"
    )
    share.add_argument(
        "--tolerance", metavar="T", type=float, help="rise of the loss to allow, first order"
    )
    add("-o", "--output", metavar="OUT", type=Path, help="file, or folder, for the rows kept")
    add("--groups", metavar="COL", help="column of groups, each of which keeps its share")
    add("--weight", metavar="COL", help="column of sample weights, which is not used as a feature")
    add("--keep-query", metavar="QUERY", help="rows to keep in any case, such as 'age > 60'")
    add("--reference", metavar="FILE", type=Path, help="trusted rows with the same columns")
    add("--report", metavar="HTML", type=Path, help="file for a page that says what was dropped")
    add("--dry-run", action="store_true", help="say what it would take, and write nothing")
    add(
        "--target-kind",
        choices=("auto", "classification", "regression"),
        default="auto",
        help="whether the target holds classes or numbers (default: %(default)s)",
    )
    add("--seed", metavar="N", type=int, default=0, help="default: %(default)s")
    add(
        "--time-limit", metavar="S", type=float, default=60.0,
        help="seconds to choose rows in (default: %(default)s)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
