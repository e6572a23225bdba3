"""Rows beyond one machine's memory: the same selection over the partitions of a Dask collection.

Start at `collection.Partitioned`, of whose partitions functions see one block at a time.
`first_pass` checks all of them, and `output` keeps rows of collections. Dask is imported where it
is used, and nowhere else in the package.
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
    "Partitioned",
    "Traffic",
    "PartitionJob",
    "SelectedPartitions",
    "column_moments",
    "drawn_partitions",
    "first_pass",
    "fitted_alone",
    "require_frozen",
    "require_partition_wise",
    "select_by_distribution",
    "select_partitions",
]
