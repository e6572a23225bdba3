"""Choose which rows of a training set to keep."""

from ._certificate import Certificate
from ._influence_pruner import InfluencePruner
from .influence import UnsupportedNetworkError
from .selection import InfeasibleProblemError

__all__ = ["Certificate", "InfeasibleProblemError", "InfluencePruner", "UnsupportedNetworkError"]

__version__ = "0.1.0"
