"""Which rows can go: the problem in numbers, its solver and its certificate.

Needs numpy and scipy only. Nothing here knows networks or estimators.
"""

from ._cells import can_keep_weight
from ._certificate import Selection, SolverCertificate
from ._problem import SelectionProblem, random_rows
from ._quota import InfeasibleProblemError, KeptRange, decided_rows, kept_range
from ._solve import recertify, solve

__all__ = [
    "InfeasibleProblemError",
    "KeptRange",
    "Selection",
    "SelectionProblem",
    "SolverCertificate",
    "can_keep_weight",
    "decided_rows",
    "kept_range",
    "random_rows",
    "recertify",
    "solve",
]
