"""What a selection is and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from .._types import Mask


@dataclass(frozen=True)
class SetCost:
    """What a set costs and what random sets of its counts cost, in float64.

    Attributes
    ----------
    objective : float
        ``‖Zᵀw‖₂`` in the unit of Z, without the size factor.
    size_factor : float
        ``N / (N - νᵀw)``; the predicted change is ``size_factor * objective``.
    least_size_factor : float
        Smallest one of any set of that size, or less.
    random_objective : float
        Root mean square of ``‖Zᵀw‖₂`` over random sets with the same counts per group.
    random_imbalances : tuple of float
        That of ``‖B_bᵀw‖₂`` for each B, in its unit.
    random_size_factors : tuple of float
        What the size factor makes of ``random_objective`` and of each of ``random_imbalances``, in
        the root mean square. Without weights it is that of the set.
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
        """Objective as a share of what random rows of the same counts cost."""
        return self.objective / self.random_objective if self.random_objective > 0 else 0.0


@dataclass(frozen=True)
class SolverCertificate(SetCost):
    """What the solver found and what it can prove.

    Attributes
    ----------
    status : {"optimal", "feasible", "time limit", "nothing to drop"}
        "optimal" is proven; "feasible" meets every rule and was not improved further.
        "nothing to drop" is said only where the search ended by itself.
    gap : float
        Cardinality form: by which share the change may exceed the best one. Generalization form:
        ``saving_bound`` less what is saved, as a share of the larger one. 0 means proven optimal:
        of change and imbalance together, or, where costs were given, of the cost.
    lower_bound : float
        Cardinality form: no set of that size has a smaller objective, so that none has a change
        below ``least_size_factor * lower_bound``. Generalization form: 0.
    saving_bound : float
        Generalization form: no set within the tolerance saves more rows, or more of the cost.
        Infinite in the cardinality form.
    smallest_reachable : float
        Generalization form: the smallest change, with the size factor, of the non-empty sets the
        solver looked at, the free row of smallest norm among them. Otherwise the change itself.
    n_integers : int
        What ``milp`` decided: free rows, where these are few, or cells whose count the rules leave
        open.
    n_nodes : int
        Branch-and-bound nodes visited where few rows are decided one by one.
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
    """Which rows go.

    Attributes
    ----------
    drop : ndarray of bool of shape (n_samples,)
        True where the row is dropped.
    certificate : SolverCertificate
        What is known about the set.
    """

    drop: Mask
    certificate: SolverCertificate
