"""Which rows to drop: the problem in numbers, its solver and its certificate.

Start at `problem.SelectionProblem`, which states the problem, and `solver.solve`, which solves it:
few rows by `exact/`; many by `cells` (how many rows of each cell to drop, by
`scipy.optimize.milp`) and `search/` (which ones); under a bound on the change, by `tolerance`,
which tries several numbers of rows. `rules` says which sets are allowed, `quota` how many rows each
group keeps, `result` what is returned, and `terms` translates the user's parameters into these.
This room needs numpy and scipy only and knows nothing of networks.
"""

from .cell_program import CellProgram, CellSolution, solve_cells
from .cells import can_keep_weight, leading_directions, n_directions
from .coordinates import STORED_SIZE, Coordinates
from .draws import draw_dropped, inclusion_probabilities
from .problem import SelectionProblem
from .quota import InfeasibleProblemError, KeptRange, Quota
from .result import Selection
from .search.descent import BLOCK_ROWS, MAX_BLOCKS, WHOLE_ROWS, exchange_rows
from .search.exchange import POOL_ROWS
from .solver import recertify, solve
from .terms import (
    CountedRequest,
    Request,
    RowTerms,
    StratumCounts,
    count_of,
    count_problem,
    counted_request,
    drop_first,
    drop_weightless,
    make_problem,
    make_terms,
    require_priority,
)

__all__ = [
    "BLOCK_ROWS",
    "MAX_BLOCKS",
    "POOL_ROWS",
    "STORED_SIZE",
    "WHOLE_ROWS",
    "CellProgram",
    "CellSolution",
    "Coordinates",
    "CountedRequest",
    "InfeasibleProblemError",
    "KeptRange",
    "Quota",
    "Request",
    "RowTerms",
    "Selection",
    "SelectionProblem",
    "StratumCounts",
    "can_keep_weight",
    "count_of",
    "count_problem",
    "counted_request",
    "draw_dropped",
    "drop_first",
    "drop_weightless",
    "exchange_rows",
    "inclusion_probabilities",
    "leading_directions",
    "make_problem",
    "make_terms",
    "n_directions",
    "recertify",
    "require_priority",
    "solve",
    "solve_cells",
]
