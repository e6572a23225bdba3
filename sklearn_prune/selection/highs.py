"""The one call of ``scipy.optimize.milp``, which all programs of this room share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from .._types import Floats

# Status codes of scipy.optimize.milp.
OPTIMAL, TIME_LIMIT, INFEASIBLE = 0, 1, 2
# HiGHS's tolerance for integrality and for constraints, relative to coefficients near 1. Smaller
# differences mean nothing, and a lower bound may be too high by this much.
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
    """Minimise ``objectiveᵀx`` where the first ``n_integers`` entries of x are whole.

    Presolve is off: it gives up on tiny programs, and its answers may break a constraint by one.
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
