"""Which rows can go: the problem in numbers, its solver and its certificate.

Needs numpy and scipy only. Nothing here knows networks or estimators.
"""

from ._cells import can_keep_weight
from ._certificate import Selection, SolverCertificate
from ._inclusion import draw_dropped, inclusion_probabilities
from ._problem import SelectionProblem
from ._quota import InfeasibleProblemError, KeptRange, decided_rows, kept_range
from ._solve import EXACT_ROWS, recertify, solve

__all__ = [
    "EXACT_ROWS",
    "InfeasibleProblemError",
    "KeptRange",
    "Selection",
    "SelectionProblem",
    "SolverCertificate",
    "can_keep_weight",
    "decided_rows",
    "draw_dropped",
    "inclusion_probabilities",
    "kept_range",
    "recertify",
    "solve",
]
