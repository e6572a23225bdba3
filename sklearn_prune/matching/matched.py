"""What the kept rows are to match: the influences, and the distribution of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .._types import Array, Floats
from ..influence import Influence, MatchedCoordinates
from ..selection import RowTerms
from .allocation import Priorities, given_priorities, row_priorities
from .distribution import DistributionEmbedding, target_labels
from .feature_maps import Table
from .reference import Aim


@dataclass(frozen=True, eq=False, repr=False)
class Matched:
    """What a selection matches; nothing in it depends on how many rows are dropped.

    Attributes
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes, or numbers.
    is_labels : bool
        Whether y holds class codes.
    influence : HeadInfluence, NetworkInfluence or StackedInfluence
        The influences of all rows.
    coordinates : MatchedCoordinates
        The part of them that the selection matches.
    gradient_norm, n_iter : float and int
        Norm of the objective's gradient at the fitted head, and Newton steps of that fit; for
        several networks, the largest.
    balance : tuple of DistributionEmbedding
        Matched beside the influences: the distribution, and a nonlinear head. Empty if the rows are
        not a table of numbers.
    table : Table or None
        The columns of that distribution; None with reference rows, or without a table.
    priorities : Priorities or None
        Which rows other models learn most from; None if not computed yet.
    aim : Aim or None
        What reference rows say about the training rows; None without reference rows.
    """

    y: Array
    is_labels: bool
    influence: Influence
    coordinates: MatchedCoordinates
    gradient_norm: float
    n_iter: int
    balance: tuple[DistributionEmbedding, ...] = ()
    table: Table | None = None
    priorities: Priorities | None = None
    aim: Aim | None = None

    @property
    def sample_weight(self) -> Floats | None:
        """Weights of the rows in the objective, class weights included; None if all are 1."""
        weights = self.influence.sample_weight
        return weights if (weights != 1).any() else None

    def with_priorities(self) -> Matched:
        """Return the same with priorities, if there is a table that they can be computed from."""
        if self.table is None or self.priorities is not None:
            return self
        priorities = row_priorities(
            self.table, self.y, self.influence.sample_weight, is_labels=self.is_labels
        )
        return replace(self, priorities=priorities)

    def prioritised(self, sample_priority: Floats) -> Matched:
        """Return the same with the user's priorities."""
        return replace(self, priorities=given_priorities(self.table, sample_priority))

    def by_group(self, terms: RowTerms) -> Matched:
        """Return the same with the distribution matched within each group, if groups were given.

        Not with reference rows, since these have no groups.
        """
        if not self.balance or terms.strata is terms.classes or self.aim is not None:
            return self
        weights = self.influence.sample_weight
        labels = target_labels(self.y, weights, is_labels=self.is_labels, strata=terms.strata)
        distribution, *others = self.balance
        return replace(self, balance=(distribution.labelled(labels), *others))
