"""Tables in files: read one, prune its rows, write those that are kept.

Start at `job.prune_file`. `formats` reads and writes tables, `records` copies the lines of a text
file as they are, `folder` reads Parquet files one by one, `parts` finds target, groups, weights and
rows to keep among a table's columns, and `errors` holds the two kinds of error that a user can
mend.
"""

from .errors import FileError, UsageError
from .job import Outcome, Plan, PruneJob, plan_pruning, prune_file

__all__ = [
    "FileError",
    "Outcome",
    "Plan",
    "PruneJob",
    "UsageError",
    "plan_pruning",
    "prune_file",
]
