"""Rows beyond one machine's memory: the same selection over the partitions of a Dask collection.

Start at `collection.Partitioned`, of whose partitions functions see one block at a time.
`first_pass` checks all of them, and `output` keeps rows of collections. Dask is imported where it
is used, and nowhere else in the package.
"""

from .collection import Block, EachOwn, Partitioned, Traffic
from .first_pass import FirstPass, first_pass
from .output import KeptRows

__all__ = [
    "Block",
    "EachOwn",
    "FirstPass",
    "KeptRows",
    "Partitioned",
    "Traffic",
    "first_pass",
]
