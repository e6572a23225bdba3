"""The certificate of rows that lie in partitions, from sums over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import Floats, Mask
from ..influence import HeadFit, fit_head, newton_step, refit_head
from ..matching import Certificate, in_unit_of
from .cells import CountedCells, PartitionSums
from .collection import Partitioned
from .exchange import LastExchange
from .groups import Groups
from .head import SummedObjective
from .reading import ReadRows, RowReader
from .row_maps import HeadMap, RowMaps


class KeptHead:
    """The head on the rows kept: its Newton step, and its refit.

    Parameters
    ----------
    partitioned : Partitioned
        All rows.
    reader : RowReader
        Reads them.
    head : HeadMap
        The head of all rows.
    damping : float
        Of the head.
    support : list of ndarray of bool
        Rows of each partition that are kept.
    """

    def __init__(
        self,
        partitioned: Partitioned,
        reader: RowReader,
        head: HeadMap,
        damping: float,
        support: list[Mask],
    ) -> None:
        self._head = head
        n_features = head.theta.shape[1]
        self.objective = SummedObjective(partitioned, reader, damping, n_features, support)

    @property
    def weight(self) -> float:
        """Weight of the rows kept."""
        return self.objective.weight_sum(self._head.theta)

    @property
    def hessian(self) -> Floats:
        """Hessian of the rows kept at the head of all rows."""
        return self.objective.hessian(self._head.theta)

    def step(self) -> Floats:
        """Return the Newton step on the rows kept."""
        theta = self._head.theta
        return newton_step(self.objective, theta, self.objective.gradient(theta), 0.0, exact=True)

    def step_change(self) -> float:
        """Return the size of this step, in the unit of the norm."""
        return self._head.measure(self.step())

    def refitted_change(self, *, warns: bool) -> float:
        """Return how far the head moves when it is refitted; NaN if that does not converge."""
        start = self._head.theta + self.step()
        fit: HeadFit = (refit_head if warns else fit_head)(self.objective, start)
        return self._head.measure(fit.theta - self._head.theta) if fit.converged else np.nan


def first_order_change(last: LastExchange, kept_weight: float) -> float:
    """Return the predicted change, with the size factor, in the unit of the norm."""
    head = last.maps.head
    assert head is not None
    z = last.maps.part(last.dropped, 0)
    return in_unit_of(head.norm, head.weight_sum / kept_weight * float(np.linalg.norm(z)))


@dataclass(frozen=True)
class DistributionCosts:
    """What a certificate says about the distribution; NaN where it was not matched."""

    error: float = np.nan
    random_error: float = np.nan
    tilt: float = np.nan


@dataclass(frozen=True, eq=False)
class RandomRows:
    """What random rows cost, as many of each group.

    Attributes
    ----------
    variances : list of ndarray of shape (n_groups,)
        Mean squared length of the rows of each group, less that of their mean, for each block of
        coordinates; from a sample.
    """

    variances: list[Floats]

    @classmethod
    def of(cls, maps: RowMaps, sample: ReadRows, groups: Groups) -> RandomRows:
        """Measure the rows of a sample."""
        coordinates = maps.coordinates(sample)
        members = np.zeros((len(sample), len(groups.n_free)))
        members[np.arange(len(sample)), groups.group_of[sample.strata]] = sample.free
        count = np.maximum(members.sum(axis=0), 1)
        variances = []
        for b in range(coordinates.n_blocks):
            block = coordinates.block(b)
            squares = block.squared_norms @ members / count
            means = block.total(members) / count
            unbiased = count / np.maximum(count - 1, 1)
            variances.append(
                block.scale**2 * unbiased * np.maximum(squares - np.sum(means**2, axis=0), 0)
            )
        return cls(variances)

    def length(self, b: int, mean: Floats, groups: Groups) -> float:
        """Return the root mean square of the sum of the rows dropped; see `random_change`.

        ``mean`` is the expected sum.
        """
        spread = groups.n_dropped * groups.n_kept / np.maximum(groups.n_free - 1, 1)
        return float(np.sqrt(mean @ mean + spread @ self.variances[b]))


def distribution_costs(
    last: LastExchange,
    sums: list[PartitionSums],
    kept_weight: float,
    groups: Groups,
    random: RandomRows,
    *,
    is_aimed: bool,
) -> DistributionCosts:
    """Compare the distribution of the rows kept with its aim, and with that of random rows."""
    maps = last.maps
    if maps.embedding is None or maps.head is None:
        return DistributionCosts()
    weight, n, n_drop = maps.embedding.weight_sum, groups.n_samples, groups.n_drop
    total = maps.part(np.sum([part.total for part in sums], axis=0), 1)
    left = maps.part(np.sum([part.left for part in sums], axis=0), 1)
    randoms = maps.part(np.sum([part.random for part in sums], axis=0), 1)
    # All terms are relative to the mean of the sample; `total` is that of all rows.
    kept = weight / kept_weight * (total - maps.part(last.dropped, 1))
    aim = total
    if is_aimed:
        aim = weight / sum(part.kept_weight for part in sums) * (total - left)
    length = random.length(1, randoms - n_drop / n * total, groups)
    return DistributionCosts(
        float(np.linalg.norm(kept - aim)),
        n / (n - n_drop) * length,
        float(np.linalg.norm(aim - total)),
    )


def certify_partitions(
    last: LastExchange,
    sums: list[PartitionSums],
    cells: CountedCells,
    kept: KeptHead,
    random_refit: float,
    groups: Groups,
    random: RandomRows,
    fit: HeadFit,
    *,
    is_aimed: bool,
) -> Certificate:
    """Return the certificate; the fields are those of one machine.

    Parameters
    ----------
    last : LastExchange
        The rows.
    sums, cells
        Of the partitions, and the counts of their cells.
    kept : KeptHead
        The head on the rows kept.
    random_refit : float
        Change of the head when it is refitted on random rows.
    groups : Groups
        How many rows of each go.
    random : RandomRows
        What random rows cost.
    fit : HeadFit
        Of the head of all rows.
    is_aimed : bool
        Whether the rows kept are to look like a draw with unequal probabilities.
    """
    maps, head = last.maps, last.maps.head
    assert head is not None
    n, n_drop, weight = groups.n_samples, groups.n_drop, kept.weight
    distribution = distribution_costs(last, sums, weight, groups, random, is_aimed=is_aimed)
    randoms = maps.part(np.sum([part.random for part in sums], axis=0), 0)
    random_length = n / (n - n_drop) * random.length(0, randoms, groups)
    predicted = first_order_change(last, weight)
    return Certificate(
        n_samples=n,
        n_dropped=n_drop,
        n_kept=n - n_drop,
        norm=head.norm,
        predicted_change=predicted,
        kept_hessian_change=kept.step_change(),
        actual_change=kept.refitted_change(warns=True),
        random_change=in_unit_of(head.norm, random_length),
        random_actual_change=random_refit,
        refits_timed_out=False,
        distribution_error=distribution.error,
        random_distribution_error=distribution.random_error,
        distribution_tilt=distribution.tilt,
        least_weight=1.0,
        greatest_weight=1.0,
        effective_rows=float(n - n_drop),
        n_reference=0,
        reference_score=np.nan,
        reference_damping=np.nan,
        reference_similarity=np.nan,
        n_suspect=0,
        n_suspect_kept=0,
        # No bound is computed, and 0 is one.
        lower_bound=0.0,
        gap=1.0 if predicted > 0 else 0.0,
        saving_bound=np.inf,
        status="feasible",
        n_integers=cells.n_integers,
        n_nodes=cells.n_nodes,
        milp_gap=cells.gap,
        milp_seconds=cells.seconds,
        gradient_norm=fit.gradient_norm,
        n_iter=fit.n_iter,
        n_networks=1,
        curvature="dense",
        n_parameters=head.theta.size,
        n_coordinates=head.theta.size,
        coordinate_share=1.0,
        coordinate_error=0.0,
    )
