"""The certificate of rows that lie in partitions, from sums over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._types import Floats, Mask
from ..influence import HeadFit, MatchedCoordinates, warn_of_gradient
from ..matching import Certificate, in_unit_of
from .cells import CountedCells, PartitionSums
from .exchange import LastExchange
from .groups import Groups
from .head import MatchedHead, SummedObjective
from .reading import ReadRows
from .reference import Lead
from .row_maps import RowMaps
from .survey import Survey


class KeptHead:
    """The head on the rows kept: its prediction, its Newton step, and its refit.

    Steps are of shape (n_params,), and changes in the unit of the norm.

    Parameters
    ----------
    head : MatchedHead
        The head of all rows.
    objective : SummedObjective
        The objective on the rows kept.
    """

    def __init__(self, head: MatchedHead, objective: SummedObjective) -> None:
        self._head, self._theta = head, head.map.theta
        self._objective = objective

    @classmethod
    def of(cls, known: Survey, head: MatchedHead, support: list[Mask]) -> KeptHead:
        """Take the rows of each partition that are kept."""
        damping, n_features = head.objective.damping, head.map.theta.shape[1]
        return cls(
            head,
            SummedObjective(known.partitioned, known.reader, damping, n_features, support),
        )

    def weighted(self, weights: Floats) -> KeptHead:
        """Return the same of the rows with their weights multiplied by these."""
        return KeptHead(self._head, self._objective.weighted(weights))

    @property
    def rows(self) -> ReadRows:
        """The rows kept, in their order; they are brought here."""
        return self._objective.rows

    @cached_property
    def weight(self) -> float:
        """Weight of the rows kept."""
        return self._objective.weight_sum(self._theta)

    @cached_property
    def _gradient(self) -> Floats:
        return self._objective.gradient(self._theta).ravel()

    @property
    def hessian(self) -> Floats:
        """Hessian of the rows kept at the head of all rows; not of a wide head."""
        return self._objective.hessian(self._theta)

    @cached_property
    def _step(self) -> Floats:
        """The Newton step on the rows kept."""
        gradient, theta = self._gradient, self._theta
        return -self._objective.exact(theta, self._objective.curvature(theta)).solve(gradient)

    def step_change(self) -> float:
        """Return the size of the Newton step on the rows kept."""
        return self._head.measure(self._step)

    def first_order_change(self) -> float:
        """Return the predicted change, with the size factor.

        It is minus ``H⁻¹`` times `_pull`, since centred gradients of all rows sum to zero.
        """
        return self._head.measure(self._head.hessian.solve(self._pull))

    @property
    def _pull(self) -> Floats:
        """Gradient of the rows kept, less that of all rows."""
        return self._gradient - self._head.gradient

    def dropped_influence(self) -> Floats:
        """Return the sum of the influences of the rows dropped, of shape (n_params,).

        Less that of all rows, which is zero unless the head is one of reference rows.
        """
        forward = self._head.map.linear_map.forward
        return forward(-self.weight / self._head.map.weight_sum * self._pull)

    def refitted_change(self) -> float:
        """Return how far the head moves when it is refitted; NaN if that does not converge."""
        fit = self.refit
        return self._head.measure((fit.theta - self._theta).ravel()) if fit.converged else np.nan

    def retrained_change(self) -> float:
        """Return what refitting costs; see `DenseHeadInfluence.retrained_change`."""
        fit = self.refit
        if not fit.converged:
            return np.inf
        if self._head.map.norm == "parameter":
            return float(np.linalg.norm(fit.theta - self._theta))
        value = self._head.goal.value_and_gradient
        return value(fit.theta)[0] - value(self._theta)[0]

    @cached_property
    def refit(self) -> HeadFit:
        """The head on the rows kept."""
        # A Newton step first would take a wide head up to 54 passes, and saved at most 11 of 90.
        return self._objective.minimised(self._theta)


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
    is_led: bool,
) -> DistributionCosts:
    """Compare the distribution of the rows kept with its aim, and with that of random rows.

    With reference rows (``is_led``), terms are relative to the aim.
    """
    maps = last.maps
    if maps.embedding is None or maps.head is None:
        return DistributionCosts()
    weight, n, n_drop = maps.embedding.weight_sum, groups.n_samples, groups.n_drop
    total = maps.part(np.sum([part.total for part in sums], axis=0), 1)
    left = maps.part(np.sum([part.left for part in sums], axis=0), 1)
    randoms = maps.part(np.sum([part.random for part in sums], axis=0), 1)
    # All terms are relative to the mean of the sample; `total` is that of all rows.
    kept = weight / kept_weight * (total - maps.part(last.dropped, 1))
    aim = np.zeros(len(total)) if is_led else total
    if is_aimed:
        aim = weight / sum(part.kept_weight for part in sums) * (total - left)
    length = random.length(1, randoms - (1.0 if is_led else n_drop / n) * total, groups)
    return DistributionCosts(
        float(np.linalg.norm(kept - aim)),
        n / (n - n_drop) * length,
        0.0 if is_led else float(np.linalg.norm(aim - total)),
    )


def certify_partitions(
    last: LastExchange,
    sums: list[PartitionSums],
    cells: CountedCells,
    kept: KeptHead,
    random_refit: float,
    groups: Groups,
    random: RandomRows,
    head: MatchedHead,
    measured: MatchedCoordinates,
    *,
    is_aimed: bool,
    weights: Floats | None,
    lead: Lead | None,
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
    head : MatchedHead
        The head of all rows.
    measured : MatchedCoordinates
        How far its coordinates are from exact.
    is_aimed : bool
        Whether the rows kept are to look like a draw with unequal probabilities.
    weights : ndarray of shape (n_kept,) or None
        Weights of the rows kept, with which ``last`` and ``kept`` are; None if all are 1.
    lead : Lead or None
        What reference rows determine.
    """
    weights = np.ones(1) if weights is None else weights
    maps, norm = last.maps, head.map.norm
    n, n_drop = groups.n_samples, groups.n_drop
    distribution = distribution_costs(
        last, sums, kept.weight, groups, random, is_aimed=is_aimed, is_led=lead is not None
    )
    randoms = maps.part(np.sum([part.random for part in sums], axis=0), 0)
    if lead is not None:
        randoms = randoms - maps.part(np.sum([part.total for part in sums], axis=0), 0)
    random_length = n / (n - n_drop) * random.length(0, randoms, groups) * measured.length_ratio
    predicted = kept.first_order_change()
    warn_of_gradient(kept.refit)
    return Certificate(
        n_samples=n,
        n_dropped=n_drop,
        n_kept=n - n_drop,
        norm=norm,
        predicted_change=predicted,
        kept_hessian_change=kept.step_change(),
        actual_change=kept.refitted_change(),
        random_change=in_unit_of(norm, random_length),
        random_actual_change=random_refit,
        refits_timed_out=False,
        distribution_error=distribution.error,
        random_distribution_error=distribution.random_error,
        distribution_tilt=distribution.tilt,
        least_weight=float(weights.min()),
        greatest_weight=float(weights.max()),
        effective_rows=(n - n_drop) / float(np.mean(weights**2)),
        n_reference=0 if lead is None else lead.fitted.objective.n_samples,
        reference_score=np.nan if lead is None else lead.fitted.score,
        reference_damping=np.nan if lead is None else lead.fitted.objective.damping,
        reference_similarity=np.nan if lead is None else lead.similarity,
        n_suspect=0 if lead is None else lead.n_suspect(),
        n_suspect_kept=0 if lead is None else lead.n_suspect(last.support),
        # No bound is computed, and 0 is one.
        lower_bound=0.0,
        gap=1.0 if n_drop and predicted > 0 else 0.0,
        saving_bound=np.inf,
        status="feasible",
        n_integers=cells.n_integers,
        n_nodes=cells.n_nodes,
        milp_gap=cells.gap,
        milp_seconds=cells.seconds,
        gradient_norm=head.fit.gradient_norm,
        n_iter=head.fit.n_iter,
        n_networks=1,
        curvature=head.curvature_name,
        n_parameters=head.map.theta.size,
        n_coordinates=head.map.theta.size,
        coordinate_share=measured.energy_share,
        coordinate_error=measured.relative_error,
    )
