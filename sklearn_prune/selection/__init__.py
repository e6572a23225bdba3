"""Which rows can go: the problem in numbers, its solver and its certificate.

Needs numpy and scipy only. Nothing here knows networks or estimators.
"""

from ._certificate import Selection, SolverCertificate
from ._problem import SelectionProblem
from ._quota import InfeasibleProblemError, parse_range
from ._solve import recertify, solve

__all__ = [
    "InfeasibleProblemError",
    "Selection",
    "SelectionProblem",
    "SolverCertificate",
    "parse_range",
    "recertify",
    "solve",
]
