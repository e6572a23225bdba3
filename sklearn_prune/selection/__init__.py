"""Which rows to drop: the problem in numbers, its solver and its certificate.

Start at `problem.SelectionProblem`, which states the problem, and `solver.solve`, which solves it:
few rows by `exact/`; many by `cells` (how many rows of each cell to drop, by
`scipy.optimize.milp`) and `search/` (which ones); under a bound on the change, by `tolerance`,
which tries several numbers of rows. `rules` says which sets are allowed, `quota` how many rows each
group keeps, `result` what is returned, and `terms` translates the user's parameters into these.
This room needs numpy and scipy only and knows nothing of networks.
"""

from .cells import can_keep_weight
from .draws import draw_dropped, inclusion_probabilities
from .problem import SelectionProblem
from .quota import InfeasibleProblemError, KeptRange, Quota
from .result import Selection
from .solver import recertify, solve
from .terms import (
    Request,
    RowTerms,
    count_of,
    count_problem,
    drop_first,
    drop_weightless,
    make_problem,
    make_terms,
)

__all__ = [
    "InfeasibleProblemError",
    "KeptRange",
    "Quota",
    "Request",
    "RowTerms",
    "Selection",
    "SelectionProblem",
    "can_keep_weight",
    "count_of",
    "count_problem",
    "draw_dropped",
    "drop_first",
    "drop_weightless",
    "inclusion_probabilities",
    "make_problem",
    "make_terms",
    "recertify",
    "solve",
]
