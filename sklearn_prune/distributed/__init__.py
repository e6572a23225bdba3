"""Rows beyond one machine's memory: the same selection over the partitions of a Dask collection.

Start at `collection.Partitioned`, which applies a function to one partition after another;
`alignment` takes collections apart for it. `first_pass` checks all of them, and `fit` goes from the
head to the certificate: `search` selects a number of rows, and `tolerance` tries several.
`reference` lets reference rows lead, `weights` weighs the rows kept, and `output` keeps rows of
collections. Dask is imported where it is used.

Sizing, measured at a million rows of 20 columns in partitions of 100,000: 24 passes (43 at ten
million rows), and 9 MB moved per partition. A worker of one thread peaks at 0.75 GB and the client
at 0.85 GB, of which imports are 0.4 GB each. A worker reads one partition at a time, so its peak
grows with partitions, not with rows; the client's grows by the mask, a byte a row.
``benchmarks/distributed.py`` measures time.

Examples
--------
>>> import dask.array as da
>>> from distributed import Client
>>> from sklearn_prune import InfluencePruner
>>> with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0"):
...     X = da.random.default_rng(0).standard_normal((2_000, 3), chunks=(500, 3))
...     y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
...     pruner = InfluencePruner(prune_ratio=0.9, random_state=0).fit(X, y)
...     X_small, y_small = pruner.prune(X, y)
...     print(X_small, y_small.compute().shape)
dask.array<concatenate, shape=(200, 3), dtype=float64, chunksize=(..., 3), chunktype=numpy.ndarray>
(200,)
"""

from .alone import fitted_alone
from .collection import Block, EachOwn, Partitioned
from .first_pass import FirstPass, first_pass
from .fit import PartitionJob, select_by_distribution, select_partitions
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
    "column_moments",
    "drawn_partitions",
    "first_pass",
    "fitted_alone",
    "require_frozen",
    "require_partition_wise",
    "select_by_distribution",
    "select_partitions",
]
