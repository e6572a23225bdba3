"""A selection of rows, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from .._types import Mask


@dataclass(frozen=True)
class SetCost:
    """What a set costs, and what random sets with the same counts cost, in float64.

    Attributes
    ----------
    objective : float
        ``‖Zᵀw‖₂`` in the unit of Z, without the size factor.
    size_factor : float
        ``N / (N - νᵀw)``; the predicted change is ``size_factor * objective``.
    least_size_factor : float
        A lower bound on the size factor of any set of as many rows.
    random_objective : float
        Root mean square of ``‖Zᵀw‖₂`` over random sets with the same counts per group.
    random_imbalances : tuple of float
        Root mean square of ``‖B_bᵀw‖₂`` over the same sets, for each B and in its unit.
    random_size_factors : tuple of float
        What to multiply ``random_objective`` and each of ``random_imbalances`` by to include the
        size factor. Without unequal weights, each is ``size_factor``.
    """

    objective: float
    size_factor: float
    least_size_factor: float
    random_objective: float
    random_imbalances: tuple[float, ...]
    random_size_factors: tuple[float, ...]

    @property
    def change(self) -> float:
        """Predicted change ``size_factor * objective``, in the unit of Z."""
        return self.size_factor * self.objective

    @property
    def share_of_random(self) -> float:
        """Objective as a share of ``random_objective``; 0 if that is 0."""
        return self.objective / self.random_objective if self.random_objective > 0 else 0.0


@dataclass(frozen=True)
class SolverCertificate(SetCost):
    """What the solver found and what it can prove.

    Attributes
    ----------
    status : {"optimal", "feasible", "time limit", "nothing to drop"}
        How the search ended. "optimal": proven. "feasible": the set meets every rule, and the
        search ended by itself. "time limit": the deadline ended it. "nothing to drop": it ended by
        itself and found no set but the empty one.
    gap : float
        Cardinality form: ``1 - least_size_factor * lower_bound / change``, the share of the change
        that another set might avoid. Generalization form: ``saving_bound`` less what is saved, as a
        share of the larger one. 0 means proven optimal: in change and imbalance together or, if
        costs were given, in the cost.
    lower_bound : float
        Cardinality form: no set of as many rows has a smaller objective, and so none has a change
        below ``least_size_factor * lower_bound``. Generalization form: 0.
    saving_bound : float
        Generalization form: no set within the tolerance saves more rows, or more of the cost.
        Infinite in the cardinality form.
    smallest_reachable : float
        Generalization form: the smallest change, with the size factor, of the non-empty sets that
        were tried, each group's shortest free row among them. Otherwise the change itself.
    n_integers : int
        Number of integers that ``milp`` decided: the free rows if these are few, else the cells
        whose count the rules leave open.
    n_nodes : int
        Branch-and-bound nodes visited when few rows are decided one by one.
    cell_nodes, cell_gap, cell_seconds : int, float and float
        Branch-and-bound nodes, relative gap (NaN where HiGHS gave none) and seconds that the
        counts of the cells took.
    seconds : float
        Time spent in :func:`solve`.
    """

    status: str
    gap: float
    lower_bound: float
    saving_bound: float
    smallest_reachable: float
    n_integers: int
    n_nodes: int
    cell_nodes: int = 0
    cell_gap: float = 0.0
    cell_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Selection:
    """Which rows to drop.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_samples,)
        True where the row is dropped.
    certificate : SolverCertificate
        What is known about the set.
    """

    drop: Mask
    certificate: SolverCertificate
