"""Rows beyond one machine's memory: the same selection over the partitions of a Dask collection.

Start at `collection.Partitioned`, of whose partitions functions see one block at a time, and at
`fit`, which chooses their rows: after `first_pass` has checked all of them and `survey` has drawn a
sample, `head` solves for the head by sums over the partitions, `draw` finds the probability of each
row to be kept, `cells` lets `milp` decide how many rows go, and `exchange` decides which. `output`
keeps rows of collections. Dask is imported where it is used, and nowhere else in the package.
"""

from .alone import fitted_alone
from .collection import Block, EachOwn, Partitioned, Traffic
from .first_pass import FirstPass, first_pass
from .fit import PartitionJob, SelectedPartitions, select_by_distribution, select_partitions
from .output import KeptRows
from .random_rows import drawn_partitions
from .refusals import require_frozen, require_partition_wise
from .survey import column_moments

__all__ = [
    "Block",
    "EachOwn",
    "FirstPass",
    "KeptRows",
    "PartitionJob",
    "Partitioned",
    "SelectedPartitions",
    "Traffic",
    "column_moments",
    "drawn_partitions",
    "first_pass",
    "fitted_alone",
    "require_frozen",
    "require_partition_wise",
    "select_by_distribution",
    "select_partitions",
]
