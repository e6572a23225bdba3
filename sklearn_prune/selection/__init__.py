"""Which rows can go: the problem in numbers, its solver and its certificate.

Needs numpy and scipy only. Nothing here knows networks or estimators.
"""

from ._certificate import Selection, SolverCertificate
from ._problem import SelectionProblem
from ._quota import InfeasibleProblemError
from ._solve import solve

__all__ = ["InfeasibleProblemError", "Selection", "SelectionProblem", "SolverCertificate", "solve"]
