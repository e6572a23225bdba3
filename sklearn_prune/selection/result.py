"""What a selection is and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from .coordinates import Booleans


@dataclass(frozen=True)
class SolverCertificate:
    """What the solver found and what it can prove, recomputed from the returned set in float64.

    Attributes
    ----------
    n_samples, n_dropped : int
        Rows in all and rows dropped.
    objective : float
        ``‖Zᵀw‖₂`` in the unit of Z, without the size factor.
    size_factor : float
        ``N / (N - νᵀw)``; the predicted change is ``size_factor * objective``.
    least_size_factor : float
        Smallest one of any set of that size, or less.
    lower_bound : float
        Cardinality form: no set of that size has a smaller objective, so that none has a change
        below ``least_size_factor * lower_bound``. Generalization form: 0.
    gap : float
        Cardinality form: by which share the change may exceed the best one. Generalization form:
        ``saving_bound - saving`` as a share of the larger one. 0 means proven optimal: of change
        and imbalance together, or, where costs were given, of the cost.
    saving : float
        Rows dropped, or their total cost where costs were given.
    saving_bound : float
        Generalization form: no set within the tolerance saves more. Infinite in the cardinality
        form.
    random_objective : float
        Root mean square of ``‖Zᵀw‖₂`` over random sets with the same counts per group.
    imbalances, random_imbalances : tuple of float
        ``‖B_bᵀw‖₂`` of each B in its unit, without the size factor, and its root mean square over
        the same random sets.
    random_size_factors : tuple of float
        What the size factor makes of ``random_objective`` and of each of ``random_imbalances``, in
        the root mean square. Without weights it is that of the set.
    smallest_reachable : float
        Generalization form: the smallest change, with the size factor, of the non-empty sets the
        solver looked at, the free row of smallest norm among them. Otherwise the change itself.
    status : {"optimal", "feasible", "time limit", "nothing to drop"}
        "optimal" is proven; "feasible" meets every constraint and was not improved further.
        "nothing to drop" is said only where the search ended by itself.
    n_swaps, n_cuts, n_nodes : int
        Exchanges made, tangents added, branch-and-bound nodes visited where the problem is small
        enough to be solved row by row.
    n_cells, n_integers : int
        Cells, and those of them whose count the rules leave open: the integers that ``milp``
        decided.
    cell_nodes, cell_gap, cell_seconds : int, float and float
        Branch-and-bound nodes, relative gap (NaN where HiGHS gave none) and seconds of that.
    cell_status : {"optimal", "node limit", "apportioned", "row by row"}
        How the cells' counts were decided: to optimality; by the best counts that the nodes
        allowed gave; by largest remainders, where they gave none; or not at all, where linear rows
        or a start were given, or a tolerance for a problem that is solved row by row.
    seconds : float
        Time spent in :func:`solve`.
    """

    n_samples: int
    n_dropped: int
    objective: float
    size_factor: float
    least_size_factor: float
    lower_bound: float
    gap: float
    saving: float
    saving_bound: float
    random_objective: float
    imbalances: tuple[float, ...]
    random_imbalances: tuple[float, ...]
    random_size_factors: tuple[float, ...]
    smallest_reachable: float
    status: str
    n_swaps: int
    n_cuts: int
    n_nodes: int
    n_cells: int
    n_integers: int
    cell_nodes: int
    cell_gap: float
    cell_seconds: float
    cell_status: str
    seconds: float

    @property
    def change(self) -> float:
        """Predicted change ``size_factor * objective``, in the unit of Z."""
        return self.size_factor * self.objective

    @property
    def share_of_random(self) -> float:
        """Objective as a share of what random rows of the same counts cost."""
        return self.objective / self.random_objective if self.random_objective > 0 else 0.0


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

    drop: Booleans
    certificate: SolverCertificate
