"""Which rows can go: the problem in numbers, its solver and its certificate.

Needs numpy and scipy only. Nothing here knows networks or estimators.
"""

from .cells import can_keep_weight
from .inclusion import draw_dropped, inclusion_probabilities
from .problem import SelectionProblem
from .quota import InfeasibleProblemError, KeptRange
from .result import Selection
from .solver import recertify, solve
from .terms import (
    Quota,
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
