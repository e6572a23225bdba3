"""``scipy.optimize.milp``, called in one way by all programs of this room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from .arrays import Floats

# Status codes of scipy.optimize.milp.
OPTIMAL, TIME_LIMIT, INFEASIBLE = 0, 1, 2
# HiGHS takes what is within this of a whole number for one, and meets a row within it. So a value
# that is so small a share of a coefficient says nothing, and a bound may be so much too high.
RESOLUTION = 1e-6


def run_milp(
    objective: Floats,
    bounds: Bounds,
    constraints: Sequence[LinearConstraint],
    *,
    n_integers: int,
    gap: float | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
) -> OptimizeResult:
    """Minimise ``objectiveᵀx``, the first ``n_integers`` entries of x being whole.

    Without presolve, whose answers may break a row by one, and which gives up on tiny programs.
    """
    options = {
        "presolve": False,
        "mip_rel_gap": gap,
        "time_limit": time_limit,
        "node_limit": node_limit,
    }
    return milp(
        objective,
        integrality=np.arange(len(objective)) < n_integers,
        bounds=bounds,
        constraints=constraints,
        options={name: value for name, value in options.items() if value is not None},
    )
